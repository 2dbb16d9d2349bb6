# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Sections sysctl and sysctl_kernel: the kernel's settings in force, as the files below /proc/sys say.

Configuration is what somebody can set: a file that nobody may write is a state or a constant, and one that nobody may
read has no value. `sysctl` holds what each machine has for itself, a container too: the network's settings and those
of messages, semaphores and shared memory. `sysctl_kernel` holds what the whole kernel has.
"""

from __future__ import annotations

import math
import os
import re
import stat

from .. import paths
from .ask import UNREADABLE, read

ROOT = "/proc/sys"

# A container has these for itself, as it has all of net.
_OWN = re.compile(r"net\.|fs\.mqueue\.|kernel\.(auto_msgmni|msg(max|mnb|mni)|sem|shm(all|max|mni|_rmid_forced))$")

_LEFT_OUT = re.compile(
    "|".join(
        [
            # States that happen to be writable.
            r"kernel\.(ns_last_pid|real-root-dev|cad_pid|hung_task_warnings)",
            r"kernel\.(msg|sem|shm)_next_id",
            # The kernel lowers it by itself when interrupts take long.
            r"kernel\.perf_event_max_sample_rate",
            # Statistics of the scheduler, which Linux before 5.11 lets root write.
            r"kernel\.sched_domain\..*",
            # Identity.
            r"kernel\.(hostname|domainname|spl\.hostid)",
            # Stands in the section kernel.
            r"kernel\.tainted",
            # A look at these does something.
            r"vm\.(stat_refresh|drop_caches|compact_memory)",
            r"net\.ipv[46]\.route\.flush",
            # The same setting under another name.
            r"net\.nf_conntrack_max",
            r"net\.ipv4\.conf\.all\.forwarding",
            # Secrets, and made anew at each boot.
            r"net\.ipv4\.tcp_fastopen_key",
            r"net\.ipv6\.conf\.[^.]+\.stable_secret",
            # Of an interface: what its router announces.
            r"net\.ipv6\.conf\.(?!all\.|default\.)[^.]+\.(hop_limit|mtu)",
            r"net\.ipv[46]\.neigh\.(?!default\.)[^.]+\.(base_reachable_time|retrans_time)(_ms)?",
            # Hardware.
            r"dev\.parport\..*",
        ]
    )
)

# systemd mounts it when somebody looks.
_NOT_ENTERED = frozenset([ROOT + "/fs/binfmt_misc"])
_PER_INTERFACE = re.compile(r"/proc/sys/net/ipv[46]/(conf|neigh)")

# Interfaces that engines, sessions and tunnels' modules make: their names are numbers, and they come and go.
_EPHEMERAL = re.compile(
    r"(veth|br-[0-9a-f]{12}|vnet\d|tap|tun\d|cali|cni|flannel|lxc|ifb|macvtap|docker_gwbridge)"
    r"|(tunl|sit|ip6tnl|gre|gretap|erspan|ip_vti|ip6_vti|ip6gre)0$"
)

BY_MEMORY = "sized by memory"

# A setting that is shorter comes whole with the first read; a second one would only say that it has ended.
_READ = 1 << 13


def ephemeral(interface):
    """Is it one of the interfaces that come and go by themselves?"""
    return _EPHEMERAL.match(interface) is not None


def collect(shared, warnings):
    """({"net.ipv4.ip_forward": {"value": "0"}}, {"vm.swappiness": {"value": "60"}})

    The second is empty where the kernel is `shared`: it is the host's. Of an interface only what differs from
    `default`, which it began with. What the kernel sizes by the machine's memory, a little differently at each boot, is
    `sized by memory` as long as it is about that.
    """
    raw = {}
    refused = set()
    _walk(ROOT, _OWN.match if shared else bool, raw, refused)
    values = settings(raw, memory(read("/proc/meminfo")))
    if refused:
        warnings.append("runtime: %d kernel settings can't be read; collect as root" % len(refused))
    found = {name: {"value": value} for name, value in values.items()}
    found.update((name, UNREADABLE) for name in refused)
    own = {name: fact for name, fact in found.items() if _OWN.match(name)}
    return own, {name: fact for name, fact in found.items() if name not in own}


def _walk(folder, wanted, raw, refused):
    try:
        with os.scandir(folder) as scan:
            children = list(scan)
    except OSError:
        return
    interfaces = _PER_INTERFACE.fullmatch(folder)
    for child in children:
        if child.path in _NOT_ENTERED or (interfaces and ephemeral(child.name)):
            continue
        if child.is_dir(follow_symlinks=False):
            _walk(child.path, wanted, raw, refused)
            continue
        name = dotted(child.path)
        if not wanted(name) or _LEFT_OUT.fullmatch(name):
            continue
        try:
            mode = child.stat(follow_symlinks=False).st_mode
            if not mode & 0o222 or not mode & 0o444 or not stat.S_ISREG(mode):
                continue
            raw[name] = _value(child.path).decode("utf-8", "surrogateescape")
        except FileNotFoundError:
            continue
        except OSError:
            refused.add(name)


def _value(path):
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = piece = os.read(handle, _READ)
        while len(piece) == _READ:
            piece = os.read(handle, _READ)
            data += piece
        return data
    finally:
        os.close(handle)


def dotted(path):
    """/proc/sys/net/ipv4/conf/eth0.7/forwarding → net.ipv4.conf.eth0/7.forwarding, as sysctl(8) writes it."""
    return paths.printable(path[len(ROOT) + 1 :].translate(str.maketrans("/.", "./")))


def memory(meminfo):
    """The machine's memory in KiB, from /proc/meminfo; 0 where it does not say."""
    found = re.search(r"^MemTotal:\s+(\d+) kB", meminfo, re.MULTILINE)
    return int(found.group(1)) if found else 0


def settings(raw, kib):
    """Values as they are recorded, from the files' texts: blanks made one, and what follows from others left out."""
    values = {name: paths.printable(" ".join(text.split())) for name, text in raw.items()}
    found = {}
    for name, value in values.items():
        shown = by_memory(name, value, kib)
        if values.get(_default_of(name)) != value and not _came_with_use(name, shown):
            found[name] = shown
    return found


def _default_of(name):
    """net.ipv4.conf.eth0.rp_filter → net.ipv4.conf.default.rp_filter; empty where it is not an interface's."""
    interface = re.match(r"(net\.ipv[46]\.(?:conf|neigh)\.)(?!all\.|default\.)[^.]+\.", name)
    return interface.group(1) + "default." + name[interface.end() :] if interface else ""


def _came_with_use(name, value):
    """Is it a setting of connection tracking as it is when that is loaded?

    The first rule that asks for a connection's state loads it, and so do Docker and others, with fifty settings.
    """
    if name.startswith("net.netfilter.nf_log."):
        return value == "NONE" or value.startswith("nf_log_")
    return value == BY_MEMORY if name in _CONNTRACK_SIZES else _CONNTRACK.get(name) == value


def by_memory(name, value, kib):
    """`sized by memory` where the kernel would have chosen about this value for that much memory, else the value.

    The kernel's formulas, with an eighth to spare: what it counts as free changes from boot to boot.
    """
    numbers = value.split()
    if not kib or not all(map(str.isdigit, numbers)):
        return value
    chosen = _SIZES.get(name)
    for size in chosen(kib) if chosen else ():
        if len(size) == len(numbers) and all(
            abs(int(each) - size[at]) <= size[at] / 8 for at, each in enumerate(numbers)
        ):
            return BY_MEMORY
    # The last of TCP's three buffer sizes is capped: below the cap it follows memory.
    if name in _TCP_BUFFERS and len(numbers) == 3 and abs(int(numbers[2]) - kib * 8) <= kib:
        return " ".join([*numbers[:2], BY_MEMORY])
    return value


def _tracked(kib):
    """How many connections the kernel tracks."""
    return 262144 if kib > 4 << 20 else 65536 if kib > 1 << 20 else max(kib // 128, 1024)


def _hash_entries(kib):
    """How many established connections the kernel makes room for."""
    return min(1 << (kib // 128).bit_length(), 524288)


def _marks(kib, each):
    """A hundredth of memory, at so many bytes each."""
    return min(max(kib * 1024 // 100 // each, 8192), 1 << 20)


def _reserve(kib, most):
    """A thirty-second of what is free at boot: not all of memory is, where it is handed out late."""
    size = min(kib // 32, most)
    return [[size], [size * 3 // 4]]


_TCP_BUFFERS = ("net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem")
# What the kernel may choose for a setting, by memory in KiB: lists of as many numbers as the setting has.
_SIZES = {
    "kernel.threads-max": lambda kib: [[kib // 128]],
    "fs.file-max": lambda kib: [[kib // 10]],
    "fs.epoll.max_user_watches": lambda kib: [[kib * 1024 // 25 // 184]],
    "fs.inotify.max_user_watches": lambda kib: [[_marks(kib, 1300)]],
    "user.max_inotify_watches": lambda kib: [[_marks(kib, 1300)]],
    "fs.fanotify.max_user_marks": lambda kib: [[_marks(kib, 1230)]],
    "user.max_fanotify_marks": lambda kib: [[_marks(kib, 1230)]],
    "net.ipv4.tcp_mem": lambda kib: [[kib // 64 * 3 // 4, kib // 64, kib // 64 * 3 // 2]],
    "net.ipv4.udp_mem": lambda kib: [[kib // 32 * 3 // 4, kib // 32, kib // 32 * 3 // 2]],
    "net.ipv4.tcp_max_orphans": lambda kib: [[_hash_entries(kib) // 2]],
    "net.ipv4.tcp_max_tw_buckets": lambda kib: [[_hash_entries(kib) // 2]],
    "net.ipv4.tcp_max_syn_backlog": lambda kib: [[max(_hash_entries(kib) // 128, 128)]],
    "net.netfilter.nf_conntrack_buckets": lambda kib: [[_tracked(kib)]],
    "net.netfilter.nf_conntrack_max": lambda kib: [[_tracked(kib)], [_tracked(kib) * 4]],
    "net.netfilter.nf_conntrack_expect_max": lambda kib: [[_tracked(kib) // 64]],
    # Alone; or with transparent huge pages, for one to four memory zones, at most a twentieth of memory.
    "vm.min_free_kbytes": lambda kib: [
        [math.isqrt(kib * 16)],
        [kib // 20],
        *([22528 * zones] for zones in range(1, 5)),
    ],
    "vm.user_reserve_kbytes": lambda kib: _reserve(kib, 131072),
    "vm.admin_reserve_kbytes": lambda kib: _reserve(kib, 8192),
}
_SIZES.update(
    ("user.max_%s_namespaces" % kind, lambda kib: [[kib // 256]])
    for kind in ("cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts")
)
_CONNTRACK_SIZES = frozenset(name for name in _SIZES if name.startswith("net.netfilter."))
# Connection tracking's settings as Linux 6.1 and 6.18 have them to begin with, by value.
_CONNTRACK = {
    "net.netfilter.nf_" + name: value
    for value, names in {
        "0": "conntrack_acct conntrack_log_invalid conntrack_tcp_be_liberal conntrack_timestamp"
        " conntrack_tcp_ignore_invalid_rst hooks_lwtunnel log_all_netns",
        "1": "conntrack_checksum conntrack_tcp_loose conntrack_dccp_loose",
        "2": "conntrack_events",
        "3": "conntrack_tcp_max_retrans conntrack_sctp_timeout_cookie_echoed conntrack_sctp_timeout_cookie_wait"
        " conntrack_sctp_timeout_shutdown_ack_sent conntrack_sctp_timeout_shutdown_recd"
        " conntrack_sctp_timeout_shutdown_sent",
        "10": "conntrack_sctp_timeout_closed conntrack_tcp_timeout_close",
        "30": "conntrack_gre_timeout conntrack_icmp_timeout conntrack_icmpv6_timeout conntrack_udp_timeout"
        " conntrack_sctp_timeout_heartbeat_sent conntrack_tcp_timeout_last_ack flowtable_tcp_timeout"
        " flowtable_udp_timeout",
        "60": "conntrack_frag6_timeout conntrack_tcp_timeout_close_wait conntrack_tcp_timeout_syn_recv",
        "64": "conntrack_dccp_timeout_closereq conntrack_dccp_timeout_closing",
        "120": "conntrack_tcp_timeout_fin_wait conntrack_tcp_timeout_syn_sent conntrack_tcp_timeout_time_wait"
        " conntrack_udp_timeout_stream",
        "180": "conntrack_gre_timeout_stream",
        "210": "conntrack_sctp_timeout_established",
        "240": "conntrack_dccp_timeout_request conntrack_dccp_timeout_timewait",
        "300": "conntrack_tcp_timeout_max_retrans conntrack_tcp_timeout_unacknowledged",
        "480": "conntrack_dccp_timeout_partopen conntrack_dccp_timeout_respond",
        "600": "conntrack_generic_timeout",
        "43200": "conntrack_dccp_timeout_open",
        "432000": "conntrack_tcp_timeout_established",
        "3145728": "conntrack_frag6_low_thresh",
        "4194304": "conntrack_frag6_high_thresh",
    }.items()
    for name in names.split()
}
