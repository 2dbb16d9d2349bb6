# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""An image at rest, read from what `docker save` writes: a tar archive of layers, each a tar archive itself.

Nothing is extracted and nothing is run. The layers are read in order and laid over each other, as the engine would
do it; contents stay in the archive and are read from there.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import posixpath
import shutil
import tarfile
import tempfile

from . import paths
from .digest import BYTE_CODE, CHUNK, of_size
from .tree import BLOCK, CHARACTER, DIRECTORY, FIFO, FILE, LINK, Entry, SourceError, Tree, describe_xattrs

_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
_XATTR = "SCHILY.xattr."
_READ_LIMIT = 64 << 20


class ArchiveError(SourceError):
    """The file is no image archive, or is cut short. The message says which file and what is wrong."""


class _Window(io.RawIOBase):
    """A part of a file, as a file."""

    def __init__(self, source, start, size):
        super().__init__()
        self._source = source
        self._start = start
        self._size = size
        self._at = 0

    def readable(self):
        return True

    def seekable(self):
        return True

    def seek(self, offset, whence=os.SEEK_SET):
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def tell(self):
        return self._at

    def readinto(self, buffer):
        data = os.pread(self._source, max(0, min(len(buffer), self._size - self._at)), self._start + self._at)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


class DockerArchive(Tree):
    """The files of the one image in a `docker save` archive (its layers plain or gzipped).

    Close it, or use it in a `with` block. Raises ArchiveError, and OSError when the file can't be read.
    """

    def __init__(self, name):
        super().__init__()
        self._name = name
        self._file = open(name, "rb")  # noqa: SIM115  # pylint: disable=consider-using-with
        self._spills = []
        try:
            try:
                self._load()
            except (tarfile.TarError, EOFError, ValueError, KeyError, TypeError, gzip.BadGzipFile) as error:
                raise ArchiveError("%s: not a whole image archive (docker save): %s" % (name, error)) from error
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

    # Layers

    def _load(self):
        with tarfile.open(fileobj=self._file, mode="r:") as outer:
            members = {posixpath.normpath(member.name): member for member in outer}
            images = json.loads(self._member(outer, members, "manifest.json").decode("utf-8"))
            if not isinstance(images, list) or len(images) != 1:
                raise ArchiveError("%s: holds %d images; save one at a time" % (self._name, len(images)))
            for layer in images[0]["Layers"]:
                member = self._follow(members, layer)
                self._apply(self._file.fileno(), member.offset_data, member.size)
        if "/" not in self.entries:
            self.entries["/"] = Entry(DIRECTORY, 0o755)
        self._keep()
        self._hash()

    @staticmethod
    def _follow(members, name):
        for _step in range(8):
            member = members[posixpath.normpath(name)]
            if member.isfile():
                return member
            if not (member.issym() or member.islnk()):
                break
            name = (
                posixpath.join(posixpath.dirname(member.name), member.linkname) if member.issym() else member.linkname
            )
        raise ArchiveError("layer %s is not a file" % name)

    def _member(self, outer, members, name):
        if name not in members:
            raise ArchiveError("%s: no %s in it, so it is no image archive (docker save)" % (self._name, name))
        source = outer.extractfile(members[name])
        return source.read() if source else b""

    def _apply(self, source, start, size):
        """Lay one layer over what is there. Whiteouts hide what lower layers brought, never what this one brings."""
        source, start, size = self._plain(source, start, size)
        added = {}
        links = []
        window = io.BufferedReader(_Window(source, start, size), CHUNK)
        with tarfile.open(fileobj=window, mode="r:", encoding="utf-8") as layer:
            for member in layer:
                path = _absolute(member.name)
                folder, _slash, base = path.rpartition("/")
                if base == _OPAQUE:
                    self._remove_below(folder)
                elif base.startswith(_WHITEOUT):
                    self._remove(folder + "/" + base[len(_WHITEOUT) :])
                elif member.islnk():
                    links.append((path, _absolute(member.linkname)))
                elif member.type in _TYPES:
                    added[path] = _entry(member, source, start)
        for path, target in links:
            entry = added.get(target) or self.entries.get(target)
            if entry is None:
                raise ArchiveError("%s: hard link %s leads nowhere" % (self._name, paths.printable(path)))
            added[path] = entry
        self._add(added)

    def _plain(self, source, start, size):
        """Where a layer's tar lies. A gzipped one is unpacked once, into a file that has no name: contents must be
        reachable in any order."""
        if os.pread(source, 2, start) != b"\x1f\x8b":
            return source, start, size
        spill = tempfile.TemporaryFile(prefix="goldsmith-")  # noqa: SIM115  # pylint: disable=consider-using-with
        self._spills.append(spill)
        with gzip.GzipFile(fileobj=io.BufferedReader(_Window(source, start, size), CHUNK)) as packed:
            shutil.copyfileobj(packed, spill, CHUNK)
        spill.flush()
        return spill.fileno(), 0, spill.tell()

    def _add(self, added):
        for path, entry in added.items():
            old = self.entries.get(path)
            if old is not None and old.type == DIRECTORY and entry.type != DIRECTORY:
                self._remove_below(path)
            self.entries[path] = entry

    def _remove(self, path):
        entry = self.entries.pop(path, None)
        if entry is None or entry.type == DIRECTORY:
            self._remove_below(path)

    def _remove_below(self, path):
        prefix = path + "/"
        for each in [each for each in self.entries if each.startswith(prefix) and each != "/"]:
            del self.entries[each]

    # Contents

    def _keep(self):
        """Keep what counts."""
        kept = {}
        folders = {}
        for path, entry in self.entries.items():
            folder = path.rpartition("/")[0]
            if folder not in folders:
                folders[folder] = (
                    _below(folder, paths.volatile),
                    _below(folder, paths.state),
                    paths.directories_only(folder),
                )
            gone, only_identity, only_directories = folders[folder]
            if only_identity and paths.identity_name(path) is None:
                continue
            if gone or paths.volatile(path) or (only_directories and entry.type != DIRECTORY):
                continue
            kept[path] = entry
        self.entries = kept

    def _hash(self):
        """Read each file's contents once, in the order in which they lie."""
        done = {}
        files = [(entry.where, path) for path, entry in self.entries.items() if entry.type == FILE]
        for where, path in sorted(files):
            if path in paths.SECRET:
                continue
            key = (where, path.endswith(BYTE_CODE))
            if key not in done:
                digest = of_size(path, where[2])
                for piece in _pieces(where):
                    digest.update(piece)
                if digest.size != where[2]:
                    raise ArchiveError("%s: cut short within %s" % (self._name, paths.printable(path)))
                done[key] = digest.hexdigest()
            self.entries[path].size = where[2]
            self.entries[path].sha256 = done[key]

    def contents(self, path):
        entry = self.entries.get(path)
        if entry is None or entry.where is None or entry.where[2] > _READ_LIMIT:
            return None
        return b"".join(_pieces(entry.where))


def _below(folder, kind):
    while folder:
        if kind(folder):
            return True
        folder = folder.rpartition("/")[0]
    return False


def _pieces(where):
    source, at, left = where
    while left > 0:
        piece = os.pread(source, min(left, CHUNK), at)
        if not piece:
            return
        yield piece
        at += len(piece)
        left -= len(piece)


def _absolute(name):
    """A member's name as a path in the image; what would lead out of it stays at its root."""
    return posixpath.normpath("/" + name.lstrip("/"))


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


def _entry(member, source, start):
    kind = _TYPES[member.type]
    entry = Entry(kind, member.mode & 0o7777, member.uid, member.gid)
    if kind == FILE:
        entry.where = (source, start + member.offset_data, member.size)
    elif kind == LINK:
        entry.target = member.linkname
    elif kind in (CHARACTER, BLOCK):
        entry.device = "%d:%d" % (member.devmajor, member.devminor)
    raw = {
        name[len(_XATTR) :]: value.encode("utf-8", "surrogateescape")
        for name, value in member.pax_headers.items()
        if name.startswith(_XATTR)
    }
    if raw:
        entry.xattrs = describe_xattrs(raw)
    return entry
