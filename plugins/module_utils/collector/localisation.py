# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Section locale: language, time zone, and in which time the hardware clock runs."""

from __future__ import annotations

from . import paths, private, settings
from .tree import LINK

# The first that there is counts: Debian 13 keeps it where systemd does.
_FILES = ("/etc/locale.conf", "/etc/default/locale")
_ZONES = "/usr/share/zoneinfo/"


def collect(tree):
    """{"LANG": {"value": "C.UTF-8", "path": "/etc/default/locale"}, "time zone": {"zone": "Etc/UTC"},
    "clock": {"value": "UTC"}, "generate en_US.UTF-8": {"charset": "UTF-8"}}
    """
    found = {}
    for path in _FILES:
        for name, value in settings.assignments(settings.text(tree, path)):
            found.setdefault(name, {"value": private.value(name, value), "path": path})
    zone = _zone(tree)
    if zone:
        found["time zone"] = zone
    clock = settings.text(tree, "/etc/adjtime").split("\n")
    if len(clock) > 2 and clock[2]:
        found["clock"] = {"value": clock[2].strip()}
    for line in settings.lines(settings.text(tree, "/etc/locale.gen")):
        name, _blank, charset = settings.words(line).partition(" ")
        found["generate " + name] = {"charset": charset}
    return found


def _zone(tree):
    """The zone that /etc/localtime leads to, or the digest of its rules; and the name that /etc/timezone gives it."""
    found = {}
    entry = tree.entries.get("/etc/localtime")
    if entry is not None and entry.type == LINK:
        found["zone"] = paths.printable(entry.target.rpartition(_ZONES[4:])[2])
    elif entry is not None and entry.sha256:
        found["sha256"] = entry.sha256.hex()
    name = settings.text(tree, "/etc/timezone").strip()
    if name:
        found["name"] = name
    return found
