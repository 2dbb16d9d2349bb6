# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Section kernel: which kernels are installed, and with what command line the next boot starts one."""

from __future__ import annotations

import re

from . import paths, private, settings
from .tree import DIRECTORY

_REFERENCE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_COMMAND_LINE = ("GRUB_CMDLINE_LINUX", "GRUB_CMDLINE_LINUX_DEFAULT")
# A value that names itself again and again must not grow without end.
_LONGEST = 1 << 16


def collect(tree):
    """{"kernel 6.1.0-28-amd64": {"image": "/boot/vmlinuz-6.1.0-28-amd64", "modules": "/usr/lib/modules/…"},
    "command line": {"normal": "quiet console=ttyS0", "recovery": "console=ttyS0"},
    "grub GRUB_TIMEOUT": {"value": "5"}}
    """
    found = {}
    for name in tree.children("/boot"):
        if name.startswith(("vmlinuz-", "vmlinux-")):
            found["kernel " + paths.printable(name[8:])] = {"image": paths.printable("/boot/" + name)}
    folder = tree.resolve("/lib/modules")
    for name in tree.children(folder) if folder else ():
        if tree.entries[folder + "/" + name].type == DIRECTORY:
            kernel = found.setdefault("kernel " + paths.printable(name), {})
            kernel["modules"] = paths.printable(folder + "/" + name)
    found.update(grub(_grub_texts(tree)))
    unified = settings.text(tree, "/etc/kernel/cmdline")
    if unified:
        found["command line /etc/kernel/cmdline"] = {"normal": private.command(settings.words(unified))}
    return found


def _grub_texts(tree):
    texts = [settings.text(tree, "/etc/default/grub")]
    for path in settings.files(tree, "/etc/default/grub.d", lambda name: name.endswith(".cfg")):
        texts.append(settings.text(tree, path))
    return texts


def grub(texts):
    """What /etc/default/grub and then each file of grub.d set: the command line, and every variable of GRUB's."""
    values = {}
    for text in texts:
        for name, value in settings.assignments(text):
            values[name] = _REFERENCE.sub(lambda each: values.get(each[1] or each[2], ""), value)[:_LONGEST]
    found = {}
    if any(name in values for name in _COMMAND_LINE):
        always, by_default = (settings.words(values.get(name, "")) for name in _COMMAND_LINE)
        found["command line"] = {
            "normal": private.command((always + " " + by_default).strip()),
            "recovery": private.command(always),
        }
    for name, value in values.items():
        if name.startswith("GRUB_") and name not in _COMMAND_LINE:
            found["grub " + name] = {"value": private.value(name, value)}
    return found
