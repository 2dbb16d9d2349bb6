# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Section mounts: what /etc/fstab mounts."""

from __future__ import annotations

import re

from . import private, settings

_ESCAPE = re.compile(r"\\([0-7]{3})")
_DEFAULTS = ("", "", "", "defaults", "0", "0")


def collect(tree):
    """{"/srv": {"source": "LABEL=data", "type": "ext4", "options": ["noatime"], "dump": "0", "pass": "2"}}"""
    return parse(settings.text(tree, "/etc/fstab"))


def parse(text):
    """The section. What has no folder (swap) is named by its source; a second mount on a folder, by both."""
    found = {}
    for line in settings.lines(text):
        fields = line.split()
        if len(fields) < 3:
            continue
        source, target, kind, options, dump, order = (_plain(each) for each in (*fields, *_DEFAULTS[len(fields) :])[:6])
        name = target if target.startswith("/") else target + " " + source
        if name in found:
            name += " " + source
        found[name] = {
            "source": private.command(private.without_credentials(source)),
            "type": kind,
            "options": [_option(option) for option in options.split(",")],
            "dump": dump,
            "pass": order,
        }
    return found


def _plain(field):
    return _ESCAPE.sub(lambda found: chr(int(found[1], 8)), field)


def _option(option):
    name, equals, value = option.partition("=")
    return name + equals + private.value(name, value)
