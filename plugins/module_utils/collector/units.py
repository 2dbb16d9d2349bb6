# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Section units: systemd's unit files, what `systemctl is-enabled` would say of them, their drop-ins and schedules.

Asking systemctl takes a third of a second and a running systemd. The answer stands in unit files and links, which
an image at rest has too. What a boot generates (/run) is not part of it.
"""

from __future__ import annotations

from . import paths, settings
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
# What decides when a timer elapses; the last value of one that is not a list counts.
_SCHEDULE = (
    "OnActiveSec",
    "OnBootSec",
    "OnStartupSec",
    "OnUnitActiveSec",
    "OnUnitInactiveSec",
    "OnCalendar",
    "OnClockChange",
    "OnTimezoneChange",
)
_ONE_VALUE = (
    "AccuracySec",
    "RandomizedDelaySec",
    "FixedRandomDelay",
    "DeferReactivation",
    "Persistent",
    "WakeSystem",
    "RemainAfterElapse",
    "Unit",
)


class Unit:
    """One unit file: its name, where it lies, the [Install] section in force and, of a timer, [Timer]."""

    def __init__(self, name, path):
        self.name = name
        self.path = path
        self.install = {}
        self.timer = {}
        self.drop_ins = []


def collect(tree):
    """{"nginx.service": {"state": "enabled", "path": "/usr/lib/systemd/system/nginx.service",
    "wanted_by": ["multi-user.target"], "drop_ins": ["/etc/systemd/system/nginx.service.d/limits.conf"]},
    "apt-daily.timer": {..., "schedule": ["OnCalendar=*-*-* 6,18:00", "RandomizedDelaySec=12h"]}}
    """
    folders = _folders(tree)
    names = {}
    for folder in folders:
        for name in tree.children(folder):
            path = folder + "/" + name
            if name.endswith(_SUFFIXES) and name not in names and tree.entries[path].type in (FILE, LINK):
                names[name] = path
    enabling = _enabling_links(tree)
    found = {paths.printable(name): _describe(tree, folders, names, enabling, name) for name in names}
    for name, wanting in _wanting(tree, folders).items():
        template = paths.printable(template_of(name))
        if template in found and name not in names:
            # An instance has no file of its own, but is started all the same.
            path = found[template]["path"]
            found[paths.printable(name)] = {"state": "enabled", "path": path, "template": template}
        if paths.printable(name) in found:
            found[paths.printable(name)]["wanted_by"] = sorted(wanting)
    return found


def _wanting(tree, folders):
    """What starts a unit: {"getty@tty1.service": {"getty.target"}}, from links of packages' and the administrator's.

    A link that leads to /dev/null takes back a package's of the same name.
    """
    links = {}
    for folder in folders:
        for parent in tree.children(folder):
            if not parent.endswith(_WANTS):
                continue
            for name in tree.children(folder + "/" + parent):
                entry = tree.entries[folder + "/" + parent + "/" + name]
                if name.endswith(_SUFFIXES):
                    links.setdefault((parent, name), entry.type == LINK and entry.target == "/dev/null")
    found = {}
    for (parent, name), taken_back in links.items():
        if not taken_back:
            found.setdefault(name, set()).add(paths.printable(parent.rpartition(".")[0]))
    return found


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
    if unit.timer:
        found["schedule"] = _schedule(unit.timer)
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
    # What is said of one unit stands before what is said of all of its prefix or kind, of drop-ins of one name.
    places = [parent + "/" + name + ".d" for name in drop_in_names(unit.name) for parent in folders]
    unit.drop_ins = settings.fragments(tree, [place for place in places if place in tree.entries])
    for path in (unit.path, *unit.drop_ins):
        text = tree.text(path)
        parse_install(text, unit.install)
        if unit.name.endswith(".timer"):
            parse_timer(paths.printable(text), unit.timer)


def drop_in_names(name):
    """The units for whose drop-ins one looks: a-b@c.service, a-b@.service, a-.service, service; most exact first."""
    stem, _dot, suffix = name.rpartition(".")
    names = [name]
    template = template_of(name)
    if template != name:
        names.append(template)
    prefix = stem.partition("@")[0].rstrip("-")
    while "-" in prefix:
        prefix = prefix.rpartition("-")[0]
        names.append(prefix + "-." + suffix)
    return [*names, suffix]


def parse_install(text, into):
    """Add a unit file's [Install] section to a dictionary of lists: {"WantedBy": ["multi-user.target"]}.

    An empty assignment clears what came before; a line that ends in a backslash goes on.
    """
    for key, value in _section(text, "[Install]"):
        if key in _KEPT:
            words = value.split()
            into[key] = into.get(key, []) + words if words else []
    return into


def parse_timer(text, into):
    """Add a timer's [Timer] section: {"OnCalendar": ["*-*-* 6,18:00"], "Persistent": ["true"]}.

    An empty assignment of any of a timer's times clears all of them, as systemd has it.
    """
    for key, value in _section(text, "[Timer]"):
        if key in _SCHEDULE:
            if value:
                into[key] = [*into.get(key, []), value]
            else:
                for each in _SCHEDULE:
                    into.pop(each, None)
        elif key in _ONE_VALUE:
            into[key] = [value]
    return into


def _schedule(timer):
    return [key + "=" + value for key in (*_SCHEDULE, *_ONE_VALUE) for value in timer.get(key, ())]


def _section(text, title):
    """[("WantedBy", "multi-user.target")] of one section of a unit file."""
    if title not in text:
        return []
    found = []
    inside = False
    for raw in text.replace("\\\n", " ").split("\n"):
        line = raw.strip()
        if line.startswith("["):
            inside = line == title
        elif inside and line and line[0] not in "#;":
            key, equals, value = line.partition("=")
            if equals:
                found.append((key.strip(), value.strip()))
    return found


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
