# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Section packages: Debian packages, from dpkg's own records."""

from __future__ import annotations

STATUS = "/var/lib/dpkg/status"
AVAILABLE_ARCHITECTURES = "/var/lib/dpkg/arch"
EXTENDED_STATES = "/var/lib/apt/extended_states"

_WANTED = ("Package", "Status", "Architecture", "Version", "Source")


def collect(tree):
    """({"nginx": {"version": ..., ...}}, native architecture)."""
    stanzas = parse(tree.text(STATUS), _WANTED)
    native = native_architecture(stanzas, tree.text(AVAILABLE_ARCHITECTURES))
    automatic = parse_automatic(tree.text(EXTENDED_STATES))
    return section(stanzas, native, automatic), native


def parse(text, wanted):
    """Stanzas of a Debian control file, as dictionaries of the wanted one-line fields."""
    starts = tuple(name + ":" for name in wanted)
    stanza = {}
    stanzas = []
    for line in text.split("\n"):
        if not line:
            if stanza:
                stanzas.append(stanza)
                stanza = {}
        elif line.startswith(starts):
            name, _colon, value = line.partition(":")
            stanza[name] = value.strip()
    if stanza:
        stanzas.append(stanza)
    return stanzas


def native_architecture(stanzas, arch_file):
    """dpkg's own architecture: the first in its list, else that of the package dpkg."""
    lines = arch_file.split()
    if lines:
        return lines[0]
    for stanza in stanzas:
        if stanza.get("Package") == "dpkg":
            return stanza.get("Architecture", "")
    return ""


def parse_automatic(text):
    """What apt installed only because something else needs it: {(name, architecture)}."""
    return {
        (stanza["Package"], stanza.get("Architecture", ""))
        for stanza in parse(text, ("Package", "Architecture", "Auto-Installed"))
        if stanza.get("Auto-Installed") == "1" and "Package" in stanza
    }


def section(stanzas, native, automatic):
    """The section. A package of a foreign architecture is named `name:architecture`."""
    packages = {}
    for stanza in stanzas:
        name = stanza.get("Package")
        status = stanza.get("Status", "").split()
        if not name or len(status) != 3 or status[2] == "not-installed":
            continue
        architecture = stanza.get("Architecture", "")
        package = {"version": stanza.get("Version", ""), "architecture": architecture, "status": status[2]}
        if stanza.get("Source"):
            source, _space, version = stanza["Source"].partition(" ")
            package["source"] = source
            if version:
                package["source_version"] = version.strip("()")
        if status[1] != "ok":
            package["error"] = status[1]
        if status[0] == "hold":
            package["hold"] = True
        # apt files packages for all architectures under its own.
        if (name, native if architecture == "all" else architecture) in automatic:
            package["automatic"] = True
        foreign = native and architecture not in ("", "all", native)
        packages[name + ":" + architecture if foreign else name] = package
    return packages
