"""What a disk image says of itself in its first bytes, read before QEMU opens it. Pure, over the bytes.

QEMU follows a disk to other files: a backing file, an external data file, extents. A guest that may write its own first
sectors, or whoever made the disk, could so name any file of this machine. Such a disk is refused here.
"""

from __future__ import annotations

import struct

from goldsmith.errors import UsageError

HEAD = 2**16
"""Bytes from the beginning that are looked at."""
FOOTER = 512
"""Bytes from the end: where a VHD of fixed size says that it is one."""
_SIGNS = (
    ("qcow2", 0, b"QFI\xfb"),
    ("vmdk", 0, b"KDMV"),
    ("vmdk", 0, b"COWD"),
    ("vmdk", 0, b"# Disk DescriptorFile"),
    ("vdi", 0x40, b"\x7f\x10\xda\xbe"),
    ("vhdx", 0, b"vhdxfile"),
    ("vpc", 0, b"conectix"),
    ("parallels", 0, b"WithoutFreeSpace"),
    ("parallels", 0, b"WithouFreSpacExt"),
)


def driver(head: bytes, footer: bytes) -> str:
    """QEMU's name of the format that the bytes have; `raw` where they begin as a disk or ext4 does; or nothing."""
    for name, at, sign in _SIGNS:
        if head[at : at + len(sign)] == sign:
            return name
    if footer[:8] == b"conectix":
        return "vpc"
    if head[510:512] == b"\x55\xaa" or head[0x438:0x43A] == b"\x53\xef":
        return "raw"
    return ""


def check(name: str, form: str, head: bytes, footer: bytes) -> None:
    """Refuse what is not whole in itself, or is encrypted; `form` is QEMU's name of the format.

    Raises:
        UsageError: it stands on another file, or can't be read without a key.
    """
    hint = f"make it one file first: qemu-img convert -O qcow2 {name} whole.qcow2"
    if form == "qcow2" and len(head) >= 104 and head[:4] == b"QFI\xfb":
        version, backing = struct.unpack_from(">IQ", head, 4)
        (encryption,) = struct.unpack_from(">I", head, 32)
        incompatible = struct.unpack_from(">Q", head, 72)[0] if version >= 3 else 0
        if backing or incompatible & 4:
            raise UsageError(f"{name} is not whole: it stands on another file", hint=hint)
        if encryption:
            raise UsageError(f"{name} is encrypted", hint="decrypt a copy of it first, with qemu-img convert")
    if form == "vmdk":
        # What begins with a text, or has no size in its header, is what that text says: names of other files.
        if not head.startswith(b"KDMV") or not struct.unpack_from("<Q", head.ljust(20, b"\0"), 12)[0]:
            raise UsageError(f"{name} is not whole: it stands on another file", hint=hint)
        parent = head[:HEAD].partition(b"parentFileNameHint")[2].partition(b"\n")[0]
        if parent:
            raise UsageError(f"{name} is not whole: it stands on another file", hint=hint)
    if form == "vpc":
        described = head if head.startswith(b"conectix") else footer
        if described[:8] == b"conectix" and struct.unpack_from(">I", described, 60)[0] not in (2, 3):
            raise UsageError(f"{name} is not whole: it stands on another file", hint=hint)
