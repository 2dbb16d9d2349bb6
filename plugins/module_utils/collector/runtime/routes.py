# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Routes of all tables, and the rules that choose between these: from the kernel's answers, in words.

Left out are the kernel's own routes, which follow from the machine's addresses, and what routers announce.
"""

from __future__ import annotations

import ipaddress
import struct

from .. import paths
from . import netlink
from .sysctl import ephemeral

_GET_ADDRESS, _GET_ROUTE, _GET_RULE = 22, 26, 34
_FAMILIES = {2: "ipv4", 10: "ipv6"}
_TABLES = {253: "default", 254: "main", 255: "local"}
_MAIN = 254

# Who made a route: the kernel, a redirect, an announcement. These come and go, or follow from addresses.
_BY_ITSELF = frozenset([1, 2, 9])
# ip(8) by hand or in a script, and the configuration of a network's manager. What DHCP gives is the machine's place.
_BY_SOMEBODY = frozenset([3, 4])
_UNICAST, _LOCAL, _MULTICAST = 1, 2, 5
_REJECT = frozenset([6, 7, 8, 9])
_TO, _THROUGH, _GATEWAY, _SEVERAL, _EXPIRY, _TABLE, _VIA = 1, 4, 5, 9, 12, 15, 18

_ACTIONS = {3: "nop", 6: "blackhole", 7: "unreachable", 8: "prohibit"}
_LOOK_UP, _GO_TO = 1, 2
_INVERTED = 2
_NUMBERS = {10: "fwmark", 16: "mask", 13: "suppress_ifgroup", 14: "suppress_prefixlength"}
_NAMES = {3: "iif", 17: "oif"}
_RANGES = {20: ("uidrange", "=II"), 22: ("ipproto", "=B"), 23: ("sport", "=HH"), 24: ("dport", "=HH")}
# Addresses, target, priority and table, whose places are fixed; and bookkeeping: padding, and who made the rule.
_TOLD = frozenset([1, 2, 4, 6, 15, 18, 19, 21, *_NUMBERS, *_NAMES, *_RANGES])
_ALL = 0xFFFFFFFF


def collect(interfaces):
    """{"route ipv4 default": {"by": "gateway"}, "rules ipv4": {"rules": ["0: from all lookup local", ...]}}

    `interfaces`: {index: name}. Raises OSError where the kernel refuses to tell.
    """
    found = routes(netlink.dump(netlink.ROUTE, _GET_ROUTE, bytes(12)), interfaces)
    own = addresses(netlink.dump(netlink.ROUTE, _GET_ADDRESS, bytes(8)))
    found.update(rules(netlink.dump(netlink.ROUTE, _GET_RULE, bytes(12)), own))
    return found


def addresses(answers):
    """The machine's own addresses, packed."""
    found = set()
    for answer in answers:
        known = netlink.attributes(answer[8:])
        # Of two ends the local one is the second.
        found.add(known.get(2) or known.get(1))
    return found


def routes(answers, interfaces):
    """{"route ipv4 10.9.0.0/16": {"by": "interface eth0"}, "route ipv4 default table 100": {"by": "gateway"}}

    Where several lead to one network, all ways, sorted. Not the one to a gateway's own address: it is a place.
    """
    ways = {}
    gateways = set()
    direct = set()
    for answer in answers:
        family, bits, _from, _tos, table, protocol, _scope, kind = struct.unpack_from("=8B", answer)
        known = netlink.attributes(answer[12:])
        if family not in _FAMILIES or protocol in _BY_ITSELF or kind == _MULTICAST or _expires(known):
            continue
        hops = list(_hops(known))
        here = {hop[_GATEWAY] for hop in hops if _GATEWAY in hop}
        gateways |= here
        to = known.get(_TO, bytes(16 if family == 10 else 4))
        key = (family, _number(known.get(_TABLE, bytes([table]))), to, bits)
        if kind in _REJECT:
            by = {"reject"}
        elif here or any(_VIA in hop for hop in hops):
            by = {"gateway"}
        elif protocol in _BY_SOMEBODY and kind in (_UNICAST, _LOCAL):
            names = [interfaces.get(_number(hop.get(_THROUGH, b"")), "") for hop in hops]
            by = {"interface " + paths.printable(name) for name in names if name and not ephemeral(name)}
            if bits == 8 * len(to):
                direct.add(key)
        else:
            continue
        ways.setdefault(key, set()).update(by)
    return {
        "route " + _destination(*key): {"by": ", ".join(sorted(by))}
        for key, by in ways.items()
        if by and not (key in direct and key[2] in gateways)
    }


def _hops(known):
    """The attributes of each way that a route takes."""
    if _SEVERAL not in known:
        yield known
    several, at = known.get(_SEVERAL, b""), 0
    while at + 8 <= len(several):
        length, _flags, _weight, index = struct.unpack_from("=HBBi", several, at)
        if not 8 <= length <= len(several) - at:
            raise struct.error("a way is cut short")
        yield {_THROUGH: struct.pack("=i", index), **netlink.attributes(several[at + 8 : at + length])}
        at += -(-length // 4) * 4


def _expires(known):
    return len(known.get(_EXPIRY, b"")) >= 12 and struct.unpack_from("=8xi", known[_EXPIRY])[0] != 0


def _number(data):
    """A number in the machine's own byte order, of whatever length."""
    return struct.unpack("=I", data)[0] if len(data) == 4 else (data[0] if len(data) == 1 else 0)


def _destination(family, table, to, bits):
    name = "%s %s" % (_FAMILIES[family], "%s/%d" % (ipaddress.ip_address(to), bits) if bits else "default")
    return name if table == _MAIN else "%s table %s" % (name, _TABLES.get(table, table))


def rules(answers, own):
    """{"rules ipv4": {"rules": ["0: from all lookup local", "100: from own lookup 7", ...]}}, in their order.

    An address of the machine's own, which is identity, is `own`.
    """
    found = {}
    for answer in answers:
        family = answer[0]
        if family in _FAMILIES:
            known = netlink.attributes(answer[12:])
            said = "%d: %s" % (_number(known.get(6, bytes(4))), _rule(answer, known, own))
            found.setdefault("rules " + _FAMILIES[family], {"rules": []})["rules"].append(said)
    return found


def _rule(answer, known, own):
    """A rule as `ip rule` tells it. What has no word here stands as its number and its bytes."""
    _family, to_bits, from_bits, tos, table, _one, _two, action, flags = struct.unpack_from("=8BI", answer)
    numbers = {word: _number(known[number]) for number, word in _NUMBERS.items() if number in known}
    words = ["not"] if flags & _INVERTED else []
    words += ["from", _network(known.get(2), from_bits, own)]
    words += ["to", _network(known[1], to_bits, own)] if 1 in known else []
    words += ["tos 0x%02x" % tos] if tos else []
    if numbers.get("fwmark") or numbers.get("mask", _ALL) != _ALL:
        words.append("fwmark 0x%x/0x%x" % (numbers.get("fwmark", 0), numbers.get("mask", _ALL)))
    words += [each for number, word in _NAMES.items() if number in known for each in (word, _text(known[number]))]
    for number, (word, form) in _RANGES.items():
        if number in known:
            words += [word, "-".join(map(str, dict.fromkeys(struct.unpack(form, known[number]))))]
    if action == _LOOK_UP:
        chosen = _number(known.get(15, bytes([table])))
        words += ["lookup", str(_TABLES.get(chosen, chosen))] if chosen else ["l3mdev"]
    elif action == _GO_TO:
        words += ["goto", str(_number(known.get(4, bytes(4))))]
    else:
        words.append(_ACTIONS.get(action, "action %d" % action))
    words += ["%s %d" % (word, value) for word, value in numbers.items() if "suppress" in word and value != _ALL]
    words += ["%d=%s" % (number, known[number].hex()) for number in sorted(known) if number not in _TOLD]
    return paths.printable(" ".join(words))


def _text(data):
    return data.rstrip(b"\0").decode("utf-8", "replace")


def _network(packed, bits, own):
    if packed is None:
        return "all"
    if packed in own and bits == 8 * len(packed):
        return "own"
    return "%s/%d" % (ipaddress.ip_address(packed), bits)
