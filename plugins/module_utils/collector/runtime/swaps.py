# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Section swaps: where the kernel swaps to. Absent in a container: it is the host's."""

from __future__ import annotations

import re

from .. import paths
from .ask import read


def collect():
    """{"/swapfile": {"type": "file", "size": 2097148, "priority": "-2"}}: sizes in KiB."""
    with open("/proc/swaps", encoding="utf-8", errors="surrogateescape") as source:
        text = source.read()
    return parse(text, lambda name: read("/sys/class/block/%s/dm/name" % name).strip())


def parse(text, mapper_name):
    """From /proc/swaps. Partitions are numbered as they come, since disks change their letters; a device-mapper's
    volume has the name that `mapper_name` gives for dm-0 and the like. How much is used is not recorded."""
    found = {}
    partitions = 0
    for line in text.split("\n")[1:]:
        fields = line.split()
        if len(fields) < 5:
            continue
        name = re.sub(r"\\040\(deleted\)$", "", fields[0])
        device = name.rpartition("/")[2]
        if device.startswith("dm-"):
            name = "/dev/mapper/" + (mapper_name(device) or device)
        elif fields[1] == "partition" and not device.startswith("zram"):
            partitions += 1
            name = "partition %d" % partitions
        # The kernel counts priorities down where nobody gave one: the order of partitions at boot.
        priority = "automatic" if fields[4].startswith("-") else fields[4]
        found[paths.printable(name)] = {"type": fields[1], "size": int(fields[2]), "priority": priority}
    return found
