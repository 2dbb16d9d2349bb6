# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Section sockets: what listens, with the program and the unit behind it."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import socket
import struct

from .. import paths
from . import netlink
from .ask import read

_TCP_LISTEN = "0A"
_UDP_UNCONNECTED = "07"
# In a container: dockerd's own, on a port that each start picks anew.
_DOCKERS_RESOLVER = "127.0.0.11"
_TABLES = (("tcp", False), ("tcp6", False), ("udp", True), ("udp6", True))
# The kernel's numbers for the question by netlink: which sockets listen? Its answer's parts; what it loads to answer.
_BY_FAMILY = 20
_QUESTION = struct.Struct("=BBBBI48x")
_LISTENING = 1 << 10
_ANSWER = struct.Struct("=4xHH16s44xI")
_MODULES = ("tcp_diag", "inet_diag")


def collect(warnings):
    """{"tcp 0.0.0.0:80": {"program": "nginx", "unit": "nginx.service"}}

    A datagram socket on a port that the kernel picked stands without its number, which changes. A socket whose program
    can't be seen is unreadable.
    """
    listening = {}
    low, high = _ephemeral_ports()
    for table, datagram in _TABLES:
        for address, port, inode in _table(table, datagram):
            if address == _DOCKERS_RESOLVER:
                continue
            shown = "ephemeral" if datagram and low <= port <= high else str(port)
            listening.setdefault(inode, []).append("%s %s:%s" % (table.rstrip("6"), general(address), shown))
    holders, hidden = _holders(set(listening)) if listening else ({}, False)
    found = {}
    unseen = set()
    for inode, keys in listening.items():
        for key in keys:
            found.setdefault(key, set()).update(holders.get(inode) or ())
            if hidden and inode not in holders:
                unseen.add(key)
    if unseen:
        warnings.append("runtime: the programs behind some sockets can't be seen; collect as root")
    facts = {key: describe_holders(who) for key, who in found.items()}
    for key in unseen:
        facts[key]["unreadable"] = True
    return facts


def general(address):
    """The address that a socket is bound to, or `own` where it is one of the machine's own, which is identity."""
    plain = ipaddress.ip_address(address.strip("[]"))
    mapped = getattr(plain, "ipv4_mapped", None) or plain
    return address if mapped.is_loopback or mapped.is_unspecified or mapped.is_multicast else "own"


def describe_holders(who):
    """{("nginx", "nginx.service"), ...} → {"program": "nginx", "unit": "nginx.service"}.

    PID 1 opens the sockets of socket-activated services and keeps them: it counts only where nobody else does.
    """
    others = {each for each in who if each[1] != "init.scope"} or who
    fact = {}
    programs = sorted({program for program, _unit in others if program})
    names = sorted({unit for _program, unit in others if unit})
    if programs:
        fact["program"] = ", ".join(programs)
    if names:
        fact["unit"] = ", ".join(names)
    return fact


def _table(table, datagram):
    """As `parse_table`. For a table of TCP the kernel goes through its room for all connections, which takes
    milliseconds: where it can be asked for those that listen, it is.
    """
    if not datagram and _may_ask():
        with contextlib.suppress(OSError, struct.error):
            return ask_kernel(socket.AF_INET6 if table == "tcp6" else socket.AF_INET)
    return parse_table(read("/proc/net/" + table), datagram)


def _may_ask():
    """Can the kernel answer without loading a module for that?"""
    if not os.path.exists("/proc/modules"):
        return True
    loaded = read("/proc/modules")
    return all(re.search("^%s " % name, loaded, re.MULTILINE) for name in _MODULES)


def ask_kernel(family):
    """As `parse_table`, of a family's TCP sockets, by netlink. OSError or struct.error where there is no answer."""
    question = _QUESTION.pack(family, socket.IPPROTO_TCP, 0, 0, _LISTENING)
    found = []
    for answer in netlink.dump(netlink.SOCKETS, _BY_FAMILY, question):
        port, _peer, address, inode = _ANSWER.unpack_from(answer)
        found.append((_shown(family, address), socket.ntohs(port), str(inode)))
    return found


def parse_table(text, datagram):
    """(address, port, inode) of the listening sockets in a table of /proc/net; IPv6 addresses in brackets."""
    wanted = _UDP_UNCONNECTED if datagram else _TCP_LISTEN
    for line in text.split("\n")[1:]:
        fields = line.split()
        if len(fields) < 10 or fields[3] != wanted:
            continue
        address, _colon, port = fields[1].partition(":")
        yield _address(address), int(port, 16), fields[9]


def _address(text):
    """0100007F → 127.0.0.1: words in the machine's own byte order."""
    words = [int(text[at : at + 8], 16) for at in range(0, len(text), 8)]
    return _shown(socket.AF_INET if len(words) == 1 else socket.AF_INET6, struct.pack("=%dI" % len(words), *words))


def _shown(family, packed):
    if family == socket.AF_INET:
        return socket.inet_ntop(family, packed[:4])
    return "[%s]" % socket.inet_ntop(family, packed)


def _ephemeral_ports():
    """The ports that the kernel hands out by itself. A datagram socket on one is recorded without its number."""
    fields = read("/proc/sys/net/ipv4/ip_local_port_range").split()
    return (int(fields[0]), int(fields[1])) if len(fields) == 2 else (32768, 60999)


def _holders(inodes):
    """({inode: {(program, unit)}} of the processes that hold these sockets open, did some refuse to be looked into?)"""
    wanted = {"socket:[%s]" % inode: inode for inode in inodes}
    found = {}
    hidden = False
    for process in filter(str.isdigit, os.listdir("/proc")):
        try:
            held, program = as_its_user(process, lambda process=process: _look(process, wanted))
        except PermissionError:
            hidden = True
            continue
        except OSError:
            continue
        if held:
            who = (program, unit_of(read("/proc/%s/cgroup" % process)))
            for inode in held:
                found.setdefault(inode, set()).add(who)
    return found, hidden


def _look(process, wanted):
    """(inodes of the wanted sockets that a process holds, its program's name)."""
    folder = "/proc/%s/fd/" % process
    held = []
    for handle in os.listdir(folder):
        try:
            inode = wanted.get(os.readlink(folder + handle))
        except FileNotFoundError:
            continue
        if inode is not None:
            held.append(inode)
    return held, _program(process) if held else ""


def as_its_user(process, look):
    """What `look` returns; where it is refused, once more with the process's own user and group in effect.

    In a container root may change its user, but has no right to look into others' processes (CAP_SYS_PTRACE).
    Raises PermissionError when that does not help, and any other OSError of `look`.
    """
    mine = os.geteuid(), os.getegid()
    try:
        return look()
    except PermissionError:
        if mine[0] != 0:
            raise
    owner = os.stat("/proc/" + process)
    os.setegid(owner.st_gid)
    try:
        os.seteuid(owner.st_uid)
        try:
            return look()
        finally:
            os.seteuid(mine[0])
    finally:
        os.setegid(mine[1])


def _program(process):
    try:
        target = os.readlink("/proc/%s/exe" % process)
    except OSError:
        return read("/proc/%s/comm" % process).strip()
    if target.endswith(" (deleted)"):
        target = target[: -len(" (deleted)")]
    return paths.printable(os.path.basename(target))


def unit_of(cgroups):
    """The systemd unit from /proc/PID/cgroup: the innermost part of its path that names one."""
    for part in reversed(systemd_path(cgroups).split("/")):
        if part.endswith((".service", ".scope", ".socket", ".slice")) and not part.startswith("session-"):
            return part
    return ""


def systemd_path(cgroups):
    """Where systemd has put a process, from /proc/PID/cgroup: /system.slice/nginx.service."""
    found = ""
    for line in cgroups.split("\n"):
        number, _colon, rest = line.partition(":")
        controllers, _colon, path = rest.partition(":")
        if controllers == "name=systemd" or (number == "0" and not found):
            found = path
    return found
