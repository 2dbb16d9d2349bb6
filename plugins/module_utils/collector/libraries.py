# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Section libraries: Python distributions, global npm packages and Ruby gems, by the folder that holds them."""

from __future__ import annotations

import json
import re

from . import paths, private
from .tree import DIRECTORY, LINK

_SUFFIXES = (".dist-info", ".egg-info", ".egg-link", ".gemspec")
_SEPARATORS = re.compile(r"[-_.]+")
_NODE = "/lib/node_modules"
_GEM = re.compile(r"(.+?)-(\d[0-9A-Za-z.]*)(?:-([A-Za-z0-9_-].*))?$")


def collect(tree):
    """{"/opt/app/venv/lib/python3.11/site-packages/flask": {"kind": "python", "version": "3.0.0"},
    "/usr/local/lib/node_modules/pm2": {"kind": "npm", "version": "5.3.0"},
    "/var/lib/gems/3.1.0/rack": {"kind": "gem", "version": "2.2.9"}}
    """
    found = {}
    for path, entry in tree.entries.items():
        if path.endswith(_SUFFIXES):
            if path.endswith(".gemspec"):
                _add_gem(path, found)
            else:
                _add_distribution(tree, path, entry, found)
        elif path.endswith(_NODE):
            _add_node_packages(tree, path, found)
    for library in found.values():
        library["version"] = ", ".join(sorted(library["version"]))
    return {paths.printable(key): library for key, library in found.items()}


def _library(found, key, kind, version):
    library = found.setdefault(key, {"kind": kind, "version": set()})
    library["version"].add(paths.printable(version))
    return library


def _add_distribution(tree, path, entry, found):
    folder, _slash, base = path.rpartition("/")
    if base.endswith(".egg-link"):
        lines = tree.text(path).split("\n")
        library = _library(found, folder + "/" + normal(base[:-9]), "python", "")
        library.update({"source": paths.printable(lines[0].strip()), "editable": True})
        return
    source = path
    if entry.type == DIRECTORY:
        source += "/METADATA" if base.endswith(".dist-info") else "/PKG-INFO"
    name, version = parse(tree.text(source))
    if not name:
        name, version = from_file_name(base)
    library = _library(found, folder + "/" + normal(name), "python", version)
    if path + "/direct_url.json" in tree.entries:
        library.update(direct_url(tree.text(path + "/direct_url.json")))


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


def direct_url(text):
    """Where pip took a distribution from, if from no index: {"source": "https://host/x.git@COMMIT"}.

    "editable": True where the folder itself is used. The URL has no credentials. Empty where the text says nothing.
    """
    document = _json(text)
    url = document.get("url")
    if not isinstance(url, str):
        return {}
    source = private.command(private.without_credentials(url))
    commit = _inside(document, "vcs_info").get("commit_id")
    if isinstance(commit, str):
        source += "@" + commit
    found = {"source": paths.printable(source)}
    if _inside(document, "dir_info").get("editable") is True:
        found["editable"] = True
    return found


def _json(text):
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _inside(document, name):
    inner = document.get(name)
    return inner if isinstance(inner, dict) else {}


def _add_node_packages(tree, folder, found):
    """Packages right in a global node_modules, and in folders of a scope; a linked one leads to its source."""
    names = [name for name in tree.children(folder) if not name.startswith((".", "@"))]
    for scope in tree.children(folder):
        if scope.startswith("@"):
            names += [scope + "/" + name for name in tree.children(folder + "/" + scope)]
    for name in names:
        path = folder + "/" + name
        document = _json(tree.text(path + "/package.json"))
        version = document.get("version")
        if not document and tree.entries[path].type != LINK:
            continue
        library = _library(found, path, "npm", version if isinstance(version, str) else "")
        if tree.entries[path].type == LINK:
            library["source"] = paths.printable(tree.entries[path].target)


def _add_gem(path, found):
    """A gem is installed where its specification lies: .../specifications/rack-2.2.9.gemspec."""
    folder, _slash, base = path.rpartition("/")
    home, _slash, last = folder.rpartition("/")
    if last == "default":
        home, _slash, last = home.rpartition("/")
    match = _GEM.match(base[: -len(".gemspec")]) if last == "specifications" else None
    if match:
        version = match[2] + ("-" + match[3] if match[3] else "")
        _library(found, home + "/" + match[1], "gem", version)
