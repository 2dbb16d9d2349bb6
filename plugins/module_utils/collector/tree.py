# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""A machine's files, wherever they lie: what every section is made from.

`Tree` is an index of entries by absolute path, and their contents on request. `DirectoryTree` fills it from a root
directory in one pass; `archive.py` does so from an image archive.
"""

from __future__ import annotations

import errno
import functools
import os
import stat
import sys

from . import attributes, cache, digest, paths

FILE = "file"
DIRECTORY = "directory"
LINK = "link"
CHARACTER = "character"
BLOCK = "block"
FIFO = "fifo"
MOUNT = "mount"

_TYPES = {
    stat.S_IFREG: FILE,
    stat.S_IFDIR: DIRECTORY,
    stat.S_IFLNK: LINK,
    stat.S_IFCHR: CHARACTER,
    stat.S_IFBLK: BLOCK,
    stat.S_IFIFO: FIFO,
}

_MAX_LINKS = 40
_ATTEMPTS = 3
_IDENTITY = ("st_dev", "st_ino", "st_size", "st_mtime_ns", "st_ctime_ns")
_READ_LIMIT = 64 << 20


class SourceError(Exception):
    """What should hold a machine's files does not, or is cut short. The message says which file and what is wrong."""


class Entry:
    """One path: type, permission bits, numeric owners, and what its type has (size, sha256 in bytes, target, device).

    Paths that are one inode share `inode`. `mode` is None of what could not be looked at. `package` brings the path.
    """

    # There may be a million: what most have lies in the object itself, and what few have makes it a dictionary.
    __slots__ = ("__dict__", "gid", "mode", "package", "sha256", "size", "type", "uid", "where")

    target = device = xattrs = flags = inode = None
    unreadable = False

    def __init__(self, kind, mode=0, uid=0, gid=0):
        self.type = kind
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.size = None
        self.sha256 = None
        self.package = None
        self.where = None

    def keep(self, xattrs, flags):
        """Its extended attributes and flags, None where there are none."""
        if xattrs is not None:
            self.xattrs = xattrs
        if flags is not None:
            self.flags = flags


class Tree:
    """An index of entries, with links resolved as the machine itself would: never out of its root."""

    def __init__(self):
        self.entries = {}
        self.warnings = []
        self._children = None

    def contents(self, path):
        """The bytes of the file at a path that holds no link, or None. Each kind of tree has its own."""
        raise NotImplementedError

    def children(self, path):
        """The names in a directory (no link in its path), sorted."""
        if self._children is None:
            index = {}
            for each in self.entries:
                parent, _slash, name = each.rpartition("/")
                if name:
                    index.setdefault(parent or "/", []).append(each)
            self._children = index
        return sorted(each.rpartition("/")[2] for each in self._children.get(path, ()))

    def resolve(self, path):
        """The path with all links followed, or None where it leads nowhere."""
        todo = [part for part in reversed(path.split("/")) if part]
        done = []
        links = 0
        while todo:
            part = todo.pop()
            if part == ".":
                continue
            if part == "..":
                del done[-1:]
                continue
            here = "/" + "/".join([*done, part])
            entry = self.entries.get(here)
            if entry is None:
                return None
            if entry.type != LINK:
                done.append(part)
                continue
            links += 1
            if links > _MAX_LINKS:
                return None
            if entry.target.startswith("/"):
                done = []
            todo += [step for step in reversed(entry.target.split("/")) if step]
        return "/" + "/".join(done)

    def entry(self, path):
        """The entry that a path leads to, links followed, or None."""
        real = self.resolve(path)
        return None if real is None else self.entries.get(real)

    def read(self, path):
        """The bytes of the file that a path leads to, or None if there is none that can be read."""
        real = self.resolve(path)
        if real is None or self.entries[real].type not in (FILE, MOUNT):
            return None
        return self.contents(real)

    def text(self, path):
        """As `read`, as text; bytes that are not UTF-8 are kept apart (surrogates). Empty if there is none."""
        return (self.read(path) or b"").decode("utf-8", "surrogateescape")


class DirectoryTree(Tree):
    """The files below a root directory, read in one pass.

    It keeps out of whatever else is mounted there (recorded as a mount, not entered), follows no link, and takes a
    directory that is replaced while it looks as gone. Sockets are left out: they exist while a program runs.
    `kept` is what the last look found (see cache.py): what is in it is not read. `opened` has the paths that sections
    asked for the contents of and, of mounts, the digests of what they got.
    """

    def __init__(self, root="/", kept=None):
        super().__init__()
        self._cache = kept
        self.opened = {}
        self.root = os.path.realpath(root)
        self._mounts = mount_points(self.root, read_mounts())
        self._decode = None if sys.getfilesystemencoding().lower() in ("utf-8", "utf8") else _as_utf8
        self._flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        self._proc = os.path.isdir("/proc/self/fd")
        self._noatime = getattr(os, "O_NOATIME", 0)
        self._walk()

    def _real(self, path):
        return path if self.root == "/" else self.root + path

    def contents(self, path):
        data = self._read(path)
        got = self.opened.setdefault(path, set())
        if self.entries[path].type == MOUNT:
            got.add(digest.of_bytes(data or b""))
        return data

    def _read(self, path):
        try:
            handle = self._open(self._real(path))
        except OSError:
            return None
        try:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                return None
            pieces = []
            left = _READ_LIMIT
            while left > 0:
                piece = os.read(handle, min(digest.CHUNK, left))
                if not piece:
                    break
                pieces.append(piece)
                left -= len(piece)
            return b"".join(pieces)
        except OSError:
            return None
        finally:
            os.close(handle)

    def _open(self, name, folder=None, extra=0):
        """Open for reading; without touching its access time where we may (its owner and root may)."""
        try:
            return os.open(name, self._flags | extra | self._noatime, dir_fd=folder)
        except PermissionError:
            return os.open(name, self._flags | extra, dir_fd=folder)

    def _walk(self):
        top = os.stat(self.root)
        root = Entry(DIRECTORY, stat.S_IMODE(top.st_mode), top.st_uid, top.st_gid)
        self.entries["/"] = root
        pending = [("", root, (top.st_dev, top.st_ino))]
        while pending:
            prefix, entry, identity = pending.pop()
            try:
                folder = self._open(self._real(prefix or "/"), extra=os.O_DIRECTORY)
            except OSError as error:
                self._failed(prefix or "/", entry, error)
                continue
            try:
                now = os.fstat(folder)
                if (now.st_dev, now.st_ino) != identity:
                    self.entries.pop(prefix, None)
                    continue
                self._folder(folder, entry, now)
                self._scan(folder, prefix, pending)
            except OSError as error:
                self._failed(prefix or "/", entry, error)
            finally:
                os.close(folder)

    def _folder(self, folder, entry, info):
        """Fill in an open folder's extended attributes and flags."""
        key = self._cache and self._cache.key(info)
        known = key and self._cache.get(key)
        xattrs, flags = known[1:3] if known else attributes.of_handle(folder)
        entry.keep(xattrs, flags)
        if key and not known:
            self._cache.put(key, info, (cache.NOTHING, xattrs, flags, None))

    def _scan(self, folder, prefix, pending):
        entries = self.entries
        mounts = self._mounts
        decode = self._decode
        volatile = paths.volatile_names(prefix)
        only_directories = paths.directories_only(prefix)
        only_identity = paths.state(prefix)
        with os.scandir(folder) as scan:
            for found in scan:
                name = found.name if decode is None else decode(found.name)
                path = prefix + "/" + name
                if name in volatile or (only_identity and paths.identity_name(path) is None):
                    continue
                if path in mounts:
                    entries[path] = Entry(MOUNT)
                    continue
                try:
                    info = found.stat(follow_symlinks=False)
                except OSError as error:
                    entries[path] = Entry(_type_of(found), None)
                    self._failed(path, entries[path], error)
                    continue
                kind, mode = kind_and_mode(info.st_mode)
                if kind is None or (only_directories and kind != DIRECTORY):
                    continue
                entry = Entry(kind, mode, info.st_uid, info.st_gid)
                if kind == DIRECTORY:
                    pending.append((path, entry, (info.st_dev, info.st_ino)))
                elif not self._look(folder, found.name, path, entry, info):
                    continue
                entries[path] = entry

    def _look(self, folder, name, path, entry, info):
        """Fill in what the entry's type has; False when it is gone."""
        if info.st_nlink > 1:
            entry.inode = (info.st_dev, info.st_ino)
        if entry.type == FILE:
            return self._file(folder, name, path, entry, info)
        try:
            if entry.type == LINK:
                self._link(folder, name, path, entry, info)
            else:
                entry.keep(attributes.xattrs(self._beside(folder, path) + name), None)
        except OSError as error:
            return self._failed(path, entry, error)
        if entry.type in (CHARACTER, BLOCK):
            entry.device = "%d:%d" % (os.major(info.st_rdev), os.minor(info.st_rdev))
        return True

    def _link(self, folder, name, path, entry, info):
        """Fill in where a link leads, and its extended attributes."""
        key = self._cache and self._cache.key(info)
        known = key and self._cache.get(key)
        if known:
            entry.target = known[3]
            entry.keep(known[1], None)
            return
        xattrs = attributes.xattrs(self._beside(folder, path) + name)
        target = os.readlink(name, dir_fd=folder)
        entry.target = target if self._decode is None else self._decode(target)
        entry.keep(xattrs, None)
        if key and _unchanged(info, os.stat(name, dir_fd=folder, follow_symlinks=False)):
            self._cache.put(key, info, (cache.NOTHING, xattrs, None, entry.target))

    def _beside(self, folder, path):
        """The open folder of a path, as the beginning of a path."""
        return "/proc/self/fd/%d/" % folder if self._proc else self._real(path.rpartition("/")[0]) + "/"

    def _file(self, folder, name, path, entry, info):
        """Fill in size, digest, extended attributes and flags; False when the file is gone."""
        secret = path in paths.SECRET
        kept = None if secret else self._cache
        byte_code = name.endswith(digest.BYTE_CODE)
        known = kept and kept.get(kept.key(info, byte_code))
        if known:
            entry.size = info.st_size
            entry.sha256, xattrs, flags, _target = known
            entry.keep(xattrs, flags)
            return True
        try:
            handle = self._open(name, folder)
        except OSError as error:
            entry.size = None if secret else info.st_size
            return error.errno not in (errno.ELOOP, errno.ENXIO) and self._failed(path, entry, error)
        try:
            for _attempt in range(_ATTEMPTS):
                contents = digest.of_size(name, info.st_size)
                if not secret:
                    digest.read(handle, contents, info.st_size)
                xattrs, flags = attributes.of_handle(handle)
                after = os.fstat(handle)
                if not stat.S_ISREG(after.st_mode):
                    return False
                if _unchanged(info, after) and (secret or contents.size == info.st_size):
                    break
                info = after
                entry.mode, entry.uid, entry.gid = stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid
                entry.inode = (info.st_dev, info.st_ino) if info.st_nlink > 1 else None
                os.lseek(handle, 0, os.SEEK_SET)
            else:
                entry.keep(xattrs, flags)
                entry.unreadable = True
                self.warnings.append("%s: changes while it is read" % paths.printable(path))
                return True
        except OSError as error:
            return self._failed(path, entry, error)
        finally:
            os.close(handle)
        entry.keep(xattrs, flags)
        if not secret:
            entry.size = info.st_size
            entry.sha256 = contents.digest()
        if kept:
            kept.put(kept.key(info, byte_code), info, (entry.sha256, xattrs, flags, None))
        return True

    def _failed(self, path, entry, error):
        """Note that something can't be read. False when it is gone, and with it its entry."""
        if error.errno == errno.ENOENT:
            self.entries.pop(path, None)
            return False
        entry.unreadable = True
        self.warnings.append("%s: can't be read: %s" % (paths.printable(path), error.strerror))
        return True


@functools.lru_cache(maxsize=4096)
def kind_and_mode(mode):
    """(type, permission bits) of a stat's mode: thousands have one, which is held once."""
    return _TYPES.get(stat.S_IFMT(mode)), stat.S_IMODE(mode)


def _unchanged(before, after):
    return all(getattr(before, name) == getattr(after, name) for name in _IDENTITY)


def _type_of(found):
    """The type of what can be listed and not be looked at, as far as the folder says it."""
    if found.is_symlink():
        return LINK
    return DIRECTORY if found.is_dir(follow_symlinks=False) else FILE


def _as_utf8(name):
    return os.fsencode(name).decode("utf-8", "surrogateescape")


def read_mounts():
    """/proc/self/mountinfo's bytes; empty where there is none."""
    try:
        with open("/proc/self/mountinfo", "rb") as source:
            return source.read()
    except OSError:
        return b""


def mount_points(root, mountinfo):
    """Where something is mounted below a root, as paths in that root, from /proc/self/mountinfo's bytes.

    ("/srv/image", b"36 35 98:0 / /srv/image/home rw - ext4 /dev/sda1 rw\\n") → {"/home"}
    """
    prefix = "" if root == "/" else root
    points = set()
    for line in mountinfo.split(b"\n"):
        fields = line.split(b" ")
        if len(fields) < 5:
            continue
        raw = fields[4]
        if b"\\" in raw:
            for code, byte in ((b"\\040", b" "), (b"\\011", b"\t"), (b"\\012", b"\n"), (b"\\134", b"\\")):
                raw = raw.replace(code, byte)
        point = raw.decode("utf-8", "surrogateescape")
        if point.startswith(prefix + "/") and len(point) > len(prefix) + 1:
            points.add(point[len(prefix) :])
    return points
