"""Manifests on the controller: the record of one machine's state, loaded, checked and saved.

The collector (on the target) writes them; this side only reads. What a manifest may hold is published in
docs/schema/manifest.schema.json.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

from goldsmith import files
from goldsmith.errors import GoldsmithError

SCHEMA = "goldsmith.manifest/1"

Attributes = dict[str, Any]
"""What is recorded of one thing: `{"type": "file", "mode": "0644"}`."""
Section = dict[str, Attributes]
"""The things of one kind, by name: `{"/etc/hosts": {...}}`."""
Scope = Literal["live", "rest"]


@dataclass(frozen=True)
class Manifest:
    """One machine's state.

    `name` says whose: set by whoever collects or loads it, not part of the record. `runtime` is None at rest.
    `digest` stands for `sections`: equal digests mean equal machines, identity and runtime apart.
    """

    scope: Scope
    digest: str
    sections: dict[str, Section]
    identity: Section = field(default_factory=dict)
    runtime: dict[str, Section] | None = None
    warnings: list[str] = field(default_factory=list)
    name: str = ""

    def document(self) -> dict[str, Any]:
        """The record as it stands in a file."""
        return {
            "schema": SCHEMA,
            "scope": self.scope,
            "digest": self.digest,
            "sections": self.sections,
            "identity": self.identity,
            "runtime": self.runtime,
            "warnings": self.warnings,
        }


def canonical(value: Any) -> str:
    """JSON with one form for one value: the collector's own."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def digest(sections: dict[str, Section]) -> str:
    """`sha256:<hex>` of the sections' canonical JSON."""
    return "sha256:" + hashlib.sha256(canonical(sections).encode("ascii")).hexdigest()


def load(path: Path, *, name: str = "") -> Manifest:
    """Read and check a manifest. `name` defaults to the file's name without its ending.

    Raises GoldsmithError when the file is missing, cut short, of another schema version, or edited.
    """
    return later(path, name=name)()


def later(path: Path, *, name: str = "") -> Callable[[], Manifest]:
    """As `load`, in two parts: the file is read now, and what is in it is checked when the result is called."""
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise GoldsmithError(
            f"{path}: no such manifest", hint="make one with: goldsmith collect TARGET --output FILE"
        ) from error
    except OSError as error:
        raise GoldsmithError(f"{path}: can't be read: {error.strerror}") from error
    return lambda: parse(data, str(path), name=name or path.name.removesuffix(".json"))


def parse(data: bytes, source: str, *, name: str = "") -> Manifest:
    """As `load`, for a manifest in hand; `source` names it in messages."""
    return from_document(json_of(data, source), source, name=name)


def json_of(data: bytes, source: str) -> Any:
    """What a collector's JSON says. Raises GoldsmithError when it is cut short, or none at all."""
    try:
        return json.loads(data)
    except UnicodeDecodeError as error:
        raise GoldsmithError(
            f"{source}: not a manifest: byte {error.start} is not text", hint="collect it again"
        ) from error
    except json.JSONDecodeError as error:
        raise GoldsmithError(f"{source}: {_broken(data, error)}", hint="collect it again") from error
    except RecursionError as error:
        raise GoldsmithError(f"{source}: not a manifest: nested without end", hint="collect it again") from error


def _broken(data: bytes, error: json.JSONDecodeError) -> str:
    """What is wrong with a text that is not JSON: cut short, most of the time."""
    at = f"line {error.lineno}, character {error.colno} of {len(data)} bytes"
    if not data.strip():
        return "is empty: its collection or copy was probably interrupted"
    if not data[error.pos :].strip() or not data.rstrip().endswith(b"}"):
        return f"ends in the middle ({at}): its collection or copy was probably interrupted"
    return f"is not JSON ({error.msg}, {at})"


def from_document(document: Any, source: str, *, name: str = "") -> Manifest:
    """The manifest of a parsed document. Raises GoldsmithError as `load` does."""
    check(document, source)
    if digest(document["sections"]) != document["digest"]:
        raise GoldsmithError(
            f"{source}: its contents don't fit its digest: it was edited or damaged after it was collected",
            hint="collect it again",
        )
    return of(document, name)


def check(document: Any, source: str) -> None:
    """Is this a whole manifest, of this version? Whether its digest is right is not looked at. Raises GoldsmithError
    as `load` does."""
    again = "collect it again"
    schema = document.get("schema") if isinstance(document, dict) else None
    if not isinstance(schema, str) or not schema.startswith("goldsmith.manifest/"):
        raise GoldsmithError(f"{source}: not a manifest: it names no schema {SCHEMA!r}", hint=again)
    if schema != SCHEMA:
        raise GoldsmithError(
            f"{source}: written by another version of Goldsmith ({schema}; this one reads {SCHEMA})", hint=again
        )
    problem = _shape(document)
    if problem:
        raise GoldsmithError(f"{source}: not a whole manifest: {problem}", hint=again)


def of(document: dict[str, Any], name: str) -> Manifest:
    """The manifest of a document that was checked."""
    return Manifest(
        scope=cast(Scope, document["scope"]),
        digest=document["digest"],
        sections=document["sections"],
        identity=document["identity"],
        runtime=document["runtime"],
        warnings=document["warnings"],
        name=name,
    )


def _shape(document: dict[str, Any]) -> str:
    """What is wrong with the document's shape; empty when nothing is. Cheap: manifests come by the thousand."""
    runtime = document.get("runtime")
    warnings = document.get("warnings")
    groups = {"sections": document.get("sections"), "runtime": {} if runtime is None else runtime}
    checks = [
        (document.get("scope") in ("live", "rest"), "scope is neither live nor rest"),
        (isinstance(document.get("digest"), str), "digest is missing"),
        ((runtime is None) == (document.get("scope") == "rest"), "a live manifest has runtime, one at rest has none"),
        (isinstance(warnings, list) and all(isinstance(each, str) for each in warnings), "warnings are no lines"),
        (_is_section(document.get("identity")), "identity is not of names and attributes"),
        *((isinstance(group, dict), f"{name} is missing") for name, group in groups.items()),
        *(
            (_is_section(section), f"{name}.{section_name} is not of names and attributes")
            for name, group in groups.items()
            if isinstance(group, dict)
            for section_name, section in group.items()
        ),
    ]
    return next((problem for good, problem in checks if not good), "")


def _is_section(section: Any) -> bool:
    return isinstance(section, dict) and {dict}.issuperset(map(type, section.values()))


def to_bytes(manifest: Manifest) -> bytes:
    """The manifest's file: its canonical form. Pure."""
    return (canonical(manifest.document()) + "\n").encode("ascii")


def save(manifest: Manifest, path: Path) -> None:
    """Write the manifest's file: the whole or, on any error, nothing.

    Raises GoldsmithError when it can't be written (no such folder, full disk, …).
    """
    files.write(path, to_bytes(manifest))
