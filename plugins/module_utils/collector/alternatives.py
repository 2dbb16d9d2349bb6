# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Section alternatives: which program stands for a name that several offer."""

from __future__ import annotations

from . import paths, settings
from .tree import LINK

_RECORDS = "/var/lib/dpkg/alternatives"
_LINKS = "/etc/alternatives/"


def collect(tree):
    """{"editor": {"mode": "auto", "link": "/usr/bin/editor", "target": "/bin/nano"}}"""
    found = {}
    for path in settings.files(tree, _RECORDS):
        name = path.rpartition("/")[2]
        alternative = parse(settings.text(tree, path))
        entry = tree.entries.get(_LINKS + name)
        if entry is not None and entry.type == LINK:
            alternative["target"] = paths.printable(entry.target)
        found[paths.printable(name)] = alternative
    return found


def parse(text):
    """The first two lines of dpkg's record: whether it follows priorities (auto) or a person (manual), and the link."""
    lines = text.split("\n")
    return {"mode": lines[0], "link": lines[1] if len(lines) > 1 else ""}
