"""The files of a system at rest, wherever they lie: a Docker image's archive, a tar of a root file system, a folder.

Nothing is extracted and nothing is run; no link is followed. Contents are read when they are asked for, so a tree
counts only within the `with` block that opened it.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import posixpath
import stat
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

from goldsmith import archives
from goldsmith.errors import GoldsmithError, UsageError

Kind = Literal["file", "directory", "link", "other"]

KERNEL_VIEWS = frozenset({"/dev", "/proc", "/sys"})
"""Folders that hold nothing of a system at rest, even if something is mounted there."""

LARGEST = 64 * 2**20
"""Bytes of a file whose content is looked into."""
WHITEOUT = ".wh."
"""How the name begins of what is in a layer of a Docker image to say that a lower layer's file is gone."""
OPAQUE = ".wh..wh..opq"
"""What says that all is gone that lower layers have in its folder."""


@dataclass(frozen=True, eq=False)
class File:
    """One path, absolute. `size` in bytes counts for files; `layer` says in words where it lies, of a Docker image."""

    path: str
    kind: Kind
    size: int
    read: Callable[[], bytes]
    layer: str = ""


@dataclass
class Tree:
    """What a machine that is made from it has, and what only lies in its bytes.

    `files` are by path. `hidden` are those that a later layer of a Docker image removes or replaces. `settings` are
    of a Docker image too: "env:NAME" and "label:NAME" with their values, "history:N" with the N-th step's command.
    """

    files: dict[str, File] = field(default_factory=dict)
    hidden: list[File] = field(default_factory=list)
    settings: dict[str, str] = field(default_factory=dict)

    def everything(self) -> Iterator[File]:
        """Files and hidden ones."""
        yield from self.files.values()
        yield from self.hidden


Layers = dict[str, list[tuple[tarfile.TarInfo, File]]]
"""Layers of an archive by their names in it, each with its members, and what they are if they are no links."""


@contextlib.contextmanager
def of_folder(root: Path) -> Iterator[Tree]:
    """The root of a system in a folder, as a disk that is mounted. Whatever is mounted below it counts, too.

    Raises:
        UsageError: there is no such folder, or it holds no system.
        GoldsmithError: something in it can't be read.
    """
    if not root.is_dir():
        raise UsageError(f"there is no folder {root}", hint="name the root of a system, as in dir:/mnt/image")
    try:
        tree = Tree({file.path: file for file in _walk(root)})
        _check_system(tree, str(root), "name the root of a system, as in dir:/mnt/image")
        yield tree
    except OSError as error:
        # What is not looked at must not pass for clean.
        raise GoldsmithError(
            f"{error.filename or root} can't be read: {error.strerror}", hint="look at a system's files as root"
        ) from error


@contextlib.contextmanager
def of_tar(path: Path) -> Iterator[Tree]:
    """A root file system in a tar archive (plain or gzipped), as `docker export` writes it.

    Raises:
        UsageError: there is no such file, or it holds no system.
        GoldsmithError: it is no tar archive, or is cut short.
    """
    if not path.is_file():
        raise UsageError(f"there is no file {path}", hint="name a tar archive, as in tar:root.tar")
    with archives.told(path, "a tar archive"), path.open("rb") as stream, _plain(stream) as archive:
        tree = Tree()
        _lay(tree, archive, "")
        _check_system(tree, str(path), "name a tar of a root file system; of another image, its file as image:PATH")
        yield tree


@contextlib.contextmanager
def lower_layers(path: Path) -> Iterator[Layers]:
    """What is in the layers of an image's archive, as far as it is written. They are plain, and no image has others of
    their names."""
    found = {}
    with path.open("rb") as stream, archives.opened(stream) as archive, contextlib.ExitStack() as layers:
        for number, name in enumerate(archive.getnames(), 1):
            layer = layers.enter_context(archives.opened(content_of(archive, name)))
            found[name] = [
                (member, _file(layer, member, _absolute(member.name), f"layer {number}"))
                for member in archives.members(layer)
            ]
        yield found


@contextlib.contextmanager
def of_docker_archive(path: Path, known: Layers | None = None) -> Iterator[Tree]:
    """The one image in a file that `docker save` wrote, its layers plain or gzipped. Those that are `known` are not
    looked through again.

    Raises:
        GoldsmithError: the file is no image archive, or is cut short.
    """
    with (
        archives.told(path, "an image archive (docker save)"),
        path.open("rb") as stream,
        _plain(stream) as archive,
        contextlib.ExitStack() as layers,
    ):
        names, settings = _described(archive)
        tree = Tree(settings=settings)
        for number, name in enumerate(names, 1):
            layer = layers.enter_context(_plain(content_of(archive, name)))
            _lay(tree, layer, f"layer {number}", (known or {}).get(name))
        yield tree


def _check_system(tree: Tree, where: str, hint: str) -> None:
    """A folder above or below the root would be clean in every respect."""
    if not any(name.startswith("/etc/") for name in tree.files):
        raise UsageError(f"{where} holds no system: there is nothing in /etc", hint=hint)


# A folder.


def _walk(root: Path) -> Iterator[File]:
    pending = [""]
    while pending:
        prefix = pending.pop()
        with os.scandir(root / prefix[1:]) as scan:
            for found in scan:
                path = f"{prefix}/{found.name}"
                info = found.stat(follow_symlinks=False)
                kind = _kind(info.st_mode)
                yield File(path, kind, info.st_size, _bounded(path, info.st_size, Path(found.path).read_bytes))
                if kind == "directory" and path not in KERNEL_VIEWS:
                    pending.append(path)


def _kind(mode: int) -> Kind:
    kinds: dict[int, Kind] = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "link"}
    return kinds.get(stat.S_IFMT(mode), "other")


# Archives.


@contextlib.contextmanager
def _plain(stream: IO[bytes]) -> Iterator[tarfile.TarFile]:
    """A tar archive within a stream. A gzipped one is unpacked once: contents must be reachable in any order."""
    packed = stream.read(2) == b"\x1f\x8b"
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    if not packed:
        with archives.opened(stream) as archive:
            yield archive
        return
    with tempfile.TemporaryFile(prefix="goldsmith-") as spill:
        with gzip.GzipFile(fileobj=stream) as unpacked:
            while piece := unpacked.read(2**20):
                if spill.tell() + len(piece) > archives.limit(size):
                    raise tarfile.ReadError(f"it unpacks to more than {archives.limit(size) // 2**20} MiB")
                spill.write(piece)
        spill.seek(0)
        with archives.opened(spill) as archive:
            yield archive


def content_of(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    """The content of one file of an archive.

    Raises:
        tarfile.ReadError: there is none of that name.
    """
    try:
        source = archive.extractfile(name)
    except KeyError:
        source = None
    if source is None:
        raise tarfile.ReadError(f"there is no file {name} in it")
    return source


def _described(archive: tarfile.TarFile) -> tuple[list[str], dict[str, str]]:
    """The names of an image's layers, and its settings."""
    try:
        [image] = archives.text(content_of(archive, "manifest.json"))
        return image["Layers"], _settings(archives.text(content_of(archive, image["Config"])))
    except (KeyError, TypeError, ValueError) as error:
        raise tarfile.ReadError(f"it does not describe one image: {error}") from error


def _lay(
    tree: Tree, archive: tarfile.TarFile, layer: str, known: Iterable[tuple[tarfile.TarInfo, File | None]] | None = None
) -> None:
    """Lay one layer over what is there. Whiteouts hide what lower layers brought, never what this one brings."""
    added: dict[str, File] = {}
    gone: set[str] = set()
    emptied: set[str] = set()
    for member, file in ((each, None) for each in archives.members(archive)) if known is None else known:
        path = _absolute(member.name)
        folder, _, name = path.rpartition("/")
        if layer and name == OPAQUE:
            emptied.add(folder)
        elif layer and name.startswith(WHITEOUT):
            gone.add(f"{folder}/{name.removeprefix(WHITEOUT)}")
        else:
            # Of two members of one name the last counts; what the first has is in the archive all the same.
            tree.hidden += [added[path]] if path in added else []
            if member.islnk():
                added[path] = _linked(tree, added, member, path, layer)
            else:
                added[path] = file or _file(archive, member, path, layer)
    emptied |= gone | {path for path, file in added.items() if file.kind != "directory"}
    memo = {"": "" in emptied}
    for path in list(tree.files):
        # A folder that is there again keeps what is in it.
        if path in gone or path in added or _below(memo, path, emptied):
            tree.hidden.append(tree.files.pop(path))
    for path, file in added.items():
        _folders_above(tree, path)
        tree.files[path] = file


def _linked(tree: Tree, added: dict[str, File], member: tarfile.TarInfo, path: str, layer: str) -> File:
    """A hard link is what its target is at that moment: a later member of the target's name is another file."""
    target = _absolute(member.linkname)
    linked = added.get(target) or tree.files.get(target)
    if linked is None:
        raise tarfile.ReadError(f"hard link {path} leads nowhere")
    return File(path, linked.kind, linked.size, linked.read, layer)


def _below(memo: dict[str, bool], path: str, emptied: set[str]) -> bool:
    """Whether a folder above the path is one of those. `memo` keeps what is known, of "" from the beginning."""
    folder = posixpath.dirname(path) if path.count("/") > 1 else ""
    unknown = []
    while folder not in memo:
        unknown.append(folder)
        folder = folder.rpartition("/")[0]
    known = memo[folder]
    for each in reversed(unknown):
        known = memo[each] = known or each in emptied
    return known


def _folders_above(tree: Tree, path: str) -> None:
    """An archive need not name the folders that its files lie in."""
    folder = posixpath.dirname(path)
    while folder not in tree.files and folder != "/":
        tree.files[folder] = File(folder, "directory", 0, bytes)
        folder = posixpath.dirname(folder)


def _absolute(name: str) -> str:
    """A member's name as a path; what would lead out of the root stays in it."""
    return posixpath.normpath("/" + name.lstrip("/"))


def _file(archive: tarfile.TarFile, member: tarfile.TarInfo, path: str, layer: str) -> File:
    def read() -> bytes:
        if member.isreg() and not member.sparse and member.size <= archives.HEADER:
            return archives.read(archive, member)
        source = archive.extractfile(member)
        return b"".join(iter(lambda: source.read(2**20), b"")) if source else b""

    kind: Kind = "file" if member.isreg() else "directory" if member.isdir() else "link" if member.issym() else "other"
    return File(path, kind, member.size, _bounded(path, member.size, read), layer)


def _bounded(path: str, size: int, read: Callable[[], bytes]) -> Callable[[], bytes]:
    """A file that claims to have more than memory is for is not read: it may be made of nothing."""

    def refuse() -> bytes:
        raise GoldsmithError(f"{path} has {size} bytes; at most {LARGEST} are looked into")

    return read if size <= LARGEST else refuse


def _settings(config: dict[str, Any]) -> dict[str, str]:
    """What of an image's configuration may hold a secret."""
    inner = config.get("config") or {}
    found = {}
    for each in inner.get("Env") or []:
        name, _, value = each.partition("=")
        found[f"env:{name}"] = value
    found |= {f"label:{name}": value for name, value in (inner.get("Labels") or {}).items()}
    steps = config.get("history") or []
    return found | {f"history:{number}": step.get("created_by") or "" for number, step in enumerate(steps, 1)}
