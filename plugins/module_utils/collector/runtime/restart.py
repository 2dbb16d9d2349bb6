# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Section restart: what runs from programs or libraries that were deleted or replaced since.

What is mapped to be run counts, and nothing else: data (journals, caches of fonts and locales) is replaced as a
matter of course. It stays so until somebody restarts the unit. Programs of sessions and of containers are left out, and
what of the initramfs has outlived it: on a slow machine a worker of udev's does.
"""

from __future__ import annotations

import os
import re

from .. import paths
from .ask import UNREADABLE, read
from .sockets import as_its_user, unit_of

_DELETED = " (deleted)"
# Made in memory, or by programs that write what they run (just-in-time compilers).
_NOT_FILES = re.compile(r"/memfd:|/SYSV|/dev/|/\[aio\]|/i915|/drm|/anon_hugepage|/run/|/tmp/|/var/tmp/|/var/cache/|//")
# How dpkg and prelink call a file while they replace it.
_TEMPORARY = re.compile(r"\.(dpkg-(new|tmp)|#prelink#\.\w+)$")
_SESSION = re.compile(r"user-\d+\.slice|user@\d+\.service|session-|user\.slice|run-|[^@]+@\d+-")

CHANGED_USER = "processes that changed their user"
OTHERS = "processes of other users"


def collect(shared, warnings):
    """{"nginx.service": {"files": ["/usr/lib/x86_64-linux-gnu/libssl.so.3"]}}: by unit, or by program without one.

    In a container root may not look into a process that started as root and changed its user since. One that was
    split off from a process that can be looked into runs the same.
    """
    own = _link("/proc/self/ns/pid")
    stale = {}
    seen = set()
    hidden = []
    for process in filter(str.isdigit, os.listdir("/proc")):
        if int(process) in (os.getpid(), os.getppid()):
            continue
        try:
            maps, program, namespace = as_its_user(process, lambda process=process: _look(process))
        except PermissionError:
            hidden.append(process)
            continue
        except OSError:
            continue
        seen.add(process)
        files = deleted(maps, program)
        if not files or namespace != own or outlived(root_of(process), root_of("1")):
            continue
        unit = unit_of(read("/proc/%s/cgroup" % process))
        if not _SESSION.match(unit):
            name = unit if unit and not unit.endswith(".slice") else os.path.basename(program.replace(_DELETED, ""))
            stale.setdefault(paths.printable(name), set()).update(files)
    found = {name: {"files": sorted(files)} for name, files in stale.items()}
    if [process for process in hidden if not _split_off(process, seen)]:
        key = CHANGED_USER if shared and os.geteuid() == 0 else OTHERS
        found[key] = UNREADABLE
        warnings.append("runtime: whether %s run replaced files can't be seen" % key)
    return found


def _look(process):
    """(what is mapped, the program's path, its process namespace); a kernel's thread has no program."""
    folder = "/proc/" + process
    with open(folder + "/maps", "rb") as source:
        maps = source.read()
    return maps, _link(folder + "/exe"), _link(folder + "/ns/pid")


def root_of(process):
    """(where its root is, device and inode of that, its mounts' namespace), or None where that can't be seen."""
    folder = "/proc/" + process
    try:
        info = os.stat(folder + "/root")
        return os.readlink(folder + "/root"), info.st_dev, info.st_ino, os.readlink(folder + "/ns/mnt")
    except OSError:
        return None


def outlived(root, init):
    """Has a process, of that `root_of`, the initramfs for its root? It has PID 1's mounts, and a root that is below."""
    return bool(root and init) and root[0] == "/" and root[3] == init[3] and root[1:3] != init[1:3]


def _link(path):
    try:
        return os.readlink(path)
    except FileNotFoundError:
        return ""


def deleted(maps, program):
    """The files to be run that are no more what they were: from /proc/PID/maps and where /proc/PID/exe points.

    b"7f12-7f34 r-xp 0 08:01 42 /usr/lib/libz.so.1 (deleted)" → {"/usr/lib/libz.so.1"}
    """
    found = set()
    lines = maps.split(b"\n") if b"(deleted)" in maps else ()
    for line in lines:
        fields = line.split(None, 5)
        if len(fields) == 6 and b"x" in fields[1] and fields[5].endswith(b" (deleted)"):
            found.add(fields[5].decode("utf-8", "surrogateescape"))
    if program.endswith(_DELETED):
        found.add(program)
    names = (_TEMPORARY.sub("", each[: -len(_DELETED)]) for each in found)
    return {paths.printable(name) for name in names if name.startswith("/") and not _NOT_FILES.match(name)}


def _split_off(process, seen):
    """Is it a copy of its parent (not PID 1), with the same name, which was seen?"""
    name, parent = parent_of(read("/proc/%s/stat" % process))
    return parent != "1" and parent in seen and parent_of(read("/proc/%s/stat" % parent))[0] == name


def parent_of(text):
    """(program's name, parent's number) from /proc/PID/stat, whose name may hold blanks and parentheses."""
    head, _closing, rest = text.rpartition(")")
    fields = rest.split()
    return head.partition("(")[2], fields[1] if len(fields) > 1 else ""
