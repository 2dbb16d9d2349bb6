"""A disk's partitions and what is in them, told by content; tables that lead astray are errors."""

from __future__ import annotations

import struct

import pytest

from goldsmith import partitions
from goldsmith.errors import GoldsmithError
from goldsmith.partitions import Partition

MIB = 2**20
SIZE = 64 * MIB


class Disk:
    """Bytes of a disk that is mostly empty."""

    def __init__(self) -> None:
        self.parts: dict[int, bytes] = {}

    def put(self, at: int, data: bytes) -> Disk:
        self.parts[at] = data
        return self

    def read(self, offset: int, length: int) -> bytes:
        found = bytearray(max(0, min(length, SIZE - offset)))
        for at, data in self.parts.items():
            for number, byte in enumerate(data):
                if 0 <= at + number - offset < len(found):
                    found[at + number - offset] = byte
        return bytes(found)

    def of(self) -> list[Partition]:
        return partitions.of(self.read, SIZE)


def mbr(*entries: tuple[int, int, int]) -> bytes:
    """Of (type, first sector, sectors)."""
    rows = b"".join(struct.pack("<BxxxBxxxII", 0, kind, start, count) for kind, start, count in entries)
    return bytes(446) + rows.ljust(64, b"\0") + b"\x55\xaa"


def gpt(disk: Disk, *entries: tuple[int, int], sector: int = 512, count: int = 128, width: int = 128) -> Disk:
    """Of (first sector, last sector)."""
    header = b"EFI PART".ljust(72, b"\0") + struct.pack("<QII", 2, count, width)
    rows = [b"T" * 16 + b"U" * 16 + struct.pack("<QQ", first, last) + bytes(width - 48) for first, last in entries]
    return disk.put(0, mbr((0xEE, 1, 2**32 - 1))).put(sector, header).put(2 * sector, b"".join(rows))


def test_gpt() -> None:
    found = gpt(Disk(), (2048, 4095), (4096, 8191)).of()
    assert found == [Partition(1, MIB, MIB), Partition(2, 2 * MIB, 2 * MIB)]
    assert gpt(Disk(), (256, 511), sector=4096).of() == [Partition(1, MIB, MIB)]


def test_mbr_with_logical_partitions() -> None:
    disk = Disk().put(0, mbr((0x83, 2048, 2048), (0x05, 8192, 8192)))
    disk.put(8192 * 512, mbr((0x83, 64, 1000), (0x05, 4096, 4096)))
    disk.put((8192 + 4096) * 512, mbr((0x83, 64, 500)))
    assert disk.of() == [
        Partition(1, MIB, MIB),
        Partition(5, (8192 + 64) * 512, 1000 * 512),
        Partition(6, (8192 + 4096 + 64) * 512, 500 * 512),
    ]


def test_a_disk_that_is_one_file_system() -> None:
    assert Disk().put(0x438, b"\x53\xef").of() == [Partition(0, 0, SIZE)]
    # A boot sector of FAT ends as a partition table does.
    assert Disk().put(0, mbr((0x83, 2048, 2048))).put(54, b"FAT16").of() == [Partition(1, MIB, MIB)]


@pytest.mark.parametrize(
    ("disk", "said"),
    [
        (Disk(), "no partition table"),
        (Disk().put(0, mbr((0x83, 2048, 2048))).put(0x438, b"\x53\xef"), "a whole file system .ext4., and has"),
        (Disk().put(0, mbr((0xEE, 1, 1))), r"\(GPT\) is damaged"),
        (gpt(Disk(), count=2**31), r"\(GPT\) is damaged: 2147483648 entries"),
        (gpt(Disk(), count=5000), "is damaged: 5000 entries"),
        (gpt(Disk(), (2048, 2**40)), "partition 1 lies beyond its end"),
        (gpt(Disk(), (4096, 2048)), "partition 1 lies beyond its end"),
        (Disk().put(0, mbr((0x83, 2048, 2**31))), "partition 1 lies beyond its end"),
        (Disk().put(0, mbr((0x05, 8192, 8192))), "extended partition is damaged"),
        (
            Disk().put(0, mbr((0x05, 8192, 8192))).put(8192 * 512, mbr((0x83, 1, 1), (0x05, 0, 8192))),
            "extended partition has no end",
        ),
    ],
)
def test_a_table_that_leads_astray(disk: Disk, said: str) -> None:
    with pytest.raises(GoldsmithError, match=said):
        disk.of()


@pytest.mark.parametrize(
    ("at", "sign", "name"),
    [
        (0x438, b"\x53\xef", "ext4"),
        (0, b"XFSB", "XFS"),
        (0x10040, b"_BHRfS_M", "Btrfs"),
        (0, b"LUKS\xba\xbe", "LUKS (encrypted)"),
        (512, b"LABELONE", "LVM"),
        (4096, b"\xfc\x4e\x2b\xa9", "a RAID member"),
        (4086, b"SWAPSPACE2", "swap"),
        (82, b"FAT32", "FAT"),
        (3, b"NTFS    ", "NTFS"),
        (100, b"what?", ""),
    ],
)
def test_what_is_in_a_partition(at: int, sign: bytes, name: str) -> None:
    assert partitions.file_system(Disk().put(MIB + at, sign).read, MIB) == name
