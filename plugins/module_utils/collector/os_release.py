# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Section os: which release of which system, for which architecture."""

from __future__ import annotations

# e_machine of an ELF file, as dpkg names the architecture.
_MACHINES = {3: "i386", 40: "armhf", 62: "amd64", 183: "arm64", 243: "riscv64", 21: "ppc64el", 22: "s390x"}
_FIELDS = (
    ("id", "ID"),
    ("version_id", "VERSION_ID"),
    ("codename", "VERSION_CODENAME"),
    ("variant", "VARIANT_ID"),
    ("image_id", "IMAGE_ID"),
    ("image_version", "IMAGE_VERSION"),
)


def collect(tree, native):
    """{"release": {"id": "debian", ...}, "architecture": {"name": "amd64"}}; `native`: dpkg's own, or empty."""
    values = parse(tree.text("/etc/os-release") or tree.text("/usr/lib/os-release"))
    release = {name: values[field] for name, field in _FIELDS if values.get(field)}
    debian = tree.text("/etc/debian_version").strip()
    if debian:
        release["debian_version"] = debian
    section = {"release": release} if release else {}
    architecture = native or elf_machine(tree.read("/bin/sh") or tree.read("/usr/bin/env") or b"")
    if architecture:
        section["architecture"] = {"name": architecture}
    return section


def parse(text):
    """os-release's shell-like assignments: 'ID=debian\\nVERSION_ID="12"' → {"ID": "debian", "VERSION_ID": "12"}."""
    values = {}
    for line in text.splitlines():
        name, equals, value = line.strip().partition("=")
        if not equals or name.startswith("#"):
            continue
        if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        for escaped in '$"`\\':
            value = value.replace("\\" + escaped, escaped)
        values[name] = value
    return values


def elf_machine(data):
    """The architecture of a program, from its first bytes; empty when they are no ELF header."""
    if data[:4] != b"\x7fELF" or len(data) < 20:
        return ""
    order = "little" if data[5] == 1 else "big"
    number = int.from_bytes(data[18:20], order)
    return _MACHINES.get(number, "elf-%d" % number)
