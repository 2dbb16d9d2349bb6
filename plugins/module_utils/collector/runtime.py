# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What runs on a live machine: active units and listening sockets.

Left out is what comes and goes by itself, so that two looks at an unchanged machine are equal: sessions, transient
units, services that D-Bus or a socket starts per use, jobs that a timer runs, ports that the kernel picked.
"""

from __future__ import annotations

import json
import os
import re
import socket
import struct
import subprocess

from . import paths, units

_LIST_UNITS = [
    "systemctl",
    "list-units",
    "--type=service,socket,timer,path",
    "--state=active,reloading,activating,failed",
    "--output=json",
    "--no-pager",
    "--full",
]
_TRANSIENT = re.compile(r"(run-|session-|user@|user-runtime-dir@)")
_TCP_LISTEN = "0A"
_UDP_UNCONNECTED = "07"
_TABLES = (("tcp", False), ("tcp6", False), ("udp", True), ("udp6", True))


def collect(tree, warnings):
    """{"units": {"nginx.service": {"active": "active", "sub": "running"}},
    "sockets": {"tcp 0.0.0.0:80": {"program": "nginx", "unit": "nginx.service"}}}
    """
    return {"units": active_units(_list_units(warnings), UnitFiles(tree)), "sockets": _sockets(warnings)}


# Units


def _list_units(warnings):
    """systemctl's answer, or an empty list where systemd doesn't run."""
    if not os.path.isdir("/run/systemd/system"):
        warnings.append("runtime: systemd does not run here, so no unit is active")
        return "[]"
    environment = dict(os.environ, LC_ALL="C", SYSTEMD_COLORS="0")
    try:
        done = subprocess.run(
            _LIST_UNITS,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            timeout=60,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        warnings.append("runtime: systemctl list-units: %s" % error)
        return "[]"
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip().split("\n")[0]
        warnings.append("runtime: systemctl list-units: %s" % said)
        return "[]"
    return done.stdout.decode("utf-8", "replace")


class UnitFiles:
    """What unit files say about how their services are started."""

    def __init__(self, tree):
        self._tree = tree
        self._wanted = None

    def _text(self, name):
        for folder in units.FOLDERS:
            text = self._tree.text(folder + "/" + name)
            if text:
                return text
        return ""

    def _value(self, name, key):
        text = self._text(name) or self._text(units.template_of(name))
        values = re.findall(r"^%s[ \t]*=[ \t]*(.*?)[ \t]*$" % key, text, re.MULTILINE)
        return values[-1] if values else ""

    def on_demand(self, name):
        """Does something start this service for one use or one run only?"""
        kind = self._value(name, "Type")
        if kind == "oneshot":
            return self._value(name, "RemainAfterExit").lower() not in ("yes", "true", "on", "1")
        if kind == "dbus" or self._value(name, "BusName"):
            return not self._is_wanted(name)
        if "@" in name and self._text(units.template_of(name)):
            listener = name.partition("@")[0] + ".socket"
            return bool(re.search(r"^Accept[ \t]*=[ \t]*(yes|true|on|1)", self._text(listener), re.M | re.I))
        return False

    def _is_wanted(self, name):
        if self._wanted is None:
            self._wanted = set()
            for folder in units.FOLDERS:
                real = self._tree.resolve(folder)
                for child in self._tree.children(real) if real else ():
                    if child.endswith((".wants", ".requires", ".upholds")):
                        self._wanted.update(self._tree.children(real + "/" + child))
        return name in self._wanted


def active_units(listing, unit_files):
    """The units that count, from `systemctl list-units --output=json`.

    Of sockets, timers and paths only that they are active: whether they wait or run depends on the moment.
    """
    found = {}
    for unit in json.loads(listing or "[]"):
        name, active, sub = unit["unit"], unit["active"], unit["sub"]
        if active == "inactive" or _TRANSIENT.match(name):
            continue
        service = name.endswith(".service")
        if active != "failed" and service and unit_files.on_demand(name):
            continue
        found[paths.printable(name)] = {"active": active, "sub": sub} if service else {"active": active}
    return found


# Sockets


def _sockets(warnings):
    listening = {}
    low, high = _ephemeral_ports()
    for table, datagram in _TABLES:
        for address, port, inode in parse_table(_read("/proc/net/" + table), datagram):
            shown = "ephemeral" if datagram and low <= port <= high else str(port)
            listening.setdefault(inode, []).append("%s %s:%s" % (table.rstrip("6"), address, shown))
    holders = _holders(set(listening), warnings) if listening else {}
    found = {}
    for inode, keys in listening.items():
        for key in keys:
            found.setdefault(key, set()).update(holders.get(inode) or ())
    return {key: describe_holders(who) for key, who in found.items()}


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
    packed = struct.pack("=%dI" % len(words), *words)
    if len(words) == 1:
        return socket.inet_ntop(socket.AF_INET, packed)
    return "[%s]" % socket.inet_ntop(socket.AF_INET6, packed)


def _ephemeral_ports():
    """The ports that the kernel hands out by itself. A datagram socket on one is recorded without its number."""
    fields = _read("/proc/sys/net/ipv4/ip_local_port_range").split()
    return (int(fields[0]), int(fields[1])) if len(fields) == 2 else (32768, 60999)


def _holders(inodes, warnings):
    """{inode: {(program, unit)}} of the processes that hold these sockets open."""
    wanted = {"socket:[%s]" % inode: inode for inode in inodes}
    found = {}
    hidden = False
    for process in filter(str.isdigit, os.listdir("/proc")):
        try:
            held, program = _look(process, wanted)
        except PermissionError:
            try:
                held, program = _look_as_its_user(process, wanted)
            except OSError:
                hidden = True
                continue
        except OSError:
            continue
        if held:
            who = (program, unit_of(_read("/proc/%s/cgroup" % process)))
            for inode in held:
                found.setdefault(inode, set()).add(who)
    if hidden and inodes - set(found):
        warnings.append("runtime: the programs behind some sockets can't be seen; collect as root")
    return found


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


def _look_as_its_user(process, wanted):
    """As `_look`, with the process's own user and group in effect.

    In a container root may change its user, but has no right to look into others' processes (CAP_SYS_PTRACE).
    """
    owner = os.stat("/proc/" + process)
    mine = os.geteuid(), os.getegid()
    if mine[0] != 0:
        raise PermissionError(process)
    os.setegid(owner.st_gid)
    try:
        os.seteuid(owner.st_uid)
        try:
            return _look(process, wanted)
        finally:
            os.seteuid(mine[0])
    finally:
        os.setegid(mine[1])


def _program(process):
    try:
        target = os.readlink("/proc/%s/exe" % process)
    except OSError:
        return _read("/proc/%s/comm" % process).strip()
    if target.endswith(" (deleted)"):
        target = target[: -len(" (deleted)")]
    return paths.printable(os.path.basename(target))


def unit_of(cgroups):
    """The systemd unit from /proc/PID/cgroup: the innermost part of its path that names one."""
    best = ""
    for line in cgroups.split("\n"):
        fields = line.split(":", 2)
        if len(fields) == 3 and (fields[1] == "name=systemd" or (fields[0] == "0" and not best)):
            for part in reversed(fields[2].split("/")):
                if part.endswith((".service", ".scope", ".socket", ".slice")) and not part.startswith("session-"):
                    best = part
                    break
    return best


def _read(path):
    try:
        with open(path, "rb") as source:
            return source.read().decode("utf-8", "surrogateescape")
    except OSError:
        return ""
