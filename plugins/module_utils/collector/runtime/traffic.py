# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""How an interface's traffic is queued, delayed and sorted, where somebody set that: in tc's own words.

The kernel is asked which interfaces have a queue that is not of its own making; tc is run for these alone.
"""

from __future__ import annotations

import re
import struct

from .. import paths
from . import ask, netlink
from .sysctl import ephemeral

_GET_QUEUES = 38
# The kernel's own queues have no number.
_BY_ITSELF = 0
# Where clsact hangs, which sorts on the way in and on the way out.
_CLSACT = 0xFFFFFFF1
# Counters, a seed that is drawn by lot, and what the answer is about anyway.
_LEFT_OUT = re.compile(r"\s(dev \S+|refcnt \d+|direct_packets_stat \d+|seed \d+|(not_)?in_hw)(?=\s|$)")
# A number that tc picked: each one is new, on the whole machine.
_PICKED = re.compile(r"\b(?!ffff)[89a-f][0-9a-f]{3}:")


def collect(interfaces, warnings):
    """{"traffic eth0": {"shaped": ["qdisc tbf (number): root rate 1Mbit burst 10Kb lat 50ms"]}}

    `interfaces`: {index: name}. Unreadable where there is no tc to ask. Raises OSError where the kernel refuses.
    """
    found = {}
    for index, queues in by_somebody(netlink.dump(netlink.ROUTE, _GET_QUEUES, bytes(20))).items():
        name = interfaces.get(index, "")
        if name and not ephemeral(name):
            found["traffic " + paths.printable(name)] = _shaped(name, queues, warnings)
    return found


def by_somebody(answers):
    """{interface's index: [(the queue's number, its parent's)]} of those that the kernel did not make by itself."""
    found = {}
    for answer in answers:
        index, number, parent = struct.unpack_from("=4xiII", answer)
        if number != _BY_ITSELF:
            found.setdefault(index, []).append((number, parent))
    return found


def _shaped(interface, queues, warnings):
    program = ask.program("tc")
    if program is None:
        warnings.append("runtime: tc is missing: how traffic of %s is shaped can't be read" % interface)
        return ask.UNREADABLE
    questions = [["qdisc"], ["class"]]
    for number, parent in queues:
        both = parent == _CLSACT
        questions += [["filter", "ingress"], ["filter", "egress"]] if both else [["filter", "parent", _handle(number)]]
    shown = []
    for kind, *more in questions:
        said = ask.run([program, kind, "show", "dev", interface, *more], warnings)
        if said is None:
            return ask.UNREADABLE
        shown += lines(said)
    return {"shaped": shown}


def _handle(number):
    return "%x:" % (number >> 16)


def lines(text):
    """What tc says, a line for each thing, without what changes by itself.

    What goes on over several lines, as a filter does, is one.
    """
    found = []
    for line in text.split("\n"):
        plain = " ".join(_PICKED.sub("(number):", _LEFT_OUT.sub("", line.rstrip())).split())
        if plain and line[0] in " \t" and found:
            found[-1] += " " + plain
        elif plain and not plain.startswith("qdisc noqueue 0:"):
            found.append(paths.printable(plain))
    return found
