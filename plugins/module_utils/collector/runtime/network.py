# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Section network: routes and their rules, interfaces with how their traffic is shaped, and the resolver, in words that
do not differ between equal machines.

No address of the machine's own, no name server, no gateway: these are its place, and identity. Nor what a router
announces, which comes and goes.
"""

from __future__ import annotations

import os
import socket

from .. import paths
from . import routes, traffic
from .ask import read
from .sysctl import ephemeral

_INTERFACES = "/sys/class/net"


def collect(warnings):
    """{"route ipv4 default": {"by": "gateway"}, "interface eth0": {"mtu": 1500}, "resolver": {"servers": "others"}}

    And more: `routes.collect` and `traffic.collect`.
    """
    interfaces = dict(socket.if_nameindex())
    found = routes.collect(interfaces)
    found.update(traffic.collect(interfaces, warnings))
    for name in sorted(os.listdir(_INTERFACES)) if os.path.isdir(_INTERFACES) else ():
        mtu = read("%s/%s/mtu" % (_INTERFACES, name)).strip()
        if mtu.isdigit() and not ephemeral(name):
            found["interface " + paths.printable(name)] = {"mtu": int(mtu)}
    resolver = parse_resolver(read("/etc/resolv.conf"))
    if resolver:
        found["resolver"] = resolver
    return found


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
