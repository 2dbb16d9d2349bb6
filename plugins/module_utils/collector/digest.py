# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Digests of contents."""

from __future__ import annotations

import errno
import hashlib
import os
import struct

CHUNK = 1 << 20

# __pycache__/x.cpython-311.pyc
BYTE_CODE = ".pyc"

# A file larger than this is digested without its blocks of zeros: a sparse one of a terabyte takes no longer to
# digest than what was written into it. Its size alone decides, so equal contents have equal digests, however they lie.
LARGE = 1 << 30
BLOCK = 4096
_ZEROS = bytes(BLOCK)


def of_size(name, size):
    """What digests a file of this name and size: feed it all contents with `update`, then ask for `digest`."""
    return BlocksDigest() if size > LARGE else Digest(name)


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

    def digest(self):
        if self._head:
            self._hash.update(self._head)
            self._head = None
        return self._hash.digest()


class BlocksDigest:
    """sha256 of the blocks of 4096 bytes that are not all zeros, each after its number, and at last of the size.

    Numbers and size are 8 bytes, little-endian; the last block is as long as it is. Fed in any pieces.
    """

    __slots__ = ("_hash", "_rest", "size")

    def __init__(self):
        self._hash = hashlib.sha256()
        self._rest = b""
        self.size = 0

    def update(self, data):
        first = (self.size - len(self._rest)) // BLOCK
        self.size += len(data)
        if self._rest:
            data = self._rest + data
        whole = len(data) - len(data) % BLOCK
        self._blocks(first, data[:whole])
        self._rest = data[whole:]

    def skip(self, length):
        """As `update` with so many zeros: a multiple of the block's size, where a block begins."""
        self.size += length

    def digest(self):
        self._blocks(self.size // BLOCK, self._rest)
        self._hash.update(struct.pack("<Q", self.size))
        return self._hash.digest()

    def _blocks(self, number, data):
        pieces = []
        for at in range(0, len(data), BLOCK):
            block = data[at : at + BLOCK]
            if block != _ZEROS[: len(block)]:
                pieces += (struct.pack("<Q", number + at // BLOCK), block)
        self._hash.update(b"".join(pieces))


def read(handle, digest, size):
    """Feed it the contents of a file that was just opened and should have this size.

    It stops where the file ends, and at the latest one byte or piece after `size`, so that one that grows for ever is
    left: `digest.size` says what was read. Of a large file's holes nothing is read.
    """
    if isinstance(digest, BlocksDigest):
        while digest.size < size:
            start, end = _next_data(handle, digest.size, size)
            digest.skip(start - digest.size)
            if start == end or not _read_until(handle, digest, start, end):
                return
        return
    length = min(size + 1, CHUNK)
    while digest.size <= size:
        data = os.read(handle, length)
        digest.update(data)
        if not data or (len(data) < length and digest.size == size):
            return


def _next_data(handle, at, size):
    """Where the next written part of a file begins and ends, in whole blocks; (size, size) where there is none."""
    try:
        data = os.lseek(handle, at, os.SEEK_DATA)
        hole = os.lseek(handle, data, os.SEEK_HOLE)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        return size, size
    return min(max(at, data - data % BLOCK), size), min(hole + -hole % BLOCK, size)


def _read_until(handle, digest, start, end):
    """False where the file ended before."""
    os.lseek(handle, start, os.SEEK_SET)
    left = end - start
    while left > 0:
        data = os.read(handle, min(left, CHUNK))
        if not data:
            return False
        digest.update(data)
        left -= len(data)
    return True


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
