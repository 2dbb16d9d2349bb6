# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Section modules: which kernel modules are loaded at boot, which are blacklisted, and with what options."""

from __future__ import annotations

from . import private, settings

MODPROBE = ("/etc/modprobe.d", "/usr/local/lib/modprobe.d", "/usr/lib/modprobe.d", "/lib/modprobe.d")
LOAD = ("/etc/modules-load.d", "/usr/local/lib/modules-load.d", "/usr/lib/modules-load.d", "/lib/modules-load.d")
_INITRAMFS = "/etc/initramfs-tools/modules"


def collect(tree):
    """{"br_netfilter": {"load": True}, "floppy": {"blacklisted": True}, "kvm": {"options": ["nested=1"]}}"""
    found = {}
    for path in settings.fragments(tree, MODPROBE):
        parse(settings.text(tree, path), found)
    for path in settings.fragments(tree, LOAD):
        for line in settings.lines(settings.text(tree, path), "#;"):
            found.setdefault(normal(line), {})["load"] = True
    for line in settings.lines(settings.text(tree, _INITRAMFS)):
        found.setdefault(normal(line.split()[0]), {})["initramfs"] = True
    return found


def parse(text, into):
    """Add what a file of modprobe.d says to the section."""
    for line in settings.lines(text):
        command, _blank, rest = settings.words(line).partition(" ")
        name, _blank, value = rest.partition(" ")
        if not name:
            continue
        module = into.setdefault(normal(name), {})
        if command == "blacklist":
            module["blacklisted"] = True
        elif command in ("options", "alias", "softdep", "weakdep", "install", "remove"):
            values = module.setdefault(command, [])
            if value not in values:
                values.append(private.command(value))
        elif not module:
            del into[normal(name)]


def normal(name):
    """snd-hda-intel and snd_hda_intel are one module."""
    return name.replace("-", "_")
