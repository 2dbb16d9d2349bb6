# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The members of a tar archive that may come from anywhere: read with tarfile, and with care for what it trusts."""

from __future__ import annotations

import base64
import gzip
import io
import os
import tarfile
import urllib.parse
import zlib

from .digest import CHUNK

HEADER = 16 << 20  # of one member, with all its attributes
_XATTR = "SCHILY.xattr."
_XATTR_BASE64 = "LIBARCHIVE.xattr."
ACCESS_LIST = "SCHILY.acl."
# What tarfile and json raise when an archive is broken, or made to break them.
BROKEN = (
    tarfile.TarError,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    OverflowError,
    RecursionError,
    gzip.BadGzipFile,
    zlib.error,
)


class Window(io.RawIOBase):
    """A part of a file, as a file."""

    def __init__(self, source, start, size):
        super().__init__()
        self._source = source
        self._start = start
        self._size = size
        self._at = 0

    def readable(self):
        return True

    def seekable(self):
        return True

    def seek(self, offset, whence=os.SEEK_SET):
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def tell(self):
        return self._at

    def readinto(self, buffer):
        data = os.pread(self._source, max(0, min(len(buffer), self._size - self._at)), self._start + self._at)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


class Guarded(io.BufferedReader):
    """Reads no more at once than a member's header may have: tarfile would take any length that one claims."""

    def read(self, size=-1):
        if not 0 <= size <= HEADER:
            raise tarfile.ReadError("a header claims to have %d bytes" % size)
        return super().read(size)


def each(archive):
    """All members, up to the mark of the archive's end, each once and none kept.

    tarfile takes a broken header for the end: what follows would be missed without a word. By a size below nothing it
    is led in circles.
    """
    at = -1
    while True:
        member = archive.next()
        if member is None:
            break
        if member.size < 0 or archive.offset <= at:
            raise tarfile.ReadError("a member claims to have %d bytes" % member.size)
        at = archive.offset
        archive.members.clear()
        yield member
    archive.fileobj.seek(archive.offset)
    if archive.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError("it has no end, or is broken at byte %d" % archive.offset)


def xattrs(headers):
    """Extended attributes in a member's headers, in either of the two forms that programs write."""
    raw = {}
    for name, value in headers.items():
        if name.startswith(_XATTR):
            # A = would end the name there; GNU tar writes it so.
            own = name[len(_XATTR) :].replace("%3D", "=").replace("%25", "%")
            raw[own] = value.encode("utf-8", "surrogateescape")
        elif name.startswith(_XATTR_BASE64):
            data = value.encode("ascii", "replace")
            raw[urllib.parse.unquote(name[len(_XATTR_BASE64) :])] = base64.b64decode(data + b"=" * (-len(data) % 4))
    return raw


def pieces(where):
    """The contents at a place: file descriptor, offset, size and, of a sparse file, the map of what is stored."""
    source, at, size, stored = where
    done = 0
    for offset, length in [(0, size)] if stored is None else [*stored, (size, 0)]:
        while done < offset:
            piece = bytes(min(offset - done, CHUNK))
            yield piece
            done += len(piece)
        while done < offset + length:
            piece = os.pread(source, min(offset + length - done, CHUNK), at)
            if not piece:
                return
            yield piece
            at += len(piece)
            done += len(piece)
