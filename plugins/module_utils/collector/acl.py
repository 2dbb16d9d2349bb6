# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""POSIX access control lists in words."""

from __future__ import annotations

import struct

ACCESS = "system.posix_acl_access"
DEFAULT = "system.posix_acl_default"

# linux/posix_acl_xattr.h
_TAGS = {0x01: "user", 0x02: "user", 0x04: "group", 0x08: "group", 0x10: "mask", 0x20: "other"}
_NAMED = (0x02, 0x08)
_MODE = {0x01, 0x04, 0x20}


def describe(value):
    """An attribute's value as getfacl writes it, in one line, with numbers for names: `user::rw-,user:1000:r--,…`.

    None when it says no more than the mode does. A value of an unknown layout comes as hex digits.
    """
    if len(value) % 8 != 4 or value[:4] != b"\2\0\0\0":
        return value.hex()
    entries = list(struct.iter_unpack("<HHI", value[4:]))
    if not all(tag in _TAGS and bits < 8 for tag, bits, _id in entries):
        return value.hex()
    return ",".join(
        "%s:%s:%s" % (_TAGS[tag], number if tag in _NAMED else "", permissions(bits)) for tag, bits, number in entries
    )


def is_mode(text):
    """Does a described access list say no more than a file's mode?"""
    return [entry.rpartition(":")[0] for entry in text.split(",")] == ["user:", "group:", "other:"]


def permissions(bits):
    """5 → `r-x`"""
    return "".join(letter if bits & bit else "-" for letter, bit in (("r", 4), ("w", 2), ("x", 1)))


def named(text, users, groups):
    """A described list with names for numbers, where the machine has them: `user:1000:r--` → `user:alice:r--`."""
    found = []
    for entry in text.split(","):
        tag, _colon, rest = entry.partition(":")
        number, colon, bits = rest.partition(":")
        name = (users if tag == "user" else groups).get(int(number)) if number else None
        found.append(tag + ":" + name + colon + bits if name else entry)
    return ",".join(found)
