# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Section firewall: the packet filter in force. Absent where the machine may not set it: a container without the right.

Chains and sets by name, and of each chain its rules in order. No counters, no handles, no elements of sets that
programs fill. Docker's rules name addresses and networks that depend on what was started when: these are replaced.
"""

from __future__ import annotations

import json
import re
import struct

from .. import paths
from . import ask, netlink, nft
from .ask import UNREADABLE, read

_SAVERS = (("ip", "/proc/net/ip_tables_names", "iptables"), ("ip6", "/proc/net/ip6_tables_names", "ip6tables"))
# The kernel's number for the question by netlink: which tables has nftables?
_NFT_GET_TABLE = 10 << 8 | 1
_DOCKER_CHAIN = re.compile(r"DOCKER(-(?!USER$).*)?$")
_DOCKER_RULE = re.compile(
    r"\bdocker0\b|\bdocker_gwbridge\b|\bbr-[0-9a-f]{12}\b|\bDOCKER\b"
    # A published port's way back to its own container.
    r"|-s (\S+) -d \1 .*MASQUERADE|ip saddr (\S+) ip daddr \2 .*MASQUERADE",
    re.IGNORECASE,
)
_DOCKER_NETWORK = re.compile(r"\bbr-[0-9a-f]{12}\b")
_ADDRESS = re.compile(r"\b\d{1,3}(\.\d{1,3}){3}(/\d{1,2})?\b")
# fail2ban's chains and sets hold whom it has banned by now.
_BANS = re.compile(r"f2b-|addr6?-set-")


def collect(shared, warnings):
    """{"chain inet filter input": {"hook": "input", "policy": "drop", "rules": ["tcp dport 22 accept"]}}"""
    may = ask.may_administer_network()
    if shared and not may:
        return None
    if not may:
        warnings.append("runtime: the firewall's rules can't be read; collect as root")
        return {"rules": UNREADABLE}
    found = _nftables(warnings) if _has_nftables() else {}
    for family, names, program in _SAVERS:
        if read(names).strip():
            legacy = program + "-legacy-save"
            found.update(_saved(family + " (legacy)", legacy if ask.program(legacy) else program + "-save", warnings))
    return found


def _has_nftables():
    """Has the kernel any table of nftables? Where nf_tables is not loaded it has none, and asking would load it."""
    loaded = read("/proc/modules")
    if loaded and not re.search(r"^nf_tables ", loaded, re.MULTILINE):
        return False
    try:
        return bool(netlink.dump(netlink.NETFILTER, _NFT_GET_TABLE, bytes(4)))
    except (OSError, struct.error):
        return True


def _nftables(warnings):
    program = ask.program("nft")
    if program:
        said = ask.run([program, "--json", "list", "ruleset"], warnings)
        return {"nft": UNREADABLE} if said is None else _parsed(said, warnings)
    found = {}
    for family, _names, saver in _SAVERS:
        found.update(_saved(family, saver + "-save", warnings))
    return found


def _parsed(said, warnings):
    """nft's answer; of the tables that iptables made, of whose rules nft does not know all, iptables' own."""
    document = json.loads(said)
    found, foreign = _settled(nft.ruleset(document, _BANS)), nft.of_iptables(document)
    if foreign:
        found = {key: fact for key, fact in found.items() if tuple(key.split(" ")[1:3]) not in foreign}
        for family, _names, program in _SAVERS:
            if family in {each for each, _table in foreign}:
                found.update(_saved(family, program + "-save", warnings))
    return found


def _saved(family, program, warnings):
    where = ask.program(program)
    if where is None:
        warnings.append("runtime: %s is missing: the rules of %s can't be read" % (program, family))
        return {program: UNREADABLE}
    said = ask.run([where], warnings)
    return {program: UNREADABLE} if said is None else saved(family, said)


def saved(family, text):
    """From iptables-save: chains as `chain ip filter INPUT`, with policy and rules."""
    found = {}
    table = ""
    for line in text.split("\n"):
        if line.startswith("*"):
            table = line[1:]
        elif line.startswith(":"):
            chain, policy = line[1:].split(" ")[:2]
            found["chain %s %s %s" % (family, table, chain)] = {} if policy == "-" else {"policy": policy.lower()}
        elif line.startswith("-A "):
            chain, _blank, rest = line[3:].partition(" ")
            found["chain %s %s %s" % (family, table, chain)].setdefault("rules", []).append(rest)
    return _settled({paths.printable(key): fact for key, fact in found.items()})


def _settled(found):
    for key, fact in found.items():
        if "rules" in fact:
            fact["rules"] = settled(key.rpartition(" ")[2], fact["rules"])
    return found


def settled(chain, rules):
    """A chain's rules as they stay: without whom fail2ban banned, and Docker's without addresses and numbers.

    Docker's own chains grow by what is started when: of them each kind of rule once, without an order.
    """
    if _BANS.match(chain):
        return ["(bans)"]
    if _DOCKER_CHAIN.match(chain):
        return sorted({_without_place(rule) for rule in rules})
    found = []
    for rule in rules:
        dockers = _DOCKER_RULE.search(rule) is not None
        shown = _without_place(rule) if dockers else paths.printable(rule)
        if not dockers or shown not in found:
            found.append(shown)
    return found


def _without_place(rule):
    return paths.printable(_ADDRESS.sub("(address)", _DOCKER_NETWORK.sub("br-(number)", rule)))
