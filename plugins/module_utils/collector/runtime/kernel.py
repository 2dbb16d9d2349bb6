# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Sections kernel and apparmor: the kernel in force, and what it enforces. Absent in a container: both are the host's.

All of it is set at boot or by root, and stays.
"""

from __future__ import annotations

import os
import re

from .. import paths
from .ask import UNREADABLE, read

_TAINTS = (
    "proprietary module",
    "module loaded by force",
    "kernel not made for this machine",
    "module unloaded by force",
    "machine check",
    "bad page",
    "taint asked for by a program",
    "kernel died",
    "ACPI table overridden",
    "warning",
    "staging driver",
    "firmware workaround",
    "module from outside the kernel",
    "unsigned module",
    "soft lockup",
    "live patch",
    "auxiliary",
    "built with randomized structures",
    "in-kernel test",
)
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_SECRET = re.compile(r"pass(word|wd|phrase)|secret|token|credential|[._-]?key$|apikey", re.IGNORECASE)
_USER_OF_URL = re.compile(r"(://)[^/@\s]+@")
_IDENTITY = frozenset(["ip", "systemd.hostname", "systemd.machine_id", "BOOTIF"])
# Where the boot loader found the kernel: a disk's number, which a boot may change. The release stands for it.
_LOADER = frozenset(["BOOT_IMAGE", "initrd"])
_EFI = "/sys/firmware/efi"
_SECURE_BOOT = _EFI + "/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
_SECURITY = "/sys/kernel/security"


def collect(warnings):
    """{"release": {"value": "6.1.0-25-amd64"}, "parameter quiet": {"value": ""}, "lockdown": {"value": "none"}}"""
    system = os.uname()
    values = {
        "release": system.release,
        "version": system.version,
        "machine": system.machine,
        "taint": taint(read("/proc/sys/kernel/tainted")),
        "lockdown": chosen(read(_SECURITY + "/lockdown")),
        "security modules": read(_SECURITY + "/lsm").strip(),
        "apparmor": {"Y": "enabled", "N": "disabled"}.get(read("/sys/module/apparmor/parameters/enabled").strip(), ""),
        "selinux": {"1": "enforcing", "0": "permissive"}.get(read("/sys/fs/selinux/enforce").strip(), ""),
        "transparent huge pages": chosen(read("/sys/kernel/mm/transparent_hugepage/enabled")),
    }
    found = {name: {"value": paths.printable(value)} for name, value in values.items() if value}
    found["secure boot"] = _secure_boot(warnings)
    found.update(parameters(read("/proc/cmdline")))
    return found


def taint(text):
    """What /proc/sys/kernel/tainted says, in words: "4096" → "module from outside the kernel"; "none" for 0."""
    if not text.strip().isdigit():
        return ""
    bits = int(text)
    names = [_TAINTS[at] if at < len(_TAINTS) else "bit %d" % at for at in range(bits.bit_length()) if bits >> at & 1]
    return ", ".join(names) or "none"


def chosen(text):
    """The choice in force: "[none] integrity confidentiality" → "none"."""
    found = re.search(r"\[(\w+)\]", text)
    return found.group(1) if found else ""


def _secure_boot(warnings):
    if not os.path.isdir(_EFI):
        return {"value": "none: not booted by EFI"}
    try:
        with open(_SECURE_BOOT, "rb") as source:
            return {"value": secure_boot(source.read())}
    except FileNotFoundError:
        return {"value": "none: the firmware has no such state"}
    except OSError as error:
        warnings.append("runtime: secure boot: %s" % error)
        return UNREADABLE


def secure_boot(variable):
    """enabled or disabled, from the EFI variable: four bytes of attributes, then one of state."""
    return "enabled" if variable[4:5] == b"\1" else "disabled"


def parameters(command_line):
    """{"parameter console": {"value": "tty0 ttyS0"}}: one of several values in their order.

    Secrets are masked. What must differ between machines (addresses, UUIDs of disks) is named by its kind.
    """
    found = {}
    for word in re.findall(r'(?:[^\s"]|"[^"]*")+', command_line):
        name, _equals, value = word.replace('"', "").partition("=")
        if name in _LOADER:
            continue
        if name in _IDENTITY:
            value = "(its own)" if value else ""
        elif value and (_SECRET.search(name) or _SECRET.search(value.partition(":")[0])):
            value = "(masked)"
        value = _USER_OF_URL.sub(r"\1(masked)@", _UUID.sub("(UUID)", value))
        found.setdefault("parameter " + paths.printable(name), []).append(paths.printable(value))
    return {name: {"value": " ".join(each)} for name, each in found.items()}


def profiles():
    """{"/usr/sbin/chronyd": {"mode": "enforce"}}: AppArmor's profiles in force; None where there is no AppArmor."""
    if read("/sys/module/apparmor/parameters/enabled").strip() != "Y":
        return None
    with open(_SECURITY + "/apparmor/profiles", "rb") as source:
        return parse_profiles(source.read().decode("utf-8", "surrogateescape"))


def parse_profiles(text):
    """From lines such as `/usr/sbin/chronyd (enforce)`.

    Left out is what comes and goes: libvirt's profile of each machine that runs, and the empty ones that AppArmor
    makes while it learns.
    """
    found = {}
    for line in text.split("\n"):
        name, _blank, mode = line.rpartition(" ")
        if name and "//null-" not in name and not re.match(r"libvirt-" + _UUID.pattern, name):
            found[paths.printable(name)] = {"mode": mode.strip("()")}
    return found
