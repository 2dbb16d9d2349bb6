# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Extended attributes in words."""

from __future__ import annotations

import struct

from .digest import of_bytes

# linux/capability.h, by bit.
NAMES = (
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
)


def describe_xattr(name, value):
    """One attribute's value for the manifest."""
    if name == "security.capability":
        return describe(value)
    if name == "security.selinux":
        return value.rstrip(b"\0").decode("ascii", "backslashreplace")
    return "sha256:" + of_bytes(value)


def describe(value):
    """The value of security.capability as getcap writes it: `cap_net_bind_service,cap_net_raw=ep`.

    A value of an unknown layout comes as hex digits: never lost, never taken for another.
    """
    if len(value) not in (12, 20, 24):
        return value.hex()
    magic = struct.unpack_from("<I", value)[0]
    revision = magic >> 24
    if (revision, len(value)) not in ((1, 12), (2, 20), (3, 24)) or magic & 0xFFFFFE:
        return value.hex()
    words = struct.unpack_from("<%dI" % (2 if revision == 1 else 4), value, 4)
    permitted = words[0] | (words[2] << 32 if revision > 1 else 0)
    inheritable = words[1] | (words[3] << 32 if revision > 1 else 0)
    groups = {}
    for bit in range(64):
        flags = (
            ("e" if magic & 1 else "") + ("i" if inheritable >> bit & 1 else "") + ("p" if permitted >> bit & 1 else "")
        )
        if flags not in ("", "e"):
            groups.setdefault(flags, []).append(_name(bit))
    text = " ".join(",".join(names) + "=" + flags for flags, names in sorted(groups.items())) or "="
    if revision == 3:
        text += " [rootid=%d]" % struct.unpack_from("<I", value, 20)[0]
    return text


def _name(bit):
    return "cap_" + NAMES[bit] if bit < len(NAMES) else "cap_%d" % bit
