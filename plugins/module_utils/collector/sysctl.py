# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Section sysctl: what the files below sysctl.d set at boot, as systemd-sysctl reads them."""

from __future__ import annotations

from . import paths, private, settings

FOLDERS = ("/etc/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d", "/lib/sysctl.d")


def collect(tree):
    """{"net.ipv4.ip_forward": {"value": "1", "path": "/etc/sysctl.d/99-router.conf"}}

    A key that begins with "-" has no value: patterns leave it alone.
    """
    found = {}
    for path in settings.fragments(tree, FOLDERS):
        for key, value, optional in parse(settings.text(tree, path)):
            # The last assignment counts; an exclusion of the same key is another thing.
            found[key] = {"path": paths.printable(path)}
            if value is not None:
                found[key]["value"] = private.value(key, value)
                if optional:
                    found[key]["optional"] = True
    return found


def parse(text):
    """[("vm.swappiness", "10", may it fail?)]; an exclusion as ("-net.ipv4.conf.all.rp_filter", None, False)."""
    found = []
    for line in settings.lines(text, "#;"):
        optional = line.startswith("-")
        key, equals, value = line.lstrip("-").partition("=")
        if equals:
            found.append((dotted(key.strip()), settings.words(value), optional))
        elif optional:
            found.append(("-" + dotted(key.strip()), None, False))
    return found


def dotted(key):
    """net/ipv4/conf/eth0.1/forwarding → net.ipv4.conf.eth0/1.forwarding: what comes first separates."""
    slash = key.find("/")
    if slash < 0 or 0 <= key.find(".") < slash:
        return key
    return key.translate({ord("/"): ".", ord("."): "/"})
