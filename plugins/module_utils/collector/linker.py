# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Section linker: where programs find their libraries, and which are loaded into every program."""

from __future__ import annotations

import posixpath
import re

from . import settings

_CONF = "/etc/ld.so.conf"


def collect(tree):
    """{"search": {"folders": ["/usr/local/lib", ...]}, "preload": {"libraries": ["/usr/lib/x.so"]}}

    Folders in the order in which ldconfig takes them, before the system's own.
    """
    folders = []
    _read(tree, _CONF, set(), folders)
    found = {"search": {"folders": list(dict.fromkeys(folders))}} if folders else {}
    libraries = preload(settings.text(tree, "/etc/ld.so.preload"))
    if libraries:
        found["preload"] = {"libraries": libraries}
    return found


def _read(tree, path, done, into):
    """Add a file's folders, those of what it includes in their place; a file read twice adds nothing."""
    done.add(path)
    for kind, value in parse(settings.text(tree, path)):
        if kind == "folder":
            into.append(value)
            continue
        pattern = posixpath.normpath(posixpath.join(posixpath.dirname(path), value))
        for each in settings.matching(tree, pattern):
            if each not in done:
                _read(tree, each, done, into)


def parse(text):
    """[("include", "/etc/ld.so.conf.d/*.conf"), ("folder", "/usr/local/lib")]"""
    found = []
    for line in text.split("\n"):
        words = line.partition("#")[0].split()
        if not words or words[0] == "hwcap":
            continue
        if words[0] == "include":
            found += [("include", word) for word in words[1:]]
        else:
            # Folders may stand on one line, with blanks, colons or commas between them.
            found += [
                ("folder", word.rstrip("/") or "/") for word in filter(None, re.split(r"[\s:,]+", " ".join(words)))
            ]
    return found


def preload(text):
    """Names in /etc/ld.so.preload, in order."""
    return [word for line in text.split("\n") for word in re.split(r"[\s:]+", line.partition("#")[0]) if word]
