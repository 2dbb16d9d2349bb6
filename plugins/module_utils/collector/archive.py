# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""An image at rest, read from what `docker save` writes (a tar archive of layers, each a tar archive itself), or from a
tar archive of a root file system.

Nothing is extracted and nothing is run. The layers are read in order and laid over each other, as the engine would
do it; contents stay in the archive and are read from there. An archive may come from anywhere: what it claims is
checked, and what it could mean in two ways is an error.
"""

from __future__ import annotations

import copy
import gzip
import io
import json
import os
import posixpath
import tarfile
import tempfile

from . import members, paths
from .attributes import describe_xattrs
from .digest import BYTE_CODE, CHUNK, of_size
from .tree import BLOCK, CHARACTER, DIRECTORY, FIFO, FILE, LINK, Entry, SourceError, Tree

_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
_ENGINES_OWN = ".wh..wh."
_READ_LIMIT = 64 << 20
# A hostile archive must neither fill a disk nor take for ever.
_ALWAYS = 1 << 30  # bytes to which any gzipped layer may unpack
_RATIO = 200  # times its own size to which a larger one may
_MOST = 64 << 30  # bytes beyond which none may
_HOLES = 16 << 30  # bytes that sparse files may have without having them in the archive
_LAYERS = 500
_LONGEST = 4096  # PATH_MAX: no machine opens a longer path


class ArchiveError(SourceError):
    """The file is no image archive, or is cut short. The message says which file and what is wrong."""


class _Archive(Tree):
    """The files of a system in an archive.

    Close it, or use it in a `with` block. Raises ArchiveError, and OSError when the file can't be read.
    """

    WHAT = ""

    def __init__(self, name):
        super().__init__()
        self._name = name
        self._file = open(name, "rb")  # noqa: SIM115  # pylint: disable=consider-using-with
        self._spills = []
        self._holes = 0
        self._access_lists = 0
        self._digests = {}  # by place, and whether it is byte code
        try:
            try:
                self._load()
                self._finish()
            except members.BROKEN as error:
                raise ArchiveError("%s: not a whole %s: %s" % (name, self.WHAT, error)) from error
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        self.close()

    def close(self):
        for each in [self._file, *self._spills]:
            each.close()

    def _load(self):
        raise NotImplementedError

    def _finish(self):
        if "/" not in self.entries:
            self.entries["/"] = Entry(DIRECTORY, 0o755)
        if self._access_lists:
            self.warnings.append("access lists of %d paths are in a form that is not read" % self._access_lists)
        self._keep()
        self._hash()

    # Layers

    def _apply(self, source, start, size, whiteouts=True):
        """Lay one layer over what is there. Whiteouts hide what lower layers brought, never what this one brings."""
        source, start, size = self._plain(source, start, size)
        added = {}
        gone = set()
        emptied = set()
        for member in self._members(source, start, size):
            path = self._path(member.name)
            folder, _slash, base = path.rpartition("/")
            if whiteouts and base == _OPAQUE:
                emptied.add(folder)
            elif whiteouts and base.startswith(_WHITEOUT):
                if not base.startswith(_ENGINES_OWN):
                    gone.add(folder + "/" + base[len(_WHITEOUT) :])
            else:
                added[path] = self._linked(member, path, added) if member.islnk() else self._entry(
                    member, path, source, start
                )  # fmt: skip
        self._check(added)
        self._hide(gone, emptied | gone | {path for path, entry in added.items() if entry.type != DIRECTORY})
        self._add(added)

    def _members(self, source, start, size):
        """All members of a layer."""
        window = members.Guarded(members.Window(source, start, size), CHUNK)
        with tarfile.open(fileobj=window, mode="r:", encoding="utf-8") as layer:
            yield from members.each(layer)

    def _path(self, name):
        """A member's name as a path in the image; what would lead out of it stays at its root."""
        if len(name) > _LONGEST:
            raise ArchiveError("%s: has a name of %d characters" % (self._name, len(name)))
        return posixpath.normpath("/" + name.lstrip("/"))

    def _linked(self, member, path, added):
        """A hard link is what its target is at that moment: a later member of the target's name is another file."""
        target = self._path(member.linkname)
        entry = added.get(target) or self.entries.get(target)
        if entry is None or entry.type == DIRECTORY:
            raise ArchiveError("%s: hard link %s leads nowhere" % (self._name, paths.printable(path)))
        entry.inode = entry.inode or object()
        return copy.copy(entry)

    def _entry(self, member, path, source, start):
        kind = _TYPES.get(member.type)
        if kind is None:
            raise ArchiveError("%s: %s is of no type that is known" % (self._name, paths.printable(path)))
        entry = Entry(kind, member.mode & 0o7777, member.uid, member.gid)
        if kind == FILE:
            self._check_sparse(member, path)
            entry.where = _place(member, source, start)
        elif kind == LINK:
            entry.target = member.linkname
        elif kind in (CHARACTER, BLOCK):
            entry.device = "%d:%d" % (member.devmajor, member.devminor)
        if any(name.startswith(members.ACCESS_LIST) for name in member.pax_headers):
            self._access_lists += 1
        raw = members.xattrs(member.pax_headers)
        if raw:
            entry.xattrs = describe_xattrs(raw)
        return entry

    def _check_sparse(self, member, path):
        """What a sparse file says of itself must be in order, and not be made of nothing without end."""
        at = 0
        stored = 0
        for offset, length in member.sparse or [(0, member.size)]:
            if offset < at or length < 0 or offset + length > member.size:
                raise ArchiveError("%s: the map of %s is broken" % (self._name, paths.printable(path)))
            at = offset + length
            stored += length
        self._holes += member.size - stored
        if self._holes > _HOLES:
            raise ArchiveError(
                "%s: its sparse files claim to be more than %d GiB larger than what is in them"
                % (self._name, _HOLES >> 30)
            )

    def _check(self, added):
        """A path below something that is no folder could mean two things."""
        seen = set()
        for path in added:
            folder = path.rpartition("/")[0]
            while folder not in seen:
                seen.add(folder)
                above = added.get(folder or "/")
                if above is not None and above.type != DIRECTORY and path != "/":
                    where = (self._name, paths.printable(path), paths.printable(folder or "/"))
                    raise ArchiveError("%s: %s lies below %s, which is no folder" % where)
                folder = folder.rpartition("/")[0]
        if "/" in added and added["/"].type != DIRECTORY:
            raise ArchiveError("%s: its root is no folder" % self._name)

    def _hide(self, gone, emptied):
        """Take away the paths that are gone, and all below the folders that are emptied."""
        if not (gone or emptied):
            return
        memo = {"": ("" in emptied,)}
        for path in list(self.entries):
            if path != "/" and (path in gone or _inherited(memo, path, lambda each: (each in emptied,))[0]):
                del self.entries[path]

    def _add(self, added):
        """An archive need not name the folders that its files lie in."""
        entries = self.entries
        for path in list(added):
            folder = path.rpartition("/")[0]
            while folder and folder not in added:
                if folder in entries and entries[folder].type == DIRECTORY:
                    break
                added[folder] = Entry(DIRECTORY, 0o755)
                folder = folder.rpartition("/")[0]
        entries.update(added)

    def _plain(self, source, start, size):
        """Where a layer's tar lies. A gzipped one is unpacked once, into a file that has no name: contents must be
        reachable in any order."""
        if os.pread(source, 2, start) != b"\x1f\x8b":
            return source, start, size
        limit = max(_ALWAYS, min(_MOST, _RATIO * size))
        spill = tempfile.TemporaryFile(prefix="goldsmith-")  # noqa: SIM115  # pylint: disable=consider-using-with
        self._spills.append(spill)
        with gzip.GzipFile(fileobj=io.BufferedReader(members.Window(source, start, size), CHUNK)) as packed:
            while True:
                piece = packed.read(CHUNK)
                if not piece:
                    break
                if spill.tell() + len(piece) > limit:
                    raise ArchiveError(
                        "%s: unpacks to more than %d MiB, which is no honest archive" % (self._name, limit >> 20)
                    )
                spill.write(piece)
        spill.flush()
        return spill.fileno(), 0, spill.tell()

    # Contents

    def _keep(self):
        """Keep what counts."""
        kept = {}
        memo = {"": (False, False)}
        directories_only = {}
        for path, entry in self.entries.items():
            folder = path.rpartition("/")[0]
            if folder not in directories_only:
                directories_only[folder] = paths.directories_only(folder)
            gone, only_identity = _inherited(memo, path, lambda each: (paths.volatile(each), paths.state(each)))
            only_directories = directories_only[folder]
            if only_identity and paths.identity_name(path) is None:
                continue
            if gone or paths.volatile(path) or (only_directories and entry.type != DIRECTORY):
                continue
            kept[path] = entry
        self.entries = kept

    def _hash(self):
        """Read each file's contents once, in the order in which they lie."""
        files = [(entry.where, path) for path, entry in self.entries.items() if entry.type == FILE]
        for where, path in sorted(files):
            if path in paths.SECRET:
                continue
            self.entries[path].size = where[2]
            self.entries[path].sha256 = self._digest(where, path)

    def _digest(self, where, path):
        key = (where, path.endswith(BYTE_CODE))
        if key not in self._digests:
            digest = of_size(path, where[2])
            for piece in members.pieces(where):
                digest.update(piece)
            if digest.size != where[2]:
                raise ArchiveError("%s: cut short within %s" % (self._name, paths.printable(path)))
            self._digests[key] = digest.digest()
        return self._digests[key]

    def contents(self, path):
        entry = self.entries.get(path)
        if entry is None or entry.where is None or entry.where[2] > _READ_LIMIT:
            return None
        return b"".join(members.pieces(entry.where))


class DockerArchive(_Archive):
    """The files of the one image in a `docker save` archive (its layers plain or gzipped).

    If it is being written, its first `ready` bytes are plain layers: these are read at once, and stay as they are. The
    rest is read when `whole` has returned.
    """

    WHAT = "image archive (docker save)"

    def __init__(self, name, ready=0, whole=None):
        self._ready = ready
        self._whole = whole
        self._known = {}  # members of layers, by where these begin
        super().__init__(name)

    def _load(self):
        if self._ready:
            self._ahead()
            self._whole()
        with tarfile.open(
            fileobj=members.Guarded(members.Window(self._file.fileno(), 0, _size(self._file))), mode="r:"
        ) as outer:
            found = {posixpath.normpath(member.name): member for member in members.each(outer)}
            images = json.loads(self._member(outer, found, "manifest.json").decode("utf-8"))
        if not isinstance(images, list) or len(images) != 1:
            raise ArchiveError("%s: holds %d images; save one at a time" % (self._name, len(images)))
        if len(images[0]["Layers"]) > _LAYERS:
            raise ArchiveError("%s: has more than %d layers" % (self._name, _LAYERS))
        for layer in images[0]["Layers"]:
            member = self._follow(found, layer)
            self._apply(self._file.fileno(), member.offset_data, member.size)

    def _members(self, source, start, size):
        return self._known.get(start) or super()._members(source, start, size)

    def _ahead(self):
        """Read the layers that are there."""
        source = self._file.fileno()
        with tarfile.open(fileobj=members.Window(source, 0, self._ready), mode="r:") as outer:
            for layer in outer:
                start = layer.offset_data
                self._known[start] = list(self._members(source, start, layer.size))
                for member in self._known[start]:
                    if member.isreg():
                        self._digest(_place(member, source, start), member.name)

    @staticmethod
    def _follow(found, name):
        for _step in range(8):
            member = found[posixpath.normpath(name)]
            if member.isfile():
                return member
            if not (member.issym() or member.islnk()):
                break
            name = (
                posixpath.join(posixpath.dirname(member.name), member.linkname) if member.issym() else member.linkname
            )
        raise ArchiveError("layer %s is not a file" % name)

    def _member(self, outer, found, name):
        if name not in found:
            raise ArchiveError("%s: no %s in it, so it is no image archive (docker save)" % (self._name, name))
        if found[name].size > members.HEADER:
            raise ArchiveError("%s: its %s has %d bytes" % (self._name, name, found[name].size))
        source = outer.extractfile(found[name])
        return source.read() if source else b""


class RootArchive(_Archive):
    """The files in a tar archive of a root file system (plain or gzipped)."""

    WHAT = "tar archive"

    def _load(self):
        self._apply(self._file.fileno(), 0, _size(self._file), whiteouts=False)


def _place(member, source, start):
    """Where the contents of a file in a layer are, as members.pieces takes it."""
    return source, start + member.offset_data, member.size, member.sparse and tuple(member.sparse)


def _size(file):
    return os.fstat(file.fileno()).st_size


def _inherited(memo, path, own):
    """What a path has of all the folders above it: true or false each, as `own` says of one folder.

    `memo` keeps what is known: of "", the root, from the beginning.
    """
    folder = path.rpartition("/")[0]
    unknown = []
    while folder not in memo:
        unknown.append(folder)
        folder = folder.rpartition("/")[0]
    known = memo[folder]
    for each in reversed(unknown):
        both = zip(known, own(each))  # noqa: B905 - Python 3.8 knows no strict
        known = memo[each] = tuple(above or here for above, here in both)
    return known


_TYPES = {
    tarfile.REGTYPE: FILE,
    tarfile.AREGTYPE: FILE,
    tarfile.CONTTYPE: FILE,
    tarfile.GNUTYPE_SPARSE: FILE,
    tarfile.DIRTYPE: DIRECTORY,
    tarfile.SYMTYPE: LINK,
    tarfile.CHRTYPE: CHARACTER,
    tarfile.BLKTYPE: BLOCK,
    tarfile.FIFOTYPE: FIFO,
}
