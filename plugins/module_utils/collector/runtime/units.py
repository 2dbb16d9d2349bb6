# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Section units: what is active or has failed.

Left out is what comes and goes by itself: sessions, transient units, services that D-Bus or a socket starts per use,
jobs that a timer runs, or that only the first boot does, or the first one after an update (unless they failed). What
somebody set until the next boot, as `systemctl mask --runtime` does, counts, whether the unit is active or not; what a
boot generates does not.
"""

from __future__ import annotations

import json
import os
import re

from .. import digest, paths, units
from . import ask, systemd

_KINDS = ("service", "socket", "timer", "path")
_STATES = ("active", "reloading", "activating", "failed")
_LIST_UNITS = [
    "systemctl",
    "list-units",
    "--type=" + ",".join(_KINDS),
    "--state=" + ",".join(_STATES),
    "--output=json",
    "--no-pager",
    "--full",
]
_UNTIL_BOOT = ("/run/systemd/system.control", "/run/systemd/system")
# Of a job: it runs at some boots only, by what was before.
_AT_SOME_BOOTS = ("ConditionFirstBoot", "ConditionNeedsUpdate")
_TRANSIENT = re.compile(r"(run-|session-|user@|user-runtime-dir@)")


def collect(tree, warnings):
    """{"nginx.service": {"active": "active", "sub": "running"},
    "cron.service": {"until_boot": {"/run/systemd/system/cron.service": "/dev/null"}}}
    """
    listing = list_units(warnings)
    if listing is None:
        return {"systemctl list-units": ask.UNREADABLE}
    found = active_units(listing, UnitFiles(tree))
    for folder in _UNTIL_BOOT:
        for unit, files in until_boot(folder).items():
            found.setdefault(unit, {}).setdefault("until_boot", {}).update(files)
    return found


def until_boot(folder):
    """Unit files, drop-ins and links by unit, each as its digest or where it leads:
    {"cron.service": {"/run/systemd/system/cron.service.d/x.conf": "sha256:…"}}
    """
    found = {}
    for here, folders, names in os.walk(folder):
        for path in [here + "/" + name for name in names + folders]:
            parent = os.path.basename(here)
            unit = parent[: -len(".d")] if parent.endswith(".d") else os.path.basename(path)
            if os.path.islink(path):
                value = paths.printable(os.readlink(path))
            elif os.path.isfile(path):
                with open(path, "rb") as source:
                    value = "sha256:" + digest.of_bytes(source.read())
            else:
                continue
            found.setdefault(paths.printable(unit), {})[paths.printable(path)] = value
    return found


def list_units(warnings):
    """systemd's answer, as systemctl has it: an empty list where it doesn't run, None when it can't be had."""
    if not ask.systemd_runs():
        warnings.append("runtime: systemd does not run here, so no unit is active")
        return "[]"
    told = systemd.units(_STATES)
    if told is None:
        return ask.run(_LIST_UNITS, warnings, 60)
    listed = [unit for unit in told if unit[0].rpartition(".")[2] in _KINDS]
    return json.dumps([{"unit": name, "active": active, "sub": sub} for name, active, sub in listed])


class UnitFiles:
    """What unit files say about how their services are started."""

    def __init__(self, tree):
        self._tree = tree
        self._wanted = None

    def _text(self, name):
        for folder in units.FOLDERS:
            text = self._tree.text(folder + "/" + name)
            if text:
                return text
        return ""

    def _value(self, name, key):
        text = self._text(name) or self._text(units.template_of(name))
        values = re.findall(r"^%s[ \t]*=[ \t]*(.*?)[ \t]*$" % key, text, re.MULTILINE)
        return values[-1] if values else ""

    def on_demand(self, name):
        """Does something start this service for one use or one run only?"""
        kind = self._value(name, "Type")
        if kind == "oneshot":
            ends = self._value(name, "RemainAfterExit").lower() not in ("yes", "true", "on", "1")
            return ends or any(self._value(name, condition) for condition in _AT_SOME_BOOTS)
        if kind == "dbus" or self._value(name, "BusName"):
            return not self._is_wanted(name)
        if "@" in name and self._text(units.template_of(name)):
            listener = name.partition("@")[0] + ".socket"
            return bool(re.search(r"^Accept[ \t]*=[ \t]*(yes|true|on|1)", self._text(listener), re.M | re.I))
        return False

    def _is_wanted(self, name):
        if self._wanted is None:
            self._wanted = set()
            for folder in units.FOLDERS:
                real = self._tree.resolve(folder)
                for child in self._tree.children(real) if real else ():
                    if child.endswith((".wants", ".requires", ".upholds")):
                        self._wanted.update(self._tree.children(real + "/" + child))
        return name in self._wanted


def active_units(listing, unit_files):
    """The units that count, from `systemctl list-units --output=json`.

    Of sockets, timers and paths only that they are active: whether they wait or run depends on the moment.
    """
    found = {}
    for unit in json.loads(listing or "[]"):
        name, active, sub = unit["unit"], unit["active"], unit["sub"]
        if active == "inactive" or _TRANSIENT.match(name):
            continue
        service = name.endswith(".service")
        if active != "failed" and service and unit_files.on_demand(name):
            continue
        found[paths.printable(name)] = {"active": active, "sub": sub} if service else {"active": active}
    return found
