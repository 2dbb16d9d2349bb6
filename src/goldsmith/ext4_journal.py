"""The journal of ext3 and ext4 (jbd2): which blocks have a newer copy there than in their own place.

A machine that was cut off has written some changes into the journal only. Nothing is written back here: whoever reads
takes the copy. The format: Documentation/filesystems/ext4/journal.rst in Linux's source. Checksums are not verified: a
transaction counts when its commit block is there.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from goldsmith.errors import GoldsmithError

MAGIC = b"\xc0\x3b\x39\x98"
_DESCRIPTOR, _COMMIT, _REVOKE = 1, 2, 5
_WIDE, _CHECKSUMS_2, _CHECKSUMS_3, _FAST = 0x2, 0x8, 0x10, 0x20
_ESCAPED, _SAME_UUID, _LAST = 1, 2, 8


@dataclass(frozen=True)
class Copy:
    """Where in the journal a block's newest copy is. An escaped one has lost its first four bytes: they are MAGIC."""

    at: int
    escaped: bool


def copies(read: Callable[[int, int], bytes], block: int) -> dict[int, Copy]:
    """Block of the file system → its copy in the journal, of all transactions that were completed.

    `read` reads the journal, `block` is the size of one.

    Raises:
        GoldsmithError: the journal can't be read.
    """
    data = read(0, 1024)
    if len(data) < 1024 or data[:4] != MAGIC:
        raise GoldsmithError("it is damaged: its journal is none")
    size, most, first, sequence, start = struct.unpack_from(">IIIII", data, 12)
    (features,) = struct.unpack_from(">I", data, 40) if struct.unpack_from(">I", data, 4)[0] == 4 else (0,)
    if size != block or not 0 < first < most:
        raise GoldsmithError("it is damaged: its journal is of another size")
    if features & _FAST:
        raise GoldsmithError("its journal has fast commits, which are not read: start the machine and shut it down")
    if not start:
        return {}
    found: dict[int, tuple[int, Copy]] = {}
    revoked: dict[int, int] = {}
    for number, copied, gone in _transactions(read, block, (most, first), start, sequence, features):
        for each in gone:
            revoked[each] = number
        found |= {place: (number, copy) for place, copy in copied.items()}
    return {place: copy for place, (number, copy) in found.items() if revoked.get(place, -1) < number}


def _transactions(
    read: Callable[[int, int], bytes], block: int, bounds: tuple[int, int], at: int, sequence: int, features: int
) -> Iterator[tuple[int, dict[int, Copy], list[int]]]:
    """(number, copies, revoked blocks) of each transaction that was completed."""
    most, first = bounds
    copied: dict[int, Copy] = {}
    gone: list[int] = []
    # The journal is a ring; no walk through it is longer than itself.
    steps = most
    while steps > 0:
        data = read(at * block, block)
        if len(data) < block or data[:4] != MAGIC or struct.unpack_from(">I", data, 8)[0] != sequence:
            return
        kind = struct.unpack_from(">I", data, 4)[0]
        at = at + 1 if at + 1 < most else first
        steps -= 1
        if kind == _DESCRIPTOR:
            for place, escaped in _tags(data, features):
                copied[place] = Copy(at, escaped)
                at = at + 1 if at + 1 < most else first
                steps -= 1
        elif kind == _REVOKE:
            (end,) = struct.unpack_from(">I", data, 12)
            width = 8 if features & _WIDE else 4
            gone += [int.from_bytes(data[each : each + width]) for each in range(16, min(end, block), width)]
        elif kind == _COMMIT:
            yield sequence, copied, gone
            copied, gone, sequence = {}, [], sequence + 1
        else:
            return


def _tags(data: bytes, features: int) -> Iterator[tuple[int, bool]]:
    """(block, escaped) of each block that follows a descriptor."""
    at = 12
    end = len(data) - (4 if features & (_CHECKSUMS_2 | _CHECKSUMS_3) else 0)
    if features & _CHECKSUMS_3:
        width = 16
    else:
        width = 8 + (4 if features & _WIDE else 0) + (2 if features & _CHECKSUMS_2 else 0)
    while at + width <= end:
        if features & _CHECKSUMS_3:
            place, flags, high = struct.unpack_from(">III", data, at)
        else:
            place, flags = struct.unpack_from(">I2xH", data, at)
            high = struct.unpack_from(">I", data, at + 8)[0] if features & _WIDE else 0
        yield place | (high << 32 if features & _WIDE else 0), bool(flags & _ESCAPED)
        at += width + (0 if flags & _SAME_UUID else 16)
        if flags & _LAST:
            return
