# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""A manifest told by what it differs in from an expected one: most machines of a fleet are almost that.

An expectation is {"digest": "sha256:…", "sections": {"files": "<hex>"}, "runtime": {"units": "<sha256>"}}. Of a
section it holds the short digests of its buckets, one after the other: a thing is in the bucket that its name's
checksum says. Those are short because nothing rests on them: who puts the answer together again checks the whole
digest. Sections of runtime, which that digest does not cover, are told apart by a whole one each.
"""

from __future__ import annotations

import hashlib
import zlib

from .canonical import canonical

SHORT = 16  # hexadecimal digits


def buckets(section, count):
    """The names of a section's things in that many buckets: [["/etc/hosts"], [], …]."""
    found = [[] for _number in range(count)]
    for name in section:
        found[zlib.crc32(name.encode("utf-8", "surrogatepass")) % count].append(name)
    return found


def digest(value):
    """SHA-256 (hex) of a value's canonical JSON."""
    return hashlib.sha256(canonical(value).encode("ascii")).hexdigest()


def answer(manifest, expected):
    """The manifest, with nothing in it that is as expected."""
    return told(dict(manifest, sections=sections(manifest, expected)), expected)


def sections(manifest, expected):
    """What of the sections is not as expected: None where the digest is the expected one.

    Else a section that was expected is {"buckets": [3], "things": {…}}: the numbers of the buckets that differ, and all
    that is in them; one that was not expected is {"things": {…}}.
    """
    if manifest["digest"] == expected["digest"]:
        return None
    return {name: _differing(section, expected["sections"].get(name)) for name, section in manifest["sections"].items()}


def told(found, expected):
    """A manifest whose sections are told already, with None for each section of runtime that is as expected."""
    if found["runtime"] is None:
        return found
    runtime = {
        name: None if digest(section) == expected["runtime"].get(name) else section
        for name, section in found["runtime"].items()
    }
    return dict(found, runtime=runtime)


def _differing(section, expected):
    if expected is None:
        return {"things": section}
    numbers = []
    things = {}
    for number, names in enumerate(buckets(section, len(expected) // SHORT)):
        part = {name: section[name] for name in names}
        if digest(part)[:SHORT] != expected[number * SHORT : (number + 1) * SHORT]:
            numbers.append(number)
            things.update(part)
    return {"buckets": numbers, "things": things}
