# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Section mounts: what is mounted where, and with which options."""

from __future__ import annotations

import re

from .. import paths
from .ask import read
from .sysctl import memory

# The kernel's own views, which systemd or the first look mounts; and autofs, which only waits.
_LEFT_OUT_TYPES = re.compile(
    r"autofs|binfmt_misc|bpf|configfs|debugfs|efivarfs|fusectl|mqueue|nfsd|nsfs|pstore|rpc_pipefs|securityfs|tracefs"
)
# What sessions, services and engines mount while they run.
_LEFT_OUT = re.compile(
    r"/run/(user|credentials|netns|docker|containerd|containers|podman|snapd|systemd|media|rpc_pipefs)(/.*)?"
    r"|/var/lib/(docker|containerd|containers|kubelet|lxc|lxcfs)/.*|/media/.*|/snap/.*|/tmp/.*|/var/tmp/.*"
    r"|/dev/(?!shm$|pts$|mqueue$|hugepages$).*|/proc/.*|/sys/(?!fs/cgroup).*"
)
# The file system's word for itself, or what only places it: layers, the automounter's pipes, a network's addresses.
_LEFT_OUT_OPTIONS = re.compile(
    r"(lowerdir|upperdir|workdir)\+?|fd|pgrp|minproto|maxproto|timeout|pipe_ino|addr|clientaddr|mountaddr|mountport|subvolid"
)
_NETWORK = re.compile(r"(nfs\d?|cifs|smb3|ceph|glusterfs|9p|virtiofs|fuse\.sshfs)$")
_LONG_NUMBER = re.compile(r"[0-9a-f]{32,64}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def collect(shared):
    """{"/srv": {"type": "ext4", "source": "disk", "options": ["nodev", "relatime", "rw"]}}"""
    with open("/proc/self/mountinfo", "rb") as source:
        text = source.read().decode("utf-8", "surrogateescape")
    return parse(text, memory(read("/proc/meminfo")), shared)


def parse(text, kib, shared):
    """From /proc/self/mountinfo; `kib` is the machine's memory, `shared` says that it is a container.

    The source of a network's file system and of a device-mapper's volume counts; else it is only `disk`, since disks
    change their letters. Of a bind mount the folder counts, but in a container: there it lies on the host.
    """
    found = {}
    waiting = set()
    for line in text.split("\n"):
        left, dash, right = line.partition(" - ")
        fields = left.split(" ")
        if not dash or len(fields) < 6:
            continue
        kind, source, more = [*right.split(" "), "", ""][:3]
        root, point = unescaped(fields[3]), unescaped(fields[4])
        if kind == "autofs":
            waiting.add(point)
        # Mounted upon itself: dockerd and others do so to their own folders.
        upon_itself = root == point and point != "/"
        if _LEFT_OUT_TYPES.fullmatch(kind) or point in waiting or upon_itself or _LEFT_OUT.fullmatch(point):
            continue
        fact = {"type": kind, "options": options(kind, fields[5] + "," + more, kib)}
        shown = _source(kind, unescaped(source))
        if shown:
            fact["source"] = paths.printable(shown)
        if root != "/" and kind not in ("cgroup", "cgroup2") and not shared:
            fact["folder"] = paths.printable(_LONG_NUMBER.sub("(number)", root))
        found[paths.printable(point)] = fact
    return found


def unescaped(text):
    r"""A path of mountinfo as it is: /a\040b → /a b."""
    return re.sub(r"\\(\d{3})", lambda found: chr(int(found.group(1), 8)), text)


def _source(kind, source):
    if _NETWORK.match(kind):
        return re.sub(r"^([^/:@]+)(:[^@]*)?@", "", source)
    if source.startswith("/dev/mapper/"):
        return _LONG_NUMBER.sub("(number)", source)
    return "disk" if source.startswith("/dev/") else ""


def options(kind, text, kib):
    """A mount's options, sorted, each once: without those that differ between equal machines.

    A size that is a share of memory is named as such: `size=10%`.
    """
    kept = set()
    for option in text.split(","):
        name, equals, value = option.partition("=")
        if not name or _LEFT_OUT_OPTIONS.fullmatch(name) or (kind == "devtmpfs" and name in ("size", "nr_inodes")):
            continue
        if name in ("password", "password2", "pass", "secret"):
            value = "(masked)"
        if kind == "tmpfs" and name == "size":
            value = _share(value, kib)
        if kind == "tmpfs" and name == "nr_inodes" and _is_default_inodes(value, kib):
            continue
        kept.add(paths.printable(name + equals + value))
    return sorted(kept)


def _share(value, kib):
    number = value[:-1]
    if not kib or not value.endswith("k") or not number.isdigit():
        return value
    percent = int(number) * 100 / kib
    return "%d%%" % round(percent) if round(percent) and abs(percent - round(percent)) < 0.1 else value


def _is_default_inodes(value, kib):
    """One inode for each two pages of memory is what the kernel allows when nothing is said."""
    return value.isdigit() and kib > 0 and abs(int(value) - kib // 8) <= kib // 64
