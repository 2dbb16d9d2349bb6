# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What a file system keeps of a file beside mode and owners: extended attributes, access lists and flags."""

from __future__ import annotations

import errno
import fcntl
import os
import struct

from . import acl, capabilities, paths

# linux/fs.h
_FLAGS = ((0x10, "immutable"), (0x20, "append_only"))
_READ_BIT = 0x40000000 if os.uname().machine.startswith(("alpha", "mips", "ppc", "sparc")) else 0x80000000
_GETFLAGS = _READ_BIT | struct.calcsize("l") << 16 | ord("f") << 8 | 1
_HAS_NONE = (errno.ENOTTY, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)


def of_handle(handle):
    """(extended attributes, flags) of an open file or directory, each None where there are none.

    ({"security.capability": "cap_net_raw=ep"}, ["immutable"]). Raises OSError where they can't be read.
    """
    return xattrs(handle), flags(handle)


def xattrs(where):
    """Those of an open file, or of a path whose last part is no link to follow."""
    follow = isinstance(where, int)
    try:
        names = os.listxattr(where, follow_symlinks=follow)
    except OSError as error:
        if error.errno in _HAS_NONE:
            return None
        raise
    raw = {}
    for name in names:
        try:
            raw[name] = os.getxattr(where, name, follow_symlinks=follow)
        except OSError as error:
            # Taken away since: with that the file's time of change is another, and whoever asked will see it.
            if error.errno != errno.ENODATA:
                raise
    return describe_xattrs(raw)


def flags(handle):
    """The words for the flags of an open file, or None where it has none, or its file system knows none."""
    try:
        value = struct.unpack_from("=I", fcntl.ioctl(handle, _GETFLAGS, bytes(8)))[0]
    except OSError as error:
        if error.errno in _HAS_NONE:
            return None
        raise
    return [word for bit, word in _FLAGS if value & bit] or None


def describe_xattrs(raw):
    """Extended attributes for the manifest: capabilities and access lists in words, labels as text, others as digests.

    {"security.capability": b"..."} → {"security.capability": "cap_net_raw=ep"}; None when nothing counts.
    """
    found = {}
    for name, value in raw.items():
        # An overlay's own bookkeeping is not the machine's.
        if name.startswith(("trusted.overlay.", "user.overlay.")):
            continue
        if name in (acl.ACCESS, acl.DEFAULT):
            words = acl.describe(value)
            if name == acl.ACCESS and acl.is_mode(words):
                continue
            found[name] = words
        else:
            found[paths.printable(name)] = capabilities.describe_xattr(name, value)
    return found or None
