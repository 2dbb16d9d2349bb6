"""Manifests by the thousand, in files: each distinct state is parsed once.

A file names its digest, and anybody can write any digest into a file. So it is believed only where its bytes prove it:
in canonical form the sections are one piece of the file, and that piece must equal, byte for byte, the one that was
parsed and checked, or have the digest. Whatever does not look so is parsed and checked as a whole.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from goldsmith import manifest
from goldsmith.compare import Groups
from goldsmith.errors import GoldsmithError, UsageError
from goldsmith.fleet import Fleet, Judgement
from goldsmith.manifest import Manifest
from goldsmith.policy import Policy

KEEP = 256 << 20
"""Bytes of sections that are kept, to be compared with those of other files. Beyond them, digests are computed."""

_SECTIONS, _WARNINGS = b',"sections":', b',"warnings":'


def judge(
    reference: Manifest,
    paths: Sequence[Path],
    policy: Policy,
    groups: Groups | None = None,
    others: Iterable[Manifest] = (),
) -> Fleet:
    """Compare the manifests in these files, and others, with a reference.

    A machine is called as its file is, without the ending; as the whole path where two files have one name. A file that
    can't be read, or holds no manifest, is told in `unread`.
    """
    reader = Reader()
    judgement = Judgement(reference, policy, groups)
    unread = []
    called = Counter(path.name for path in paths)
    for path in paths:
        name = path.name.removesuffix(".json") if called[path.name] == 1 else str(path)
        try:
            judgement.add(reader.read(path, name))
        except GoldsmithError as error:
            unread.append((name, error.message))
    for each in others:
        judgement.add(each)
    return replace(judgement.fleet(), unread=tuple(unread))


def files(given: Iterable[Path]) -> list[Path]:
    """The manifests that are meant: those in a folder, for a folder. Raises UsageError for one that has none."""
    found: list[Path] = []
    for path in given:
        inside = sorted(path.glob("*.json")) if path.is_dir() else [path]
        if not inside:
            raise UsageError(f"{path}: no manifest in this folder", hint="they are the files *.json in it")
        found += inside
    return list(dict.fromkeys(found))


class Reader:
    """Reads manifests, and knows again the sections that it has read."""

    def __init__(self) -> None:
        self._known: dict[str, bytes] = {}
        self._digests: set[str] = set()
        self._kept = 0

    def read(self, path: Path, name: str) -> Manifest:
        """The manifest in a file. Its sections are left empty where the ones of its digest were read before.

        Raises GoldsmithError as `manifest.load` does.
        """
        try:
            data = path.read_bytes()
        except OSError as error:
            raise GoldsmithError(f"{path}: can't be read: {error.strerror}", hint="check the path") from error
        parts = _split(data)
        if parts:
            document, start, end = parts
            if self._is_known(document["digest"], data, start, end):
                manifest.check(document, str(path))
                return manifest.of(document, name)
        found = manifest.parse(data, str(path), name=name)
        if parts:
            self._digests.add(found.digest)
            if found.digest not in self._known and self._kept + end - start <= KEEP and _fits(found, data[start:end]):
                self._known[found.digest] = data[start:end]
                self._kept += end - start
        return found

    def _is_known(self, digest: Any, data: bytes, start: int, end: int) -> bool:
        known = self._known.get(digest)
        if known is not None:
            return end - start == len(known) and data.startswith(known, start)
        return digest in self._digests and _digest(memoryview(data)[start:end]) == digest


def _fits(found: Manifest, sections: bytes) -> bool:
    return _digest(sections) == found.digest


def _digest(data: bytes | memoryview) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def _split(data: bytes) -> tuple[dict[str, Any], int, int] | None:
    """The document with empty sections, and where the sections' bytes begin and end; None if it is not so written.

    A quote within a text is escaped, so what is sought can't stand in one. It may be a key further down: then what
    stands before or after it is not whole, and no JSON.
    """
    start, end = data.find(_SECTIONS), data.rfind(_WARNINGS)
    if not 0 < start < end:
        return None
    try:
        head, tail = json.loads(data[:start] + b"}"), json.loads(b"{" + data[end + 1 :])
    except (ValueError, RecursionError):
        return None
    if not isinstance(head, dict) or not isinstance(head.get("digest"), str) or tail.keys() != {"warnings"}:
        return None
    return {**head, "sections": {}, **tail}, start + len(_SECTIONS), end
