# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Section network: routes, interfaces and the resolver, in words that do not differ between equal machines.

No address of the machine's own, no name server, no gateway: these are its place, and identity. Nor what a router
announces, which comes and goes.
"""

from __future__ import annotations

import ipaddress
import os
import struct

from .. import paths
from .ask import read
from .sysctl import ephemeral

_INTERFACES = "/sys/class/net"
_GATEWAY = 0x2
_REJECT = 0x200
_BY_ROUTER = 0x40000 | 0x400000  # an address made from an announcement; a route that expires


def collect():
    """{"route ipv4 default": {"by": "gateway"}, "interface eth0": {"mtu": 1500}, "resolver": {"servers": "others"}}"""
    found = routes(read("/proc/net/route"))
    found.update(routes_v6(read("/proc/net/ipv6_route")))
    for name in sorted(os.listdir(_INTERFACES)) if os.path.isdir(_INTERFACES) else ():
        mtu = read("%s/%s/mtu" % (_INTERFACES, name)).strip()
        if mtu.isdigit() and not ephemeral(name):
            found["interface " + paths.printable(name)] = {"mtu": int(mtu)}
    resolver = parse_resolver(read("/etc/resolv.conf"))
    if resolver:
        found["resolver"] = resolver
    return found


def routes(text):
    """From /proc/net/route: those by a gateway, and those that reject. The rest follow from the machine's addresses."""
    found = {}
    for line in text.split("\n")[1:]:
        fields = line.split()
        if len(fields) >= 8:
            address, mask = (struct.pack("=I", int(fields[at], 16)) for at in (1, 7))
            prefix = bin(int.from_bytes(mask, "big")).count("1")
            # Of a black hole only the missing interface tells.
            flags = int(fields[3], 16) | (_REJECT if fields[0] == "*" else 0)
            _add(found, "ipv4", ipaddress.IPv4Address(address), prefix, flags)
    return found


def routes_v6(text):
    """From /proc/net/ipv6_route, likewise, without what routers announced."""
    found = {}
    for line in text.split("\n"):
        fields = line.split()
        # The kernel itself rejects everything on `lo` where no route fits.
        if len(fields) >= 10 and not int(fields[8], 16) & _BY_ROUTER and fields[5] != "ffffffff":
            _add(found, "ipv6", ipaddress.IPv6Address(bytes.fromhex(fields[0])), int(fields[1], 16), int(fields[8], 16))
    return found


def _add(found, family, address, prefix, flags):
    by = "reject" if flags & _REJECT else "gateway" if flags & _GATEWAY else ""
    if by:
        name = "%s/%d" % (address, prefix) if prefix else "default"
        found["route %s %s" % (family, name)] = {"by": by}


def parse_resolver(text):
    """{"servers": "local" or "others", "search": ["example.org"], "options": ["edns0"]}, from resolv.conf."""
    servers, search, chosen = [], [], set()
    for line in text.split("\n"):
        words = line.split()
        if len(words) < 2 or words[0][0] in "#;":
            continue
        if words[0] == "nameserver":
            servers.append(words[1])
        elif words[0] in ("search", "domain"):
            search = words[1:]
        elif words[0] == "options":
            chosen.update(words[1:])
    found = {"search": [paths.printable(each) for each in search], "options": sorted(map(paths.printable, chosen))}
    if servers:
        local = all(server.startswith("127.") or server == "::1" for server in servers)
        found["servers"] = "local" if local else "others"
    return found if servers or search or chosen else {}
