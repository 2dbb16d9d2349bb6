# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What runs on a live machine, one file per section.

Recorded is what stays as it is on a machine that nobody touches, through reboots and the days: two looks at it are
equal. So there is no clock's state (whether it is synchronized changes by itself), no load, no address, no session.

In a container the kernel is the host's. What belongs to the whole kernel (its settings, modules, AppArmor, swaps) is
then left out, and compare says that it was not compared.
"""

from __future__ import annotations

import struct

from . import (
    ask,
    containers,
    environment,
    firewall,
    mounts,
    network,
    processes,
    reboot,
    restart,
    sockets,
    sysctl,
    units,
)

_NOT_UNDERSTOOD = (OSError, ValueError, LookupError, TypeError, AttributeError, struct.error)


def collect(tree, warnings):
    """{"units": {...}, "sockets": {...}, ...}: each section's own file says what it holds.

    A section that can't be made is unreadable, with a warning, and never an empty one.
    """
    shared = ask.in_container()
    own, kernel_wide = sysctl.collect(shared, warnings)
    makers = {
        "units": lambda: units.collect(tree, warnings),
        "sockets": lambda: sockets.collect(warnings),
        "environment": lambda: environment.collect(warnings),
        "processes": lambda: processes.collect(warnings),
        "restart": lambda: restart.collect(shared, warnings),
        "reboot": lambda: reboot.collect(tree, shared),
        "firewall": lambda: firewall.collect(shared, warnings),
        "containers": lambda: containers.collect(warnings),
        "images": lambda: containers.images(warnings),
        "mounts": lambda: mounts.collect(shared),
        "network": lambda: network.collect(warnings),
        "sysctl": lambda: own,
    }
    if not shared:
        from . import kernel, modules, swaps  # noqa: PLC0415  # pylint: disable=import-outside-toplevel

        makers.update(
            {
                "swaps": swaps.collect,
                "kernel": lambda: kernel.collect(warnings),
                "modules": modules.collect,
                "apparmor": kernel.profiles,
                "sysctl_kernel": lambda: kernel_wide,
            }
        )
    found = {}
    for name, make in makers.items():
        try:
            section = make()
        except _NOT_UNDERSTOOD as error:
            warnings.append("runtime: %s: can't be read: %s" % (name, error or type(error).__name__))
            section = {name: ask.UNREADABLE}
        if section is not None:
            found[name] = section
    return found
