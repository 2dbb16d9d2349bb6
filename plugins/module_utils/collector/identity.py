# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What must differ between two machines: recorded apart from the sections, only as digests."""

from __future__ import annotations

from . import accounts, paths
from .digest import of_bytes
from .tree import LINK, MOUNT

_EMPTY = (b"", b"uninitialized")


def collect(tree):
    """{"machine_id": {"path": "/etc/machine-id", "state": "set", "sha256": "…", "mode": "0444", "owner": "root"}}

    state: `set`, `empty` (a sealed image's machine-id), `link` (D-Bus's copy, with its target), `unreadable`.
    """
    users = accounts.names(tree.text("/etc/passwd"))
    groups = accounts.names(tree.text("/etc/group"))
    candidates = list(paths.IDENTITY) + ["/etc/ssh/" + name for name in tree.children("/etc/ssh")]
    found = {}
    for path in candidates:
        name = paths.identity_name(path)
        entry = tree.entries.get(path)
        if name is None or entry is None:
            continue
        fact = {"path": path}
        if entry.type == LINK:
            fact["state"] = "link"
            fact["target"] = paths.printable(entry.target)
        else:
            data = tree.read(path)
            if data is None:
                fact["state"] = "unreadable"
            elif data.strip() in _EMPTY:
                fact["state"] = "empty"
            else:
                fact["state"] = "set"
                fact["sha256"] = of_bytes(data.strip())
            if entry.type != MOUNT:
                fact["mode"] = "%04o" % entry.mode
                fact["owner"] = users.get(entry.uid) or str(entry.uid)
                fact["group"] = groups.get(entry.gid) or str(entry.gid)
        found[name] = fact
    return found
