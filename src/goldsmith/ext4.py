"""The files in an ext4 file system (or ext3, ext2), read from its bytes: no mount, no root, nothing written.

What a machine that was cut off had only written into the journal is read as its next boot would find it. Damage is an
error, never a guess. The format: Documentation/filesystems/ext4 in Linux's source.
"""

from __future__ import annotations

import stat
import struct
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from goldsmith import ext4_journal
from goldsmith.errors import GoldsmithError

Read = Callable[[int, int], bytes]
"""(offset, length) → bytes, shorter only at the end."""
Segment = tuple[int, int, int | None]
"""Part of a file: where in it, how long, and where in the file system (None: zeros)."""

MAGIC_AT = 1024 + 0x38
MAGIC = b"\x53\xef"
ROOT = 2
_NEEDS_RECOVERY = 0x4
_KNOWN = 0x2 | _NEEDS_RECOVERY | 0x40 | 0x80 | 0x100 | 0x200 | 0x400 | 0x2000 | 0x4000 | 0x8000 | 0x20000
_FEATURES = {0x1: "compression", 0x8: "an external journal", 0x10: "meta_bg", 0x1000: "dirdata", 0x10000: "encryption"}
_EXTENTS, _INLINE = 0x80000, 0x10000000
_ATTRIBUTES = 0xEA020000
_PREFIXES = {1: "user.", 2: "system.posix_acl_access", 3: "system.posix_acl_default", 4: "trusted.", 6: "security.",
             7: "system.", 8: "system.richacl"}  # fmt: skip
_ALL_FOLDERS = 2**32
_MOST_PATHS = 20_000_000
_LARGEST_ATTRIBUTE = 2**20


class DamagedError(GoldsmithError):
    """The file system contradicts itself, or has what this reader does not know."""


@dataclass(frozen=True)
class Inode:
    """What a path leads to. `blocks` are the 60 bytes that say where its content lies, or are it."""

    number: int
    mode: int
    uid: int
    gid: int
    size: int
    links: int
    flags: int
    blocks: bytes
    attributes: dict[str, bytes] = field(repr=False)

    @property
    def kind(self) -> int:
        """As `stat.S_IFMT` says it."""
        return stat.S_IFMT(self.mode)

    @property
    def device(self) -> tuple[int, int]:
        """Major and minor number of a device."""
        old, new = struct.unpack_from("<II", self.blocks)
        if old:
            return old >> 8 & 0xFF, old & 0xFF
        return new >> 8 & 0xFFF, new & 0xFF | new >> 12 & 0xFFF00


class FileSystem:
    """One file system; `read` reads from its beginning.

    Raises:
        DamagedError: now or later, what is there can't be read. The message begins with what is wrong.
    """

    def __init__(self, read: Read) -> None:
        self._read = read
        self._in_folders = 0
        self._journal: Callable[[int, int], bytes] = read
        self._moved: dict[int, ext4_journal.Copy] = {}
        self._load(read(1024, 1024))
        if self._incompatible & _NEEDS_RECOVERY:
            (number,) = struct.unpack_from("<I", self._super, 0xE0)
            self._journal = _Content(self, self.inode(number)).read
            self._moved = ext4_journal.copies(self._journal, self.block)
            self._load(self._block(1) if self.block == 1024 else self._block(0)[1024:2048])

    def _load(self, data: bytes) -> None:
        self._super = data
        if len(self._super) < 1024 or self._super[0x38:0x3A] != MAGIC:
            raise DamagedError("there is no ext4 file system")
        self.inodes, low = struct.unpack_from("<II", data)
        (log,) = struct.unpack_from("<I", data, 0x18)
        self._incompatible = struct.unpack_from("<I", self._super, 0x60)[0]
        unknown = self._incompatible & ~_KNOWN
        if unknown:
            names = [name for bit, name in _FEATURES.items() if unknown & bit] or [f"features {unknown:#x}"]
            raise DamagedError(f"its ext4 has {', '.join(names)}, which is not read")
        wide = self._incompatible & 0x80
        self.blocks = low | (struct.unpack_from("<I", self._super, 0x150)[0] << 32 if wide else 0)
        self.block = 1024 << log if log <= 6 else 0
        (self._per_group,) = struct.unpack_from("<I", self._super, 0x28)
        (revision,) = struct.unpack_from("<I", self._super, 0x4C)
        (self._inode_size,) = struct.unpack_from("<H", self._super, 0x58) if revision else (128,)
        (self._group_size,) = struct.unpack_from("<H", self._super, 0xFE) if wide else (32,)
        sizes = self._per_group and self._group_size >= 32 and 128 <= self._inode_size <= self.block
        if not (self.block and sizes and self.blocks):
            raise DamagedError("its superblock is damaged")
        self.uuid = str(uuid.UUID(bytes=self._super[0x68:0x78]))

    # Blocks

    def _block(self, number: int) -> bytes:
        if number in self._moved:
            copy = self._moved[number]
            data = self._journal(copy.at * self.block, self.block)
            return ext4_journal.MAGIC + data[4:] if copy.escaped else data
        if not 0 < number < self.blocks and not (number == 0 and self.block > 1024):
            raise DamagedError(f"it is damaged: block {number} is beyond its end")
        data = self._read(number * self.block, self.block)
        if len(data) != self.block:
            raise DamagedError("it is cut short")
        return data

    def bytes_of(self, start: int, length: int) -> bytes:
        """Bytes of a segment, from where in the file system it begins."""
        first, last = start // self.block, (start + length - 1) // self.block
        if last >= self.blocks or first == 0:
            raise DamagedError(f"it is damaged: block {last} is beyond its end")
        if not self._moved or not any(number in self._moved for number in range(first, last + 1)):
            data = self._read(start, length)
        else:
            whole = b"".join(self._block(number) for number in range(first, last + 1))
            data = whole[start - first * self.block :][:length]
        if len(data) != length:
            raise DamagedError("it is cut short")
        return data

    # Inodes

    def inode(self, number: int) -> Inode:
        """The inode of that number."""
        if not 0 < number <= self.inodes:
            raise DamagedError(f"it is damaged: there is no inode {number}")
        group, index = divmod(number - 1, self._per_group)
        place = ((2 if self.block == 1024 else 1) * self.block) + group * self._group_size
        described = self.bytes_of(place, self._group_size)
        (table,) = struct.unpack_from("<I", described, 8)
        if self._group_size >= 64:
            table |= struct.unpack_from("<I", described, 0x28)[0] << 32
        raw = self.bytes_of(table * self.block + index * self._inode_size, self._inode_size)
        mode, uid, size, gid, links = struct.unpack_from("<HHI16xHH", raw)
        flags, blocks = struct.unpack_from("<I", raw, 0x20)[0], raw[0x28:0x64]
        size |= struct.unpack_from("<I", raw, 0x6C)[0] << 32 if not stat.S_ISLNK(mode) else 0
        uid |= struct.unpack_from("<H", raw, 0x78)[0] << 16
        gid |= struct.unpack_from("<H", raw, 0x7A)[0] << 16
        return Inode(number, mode, uid, gid, size, links, flags, blocks, self._attributes(raw))

    def _attributes(self, raw: bytes) -> dict[str, bytes]:
        """Extended attributes: those in the inode itself, and those in the block that it names."""
        found: dict[str, bytes] = {}
        if len(raw) > 132:
            start = 128 + struct.unpack_from("<H", raw, 0x80)[0]
            if start + 4 <= len(raw) and struct.unpack_from("<I", raw, start)[0] == _ATTRIBUTES:
                self._read_attributes(raw[start + 4 :], 0, found)
        block = struct.unpack_from("<I", raw, 0x68)[0] | struct.unpack_from("<H", raw, 0x76)[0] << 32
        if block:
            data = self._block(block)
            if struct.unpack_from("<I", data)[0] != _ATTRIBUTES:
                raise DamagedError(f"it is damaged: block {block} holds no attributes")
            self._read_attributes(data, 32, found)
        return found

    def _read_attributes(self, data: bytes, at: int, found: dict[str, bytes]) -> None:
        while at + 16 <= len(data) and data[at : at + 4] != bytes(4):
            length, index, offset, inode, size = struct.unpack_from("<BBHII", data, at)
            own = data[at + 16 : at + 16 + length].decode(errors="backslashreplace")
            name = _PREFIXES.get(index, f"{index}.") + own
            if inode:
                value = self._large_attribute(inode, size)
            elif offset + size <= len(data):
                value = data[offset : offset + size]
            else:
                raise DamagedError(f"it is damaged: the attribute {name} lies beyond its block")
            found[name] = access_list(value) if name.startswith("system.posix_acl_") else value
            at += 16 + (length + 3 & ~3)

    def _large_attribute(self, number: int, size: int) -> bytes:
        holder = self.inode(number)
        if size > _LARGEST_ATTRIBUTE or holder.size < size:
            raise DamagedError(f"it is damaged: inode {number} holds no attribute of {size} bytes")
        return _Content(self, holder).read(0, size)

    # Contents

    def segments(self, inode: Inode) -> Iterator[Segment]:
        """Where a file's content lies, in order, without a gap. Not for one that is kept in its inode (`inline`)."""
        last: Segment = (0, 0, None)
        for start, length, place in self._segments(inode):
            follows = None if last[2] is None else last[2] + last[1]
            if last[1] and place == follows:
                last = (last[0], last[1] + length, last[2])
                continue
            if last[1]:
                yield last
            last = (start, length, place)
        if last[1]:
            yield last

    def _segments(self, inode: Inode) -> Iterator[Segment]:
        """As `segments`, with parts that could be one."""
        done = held = 0
        mapped = self._extents(inode.blocks, [0], 6) if inode.flags & _EXTENTS else self._mapped(inode)
        for first, count, block in mapped:
            held += count
            if held > self.blocks:
                raise DamagedError(f"it is damaged: inode {inode.number} has more blocks than there are")
            start, end = first * self.block, min((first + count) * self.block, inode.size)
            if start < done:
                raise DamagedError(f"it is damaged: the blocks of inode {inode.number} are in disorder")
            if start >= inode.size:
                break
            if start > done:
                yield done, start - done, None
            yield start, end - start, block * self.block if block is not None else None
            done = end
        if done < inode.size:
            yield done, inode.size - done, None

    def inline(self, inode: Inode) -> bytes | None:
        """The content of a file that has no blocks, or None."""
        if inode.flags & _INLINE:
            return (inode.blocks + inode.attributes.get("system.data", b""))[: inode.size]
        if stat.S_ISLNK(inode.mode) and inode.size < 60 and not inode.flags & _EXTENTS:
            return inode.blocks[: inode.size]
        return None

    def _extents(self, node: bytes, reached: list[int], depth: int) -> Iterator[tuple[int, int, int | None]]:
        """(first block of the file, how many, where) of a tree of extents.

        It must get lower with each step down, and what is `reached` of the file higher with each step on: a tree whose
        branches are one and the same would have no end.
        """
        magic, entries, _most, level = struct.unpack_from("<HHHH", node)
        if magic != 0xF30A or level >= depth or 12 * (entries + 1) > len(node):
            raise DamagedError("it is damaged: a file's extents are none")
        for at in range(12, 12 * (entries + 1), 12):
            first, count, high, low = struct.unpack_from("<IHHI", node, at)
            written = count <= 0x8000
            if first < reached[0] or (not level and not count):
                raise DamagedError("it is damaged: a file's extents are in disorder")
            if level:
                below, above = struct.unpack_from("<IH", node, at + 4)
                yield from self._extents(self._block(below | above << 32), reached, level)
                reached[0] = max(reached[0], first + 1)
            else:
                count = count if written else count - 0x8000
                yield first, count, low | high << 32 if written else None
                reached[0] = first + count

    def _mapped(self, inode: Inode) -> Iterator[tuple[int, int, int | None]]:
        """As `_extents`, of a file of ext2 and ext3: numbers of blocks, and of blocks with numbers."""
        wanted = -(-inode.size // self.block)
        numbers = struct.unpack("<15I", inode.blocks)
        width = self.block // 4
        done = 0
        for level, block in [*((0, number) for number in numbers[:12]), *enumerate(numbers[12:], 1)]:
            if done >= wanted:
                return
            yield from self._indirect(block, level, done, wanted)
            done += width**level

    def _indirect(self, block: int, level: int, first: int, wanted: int) -> Iterator[tuple[int, int, int | None]]:
        if not block or first >= wanted:
            return
        if not level:
            yield first, 1, block
            return
        each = (self.block // 4) ** (level - 1)
        for number, lower in enumerate(struct.unpack(f"<{self.block // 4}I", self._block(block))):
            yield from self._indirect(lower, level - 1, first + number * each, wanted)

    def content(self, inode: Inode, most: int) -> bytes:
        """All of it, of what is small.

        Raises:
            DamagedError: it claims to be larger than `most` bytes.
        """
        if inode.size > most:
            raise DamagedError(f"it is damaged: inode {inode.number} claims to have {inode.size} bytes")
        inline = self.inline(inode)
        return _Content(self, inode).read(0, inode.size) if inline is None else inline

    # Folders

    def entries(self, inode: Inode) -> dict[bytes, int]:
        """Name → inode of what is in a folder."""
        if inode.flags & _INLINE:
            parts = [inode.blocks[4:], inode.attributes.get("system.data", b"")]
        else:
            self._in_folders += inode.size
            if self._in_folders > _ALL_FOLDERS or any(place is None for _, _, place in self.segments(inode)):
                raise DamagedError(f"it is damaged: folder {inode.number} claims to have {inode.size} bytes")
            data = self.content(inode, _ALL_FOLDERS)
            parts = [data[at : at + self.block] for at in range(0, len(data), self.block)]
        found: dict[bytes, int] = {}
        for part in parts:
            at = 0
            while at + 8 <= len(part):
                number, length, size = struct.unpack_from("<IHB", part, at)
                length = len(part) if len(part) == 65536 and length in (0, 65535) else length
                name = part[at + 8 : at + 8 + size]
                if length < 8 + size or length % 4 or at + length > len(part):
                    raise DamagedError(f"it is damaged: folder {inode.number} is broken")
                at += length
                if number and name not in (b".", b".."):
                    if not name or b"/" in name or b"\0" in name or name in found:
                        raise DamagedError(f"it is damaged: folder {inode.number} has an impossible name {name!r}")
                    found[name] = number
        return found

    def walk(self) -> Iterator[tuple[bytes, Inode]]:
        """Every path, `b""` of the root first, a folder before what is in it.

        Raises:
            DamagedError: a folder is reached twice, so that there would be no end.
        """
        seen = {ROOT}
        pending = [(b"", self.inode(ROOT))]
        paths = 0
        while pending:
            path, inode = pending.pop()
            paths += 1
            if paths > _MOST_PATHS:
                raise DamagedError(f"it has more than {_MOST_PATHS:,} paths")
            yield path, inode
            if not stat.S_ISDIR(inode.mode):
                continue
            for name, number in sorted(self.entries(inode).items(), reverse=True):
                child = self.inode(number)
                if stat.S_ISDIR(child.mode):
                    if number in seen:
                        raise DamagedError(f"it is damaged: folder {number} is in two places")
                    seen.add(number)
                pending.append((path + b"/" + name, child))

    def find(self, path: str) -> Inode | None:
        """What is at a path that holds no link."""
        here = self.inode(ROOT)
        for part in path.encode().split(b"/")[1:]:
            number = self.entries(here).get(part) if stat.S_ISDIR(here.mode) else None
            if number is None:
                return None
            here = self.inode(number)
        return here


class _Content:
    """A file's content in any order. For a small one, or one that is read in its own order."""

    def __init__(self, system: FileSystem, inode: Inode) -> None:
        self._system = system
        self._segments = list(system.segments(inode))

    def read(self, offset: int, length: int) -> bytes:
        pieces = []
        for start, size, place in self._segments:
            first, last = max(start, offset), min(start + size, offset + length)
            if first < last:
                pieces.append(
                    bytes(last - first) if place is None else self._system.bytes_of(place + first - start, last - first)
                )
        return b"".join(pieces)


def access_list(value: bytes) -> bytes:
    """An access list as the kernel gives it to programs, of the shorter form in which ext4 keeps it. Pure."""
    if len(value) < 4 or struct.unpack_from("<I", value)[0] != 1:
        return value
    pieces, at = [struct.pack("<I", 2)], 4
    while at + 4 <= len(value):
        tag, allowed = struct.unpack_from("<HH", value, at)
        at += 4
        who = 0xFFFFFFFF
        if tag in (0x02, 0x08) and at + 4 <= len(value):  # a certain user, a certain group
            (who,) = struct.unpack_from("<I", value, at)
            at += 4
        pieces.append(struct.pack("<HHI", tag, allowed, who))
    return b"".join(pieces)
