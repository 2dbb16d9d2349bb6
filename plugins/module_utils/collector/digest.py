# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Digests of contents."""

from __future__ import annotations

import hashlib

CHUNK = 1 << 20

# __pycache__/x.cpython-311.pyc
BYTE_CODE = ".pyc"


class Digest:
    """sha256 of a file's contents, fed in any pieces.

    Python byte code that names its source by time carries that time and the source's size in bytes 8 to 16 of its
    header. They say when the source was laid down, not what runs, so they count as zero. Byte code that names its
    source by hash is taken as it is.
    """

    __slots__ = ("_hash", "_head", "size")

    def __init__(self, name):
        self._hash = hashlib.sha256()
        self._head = b"" if name.endswith(BYTE_CODE) else None
        self.size = 0

    def update(self, data):
        self.size += len(data)
        if self._head is not None:
            self._head += data
            if len(self._head) < 16:
                return
            data, self._head = without_time(self._head), None
        self._hash.update(data)

    def hexdigest(self):
        if self._head:
            self._hash.update(self._head)
            self._head = None
        return self._hash.hexdigest()


def without_time(data):
    """Byte code with the source's time and size zeroed, when its header says that it holds them.

    A header is the magic number (its bytes 2 and 3 are a carriage return and a line feed), four bytes of flags
    (0: source by time), then time and size.
    """
    if data[2:4] == b"\r\n" and data[4:8] == b"\0\0\0\0":
        return data[:8] + bytes(8) + data[16:]
    return data


def of_bytes(data):
    """sha256 of bytes in hand, as in the manifest."""
    return hashlib.sha256(data).hexdigest()
