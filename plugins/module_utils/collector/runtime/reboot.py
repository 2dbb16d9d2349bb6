# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Section reboot: why the machine should be booted anew. Empty where it need not be; a boot empties it."""

from __future__ import annotations

import os
import re

from .. import paths
from .ask import read

_REQUIRED = "/run/reboot-required"


def collect(tree, shared):
    """{"kernel": {"running": "6.1.0-25-amd64", "installed": "6.1.0-26-amd64"},
    "/run/reboot-required": {"packages": ["linux-image-6.1.0-26-amd64"]}}
    """
    found = {}
    if os.path.exists(_REQUIRED):
        found[_REQUIRED] = {"packages": sorted(set(read(_REQUIRED + ".pkgs").split()))}
    if shared:
        return found
    system = os.uname()
    newest = newer_release(system.release, _installed())
    package = package_version(tree.text("/var/lib/dpkg/status"), "linux-image-" + system.release)
    if newest:
        found["kernel"] = {"running": paths.printable(system.release), "installed": paths.printable(newest)}
    elif rebuilt(system.version, package):
        found["kernel"] = {"running": paths.printable(system.version), "installed": paths.printable(package)}
    return found


def _installed():
    """The releases in /boot, which may be a mount, and then no part of the tree."""
    boot = os.listdir("/boot") if os.path.isdir("/boot") else []
    return [name[len("vmlinuz-") :] for name in boot if name.startswith("vmlinuz-")]


def newer_release(running, installed):
    """The newest installed kernel, if it is newer than the one that runs; else empty. Numbers count as numbers."""
    newest = max(installed, key=_numbers, default="")
    return newest if newest and _numbers(newest) > _numbers(running) else ""


def _numbers(release):
    """6.1.0-25-cloud-amd64 → (6, 1, 0, 25): what it is made for doesn't count."""
    version = re.match(r"[\d.]+(\+[^-]*)?(-[\d.]+[^-]*)?", release)
    return tuple(int(each) for each in re.findall(r"\d+", version.group())) if version else ()


def package_version(status, name):
    """A package's version from dpkg's records; empty when it is not there."""
    found = re.search(r"^Package: %s\n(?:.+\n)*?Version: (.+)$" % re.escape(name), status, re.MULTILINE)
    return found.group(1) if found else ""


def rebuilt(version, package):
    """Was the running kernel's package replaced by one of the same release?

    Debian writes the package's version into the kernel's: `#1 SMP PREEMPT_DYNAMIC Debian 6.1.106-3 (2024-08-26)`.
    """
    running = re.search(r"Debian (\S+)", version)
    return bool(running and package and running.group(1) != package)
