"""Fleets for tests: the recorded host, in many states and many copies."""

from __future__ import annotations

import copy
import functools
import gzip
from collections.abc import Iterator

from goldsmith import manifest
from goldsmith.manifest import Manifest
from tests.paths import FIXTURES

HOSTILE = '/srv/</script><script>document.title="owned"</script><img src=x onerror="document.title=1">'
"""A file's name that would be a script, were it not taken for text."""
UNUSUAL = "/srv/\u2028line\u202egnp\udcff\n\x1b[31m'\"&amp;<!--"
"""A file's name with what ends lines, turns text around, is no UTF-8, and what HTML has a meaning for."""


@functools.cache
def recorded(name: str) -> Manifest:
    """A manifest of tests/fixtures/manifests."""
    data = gzip.decompress((FIXTURES / "manifests" / f"{name}.json.gz").read_bytes())
    return manifest.parse(data, name, name=name)


def machines(states: int, each: int, start: int = 1) -> Iterator[Manifest]:
    """`states` times `each` hosts, named web0001 and so on. Those of the first state are equal to the recorded host;
    of state N, nginx's version is N, and N files have another mode, one of them with a hostile name."""
    number = start
    for state in range(states):
        sections = _sections(state)
        digest = manifest.digest(sections)
        for _ in range(each):
            yield _machine(f"web{number:04}", sections, digest, number)
            number += 1


def _sections(state: int) -> dict[str, manifest.Section]:
    sections = copy.deepcopy(recorded("host").sections)
    if state:
        sections["packages"]["nginx"] = {"version": f"1.{state}", "architecture": "amd64", "status": "installed"}
        paths = sorted(path for path, facts in sections["files"].items() if facts["type"] == "file")
        for path in paths[:state]:
            sections["files"][path]["mode"] = "0666"
        for path in (HOSTILE, UNUSUAL):
            sections["files"][path] = {"type": "file", "mode": "0644", "owner": "root", "group": "root"}
    if state % 3 == 1:
        sections["users"]["mallory"] = {"uid": 1000 + state, "gid": 1000, "shell": "/bin/bash", "password": "set"}
        sections["units"]["extra.service"] = {"state": "enabled"}
    return sections


def _machine(name: str, sections: dict[str, manifest.Section], digest: str, number: int) -> Manifest:
    host = recorded("host")
    identity = {
        key: {**facts, "sha256": f"{number:064x}"} if "sha256" in facts else facts
        for key, facts in host.identity.items()
    }
    return Manifest("live", digest, sections, identity, host.runtime, [], name)
