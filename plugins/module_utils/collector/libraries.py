# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Section libraries: installed Python distributions, by the folder that holds them."""

from __future__ import annotations

import re

from .tree import DIRECTORY

_SUFFIXES = (".dist-info", ".egg-info")
_SEPARATORS = re.compile(r"[-_.]+")


def collect(tree):
    """{"/opt/app/venv/lib/python3.11/site-packages/flask": {"kind": "python", "version": "3.0.0"}}"""
    found = {}
    for path, entry in tree.entries.items():
        if not path.endswith(_SUFFIXES):
            continue
        folder, _slash, base = path.rpartition("/")
        source = path
        if entry.type == DIRECTORY:
            source += "/METADATA" if base.endswith(".dist-info") else "/PKG-INFO"
        name, version = parse(tree.text(source))
        if not name:
            name, version = from_file_name(base)
        found.setdefault(folder + "/" + normal(name), set()).add(version)
    return {key: {"kind": "python", "version": ", ".join(sorted(versions))} for key, versions in found.items()}


def parse(metadata):
    """(name, version) from a distribution's metadata: the header of METADATA or PKG-INFO. Empty where absent."""
    name = version = ""
    for line in metadata.split("\n"):
        if not line.strip():
            break
        if line.startswith("Name:"):
            name = line[5:].strip()
        elif line.startswith("Version:"):
            version = line[8:].strip()
    return name, version


def from_file_name(base):
    """(name, version) from `flask-3.0.0.dist-info` or `six-1.16.0-py3.11.egg-info`."""
    parts = base.rpartition(".")[0].split("-")
    return parts[0], parts[1] if len(parts) > 1 else ""


def normal(name):
    """A distribution's name as all tools compare it: Flask_SQLAlchemy → flask-sqlalchemy."""
    return _SEPARATORS.sub("-", name).lower()
