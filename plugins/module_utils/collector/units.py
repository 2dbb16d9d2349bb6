# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Section units: systemd's unit files and what `systemctl is-enabled` would say of them.

Asking systemctl takes a third of a second and a running systemd. The answer stands in unit files and links, which
an image at rest has too. What a boot generates (/run) is not part of it.
"""

from __future__ import annotations

from . import paths
from .tree import FILE, LINK

# Highest first: a unit file hides those of the same name in later folders.
FOLDERS = (
    "/etc/systemd/system.control",
    "/etc/systemd/system",
    "/usr/local/lib/systemd/system",
    "/lib/systemd/system",
    "/usr/lib/systemd/system",
)
_CONFIGURED = ("/etc/systemd/system.control", "/etc/systemd/system")
_SUFFIXES = (
    ".service",
    ".socket",
    ".target",
    ".timer",
    ".path",
    ".mount",
    ".automount",
    ".swap",
    ".slice",
    ".device",
)
_WANTS = (".wants", ".requires", ".upholds")
_RULES = ("WantedBy", "RequiredBy", "UpheldBy", "Alias")
_KEPT = (*_RULES, "Also", "DefaultInstance")


class Unit:
    """One unit file: its name, where it lies, and the [Install] section in force."""

    def __init__(self, name, path):
        self.name = name
        self.path = path
        self.install = {}
        self.drop_ins = []


def collect(tree):
    """{"nginx.service": {"state": "enabled", "path": "/usr/lib/systemd/system/nginx.service"}}"""
    folders = _folders(tree)
    names = {}
    for folder in folders:
        for name in tree.children(folder):
            path = folder + "/" + name
            if name.endswith(_SUFFIXES) and name not in names and tree.entries[path].type in (FILE, LINK):
                names[name] = path
    enabling = _enabling_links(tree)
    return {paths.printable(name): _describe(tree, folders, names, enabling, name) for name in names}


def _folders(tree):
    """The folders that exist, links followed, each once."""
    found = [tree.resolve(folder) for folder in FOLDERS]
    return list(dict.fromkeys(folder for folder in found if folder is not None))


def _enabling_links(tree):
    """The administrator's links: [(in a .wants folder?, name of the link, name of what it points to)]."""
    links = []
    for folder in _CONFIGURED:
        for name in tree.children(folder):
            here = folder + "/" + name
            if tree.entries[here].type == LINK:
                links.append((False, name, _last(tree.entries[here].target)))
            elif name.endswith(_WANTS):
                for inner in tree.children(here):
                    entry = tree.entries[here + "/" + inner]
                    if entry.type == LINK:
                        links.append((True, inner, _last(entry.target)))
    return links


def _describe(tree, folders, names, enabling, name):
    path = names[name]
    entry = tree.entries[path]
    found = {"path": paths.printable(path)}
    if _is_masked(entry):
        found["state"] = "masked"
        return found
    if entry.type == LINK:
        other = _last(entry.target)
        if other != name and other in names:
            found["state"] = "alias"
            found["alias_of"] = paths.printable(other)
            return found
        real = tree.resolve(path)
        if real is None:
            found["state"] = "bad"
            return found
        if real.rpartition("/")[0] not in folders:
            found["linked_from"] = paths.printable(real)
    unit = Unit(name, path)
    _load(tree, folders, unit)
    found["state"] = state(unit, enabling, "linked_from" in found)
    if unit.drop_ins:
        found["drop_ins"] = [paths.printable(each) for each in unit.drop_ins]
    return found


def _is_masked(entry):
    """An empty unit file, or a link to /dev/null (which the tree does not hold)."""
    if entry.type == LINK:
        return entry.target in ("/dev/null", "../../../dev/null", "../../../../dev/null")
    return entry.size == 0


def _last(path):
    return path.rpartition("/")[2]


def _load(tree, folders, unit):
    texts = [tree.text(unit.path)]
    seen = {}
    for parent in folders:
        folder = parent + "/" + unit.name + ".d"
        for name in tree.children(folder):
            if name.endswith(".conf"):
                seen.setdefault(name, folder + "/" + name)
    for name in sorted(seen):
        unit.drop_ins.append(seen[name])
        texts.append(tree.text(seen[name]))
    for text in texts:
        parse_install(text, unit.install)


def parse_install(text, into):
    """Add a unit file's [Install] section to a dictionary of lists: {"WantedBy": ["multi-user.target"]}.

    An empty assignment clears what came before; a line that ends in a backslash goes on.
    """
    if "[Install]" not in text:
        return into
    inside = False
    for raw in text.replace("\\\n", " ").split("\n"):
        line = raw.strip()
        if line.startswith("["):
            inside = line == "[Install]"
        elif inside and line and line[0] not in "#;":
            key, equals, value = line.partition("=")
            key = key.strip()
            if equals and key in _KEPT:
                words = value.split()
                into[key] = into.get(key, []) + words if words else []
    return into


def state(unit, links, linked):
    """enabled, linked, disabled, indirect or static, as systemd decides it (its install.c, in our own words).

    A link of the administrator's enables a unit when it has the unit's name in a .wants, .requires or .upholds
    folder, or the name of one of the unit's aliases. A template that only named instances are enabled of is indirect.
    """
    names = {unit.name}
    for instance in unit.install.get("DefaultInstance", []):
        names.add(unit.name.replace("@.", "@" + instance + "."))
    aliases = set(unit.install.get("Alias", [])) - {unit.name}
    instantiated = False
    for in_wants, name, target in links:
        if (in_wants and name in names) or (not in_wants and name in aliases and target == unit.name):
            return "enabled"
        instantiated |= in_wants and "@." in unit.name and template_of(name) == unit.name
    if instantiated:
        return "indirect"
    if linked:
        return "linked"
    if any(unit.install.get(rule) for rule in _RULES):
        return "disabled"
    return "indirect" if unit.install.get("Also") else "static"


def template_of(name):
    """getty@tty1.service → getty@.service; a name without an instance as it is."""
    stem, _dot, suffix = name.rpartition(".")
    prefix, at, _instance = stem.partition("@")
    return prefix + at + "." + suffix
