"""Systems at rest, in whatever they lie: each becomes a folder, a tar of its files, or what `docker save` writes.

Those three are what the collector and the hygiene checks read. Nothing is run, mounted or fetched. All that is unpacked
lies in a folder of its own, which is gone at the end; one of a process that was killed is removed by `goldsmith clean`.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import re
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, cast

from goldsmith import archives, disk, disk_header, docker, ext4, ext4_tar, files, nbd, oci, partitions
from goldsmith.errors import GoldsmithError, UsageError

KINDS = {
    "docker-image": "NAME, a Docker image of this machine, at rest",
    "image": "PATH, an image's file or folder of any format, which is told by its content",
    "disk": "PATH, a virtual machine's disk, whose format is told by its name",
    "tar": "PATH, a root file system in a tar archive",
    "dir": "PATH, the root of a system in a folder",
}
"""Kinds of target that are at rest, each with what stands after its colon."""
FORMATS = (
    "a Docker or OCI image (archive or folder), a disk (raw, qcow2, vmdk, vdi, vhdx, vhd, Parallels), an OVA, a Vagrant"
    " box, a Parallels bundle, or a tar of a root file system; each may be packed with gzip, xz or zstd"
)
LARGEST_DISK = 2 * 2**40
"""Bytes that a disk may claim to have."""
DISKS = frozenset({*disk.DRIVERS, ".img"})
"""What the name of a disk in an archive or a bundle ends in."""
_NESTED = 4
"""How often an archive may lie in another."""
_LISTED = 5000
"""Members by which it is told what a tar archive is: one with more is a root file system."""
_PIECE = 2**20
_LIVE = "a machine that runs is read by ssh:HOST"
_NO_PART = frozenset({"", "FAT", "swap"})
"""What is on a disk beside the machine's files: boot loaders, and memory."""
_OTHERS = (
    ("a zip archive", 0, b"PK\x03\x04"),
    ("a bzip2 archive", 0, b"BZh"),
    ("a 7z archive", 0, b"7z\xbc\xaf"),
    ("an ISO image", 0x8001, b"CD001"),
    ("a SquashFS file system", 0, b"hsqs"),
    ("an XFS file system", 0, b"XFSB"),
    ("a Btrfs file system", 0x10040, b"_BHRfS_M"),
    ("an encrypted disk (LUKS)", 0, b"LUKS"),
    ("a Windows image", 0, b"MSWIM"),
    ("a qed disk", 0, b"QED\0"),
)
"""What is known, and not read."""


@dataclass(frozen=True)
class System:
    """A system to read: how it lies there, and where. `notes` say what of it is not read."""

    form: Literal["folder", "tar", "docker-archive"]
    path: Path
    notes: tuple[str, ...] = ()


@contextlib.contextmanager
def opened(kind: str, name: str) -> Iterator[System]:
    """The system that a target of one of KINDS names. It counts within the `with` block only.

    Raises:
        UsageError: it is not there, is in no format that is read, or stands on another file.
        GoldsmithError: it is damaged, or not all of it can be read.
        ToolError: a program that its format needs is missing.
    """
    if kind == "docker-image":
        with docker.saved(docker.image(name)) as path:
            yield System("docker-archive", path)
        return
    path = Path(name)
    if kind == "dir":
        if not path.is_dir():
            raise UsageError(f"there is no folder {path}", hint="name the root of a system, as in dir:/mnt/image")
        yield System("folder", path)
        return
    if not path.is_file() and not (kind == "image" and path.is_dir()):
        what = {"disk": "disk", "image": "image"}.get(kind, "file")
        raise UsageError(f"there is no {what} {path}", hint=f"{kind}:PATH is {KINDS[kind].partition(', ')[2]}")
    with files.temporary_folder("rest") as folder, _no_space():
        if kind == "disk":
            system = _disk(path, disk.format_of(path), folder, name)
        elif kind == "tar":
            system = System("tar", _plain(path, folder, name))
        else:
            system = _folder(path, folder, name) if path.is_dir() else _file(path, folder, name)
        try:
            yield system
        except GoldsmithError as error:
            # Of what was unpacked nobody knows the name.
            error.message = error.message.replace(str(system.path), name)
            raise


@contextlib.contextmanager
def _no_space() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        hint = "free some space, or name a folder with more of it in TMPDIR"
        raise GoldsmithError(f"{error.filename or 'the image'} can't be read: {error.strerror}", hint=hint) from error


def _plain(path: Path, folder: Path, name: str, step: int = 0) -> Path:
    """The file itself, or what is packed in it."""
    if not archives.packing(path):
        return path
    target = folder / f"plain-{step}"
    archives.unpack(path, target, name)
    return target


def _file(path: Path, folder: Path, name: str) -> System:
    """What a file is, by its content."""
    for step in range(_NESTED):
        unpacked = _plain(path, folder, name, step)
        if unpacked == path:
            break
        if path.parent == folder:
            path.unlink()
        path = unpacked
    else:
        raise UsageError(f"{name} is packed more than {_NESTED - 1} times", hint="unpack it yourself")
    head, footer = _ends(path)
    if _is_tar(head):
        return _archive(path, folder, name)
    driver = disk_header.driver(head, footer)
    said = disk.DRIVERS.get(path.suffix, "")
    if said and driver and said != driver:
        raise UsageError(
            f"{name} is called a {said} disk, and has the content of a {driver} one",
            hint="if the name is right, use disk:PATH; a guest can write the first bytes of a raw disk",
        )
    if driver and not any(head[at : at + len(sign)] == sign for _, at, sign in _OTHERS):
        return _disk(path, driver, folder, name)
    other = next(
        (what for what, at, sign in _OTHERS if head[at : at + len(sign)] == sign), "in no format that is known"
    )
    raise UsageError(f"{name} is {other}", hint=f"read are: {FORMATS}")


def _ends(path: Path) -> tuple[bytes, bytes]:
    with path.open("rb") as stream:
        head = stream.read(2 * disk_header.HEAD)
        stream.seek(max(0, path.stat().st_size - disk_header.FOOTER))
        return head, stream.read(disk_header.FOOTER)


def _is_tar(head: bytes) -> bool:
    with contextlib.suppress(tarfile.HeaderError):
        return bool(tarfile.TarInfo.frombuf(head[: tarfile.BLOCKSIZE], "utf-8", "surrogateescape").name)
    return False


# Archives and folders that hold an image.


def _archive(path: Path, folder: Path, name: str) -> System:
    with archives.told(name, "a tar archive"), path.open("rb") as stream, archives.opened(stream) as archive:
        found: dict[str, tarfile.TarInfo] = {}
        for member in archives.members(archive):
            found[member.name.removeprefix("./").rstrip("/")] = member
            if len(found) > _LISTED:
                return System("tar", path)
        target = folder / "image.tar"
        if "manifest.json" in found and not any(each.startswith("etc/") for each in found):
            oci.of_docker(oci.of_archive(archive, found), target, name)
            return System("docker-archive", target)
        if "oci-layout" in found:
            oci.of_layout(oci.of_archive(archive, found), target, name)
            return System("docker-archive", target)
        if any(each.startswith("etc/") for each in found):
            return System("tar", path)
        disks = [each for each, member in found.items() if member.isreg() and Path(each).suffix in DISKS]
        inside = _only(disks, found, f"{name} is a tar archive", name)
        texts = {
            each: _text(archive, member)
            for each, member in found.items()
            if member.isreg() and Path(each).suffix in _DESCRIBE and member.size <= archives.HEADER
        }
        _check_described(texts, set(found), name)
        copy = folder / f"disk{Path(inside).suffix}"
        _extract(archive, found[inside], copy)
        _check_sums(texts, inside, copy, name)
    if path.parent == folder:
        path.unlink()
    return _disk_inside(copy, folder, f"{name}: {inside}")


def _folder(path: Path, folder: Path, name: str) -> System:
    if (path / "oci-layout").is_file():
        oci.of_layout(oci.of_folder(path), folder / "image.tar", name)
        return System("docker-archive", folder / "image.tar")
    if (path / "etc").is_dir():
        return System("folder", path)
    found = {str(each.relative_to(path)): each for each in sorted(itertools.islice(path.rglob("*"), _LISTED))}
    disks = [each for each, file in found.items() if file.suffix in DISKS and file.is_file() and not file.is_symlink()]
    inside = _only(disks, found, f"{name} is a folder", name)
    texts = {
        each: file.read_text(errors="replace")
        for each, file in found.items()
        if file.suffix in _DESCRIBE and file.is_file() and file.stat().st_size <= archives.HEADER
    }
    _check_described(texts, set(found), name)
    return _disk_inside(found[inside], folder, f"{name}: {inside}")


_DESCRIBE = frozenset({".ovf", ".mf", ".xml"})
"""What the names end in of the texts beside a disk that say which files belong to the machine."""
_NAMES_FILE = re.compile(r'<(?:\w+:)?File\b[^>]*?\bhref="([^"]*)"|<File>\s*([^<]*?)\s*</File>')
_CHECKSUM = re.compile(r"SHA(1|256|512)\s*\((.+?)\)\s*=\s*([0-9a-fA-F]+)")


def _some(names: Iterable[str]) -> str:
    found = list(names)
    return ", ".join(repr(each) for each in found[:3]) + (" …" if len(found) > 3 else "") if found else "it is empty"


def _only(disks: list[str], found: Iterable[str], what: str, name: str) -> str:
    if not disks:
        raise UsageError(
            f"{what} that holds no image, no disk and no system: {_some(found)}", hint=f"read are: {FORMATS}"
        )
    if len(disks) > 1:
        raise UsageError(
            f"{name} holds {len(disks)} disks: {', '.join(sorted(disks))}",
            hint="take out the one with the root file system, and name it: disk:PATH",
        )
    return disks[0]


def _text(archive: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    stream = archive.extractfile(member)
    assert stream is not None  # noqa: S101 - it is a file
    return stream.read(archives.HEADER).decode(errors="replace")


def _check_described(texts: dict[str, str], names: set[str], name: str) -> None:
    """What describes the machine names files beside it, and no other."""
    beside = {Path(each).name for each in names}
    for text in texts.values():
        for match in _NAMES_FILE.finditer(text):
            file = match[1] or match[2] or ""
            if file and file not in beside:
                raise UsageError(
                    f"{name} is not whole: it names the file {file!r}, which is not in it",
                    hint="export the machine again, as one file; or name its disk: disk:PATH",
                )


def _check_sums(texts: dict[str, str], inside: str, copy: Path, name: str) -> None:
    """The checksums in an OVA, of its disk."""
    for text in texts.values():
        for kind, file, said in _CHECKSUM.findall(text):
            if file == Path(inside).name and files.digest(copy, f"sha{kind}") != said.lower():
                message = f"{name}: {inside} is damaged: it is not what its checksum says"
                raise GoldsmithError(message, hint="fetch it again")


def _extract(archive: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    """Lay down a disk. What is empty in a sparse one takes no room."""
    if member.size > LARGEST_DISK:
        raise UsageError(
            f"{member.name} claims to have {member.size} bytes; at most {LARGEST_DISK} are read", hint=_LIVE
        )
    source = cast(IO[bytes], archive.fileobj)
    stored = cast("list[tuple[int, int]] | None", member.sparse)
    at = member.offset_data
    with target.open("wb") as out:
        for offset, length in stored or [(0, member.size)]:
            if not 0 <= offset <= offset + length <= member.size:
                raise tarfile.ReadError(f"the map of {member.name} is broken")
            out.seek(offset)
            _copy(source, at, length, out)
            at += length
        out.truncate(member.size)


def _copy(source: IO[bytes], at: int, length: int, out: IO[bytes]) -> None:
    source.seek(at)
    while length > 0:
        piece = source.read(min(length, _PIECE))
        if not piece:
            raise tarfile.ReadError("unexpected end of data")
        out.write(piece)
        length -= len(piece)


# Disks.


def _disk_inside(path: Path, folder: Path, name: str) -> System:
    """A disk that lay in something else: its name there says nothing of its format."""
    return _disk(path, disk_header.driver(*_ends(path)) or "raw", folder, name)


def _disk(path: Path, driver: str, folder: Path, name: str) -> System:
    """The root file system of a disk of that format, as a tar archive."""
    head, footer = _ends(path)
    disk_header.check(name, driver, head, footer)
    with _reader(path, driver, folder, name) as (read, size):
        if size > LARGEST_DISK:
            raise UsageError(f"{name} claims to have {size} bytes; at most {LARGEST_DISK} are read", hint=_LIVE)
        system, notes = _root(read, size, name)
        target = folder / "root.tar"
        try:
            ext4_tar.write(system, target)
        except GoldsmithError as error:
            hint = error.hint or "check a copy of it with e2fsck, or fetch it again"
            raise GoldsmithError(f"{name} can't be read: {error.message}", hint=hint) from error
    return System("tar", target, notes)


@contextlib.contextmanager
def _reader(path: Path, driver: str, folder: Path, name: str) -> Iterator[tuple[ext4.Read, int]]:
    if driver == "raw":
        with path.open("rb") as stream:

            def read(offset: int, length: int) -> bytes:
                stream.seek(offset)
                return stream.read(length)

            yield _kept(read), path.stat().st_size
        return
    disk.whole(path, driver)
    with contextlib.ExitStack() as stack:
        try:
            device = stack.enter_context(nbd.opened(path, driver, folder))
        except GoldsmithError as error:
            error.message = f"{name} can't be read: {error.message}"
            error.hint = error.hint or "is it whole? `qemu-img check` tells"
            raise
        yield _kept(device.read), device.size


def _kept(read: ext4.Read) -> ext4.Read:
    """A reader that keeps what small reads have just come from: inodes lie side by side."""
    piece = 2**16

    @functools.lru_cache(maxsize=512)
    def around(number: int) -> bytes:
        return read(number * piece, piece)

    def kept(offset: int, length: int) -> bytes:
        number, at = divmod(offset, piece)
        return around(number)[at : at + length] if at + length <= piece else read(offset, length)

    return kept


def _root(read: ext4.Read, size: int, name: str) -> tuple[ext4.FileSystem, tuple[str, ...]]:
    """The file system with the system in it, found by what is in it; and a note of each that is beside it."""
    hint = f"read are ext4, ext3 and ext2, without LVM, RAID or encryption; {_LIVE}"
    try:
        found = partitions.of(read, size)
    except GoldsmithError as error:
        raise GoldsmithError(f"{name} can't be read: {error.message}", hint=hint) from error
    roots, others = [], []
    for each in found:
        kind = partitions.file_system(read, each.start)
        try:
            if kind == partitions.EXT4:
                system = ext4.FileSystem(_part(read, each.start, each.size))
                if system.find("/etc/os-release") or system.find("/usr/lib/os-release"):
                    roots.append((each.number, system))
                    continue
        except GoldsmithError as error:
            message = f"{name} can't be read: partition {each.number}: {error.message}"
            raise GoldsmithError(message, hint=hint) from error
        others.append((each.number, kind))
    if len(roots) != 1:
        what = f"{len(roots)} of its partitions are root file systems: {', '.join(str(n) for n, _ in roots)}"
        beside = ", ".join(f"{number} ({kind or 'nothing that is known'})" for number, kind in others)
        none = f"no partition of it is a root file system that can be read: {beside or 'it has none'}"
        raise GoldsmithError(f"{name} can't be read: {what if roots else none}", hint=hint)
    notes = (f"partition {number} of the disk ({kind}) is not read" for number, kind in others if kind not in _NO_PART)
    return roots[0][1], tuple(notes)


def _part(read: ext4.Read, start: int, size: int) -> ext4.Read:
    return lambda offset, length: read(start + offset, max(0, min(length, size - offset)))
