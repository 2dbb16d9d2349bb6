# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Section files: every path that counts, and of each what can make two machines behave differently."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping

from . import accounts, acl, digest, paths
from .tree import BLOCK, CHARACTER, FILE, LINK, MOUNT

_LISTS = ((acl.ACCESS, "acl"), (acl.DEFAULT, "default_acl"))


def collect(tree):
    """{"/etc/foo": {"type": "file", "mode": "0644", "owner": "root", "group": "root", "size": 12, "sha256": "…"}}"""
    return _Files(tree)


class _Files(Mapping):
    """By name, in order. What is said of a path is made when somebody asks for it: a machine may have a million."""

    def __init__(self, tree):
        self._entries = tree.entries
        self._users = accounts.names(tree.text("/etc/passwd"))
        self._groups = accounts.names(tree.text("/etc/group"))
        self._names = []
        self._paths = {}
        self._other = set()  # paths that are no names here
        self._hosts = _without_own_name(tree)
        journal = paths.JOURNALS + tree.text("/etc/machine-id").strip()
        inodes = {}
        for path, entry in tree.entries.items():
            if paths.identity_name(path) is not None or (paths.note(path) and _cannot_run(entry)):
                self._other.add(path)
                continue
            name = path
            if path == journal:
                self._other.add(path)
                name = paths.JOURNALS + paths.MACHINE_ID
                self._paths[name] = path
            elif not path.isascii():
                name = paths.printable(path)
                self._paths[name] = path
            self._names.append(name)
            if entry.inode is not None:
                inodes.setdefault(entry.inode, []).append(name)
        self._names.sort()
        self._hard_links = {name: min(names) for names in inodes.values() if len(names) > 1 for name in names}

    def __iter__(self):
        return iter(self._names)

    def __len__(self):
        return len(self._names)

    def __getitem__(self, name):
        if name in self._other:
            raise KeyError(name)
        entry = self._entries[self._paths.get(name, name)]
        found = describe(entry, self._users, self._groups)
        if name == paths.HOSTS:
            found.update(self._hosts)
        if entry.package is not None:
            found["package"] = entry.package
        if name in self._hard_links:
            found["hard_link"] = self._hard_links[name]
        return found


def _cannot_run(entry):
    return entry.type == FILE and entry.mode is not None and not entry.mode & 0o7111


def _without_own_name(tree):
    """What is said of /etc/hosts where it has the machine's own name, which is identity and stands as `(hostname)`."""
    entry = tree.entries.get(paths.HOSTS)
    data = tree.read(paths.HOSTS) or b""
    without = without_name(data, tree.text("/etc/hostname").strip().encode("utf-8", "surrogateescape"))
    if without == data or entry is None or entry.size != len(data):
        return {}
    return {"size": len(without), "sha256": digest.of_bytes(without)}


def without_name(hosts, name):
    """(b"127.0.1.1 web1.example.org web1\n", b"web1") → b"127.0.1.1 (hostname).example.org (hostname)\n"

    Only in lines of 127.0.1.1, which Debian has for a machine's own name. A file that has `(hostname)` in it, which is
    no name, stays as it is.
    """
    stands = paths.HOSTNAME.encode("ascii")
    if not name or stands in hosts:
        return hosts
    own = re.compile(rb"(?<=[ \t])%s(?=[\s.]|$)" % re.escape(name))
    lines = hosts.split(b"\n")
    return b"\n".join(own.sub(stands, line) if line.split()[:1] == [b"127.0.1.1"] else line for line in lines)


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
            found["sha256" if entry.size <= digest.LARGE else "sha256_blocks"] = entry.sha256.hex()
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
