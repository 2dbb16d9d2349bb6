# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Section files: every path that counts, and of each what can make two machines behave differently."""

from __future__ import annotations

import functools

from . import accounts, acl, digest, paths
from .tree import BLOCK, CHARACTER, FILE, LINK, MOUNT

_LISTS = ((acl.ACCESS, "acl"), (acl.DEFAULT, "default_acl"))


def collect(tree):
    """{"/etc/foo": {"type": "file", "mode": "0644", "owner": "root", "group": "root", "size": 12, "sha256": "…"}}"""
    users = accounts.names(tree.text("/etc/passwd"))
    groups = accounts.names(tree.text("/etc/group"))
    printable = paths.printable
    section = {}
    inodes = {}
    for path, entry in tree.entries.items():
        if paths.identity_name(path) is None:
            name = printable(path)
            section[name] = describe(entry, users, groups)
            inodes.setdefault(entry.inode or id(entry), []).append(name)
    for names in inodes.values():
        if len(names) > 1:
            first = min(names)
            for name in names:
                section[name]["hard_link"] = first
    return section


def describe(entry, users, groups):
    """An entry's attributes. No time: it says when, not what. No size of a directory: it depends on its past."""
    if entry.type == MOUNT:
        return {"type": MOUNT}
    if entry.mode is None:
        return {"type": entry.type, "unreadable": True}
    found = {
        "type": entry.type,
        "owner": users.get(entry.uid) or str(entry.uid),
        "group": groups.get(entry.gid) or str(entry.gid),
    }
    if entry.type == LINK:
        found["target"] = paths.printable(entry.target or "")
    else:
        found["mode"] = _octal(entry.mode)
    if entry.type == FILE and entry.size is not None:
        found["size"] = entry.size
        if entry.sha256:
            found["sha256" if entry.size <= digest.LARGE else "sha256_blocks"] = entry.sha256
    elif entry.type in (CHARACTER, BLOCK):
        found["device"] = entry.device
    if entry.xattrs:
        _describe_xattrs(found, entry.xattrs, users, groups)
    if entry.flags:
        found["flags"] = entry.flags
    if entry.unreadable:
        found["unreadable"] = True
    return found


@functools.lru_cache(maxsize=4096)
def _octal(mode):
    """Thousands of files have one mode: its text is held once."""
    return "%04o" % mode


def _describe_xattrs(found, xattrs, users, groups):
    """Access lists by the names of this machine's accounts, and the other extended attributes."""
    others = dict(xattrs)
    for name, attribute in _LISTS:
        if name in others:
            found[attribute] = acl.named(others.pop(name), users, groups)
    if others:
        found["xattrs"] = others
