"""Asking a machine only for what differs from a manifest that is here, and putting its own together again.

The other end is the collector's expect.py, which says how; tests hold the two together.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable
from typing import Any

from goldsmith import manifest
from goldsmith.errors import GoldsmithError
from goldsmith.manifest import Manifest, Section

SHORT = 16
"""Hexadecimal digits of a bucket's digest."""
MOST_BUCKETS = 2048


class Expectation:
    """What a `reference` lets us expect of a machine. `data` is what its collector gets."""

    def __init__(self, reference: Manifest) -> None:
        self.reference = reference
        self._names = {
            name: _buckets(section, _bucket_count(len(section))) for name, section in reference.sections.items()
        }
        self._runtime = reference.runtime or {}
        self.data = json.dumps(
            {
                "digest": reference.digest,
                "sections": {name: self._digests(name, section) for name, section in reference.sections.items()},
                "runtime": {name: _sha256(section) for name, section in self._runtime.items()},
            }
        ).encode()

    def _digests(self, name: str, section: Section) -> str:
        return "".join(_sha256({key: section[key] for key in part})[:SHORT] for part in self._names[name])

    def manifest(self, answer: bytes, name: str, known: Callable[[str], bool] = lambda _digest: False) -> Manifest:
        """The machine's manifest, from its collector's answer. What is as expected is the reference's own object, so
        that a machine takes little memory. For a digest that is `known` the sections are left out.

        Raises:
            GoldsmithError: the answer is not whole, or what is made of it does not fit the machine's digest.
        """
        document = manifest.json_of(answer, name)
        try:
            vouched = document["digest"] == self.reference.digest or known(document["digest"])
            if document["digest"] == self.reference.digest:
                sections = self.reference.sections
            elif vouched:
                sections = {}
            else:
                sections = {each: self._section(each, told) for each, told in document["sections"].items()}
            runtime = document["runtime"]
            if runtime is not None:
                runtime = {each: self._runtime[each] if told is None else told for each, told in runtime.items()}
        except (AttributeError, IndexError, KeyError, TypeError) as error:
            raise GoldsmithError(f"{name}: its answer is not whole", hint="collect it by itself to see why") from error
        whole = {**document, "sections": sections, "runtime": runtime}
        if not vouched:
            return manifest.from_document(whole, name, name=name)
        manifest.check(whole, name)
        return manifest.of(whole, name)

    def _section(self, name: str, told: dict[str, Any]) -> Section:
        if "buckets" not in told:
            return dict(told["things"])
        found = dict(self.reference.sections[name])
        for number in told["buckets"]:
            for key in self._names[name][number]:
                del found[key]
        return {**found, **told["things"]}


def _bucket_count(things: int) -> int:
    """Small buckets: each that differs is sent whole. But not too many: each has a digest, which is made and sent."""
    return min(max(things // 2, 1), MOST_BUCKETS)


def _buckets(section: Section, count: int) -> list[list[str]]:
    found: list[list[str]] = [[] for _ in range(count)]
    for name in section:
        found[zlib.crc32(name.encode("utf-8", "surrogatepass")) % count].append(name)
    return found


def _sha256(value: Any) -> str:
    return hashlib.sha256(manifest.canonical(value).encode("ascii")).hexdigest()
