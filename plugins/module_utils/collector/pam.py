# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Section pam: what each service asks of PAM, with everything that its file includes in its place."""

from __future__ import annotations

import re

from . import paths, private, settings

FOLDERS = ("/etc/pam.d", "/usr/lib/pam.d")

_KINDS = ("auth", "account", "password", "session")
_CONTROL = re.compile(r"(\[(?:\\.|[^\]\\])*\]|\S+)\s*(.*)$")
_ARGUMENT = re.compile(r"\[(?:\\.|[^\]\\])*\]|\S+")
_DEEPEST = 32
_LONGEST = 1000


class Stacks:
    """Reads services' files, each once."""

    def __init__(self, tree):
        self.tree = tree
        self.steps = 0
        self._lines = {}

    def lines(self, service):
        """What a service's file says: [(kind or None, control, rest)]; None when there is no such file."""
        if service not in self._lines:
            self._lines[service] = None
            for path in [service] if service.startswith("/") else [folder + "/" + service for folder in FOLDERS]:
                if settings.is_file(self.tree, path):
                    self._lines[service] = parse(settings.text(self.tree, path))
                    break
        return self._lines[service]


def collect(tree):
    """{"sshd": {"auth": ["[success=1 default=ignore] pam_unix.so nullok", ...], "account": [...], ...}}"""
    stacks = Stacks(tree)
    found = {}
    for folder in FOLDERS:
        for path in settings.files(tree, folder):
            name = path.rpartition("/")[2]
            service = paths.printable(name)
            # What begins with common- is no service, but a part that services include.
            if service not in found and "." not in name and not name.startswith("common-"):
                found[service] = {kind: resolve(stacks, service, kind, tree) for kind in _KINDS}
    return found


def parse(text):
    """[("auth", "required", "pam_unix.so nullok"), (None, "@include", "common-auth")]"""
    found = []
    for line in settings.lines(text):
        kind, _blank, rest = settings.words(line.partition(" #")[0]).partition(" ")
        if kind == "@include":
            found.append((None, kind, rest))
            continue
        match = _CONTROL.match(rest)
        if match:
            # A "-" before the kind: a module that is not there is not missed.
            found.append((kind.lower(), settings.words(match[1]), match[2]))
    return found


def resolve(stacks, service, kind, tree):
    """The stack of one kind, in order. What a substack brings stands between two lines that name it."""
    found = []
    stacks.steps = 0
    _add(stacks, service, kind, (), found)
    if any(line.endswith(" (not resolved)") for line in found):
        settings.warn(tree, FOLDERS[0] + "/" + service, "its includes for %s lead nowhere or have no end" % kind)
    return found


def _add(stacks, service, kind, within, into):
    stacks.steps += 1
    lines = stacks.lines(service) if stacks.steps <= _LONGEST else None
    if lines is None or service in within or len(within) > _DEEPEST:
        into.append("include %s (not resolved)" % service)
        return
    within = (*within, service)
    for its_kind, control, rest in lines:
        optional = its_kind is not None and its_kind.startswith("-")
        if its_kind is not None and its_kind.lstrip("-") != kind:
            continue
        if control in ("@include", "include"):
            _add(stacks, rest, kind, within, into)
        elif control == "substack":
            into.append("substack %s {" % rest)
            _add(stacks, rest, kind, within, into)
            into.append("}")
        else:
            into.append(("-" if optional else "") + control + " " + _module(rest))


def _module(rest):
    """A module and its arguments, with secrets as digests."""
    shown = []
    for argument in _ARGUMENT.findall(rest):
        name, equals, value = argument.partition("=")
        shown.append(name + equals + private.value(name, value) if equals else argument)
    return " ".join(shown)
