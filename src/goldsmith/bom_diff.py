"""What came and went between two bills of materials, and which way each version moved. Pure but for `read`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from packageurl import PackageURL
from rich.console import Console
from rich.table import Table
from rich.text import Text

from goldsmith import bom, manifest
from goldsmith.errors import GoldsmithError
from goldsmith.manifest import Manifest
from goldsmith.words import visible

SCHEMA = "goldsmith.bom_diff/1"

Kind = Literal["added", "removed", "upgraded", "downgraded", "changed"]
KINDS: tuple[Kind, ...] = ("removed", "downgraded", "changed", "upgraded", "added")
_COLOURS = {"removed": "red", "downgraded": "bold red", "changed": "yellow", "upgraded": "green", "added": "cyan"}


@dataclass(frozen=True, order=True)
class Item:
    """One thing in a bill of materials. `type` is the package URL's (deb, pypi, …), or `os`; where there is no package
    URL, what the file calls it."""

    type: str
    name: str
    version: str
    arch: str = ""

    def __str__(self) -> str:
        return " ".join(filter(None, (self.version or "there", self.arch)))


@dataclass(frozen=True)
class Change:
    """`a` and `b` are what there was and what there is now; None where there is none. `changed`: neither version is the
    higher one, or nobody can say."""

    kind: Kind
    type: str
    name: str
    a: Item | None
    b: Item | None


@dataclass(frozen=True)
class Diff:
    """`same` counts what both have, in the same version."""

    changes: tuple[Change, ...]
    same: int

    def to_json(self, a: str, b: str) -> dict[str, Any]:
        """The form of `goldsmith diff-bom --json`; a and b are the sides' names."""
        return {
            "schema": SCHEMA,
            "a": a,
            "b": b,
            "equal": not self.changes,
            "same": self.same,
            "changes": [
                {
                    "kind": change.kind,
                    "type": change.type,
                    "name": change.name,
                    "a": _version(change.a),
                    "b": _version(change.b),
                }
                for change in self.changes
            ],
        }


def _version(item: Item | None) -> dict[str, str] | None:
    return {"version": item.version, "arch": item.arch} if item else None


def compare(a: Iterable[Item], b: Iterable[Item]) -> Diff:
    """Things of one type and name are the same thing; those in several versions at once are told apart by those."""
    ours, theirs = set(a), set(b)
    both = ours & theirs
    names = sorted({(item.type, item.name) for item in ours ^ theirs})
    gone, come = _by_name(ours - both), _by_name(theirs - both)
    changes = [change for name in names for change in _changes(gone.get(name, []), come.get(name, []))]
    return Diff(tuple(sorted(changes, key=lambda change: KINDS.index(change.kind))), len(both))


def _by_name(items: Iterable[Item]) -> dict[tuple[str, str], list[Item]]:
    found: dict[tuple[str, str], list[Item]] = {}
    for item in sorted(items):
        found.setdefault((item.type, item.name), []).append(item)
    return found


def _changes(gone: list[Item], come: list[Item]) -> Iterator[Change]:
    """One that went and one that came are one that moved: first those for one architecture, then the rest."""
    for arch in sorted({item.arch for item in gone} & {item.arch for item in come}):
        yield from _moved([item for item in gone if item.arch == arch], [item for item in come if item.arch == arch])
    archs = {item.arch for item in gone}, {item.arch for item in come}
    yield from _moved(
        [item for item in gone if item.arch not in archs[1]], [item for item in come if item.arch not in archs[0]]
    )


def _moved(gone: list[Item], come: list[Item]) -> Iterator[Change]:
    if len(gone) == len(come) == 1:
        a, b = gone[0], come[0]
        yield Change(_direction(a, b), a.type, a.name, a, b)
        return
    yield from (Change("removed", item.type, item.name, item, None) for item in gone)
    yield from (Change("added", item.type, item.name, None, item) for item in come)


def _direction(a: Item, b: Item) -> Kind:
    from univers import versions  # noqa: PLC0415 - takes 0.05 s

    orders = {
        "deb": versions.DebianVersion,
        "gem": versions.RubygemsVersion,
        "npm": versions.SemverVersion,
        "os": versions.DebianVersion,
        "pypi": versions.PypiVersion,
        "rpm": versions.RpmVersion,
    }
    order = orders.get(a.type)
    try:
        if order and order(a.version) != order(b.version):
            return "upgraded" if order(a.version) < order(b.version) else "downgraded"
    except versions.InvalidVersion:
        pass
    return "changed"


def of_manifest(found: Manifest) -> list[Item]:
    """A manifest's bill of materials. Pure."""
    name, version = bom.operating_system(found)
    items = [Item("os", name, version)] if name else []
    return items + [_of_purl(part.purl) for part in bom.parts(found)]


def read(path: Path) -> list[Item]:
    """What a file holds: CycloneDX (JSON), SPDX 2 (JSON), of whatever program, or a manifest.

    Raises:
        GoldsmithError: it is none of these, or is not whole.
    """
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise GoldsmithError(
            f"{path}: can't be read: {error.strerror}", hint="name a bill of materials, a manifest or a target"
        ) from error
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise GoldsmithError(f"{path}: is not JSON", hint="CycloneDX and SPDX 2 are read in their JSON form")
    try:
        if document.get("bomFormat") == "CycloneDX":
            return list(_cyclonedx(document.get("components", [])))
        if str(document.get("spdxVersion", "")).startswith("SPDX-2."):
            return list(_spdx(document))
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise GoldsmithError(
            f"{path}: is not a whole bill of materials: {error or type(error).__name__}", hint="write it again"
        ) from error
    if "@graph" in document:
        raise GoldsmithError(f"{path}: is of SPDX 3, which is not read", hint="write it as SPDX 2.3 or CycloneDX")
    return of_manifest(manifest.from_document(document, str(path)))


def _of_purl(purl: PackageURL) -> Item:
    name = f"{purl.namespace}/{purl.name}" if purl.namespace and purl.type not in {"deb", "rpm"} else purl.name
    qualifiers = purl.qualifiers if isinstance(purl.qualifiers, dict) else {}
    return Item(purl.type, name, purl.version or "", qualifiers.get("arch", ""))


def _cyclonedx(components: list[dict[str, Any]]) -> Iterator[Item]:
    for component in components:
        name, version = str(component["name"]), str(component.get("version", ""))
        if component.get("purl"):
            yield _of_purl(PackageURL.from_string(component["purl"]))
        elif component["type"] == "operating-system":
            yield Item("os", name, version)
        elif component["type"] != "file":
            yield Item(str(component["type"]), "/".join(filter(None, (component.get("group"), name))), version)
        yield from _cyclonedx(component.get("components", []))


def _spdx(document: dict[str, Any]) -> Iterator[Item]:
    links = document.get("relationships", [])
    described = {link["relatedSpdxElement"] for link in links if link["relationshipType"] == "DESCRIBES"}
    described.update(document.get("documentDescribes", []))
    for package in document.get("packages", []):
        name, version = str(package["name"]), str(package.get("versionInfo", ""))
        references = [
            each["referenceLocator"] for each in package.get("externalRefs", []) if each["referenceType"] == "purl"
        ]
        if references:
            yield _of_purl(PackageURL.from_string(references[0]))
        elif package.get("primaryPackagePurpose") == "OPERATING-SYSTEM":
            yield Item("os", name, version)
        elif package["SPDXID"] not in described:  # what the whole document is of
            yield Item("package", name, version)


def render(diff: Diff, console: Console) -> None:
    """Print what changed, what is alarming first, and the counts."""
    table = Table(box=None, pad_edge=False)
    for column in ("change", "type", "name", "A", "B"):
        table.add_column(column, overflow="fold")
    for change in diff.changes:
        kind = f"[{_COLOURS[change.kind]}]{change.kind}[/]"
        cells = (change.type, change.name, *(str(each) if each else "-" for each in (change.a, change.b)))
        table.add_row(kind, *(Text(visible(cell)) for cell in cells))
    if diff.changes:
        console.print(table)
    counts = [(kind, sum(change.kind == kind for change in diff.changes)) for kind in reversed(KINDS)]
    said = ", ".join(f"{number} {kind}" for kind, number in counts if number) or "no difference"
    console.print(f"{said}; {diff.same} the same", highlight=False)
