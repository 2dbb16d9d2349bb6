"""What a disk says of itself, read before QEMU follows it to other files."""

from __future__ import annotations

import struct

import pytest

from goldsmith import disk_header
from goldsmith.errors import UsageError


def qcow2(*, version: int = 3, backing: int = 0, encryption: int = 0, incompatible: int = 0) -> bytes:
    head = b"QFI\xfb" + struct.pack(">IQIIQI", version, backing, 10, 16, 2**20, encryption)
    return head.ljust(72, b"\0") + struct.pack(">QQQII", incompatible, 0, 0, 4, 104) + bytes(1000)


def vmdk(capacity: int, text: str = "") -> bytes:
    return (b"KDMV" + struct.pack("<IIQQQQ", 1, 3, capacity, 128, 1, 20)).ljust(512, b"\0") + text.encode() + bytes(100)


def vhd(kind: int) -> bytes:
    return (b"conectix".ljust(60, b"\0") + struct.pack(">I", kind)).ljust(512, b"\0")


FLAT = '# Disk DescriptorFile\nversion=1\ncreateType="monolithicFlat"\nRW 2048 FLAT "/etc/shadow" 0\n'


@pytest.mark.parametrize(
    ("driver", "head", "footer", "said"),
    [
        ("qcow2", qcow2(backing=112), b"", "stands on another file"),
        ("qcow2", qcow2(version=2, backing=112), b"", "stands on another file"),
        ("qcow2", qcow2(incompatible=4), b"", "stands on another file"),
        ("qcow2", qcow2(encryption=2), b"", "is encrypted"),
        ("vmdk", FLAT.encode(), b"", "stands on another file"),
        ("vmdk", vmdk(0, FLAT), b"", "stands on another file"),
        ("vmdk", vmdk(2048, 'parentFileNameHint="/etc/shadow"\n'), b"", "stands on another file"),
        ("vmdk", b"COWD".ljust(100, b"\0"), b"", "stands on another file"),
        ("vmdk", b"KDMV", b"", "stands on another file"),
        ("vpc", vhd(4), b"", "stands on another file"),
        ("vpc", bytes(1024), vhd(4), "stands on another file"),
    ],
)
def test_a_disk_that_names_another_file_is_refused(driver: str, head: bytes, footer: bytes, said: str) -> None:
    with pytest.raises(UsageError, match=f"^x.img .*{said}"):
        disk_header.check("x.img", driver, head, footer)


@pytest.mark.parametrize(
    ("driver", "head", "footer"),
    [
        ("qcow2", qcow2(), b""),
        ("qcow2", qcow2(version=2, incompatible=4), b""),  # version 2 has no such field: something else is there
        ("vmdk", vmdk(2048, 'parentCID=ffffffff\nRW 2048 SPARSE "x.vmdk"\n'), b""),
        ("vpc", vhd(3), b""),
        ("vpc", bytes(1024), vhd(2)),
        ("raw", bytes(1024), b""),
    ],
)
def test_one_that_is_whole_is_not(driver: str, head: bytes, footer: bytes) -> None:
    disk_header.check("x.img", driver, head, footer)


@pytest.mark.parametrize(
    ("head", "footer", "driver"),
    [
        (qcow2(), b"", "qcow2"),
        (vmdk(1), b"", "vmdk"),
        (FLAT.encode(), b"", "vmdk"),
        (b"vhdxfile", b"", "vhdx"),
        (vhd(3), vhd(3), "vpc"),
        (bytes(510) + b"\x55\xaa", vhd(2), "vpc"),
        (bytes(0x40) + b"\x7f\x10\xda\xbe", b"", "vdi"),
        (b"WithoutFreeSpace", b"", "parallels"),
        (bytes(510) + b"\x55\xaa", b"", "raw"),
        (bytes(0x438) + b"\x53\xef", b"", "raw"),
        (b"words", b"", ""),
        (b"", b"", ""),
    ],
)
def test_a_format_is_told_by_content(head: bytes, footer: bytes, driver: str) -> None:
    assert disk_header.driver(head, footer) == driver
