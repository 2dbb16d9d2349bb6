# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Section files: every path that counts, and of each what can make two machines behave differently."""

from __future__ import annotations

from . import accounts, paths
from .tree import BLOCK, CHARACTER, FILE, LINK, MOUNT


def collect(tree):
    """{"/etc/foo": {"type": "file", "mode": "0644", "owner": "root", "group": "root", "size": 12, "sha256": "…"}}"""
    users = accounts.names(tree.text("/etc/passwd"))
    groups = accounts.names(tree.text("/etc/group"))
    printable = paths.printable
    section = {}
    for path, entry in tree.entries.items():
        if paths.identity_name(path) is None:
            section[printable(path)] = describe(entry, users, groups)
    return section


def describe(entry, users, groups):
    """An entry's attributes. No time: it says when, not what. No size of a directory: it depends on its past."""
    if entry.type == MOUNT:
        return {"type": MOUNT}
    found = {
        "type": entry.type,
        "owner": users.get(entry.uid) or str(entry.uid),
        "group": groups.get(entry.gid) or str(entry.gid),
    }
    if entry.type == LINK:
        found["target"] = paths.printable(entry.target)
        return found
    found["mode"] = "%04o" % entry.mode
    if entry.type == FILE and entry.size is not None:
        found["size"] = entry.size
        if entry.sha256:
            found["sha256"] = entry.sha256
    elif entry.type in (CHARACTER, BLOCK):
        found["device"] = entry.device
    if entry.xattrs:
        found["xattrs"] = entry.xattrs
    if entry.unreadable:
        found["unreadable"] = True
    return found
