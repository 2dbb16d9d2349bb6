# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What the last collection found in files, so that this one needs to read only those that changed.

A file is known again by device, inode, size, time of modification and time of change; so are extended attributes and
flags of folders, and where links lead. Programs may set the first of
these times and not the second: the kernel takes it from the clock with each write, and with each change of mode, owner,
extended attributes or flags. What could fool it nevertheless is left out or drops the cache:

- a clock that was set: the distance between the wall clock and the one that counts since boot must be what it was, to
  within what two looks at the clocks take. Both are slewed together, so it changes by steps only;
- a reboot, across which that can't be told;
- a change right after the look, within the grain of the clock, or through a memory mapping, whose first write alone
  sets the time until the kernel has written the page out (30 seconds by default): a file is kept only when it was
  changed longer ago than `SETTLED` before the collection began;
- a file system whose times are another machine's, or nobody's: see `_LOCAL`.

The cache lies in memory (/run), can be written and read by root only, and carries a checksum; one that is damaged,
or that another version wrote, is not looked at. Beside what unchanged.py keeps there, it is the one thing that the
collector writes on a machine.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import stat
import struct
import time

PATH = "/run/goldsmith/digests"

# Raise it with any change of what is kept: what is digested of a file, how attributes are put in words.
_MAGIC = b"goldsmith digests 2\n"
SETTLED = 60 * 10**9  # nanoseconds
_LOCAL = ("btrfs", "ext4", "f2fs", "overlay", "xfs")

# In the place of a digest, of what has no contents.
NOTHING = bytes(32)

_KEY = struct.Struct("<QQQqq?")


class Cache:
    """What is known of files from the last collection, and what this one finds."""

    def __init__(self, state, started, known=None):
        """`state`: as `current` gives it; `started`: the wall clock in nanoseconds, before anything was looked at."""
        self._state = state
        self._known = known or {}
        self._settled = started - SETTLED
        self._found = {}
        self._new = False

    @staticmethod
    def key(info, byte_code=False):
        """What a file, folder or link is known by, from its stat and whether it is digested as byte code.

        None where it can't be kept: a time may lie beyond the year 2262, the last that fits.
        """
        try:
            return _KEY.pack(info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns, byte_code)
        except struct.error:
            return None

    def get(self, key):
        """(sha256 as bytes, extended attributes, flags, a link's target) or None."""
        found = self._known.get(key)
        if found is not None:
            self._found[key] = found
        return found

    def put(self, key, info, found):
        """Keep what was found, when the file's time of change is long enough ago."""
        if key is not None and info.st_ctime_ns < self._settled:
            self._found[key] = found
            self._new = True

    @property
    def changed(self):
        """Is there anything to save?"""
        return self._new or len(self._found) != len(self._known)

    def dump(self):
        """The cache as bytes."""
        extras = []
        numbers = {}
        records = []
        for key, (sha256, *others) in self._found.items():
            extra = json.dumps(others, sort_keys=True)
            if extra not in numbers:
                numbers[extra] = len(extras)
                extras.append(others)
            records.append(key + sha256 + struct.pack("<I", numbers[extra]))
        head = json.dumps({"state": self._state, "extras": extras}).encode("ascii")
        return sealed(_MAGIC, struct.pack("<I", len(head)) + head + b"".join(records))


def parse(data):
    """(state, known files) of what `dump` wrote; ValueError when it is damaged or another version's."""
    body = unsealed(_MAGIC, data)
    end = 4 + struct.unpack_from("<I", body)[0]
    head = json.loads(body[4:end].decode("ascii"))
    extras = [tuple(extra) for extra in head["extras"]]
    known = {}
    for key, sha256, number in struct.iter_unpack("<%ds32sI" % _KEY.size, body[end:]):
        known[key] = (sha256, *extras[number])
    return head["state"], known


def sealed(magic, body):
    """Bytes with what they are, and their checksum, before them."""
    return magic + hashlib.sha256(body).digest() + body


def unsealed(magic, data):
    """What `sealed` was given; ValueError when it is damaged or something else."""
    start = len(magic) + 32
    body = data[start:]
    if data[:start] != magic + hashlib.sha256(body).digest():
        raise ValueError("damaged, or another version's")
    return body


def holds(state, now):
    """Does what was kept in one state still hold now? {"boot": "…", "clock": [0, 200]}, as `current` gives it."""
    (low, high), (low_now, high_now) = state["clock"], now["clock"]
    return state["boot"] == now["boot"] and low <= high_now and low_now <= high


def current():
    """Which boot this is, and the least and most that the wall clock is ahead of the time since boot (ns).

    None where that can't be told.
    """
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as source:
            boot = source.read().strip()
        best = None
        for _look in range(20):
            before = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            wall = time.clock_gettime_ns(time.CLOCK_REALTIME)
            after = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            if best is None or after - before < best[1] - best[0]:
                best = [wall - after, wall - before]
    except (OSError, AttributeError):
        return None
    return {"boot": boot, "clock": best}


def usable(mountinfo):
    """Does the file system at / keep times that can be relied on? From /proc/self/mountinfo's bytes."""
    kind = b""
    for line in mountinfo.split(b"\n"):
        fields = line.split(b" ")
        if len(fields) > 4 and fields[4] == b"/" and b"-" in fields:
            kind = fields[fields.index(b"-") + 1]
    return kind.decode("ascii", "replace") in _LOCAL


def load(path=PATH):
    """This machine's cache, empty where there is none yet; None where none can be relied on, or we are not root."""
    try:
        with open("/proc/self/mountinfo", "rb") as source:
            trusted = os.geteuid() == 0 and usable(source.read())
    except OSError:
        return None
    started = time.time_ns()
    state = current()
    if not trusted or state is None:
        return None
    known = None
    with contextlib.suppress(OSError, ValueError):
        then, kept = parse(read(path))
        if holds(then, state):
            known = kept
    return Cache(state, started, known)


def save(cache, path=PATH):
    """Put what a collection found where the next one finds it. Where that can't be done, the next one reads all."""
    if not cache.changed:
        return
    with contextlib.suppress(OSError):
        write(path, cache.dump())


def read(path):
    """A file's bytes; OSError where there is none, or anybody but root could have written it or may read it."""
    _check_folder(os.path.dirname(path))
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as source:
        info = os.fstat(handle)
        if not stat.S_ISREG(info.st_mode) or info.st_uid != 0 or info.st_mode & 0o077:
            raise PermissionError(errno.EACCES, "not root's alone", path)
        return source.read()


def write(path, data):
    """Put bytes there, for root alone, whole or not at all; OSError where that can't be done."""
    folder = os.path.dirname(path)
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder, 0o700)
    _check_folder(folder)
    space = os.statvfs(folder)
    # What lies there is memory that others need, too.
    if space.f_bavail * space.f_frsize < 4 * len(data):
        raise OSError(errno.ENOSPC, "too little space", folder)
    temporary = path + ".new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as target:
            target.write(data)
        os.rename(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def _check_folder(folder):
    info = os.lstat(folder)
    if not stat.S_ISDIR(info.st_mode) or info.st_uid != 0 or info.st_mode & 0o022:
        raise PermissionError(errno.EACCES, "not root's alone", folder)
