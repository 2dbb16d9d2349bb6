"""Bills of materials: what a manifest says is installed, in the two forms that others read. Pure but for `save`.

CycloneDX 1.6 and SPDX 2.3, both JSON. One manifest, name and time give the same bytes again: the serial number comes of
the manifest's digest, and everything is sorted.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from packageurl import PackageURL

import goldsmith
from goldsmith.errors import UsageError, nearest
from goldsmith.manifest import Attributes, Manifest

FILES = {"cyclonedx": "bom.cdx.json", "spdx": "bom.spdx.json"}
"""Form -> name of the file beside an image's manifest."""

UNKNOWN = "NOASSERTION"
_PURL_TYPES = {"python": "pypi", "npm": "npm", "gem": "gem"}
_NOT_INSTALLED = ("config-files", "not-installed")


@dataclass(frozen=True)
class Part:
    """A package or library. `locations`: the folders that hold it, none where the package manager knows it.
    `source`: name and version of the source package that it was built from, or empty."""

    purl: PackageURL
    source: str = ""
    locations: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Its name, with the scope where npm has one."""
        return (
            f"{self.purl.namespace}/{self.purl.name}"
            if self.purl.type == "npm" and self.purl.namespace
            else self.purl.name
        )


def parts(manifest: Manifest) -> list[Part]:
    """All that is installed, sorted by package URL, each URL once. Of a package that was removed, and left only its
    settings, nothing is installed."""
    system = manifest.sections.get("os", {}).get("release", {})
    found = [
        _package(name, each, system)
        for name, each in manifest.sections.get("packages", {}).items()
        if each.get("status") not in _NOT_INSTALLED
    ]
    libraries: dict[PackageURL, set[str]] = {}
    for key, each in manifest.sections.get("libraries", {}).items():
        for purl, location in _libraries(key, each):
            libraries.setdefault(purl, set()).add(location)
    found += [Part(purl, locations=tuple(sorted(places))) for purl, places in libraries.items()]
    return sorted(found, key=lambda part: part.purl.to_string())


def operating_system(manifest: Manifest) -> tuple[str, str]:
    """Name and version: ("debian", "12.5"). Empty where the manifest has them not."""
    release = manifest.sections.get("os", {}).get("release", {})
    name = release.get("id", "")
    point = release.get("debian_version") if name == "debian" else None
    return name, point or release.get("version_id") or release.get("codename") or ""


def _package(key: str, package: Attributes, release: Attributes) -> Part:
    system = release.get("id", "debian")
    version = release.get("version_id") or release.get("codename")
    qualifiers = {"arch": package.get("architecture"), "distro": f"{system}-{version}" if version else None}
    source = " ".join(filter(None, (package.get("source"), package.get("source_version"))))
    name = key.partition(":")[0]
    return Part(
        PackageURL("deb", system, name, package.get("version") or None, {k: v for k, v in qualifiers.items() if v}),
        source,
    )


def _libraries(key: str, library: Attributes) -> Iterator[tuple[PackageURL, str]]:
    """A library of a manifest: one for each of its versions, with the folder that holds it."""
    kind = _PURL_TYPES.get(library.get("kind", ""), "generic")
    folder, _, name = key.rpartition("/")
    namespace = None
    if kind == "npm" and folder.rpartition("/")[2].startswith("@"):
        folder, _, namespace = folder.rpartition("/")
    for version in library.get("version", "").split(", "):
        yield PackageURL(kind, namespace, name, version or None), folder


def text(manifest: Manifest, form: str, *, name: str, time: int | None) -> str:
    """The manifest's bill of materials, as `cyclonedx` or `spdx`. `name` says whose it is, `time` when, in seconds
    since 1970; without it CycloneDX has no time, and SPDX, which must have one, the beginning of 1970.

    Raises:
        UsageError: there is no such form.
    """
    if form not in _WRITERS:
        raise UsageError(f'there is no format "{form}"', hint=nearest(form, list(_WRITERS)))
    stamp = None if time is None else datetime.datetime.fromtimestamp(time, datetime.UTC)
    return json.dumps(_WRITERS[form](manifest, name, stamp), indent=2, ensure_ascii=False) + "\n"


def both(manifest: Manifest, *, name: str, time: int) -> dict[str, bytes]:
    """The bill of materials in both forms, by the names in FILES. Pure."""
    return {file: text(manifest, form, name=name, time=time).encode() for form, file in FILES.items()}


def _serial(manifest: Manifest, name: str) -> uuid.UUID:
    return uuid.uuid5(uuid.NAMESPACE_URL, f"goldsmith:{name}:{manifest.digest}")


def _cyclonedx(manifest: Manifest, name: str, stamp: datetime.datetime | None) -> dict[str, Any]:
    # Takes 0.1 s.
    from cyclonedx.model import Property  # noqa: PLC0415
    from cyclonedx.model.bom import Bom, BomMetaData  # noqa: PLC0415
    from cyclonedx.model.component import Component, ComponentType  # noqa: PLC0415
    from cyclonedx.model.component_evidence import ComponentEvidence, Occurrence  # noqa: PLC0415
    from cyclonedx.model.tool import ToolRepository  # noqa: PLC0415
    from cyclonedx.output.json import JsonV1Dot6  # noqa: PLC0415

    system, version = operating_system(manifest)
    machine = Component(
        name=name,
        bom_ref="machine",
        type=ComponentType.CONTAINER if manifest.scope == "rest" else ComponentType.DEVICE,
        properties=[Property(name="goldsmith:manifest_digest", value=manifest.digest)],
    )
    tool = Component(name="goldsmith", version=goldsmith.__version__, type=ComponentType.APPLICATION)
    bom = Bom(
        serial_number=_serial(manifest, name),
        metadata=BomMetaData(component=machine, tools=ToolRepository(components=[tool]), timestamp=stamp),
    )
    contained = []
    if system:
        contained.append(Component(name=system, version=version, bom_ref="os", type=ComponentType.OPERATING_SYSTEM))
    for part in parts(manifest):
        contained.append(
            Component(
                name=part.purl.name,
                group=part.purl.namespace if part.purl.type == "npm" else None,
                version=part.purl.version,
                purl=part.purl,
                bom_ref=part.purl.to_string(),
                type=ComponentType.LIBRARY,
                properties=[Property(name="goldsmith:source", value=part.source)] if part.source else None,
                evidence=ComponentEvidence(occurrences=[Occurrence(location=each) for each in part.locations])
                if part.locations
                else None,
            )
        )
    bom.components.update(contained)
    bom.register_dependency(machine, contained)
    document: dict[str, Any] = json.loads(JsonV1Dot6(bom).output_as_string())
    for component in document.get("components", []):  # the library has no order for them
        component.get("evidence", {}).get("occurrences", []).sort(key=lambda each: each["location"])
    if stamp is None:  # the library puts today's
        del document["metadata"]["timestamp"]
    return document


def _spdx(manifest: Manifest, name: str, stamp: datetime.datetime | None) -> dict[str, Any]:
    system, version = operating_system(manifest)
    purpose = "CONTAINER" if manifest.scope == "rest" else "DEVICE"
    packages = [_spdx_package("SPDXRef-machine", name, "", primaryPackagePurpose=purpose)]
    if system:
        packages.append(_spdx_package("SPDXRef-os", system, version, primaryPackagePurpose="OPERATING-SYSTEM"))
    for part in parts(manifest):
        purl = part.purl.to_string()
        said = [f"built from source package {part.source}"] if part.source else []
        said += [f"in {', '.join(part.locations)}"] if part.locations else []
        reference = {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl}
        more = {"sourceInfo": "; ".join(said)} if said else {}
        packages.append(
            _spdx_package(_spdx_id(part.purl), part.title, part.purl.version or "", externalRefs=[reference], **more)
        )
    contains = [("SPDXRef-machine", "CONTAINS", package["SPDXID"]) for package in packages[1:]]
    return {
        "SPDXID": "SPDXRef-DOCUMENT",
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "name": name,
        "documentNamespace": f"https://spdx.org/spdxdocs/goldsmith-{_serial(manifest, name)}",
        "comment": f"Of the manifest {manifest.digest}",
        "creationInfo": {
            "created": (stamp or datetime.datetime.fromtimestamp(0, datetime.UTC)).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "creators": [f"Tool: goldsmith-{goldsmith.__version__}"],
        },
        "packages": packages,
        "relationships": [
            {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other}
            for one, kind, other in [("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-machine"), *contains]
        ],
    }


def _spdx_package(spdx_id: str, name: str, version: str, **more: Any) -> dict[str, Any]:
    """A package of which we know no more than its name and version: the rest must be there, and says so."""
    return {
        "SPDXID": spdx_id,
        "name": name,
        **({"versionInfo": version} if version else {}),
        "supplier": UNKNOWN,
        "downloadLocation": UNKNOWN,
        "filesAnalyzed": False,
        "licenseConcluded": UNKNOWN,
        "licenseDeclared": UNKNOWN,
        "copyrightText": UNKNOWN,
        **more,
    }


def _spdx_id(purl: PackageURL) -> str:
    """An SPDX identifier has letters, digits, dots and hyphens; the digest keeps apart what is equal without others."""
    short = hashlib.sha256(purl.to_string().encode()).hexdigest()[:12]
    return "SPDXRef-" + re.sub(r"[^A-Za-z0-9.-]", "-", f"{purl.type}-{purl.name}-{short}")


_WRITERS: dict[str, Callable[[Manifest, str, datetime.datetime | None], dict[str, Any]]] = {
    "cyclonedx": _cyclonedx,
    "spdx": _spdx,
}
