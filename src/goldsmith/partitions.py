"""What is on a disk: its partitions, by GPT or MBR, and what each holds, told by content. Pure, over a reader."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from goldsmith.errors import GoldsmithError
from goldsmith.ext4 import MAGIC, MAGIC_AT, Read

EXT4 = "ext4"
_SECTOR = 512
_EXTENDED = frozenset({0x05, 0x0F, 0x85})
_PROTECTIVE = 0xEE
_MOST = 1024
"""Partitions that a table may have."""
_SIGNS = (
    (EXT4, MAGIC_AT, MAGIC),
    ("XFS", 0, b"XFSB"),
    ("Btrfs", 0x10040, b"_BHRfS_M"),
    ("LUKS (encrypted)", 0, b"LUKS\xba\xbe"),
    ("LUKS (encrypted)", 0, b"SKUL\xba\xbe"),
    *(("LVM", sector * _SECTOR, b"LABELONE") for sector in range(4)),
    ("a RAID member", 4096, b"\xfc\x4e\x2b\xa9"),
    ("ZFS", 0x20000, b"\x0c\xb1\xba\x00"),
    ("F2FS", 1024, b"\x10\x20\xf5\xf2"),
    ("EROFS", 1024, b"\xe2\xe1\xf5\xe0"),
    ("SquashFS", 0, b"hsqs"),
    ("NTFS", 3, b"NTFS    "),
    ("BitLocker (encrypted)", 3, b"-FVE-FS-"),
    ("ISO 9660", 0x8001, b"CD001"),
    ("UDF", 0x8001, b"BEA01"),
    ("swap", 4086, b"SWAPSPACE2"),
    ("FAT", 54, b"FAT"),
    ("FAT", 82, b"FAT32"),
)
"""(name, where, bytes): by what a file system is known."""


@dataclass(frozen=True)
class Partition:
    """A part of a disk, in bytes. `number` is its place in the table; 0: the disk has no table, and is one system."""

    number: int
    start: int
    size: int


def of(read: Read, size: int) -> list[Partition]:
    """The partitions of a disk of `size` bytes.

    Raises:
        GoldsmithError: it has no partition table and no file system, or a table that is damaged.
    """
    first = read(0, _SECTOR)
    whole = file_system(read, 0)
    marked = first[510:] == b"\x55\xaa"
    entries = list(_entries(first)) if marked else []
    if whole and whole != "FAT":
        if entries:
            raise GoldsmithError(f"it is a whole file system ({whole}), and has a partition table: either may count")
        return [Partition(0, 0, size)]
    if not marked:
        raise GoldsmithError("it has no partition table, and no file system that is known")
    found = list(_gpt(read) if any(kind == _PROTECTIVE for kind, _, _ in entries) else _mbr(read, entries))
    for partition in found:
        if not 0 < partition.start < partition.start + partition.size <= size:
            raise GoldsmithError(f"its partition {partition.number} lies beyond its end: it is cut short, or damaged")
    return found


def _entries(sector: bytes) -> Iterator[tuple[int, int, int]]:
    """(type, first sector, sectors) of an MBR's four entries that are used."""
    for at in range(446, 510, 16):
        kind, start, count = sector[at + 4], *struct.unpack_from("<II", sector, at + 8)
        if kind and count:
            yield kind, start, count


def _mbr(read: Read, entries: list[tuple[int, int, int]]) -> Iterator[Partition]:
    for number, (kind, start, count) in enumerate(entries, 1):
        if kind in _EXTENDED:
            yield from _logical(read, start)
        else:
            yield Partition(number, start * _SECTOR, count * _SECTOR)


def _logical(read: Read, first: int) -> Iterator[Partition]:
    """Those in an extended partition: a chain, each link of which names one and the next link."""
    here, seen, number = first, set[int](), 5
    while here not in seen and len(seen) < _MOST:
        seen.add(here)
        sector = read(here * _SECTOR, _SECTOR)
        if len(sector) < _SECTOR or sector[510:] != b"\x55\xaa":
            raise GoldsmithError("its extended partition is damaged")
        following = None
        for kind, start, count in _entries(sector):
            if kind in _EXTENDED:
                following = first + start
            else:
                yield Partition(number, (here + start) * _SECTOR, count * _SECTOR)
                number += 1
        if following is None:
            return
        here = following
    raise GoldsmithError("its extended partition has no end")


def _gpt(read: Read) -> Iterator[Partition]:
    for sector in (512, 4096):
        header = read(sector, 92)
        if header[:8] == b"EFI PART":
            break
    else:
        raise GoldsmithError("its partition table (GPT) is damaged")
    table, count, width = struct.unpack_from("<QII", header, 72)
    if not (128 <= width <= 4096 and count <= _MOST):
        raise GoldsmithError(f"its partition table (GPT) is damaged: {count} entries of {width} bytes")
    entries = read(table * sector, count * width)
    if len(entries) < count * width:
        raise GoldsmithError("its partition table (GPT) lies beyond its end: it is cut short, or damaged")
    for number in range(count):
        entry = entries[number * width :][:128]
        first, last = struct.unpack_from("<QQ", entry, 32)
        if entry[:16] != bytes(16):
            yield Partition(number + 1, first * sector, (last - first + 1) * sector)


def file_system(read: Read, start: int) -> str:
    """What begins at that byte: its name for people, or nothing where it is not known."""
    head = read(start, 0x20008)
    return next((name for name, at, sign in _SIGNS if head[at : at + len(sign)] == sign), "")
