"""The files of an ext4 file system as a tar archive: what the collector and the hygiene checks read."""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from goldsmith.errors import GoldsmithError
from goldsmith.ext4 import DamagedError, FileSystem, Inode, Segment

MOST = 64 * 2**30
"""Bytes of contents that are read of one disk."""
_PIECE = 4 * 2**20
_HOLES = 2**20
"""Bytes of nothing in a file from which on it is written as a sparse one."""
_LARGEST_SPARSE = 8 * 2**30 - 1
_TYPES = {
    stat.S_IFREG: tarfile.REGTYPE,
    stat.S_IFDIR: tarfile.DIRTYPE,
    stat.S_IFLNK: tarfile.SYMTYPE,
    stat.S_IFCHR: tarfile.CHRTYPE,
    stat.S_IFBLK: tarfile.BLKTYPE,
    stat.S_IFIFO: tarfile.FIFOTYPE,
}
_LONGEST_LINK = 4096
_OWN = b"/lost+found"
"""The file system's, not the machine's."""


def write(system: FileSystem, target: Path) -> None:
    """Write all its files, with owners, modes, extended attributes, hard links and devices.

    Raises:
        GoldsmithError: it is damaged, or holds more than `MOST` bytes.
    """
    linked: dict[int, str] = {}
    left = MOST
    with target.open("wb") as out:
        for path, inode in system.walk():
            kind = _TYPES.get(inode.kind)
            if path == _OWN or path.startswith(_OWN + b"/") or inode.kind == stat.S_IFSOCK:
                continue
            if kind is None:
                raise DamagedError(f"it is damaged: inode {inode.number} is of no type")
            name = os.fsdecode(path.lstrip(b"/")) or "."
            member = tarfile.TarInfo(name)
            if inode.number in linked:
                member.type, member.linkname = tarfile.LNKTYPE, linked[inode.number]
                _header(out, member)
                continue
            if inode.links > 1 and kind != tarfile.DIRTYPE:
                linked[inode.number] = name
            member.type, member.mode, member.uid, member.gid = kind, stat.S_IMODE(inode.mode), inode.uid, inode.gid
            member.pax_headers = _attributes(inode)
            if kind == tarfile.SYMTYPE:
                member.linkname = os.fsdecode(system.content(inode, _LONGEST_LINK))
            elif kind in (tarfile.CHRTYPE, tarfile.BLKTYPE):
                member.devmajor, member.devminor = inode.device
            if kind == tarfile.REGTYPE:
                left -= _file(system, inode, member, out, left)
            else:
                _header(out, member)
        out.write(bytes(2 * tarfile.BLOCKSIZE))


def _attributes(inode: Inode) -> dict[str, str]:
    """As GNU tar names them: a name with a = in it would end there."""
    return {
        "SCHILY.xattr." + name.replace("%", "%25").replace("=", "%3D"): value.decode("utf-8", "surrogateescape")
        for name, value in inode.attributes.items()
        if name != "system.data"
    }


def _header(out: IO[bytes], member: tarfile.TarInfo) -> None:
    out.write(member.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))


def _file(system: FileSystem, inode: Inode, member: tarfile.TarInfo, out: IO[bytes], left: int) -> int:
    """Write a file; the bytes that it took."""
    inline = system.inline(inode)
    if inline is not None:
        member.size = len(inline)
        _header(out, member)
        out.write(inline + bytes(-len(inline) % tarfile.BLOCKSIZE))
        return len(inline)
    segments = list(system.segments(inode))
    stored = [segment for segment in segments if segment[2] is not None]
    size = sum(length for _, length, _ in stored)
    plan = _map(stored)
    sparse = inode.size - size >= _HOLES and size + len(plan) <= _LARGEST_SPARSE
    member.size = len(plan) + size if sparse else inode.size
    if member.size > left:
        raise GoldsmithError(f"its files hold more than {MOST // 2**30} GiB, which is all that is read")
    if sparse:
        size_of_all = {"GNU.sparse.realsize": str(inode.size)}
        member.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", **size_of_all, **member.pax_headers}
    _header(out, member)
    if sparse:
        out.write(plan)
    for piece in _pieces(system, stored if sparse else segments):
        out.write(piece)
    out.write(bytes(-member.size % tarfile.BLOCKSIZE))
    return member.size


def _map(stored: list[Segment]) -> bytes:
    """GNU tar's map of a sparse file (its format 1.0): how many parts, where each begins, how long it is."""
    numbers = [len(stored), *(number for start, length, _ in stored for number in (start, length))]
    text = "".join(f"{number}\n" for number in numbers).encode()
    return text + bytes(-len(text) % tarfile.BLOCKSIZE)


def _pieces(system: FileSystem, segments: list[Segment]) -> Iterator[bytes]:
    for _, length, place in segments:
        for at in range(0, length, _PIECE):
            count = min(_PIECE, length - at)
            yield bytes(count) if place is None else system.bytes_of(place + at, count)
