# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Whether a machine's files are what they were at the last collection: then its sections are those of then.

Sections are made from what the walk over the files sees, and from what it and they read. So a collection that tells
only what differs (`--expect`, `--record`) leaves behind which paths it saw, a digest of what stat said of each, and its
answer. The next one asks for each path's stat. Where all is the same, files, folders and links were not changed
since: a folder that got, lost or renamed something has another time of change, and so has whatever was written,
or given another mode, owner, attribute or flag. Only identity and what runs are made anew then.

What times of change prove, and when they don't, stands in cache.py; the same holds here:

- one boot, one clock (looked at again at the end of the collection), and a file system that keeps its own times;
- a time of change less than a minute before the collection began proves nothing. A few files with such a time, which
  services touch all day, are read each time, and compared with what the collection found in them. With any other such
  path nothing is kept;
- by the stats at its end the collection shows that nothing changed while it ran. A mount, which has no time of change,
  must be where it was, and nothing else be mounted on a path that was seen; the kernel says whether anything was
  mounted or unmounted during the collection. What sections read of a mounted file is read and compared each time.

What another version of the collector or of Python kept, is not looked at; nor is anything kept where something could
not be read.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import itertools
import json
import operator
import os
import select
import struct
import sys
import time

from . import LIVE, SCHEMA, cache, identity, paths, runtime
from .canonical import canonical
from .tree import LINK, MOUNT, DirectoryTree, Entry, kind_and_mode, mount_points

PATH = "/run/goldsmith/unchanged"

# Raise it with any change of this form.
_MAGIC = b"goldsmith unchanged 1\n"
_TIME_OF_CHANGE = -1
_STAT = operator.attrgetter(
    "st_dev", "st_ino", "st_mode", "st_nlink", "st_uid", "st_gid", "st_rdev", "st_size", "st_mtime_ns", "st_ctime_ns"
)
_PACKED = struct.Struct("<QQIQIIQQqq")
_LENGTH = struct.Struct("<I")

# Something is gone, or is not as it must be; or a time lies beyond the year 2262, the last that fits.
_NOT_KEPT = (OSError, ValueError, struct.error)

# How many files are read each time, and how many bytes of each, at most.
_FRESH = 16
_FRESH_SIZE = 1 << 20


def begin(sources, root="/", path=PATH):
    """A look at a machine's root by a collector with that digest of its sources; None where times can't be relied on,
    or we are not root."""
    try:
        mounts = os.open("/proc/self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    look = Look([sources, sys.version], mounts, root, path)
    return look if look.usable else None


class Look:
    """One collection, from before anything is looked at."""

    def __init__(self, made_by, mounts, root, path):
        self._made_by = made_by
        self._mounts = mounts
        self._root = root
        self._path = path
        mountinfo = b"".join(iter(lambda: os.read(mounts, 1 << 20), b""))
        self._points = mount_points(root, mountinfo)
        self._settled = time.time_ns() - cache.SETTLED
        self._state = cache.current()
        self.usable = os.geteuid() == 0 and self._state is not None and cache.usable(mountinfo)

    def found(self, asked="", expected=None):
        """The manifest, if the files are what they were and the last collection's answer will do; else None.

        Its `sections` are as expect.py tells what differs from what is `expected`, for which `asked` stands.
        """
        try:
            kept, seen = _parse(cache.read(self._path))
            if kept["made_by"] != self._made_by or not cache.holds(kept["state"], self._state):
                return None
            as_expected = expected is None or kept["digest"] == expected["digest"]
            if not as_expected and kept["asked"] != asked:
                return None
            tree = _Seen(self._root, seen, kept["fresh"], kept["mounts"])
            if not self._unchanged(kept, tree):
                return None
        except _NOT_KEPT:
            return None
        warnings = []
        return {
            "schema": SCHEMA,
            "scope": LIVE,
            "digest": kept["digest"],
            "sections": None if as_expected else kept["sections"],
            "identity": identity.collect(tree),
            "runtime": runtime.collect(tree, warnings),
            "warnings": sorted(warnings),
        }

    def _unchanged(self, kept, tree):
        mounts = kept["mounts"]
        return (
            all(point in mounts or not tree.has(point) for point in self._points)
            and self._points.issuperset(mounts)
            and _digest(self._root, tree.seen) == kept["stats"]
            and all(_facts(tree.look(path)) == facts for path, facts in kept["fresh"].items())
            and all(tree.digest(path) == told for path, told in mounts.items() if told)
            and not tree.warnings
        )

    def keep(self, tree, digest, asked="", sections=None):
        """Leave what a collection found for the next one: the tree, the manifest's digest, and what `found` is asked.

        Not if something could not be read, or might have changed in a way that the next one could not see.
        """
        with contextlib.suppress(*_NOT_KEPT):
            kept, seen = self._kept(tree)
            kept.update(digest=digest, asked=asked, sections=sections)
            cache.write(self._path, _dump(kept, seen))

    def _kept(self, tree):
        if tree.warnings:
            raise ValueError("something could not be read")
        mounts = {path: _only(tree.opened.get(path)) for path, entry in tree.entries.items() if entry.type == MOUNT}
        if not paths.SECRET.isdisjoint(mounts):
            raise ValueError("a secret is mounted")
        seen, fresh = {}, {}
        for path in tree.entries:
            if path not in mounts:
                folder, name = _place(path)
                seen.setdefault(folder, []).append(name)
        whole = hashlib.sha256()
        for folder, stats in _stats(self._root, seen):
            names, settled = [], []
            for at, told in enumerate(stats):
                name = seen[folder][at]
                if told[_TIME_OF_CHANGE] < self._settled:
                    names.append(name)
                    settled.append(told)
                else:
                    path = _path(folder, name)
                    fresh[path] = _facts(tree.entries[path])
            seen[folder] = names
            whole.update(_packed(settled))
        if len(fresh) > _FRESH or not tree.opened.keys().isdisjoint(fresh):
            raise ValueError("too much changed just now")
        # The kernel says so once something was mounted or unmounted since this was opened.
        if select.select([], [], [self._mounts], 0)[2] or not cache.holds(self._state, cache.current()):
            raise ValueError("mounts or the clock changed")
        return {
            "made_by": self._made_by,
            "state": self._state,
            "stats": whole.hexdigest(),
            "fresh": fresh,
            "mounts": mounts,
        }, seen


class _Seen(DirectoryTree):
    """The same files, each looked at when somebody asks for it. What goes through all of them can't be made from it."""

    def __init__(self, root, seen, fresh, mounts):
        """`seen`: names by folder, as `_stats` takes them."""
        self.seen = seen
        self._fresh = fresh
        self._mounted = mounts
        super().__init__(root)

    def _walk(self):
        self.entries = _Entries(self._entry)

    def has(self, path):
        """Did the last collection see such a path?"""
        folder, name = _place(path)
        return path in self._mounted or path in self._fresh or name in self.seen.get(folder, ())

    def children(self, path):
        names = [_text(name) for name in self.seen.get(_bytes(path), ()) if name != b"."]
        others = [each.rpartition("/") for each in itertools.chain(self._mounted, self._fresh)]
        return sorted(names + [name for folder, _slash, name in others if (folder or "/") == path])

    def _entry(self, path):
        if path in self._mounted:
            return Entry(MOUNT)
        if not self.has(path):
            return None
        try:
            where = _bytes(self._real(path))
            info = os.lstat(where)
            entry = Entry(*kind_and_mode(info.st_mode), info.st_uid, info.st_gid)
            if entry.type == LINK:
                entry.target = _text(os.readlink(where))
        except OSError:
            return None
        return entry

    def look(self, path):
        """The whole entry, of a file with its digest."""
        parent, _slash, name = path.rpartition("/")
        folder = self._open(self._real(parent or "/"), extra=os.O_DIRECTORY)
        try:
            info = os.stat(name, dir_fd=folder, follow_symlinks=False)
            entry = Entry(*kind_and_mode(info.st_mode), info.st_uid, info.st_gid)
            self._look(folder, name, path, entry, info)
            return entry
        finally:
            os.close(folder)

    def digest(self, path):
        """As the digests in `opened`."""
        self.contents(path)
        return _only(self.opened[path])


class _Entries:
    """Entries by path, each made once."""

    def __init__(self, make):
        self.get = functools.lru_cache(maxsize=None)(make)

    def __getitem__(self, path):
        return self.get(path)


def _bytes(path):
    return path.encode("utf-8", "surrogateescape")


def _text(path):
    return path.decode("utf-8", "surrogateescape")


def _place(path):
    """A path's folder and its name there, as bytes."""
    folder, _slash, name = _bytes(path).rpartition(b"/")
    return folder or b"/", name or b"."


def _path(folder, name):
    """The other way round."""
    return _text((b"" if folder == b"/" else folder) + b"/" + (b"" if name == b"." else name))


def _stats(root, seen):
    """Each folder, and what stat says of each name in it, as `_STAT` has it: to be taken before the next folder.

    Names are looked up from their folder, which takes a third less time than whole paths. Raises OSError where one is
    gone.
    """
    prefix = b"" if root == "/" else _bytes(root)
    try:
        for folder, names in seen.items():
            os.chdir(prefix + folder)
            yield folder, map(_STAT, map(os.lstat, names))
    finally:
        os.chdir("/")


def _packed(stats):
    return b"".join(itertools.starmap(_PACKED.pack, stats))


def _digest(root, seen):
    """One digest (hex) of all stats."""
    whole = hashlib.sha256()
    for _folder, stats in _stats(root, seen):
        whole.update(_packed(stats))
    return whole.hexdigest()


def _facts(entry):
    """All that a collection takes from a file that no section reads. ValueError of what is none, or a large one."""
    if entry.sha256 is None or entry.size > _FRESH_SIZE:
        raise ValueError("changed just now, and no small file")
    return [entry.mode, entry.uid, entry.gid, entry.size, entry.sha256.hex(), entry.xattrs, entry.flags]


def _only(digests):
    """The one of them, None where there is none; ValueError where the contents changed from one reading to the next."""
    if digests and len(digests) > 1:
        raise ValueError("changed while it was read")
    return next(iter(digests), None) if digests else None


def _dump(kept, seen):
    head = canonical(kept).encode("ascii")
    groups = [b"\0".join([folder, *names]) for folder, names in seen.items()]
    return cache.sealed(_MAGIC, _LENGTH.pack(len(head)) + head + b"\0\0".join(groups))


def _parse(data):
    """(what was kept, names by folder) of what `_dump` wrote; ValueError when it is damaged or another version's."""
    body = cache.unsealed(_MAGIC, data)
    end = _LENGTH.size + _LENGTH.unpack_from(body)[0]
    groups = [group.split(b"\0") for group in body[end:].split(b"\0\0")]
    return json.loads(body[_LENGTH.size : end].decode("ascii")), {folder: names for folder, *names in groups}
