# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The manifest itself: sections put together, in one canonical form."""

from __future__ import annotations

import hashlib

from . import (
    LIVE,
    REST,
    SCHEMA,
    accounts,
    alternatives,
    apt,
    certificates,
    cron,
    environment,
    files,
    identity,
    kernel,
    libraries,
    linker,
    localisation,
    modules,
    mounts,
    os_release,
    owners,
    packages,
    pam,
    runtime,
    ssh_keys,
    sudo,
    sysctl,
    units,
)
from .canonical import canonical

__all__ = ["LIVE", "REST", "Document", "assemble", "canonical", "collect"]

_AT_ONCE = 1000  # things that are put in JSON at a time


def collect(tree, scope):
    """The manifest of a tree: at rest, or live (this very machine's root) with what runs on it."""
    package_section, native = packages.collect(tree)
    user_section, group_section = accounts.collect(tree)
    owners.mark(tree, native)
    sections = {
        "os": os_release.collect(tree, native),
        "packages": package_section,
        "libraries": libraries.collect(tree),
        "files": files.collect(tree),
        "units": units.collect(tree),
        "users": user_section,
        "groups": group_section,
        "sudo": sudo.collect(tree),
        "ssh_keys": ssh_keys.collect(tree),
        "pam": pam.collect(tree),
        "cron": cron.collect(tree),
        "sysctl": sysctl.collect(tree),
        "kernel": kernel.collect(tree),
        "modules": modules.collect(tree),
        "mounts": mounts.collect(tree),
        "apt": apt.collect(tree),
        "alternatives": alternatives.collect(tree),
        "environment": environment.collect(tree),
        "linker": linker.collect(tree),
        "locale": localisation.collect(tree),
        "certificates": certificates.collect(tree),
    }
    warnings = list(tree.warnings)
    return assemble(
        sections,
        identity.collect(tree),
        runtime.collect(tree, warnings) if scope == LIVE else None,
        scope,
        warnings,
    )


class Document(dict):
    """A manifest with the digest of its sections."""

    def __init__(self, sections, **others):
        super().__init__(others, sections=sections)
        whole = hashlib.sha256()
        for piece in _sections(sections):
            whole.update(piece.encode("ascii"))
        self["digest"] = "sha256:" + whole.hexdigest()

    def pieces(self):
        """The canonical text, in pieces: the whole is large."""
        rest = {key: [canonical(value)] for key, value in self.items() if key != "sections"}
        return _object(sorted([*rest.items(), ("sections", _sections(self["sections"]))]))


def assemble(sections, identity_facts, runtime_facts, scope, warnings):
    """The document, with the digest of its sections."""
    return Document(
        sections,
        schema=SCHEMA,
        scope=scope,
        identity=identity_facts,
        runtime=runtime_facts,
        warnings=sorted(warnings),
    )


def _sections(sections):
    """As `canonical`, in pieces."""
    return _object((name, _things(sections[name])) for name in sorted(sections))


def _things(section):
    names = sorted(section)
    yield "{"
    for at in range(0, len(names), _AT_ONCE):
        text = canonical({name: section[name] for name in names[at : at + _AT_ONCE]})
        yield ("," if at else "") + text[1:-1]
    yield "}"


def _object(pairs):
    """{"a":1} of pairs of a key and its value's pieces."""
    start = "{"
    for key, pieces in pairs:
        yield start + canonical(key) + ":"
        yield from pieces
        start = ","
    yield "{}" if start == "{" else "}"
