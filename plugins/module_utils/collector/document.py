# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The manifest itself: sections put together, in one canonical form."""

from __future__ import annotations

import hashlib
import json

from . import (
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
from .digest import CHUNK

LIVE = "live"
REST = "rest"


def collect(tree, scope):
    """The manifest of a tree: at rest, or live (this very machine's root) with what runs on it."""
    package_section, native = packages.collect(tree)
    user_section, group_section = accounts.collect(tree)
    file_section = files.collect(tree)
    owners.mark(tree, file_section, native)
    sections = {
        "os": os_release.collect(tree, native),
        "packages": package_section,
        "libraries": libraries.collect(tree),
        "files": file_section,
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
    """A manifest that remembers its sections' text: most of the whole, needed for the digest and again for output."""

    def __init__(self, sections, **others):
        super().__init__(others, sections=sections)
        self._sections = canonical(sections)
        whole = hashlib.sha256()
        for at in range(0, len(self._sections), CHUNK):
            whole.update(self._sections[at : at + CHUNK].encode("ascii"))
        self["digest"] = "sha256:" + whole.hexdigest()

    def pieces(self):
        """The canonical text, in pieces: `canonical` of the whole would hold all of it twice."""
        start = "{"
        for key in sorted(self):
            yield start + canonical(key) + ":"
            yield self._sections if key == "sections" else canonical(self[key])
            start = ","
        yield "}"


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


def canonical(value):
    """JSON with one form for one value: sorted keys, no spaces, ASCII only."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
