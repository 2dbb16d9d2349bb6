# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Which Debian package brings a path, from dpkg's lists: an attribute of section files that names causes."""

from __future__ import annotations

_INFO = "/var/lib/dpkg/info"
_DIVERSIONS = "/var/lib/dpkg/diversions"
_LIST = ".list"


def mark(tree, native):
    """Say of each entry whose it is: "nginx" of /usr/sbin/nginx.

    What several packages bring (most folders) is nobody's.
    """
    diversions = parse_diversions(tree.text(_DIVERSIONS))
    found = {}
    for name in tree.children(_INFO):
        if name.endswith(_LIST):
            package = package_of(name, native)
            for path in set(tree.text(_INFO + "/" + name).split("\n")):
                if path in diversions:
                    place, keeper = diversions[path]
                    path = path if keeper == package else place  # noqa: PLW2901
                found[path] = None if path in found else package
    folders = {}
    for path, package in found.items():
        if package is not None:
            entry = tree.entries.get(path) or tree.entries.get(_real(tree, path, folders))
            if entry is not None:
                entry.package = package


def package_of(name, native):
    """The package, as section packages names it, of a list's name: libc6 of libc6:amd64.list, where that is native."""
    package, _colon, architecture = name[: -len(_LIST)].partition(":")
    return package + ":" + architecture if architecture not in ("", native) else package


def parse_diversions(text):
    """{"/usr/bin/x": ("/usr/bin/x.distrib", "the package whose own /usr/bin/x stays there")}, of dpkg's triples."""
    lines = text.split("\n")
    return {lines[at]: (lines[at + 1], lines[at + 2]) for at in range(0, len(lines) - 2, 3)}


def _real(tree, path, folders):
    """Where a listed path lies: /usr/lib/x for /lib/x, where /lib is a link."""
    folder, _slash, name = path.rpartition("/")
    if folder not in folders:
        folders[folder] = tree.resolve(folder)
    return (folders[folder] or folder) + "/" + name
