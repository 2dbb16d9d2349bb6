"""Bills of materials: valid by the standards' own programs, right package URLs, and always the same bytes."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

from goldsmith import bom, manifest
from goldsmith.errors import UsageError
from tests.paths import FIXTURES

RECORDED = sorted((FIXTURES / "manifests").glob("*.json.gz"))


def made(packages: dict[str, Any], libraries: dict[str, Any] | None = None, **release: str) -> manifest.Manifest:
    release = release or {"id": "debian", "version_id": "12", "debian_version": "12.5"}
    sections = {"os": {"release": release}, "packages": packages, "libraries": libraries or {}}
    return manifest.Manifest("rest", manifest.digest(sections), sections)


def package(version: str, arch: str = "amd64", status: str = "installed", **more: str) -> dict[str, str]:
    return {"version": version, "architecture": arch, "status": status, **more}


ODD = made(
    {
        "libstdc++6": package("12.2.0-14+deb12u1"),
        "libstdc--6": package("1"),
        "libc6:i386": package("2.36-9", "i386"),
        "libc6": package("2.36-9"),
        "vim": package("2:9.0.1378-2+b1", source="vim-src", source_version="2:9.0.1378-2"),
        "left": package("1.0", status="config-files"),
        "half": package("1.0", status="half-configured"),
    },
    {
        "/opt/a/site-packages/flask": {"kind": "python", "version": "3.0.0"},
        "/opt/b/site-packages/flask": {"kind": "python", "version": "3.0.0"},
        **{f"/opt/{name}/site-packages/many": {"kind": "python", "version": "1"} for name in "abcdefgh"},
        "/opt/c/site-packages/flask": {"kind": "python", "version": "2.0.0, 3.1.0"},
        "/usr/lib/python3/dist-packages/nameless": {"kind": "python", "version": ""},
        "/opt/n/node_modules/@types/node": {"kind": "npm", "version": "20.1.0"},
        "/opt/n/node_modules/left-pad": {"kind": "npm", "version": "1.3.0"},
        "/var/lib/gems/3.1.0/specifications/rake": {"kind": "gem", "version": "13.0.6"},
        "/usr/local/bin/tool": {"kind": "go", "version": "1.2.3"},
    },
)


def purls(found: manifest.Manifest) -> list[str]:
    return [part.purl.to_string() for part in bom.parts(found)]


def test_package_urls() -> None:
    assert purls(ODD) == [
        "pkg:deb/debian/half@1.0?arch=amd64&distro=debian-12",
        "pkg:deb/debian/libc6@2.36-9?arch=amd64&distro=debian-12",
        "pkg:deb/debian/libc6@2.36-9?arch=i386&distro=debian-12",
        "pkg:deb/debian/libstdc%2B%2B6@12.2.0-14%2Bdeb12u1?arch=amd64&distro=debian-12",
        "pkg:deb/debian/libstdc--6@1?arch=amd64&distro=debian-12",
        "pkg:deb/debian/vim@2:9.0.1378-2%2Bb1?arch=amd64&distro=debian-12",
        "pkg:gem/rake@13.0.6",
        "pkg:generic/tool@1.2.3",
        "pkg:npm/%40types/node@20.1.0",
        "pkg:npm/left-pad@1.3.0",
        "pkg:pypi/flask@2.0.0",
        "pkg:pypi/flask@3.0.0",
        "pkg:pypi/flask@3.1.0",
        "pkg:pypi/many@1",
        "pkg:pypi/nameless",
    ]
    # What they say is what dpkg said.
    assert PackageURL.from_string(purls(ODD)[3]).version == "12.2.0-14+deb12u1"
    assert PackageURL.from_string(purls(ODD)[5]).version == "2:9.0.1378-2+b1"


def test_other_systems_have_other_package_urls() -> None:
    ubuntu = made({"a": package("1")}, id="ubuntu", version_id="24.04", debian_version="trixie/sid")
    assert purls(ubuntu) == ["pkg:deb/ubuntu/a@1?arch=amd64&distro=ubuntu-24.04"]
    assert bom.operating_system(ubuntu) == ("ubuntu", "24.04")
    assert bom.operating_system(ODD) == ("debian", "12.5")
    sid = made({"a": package("1", "all")}, id="debian", codename="sid")
    assert purls(sid) == ["pkg:deb/debian/a@1?arch=all&distro=debian-sid"]


@pytest.mark.parametrize("found", [ODD, *RECORDED], ids=lambda each: getattr(each, "stem", "odd"))
@pytest.mark.parametrize("time", [None, 1700000000])
def test_both_are_valid(found: manifest.Manifest | Path, time: int | None, tmp_path: Path) -> None:
    if isinstance(found, Path):
        found = manifest.parse(gzip.decompress(found.read_bytes()), found.name)
    cyclonedx = bom.text(found, "cyclonedx", name="web", time=time)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(cyclonedx) is None
    file = tmp_path / "web.spdx.json"
    file.write_text(bom.text(found, "spdx", name="web", time=time))
    assert validate_full_spdx_document(parse_file(str(file))) == []

    # Both hold all of it.
    expected = set(purls(found))
    assert {each["purl"] for each in json.loads(cyclonedx)["components"] if "purl" in each} == expected
    packages = json.loads(file.read_text())["packages"]
    assert {each["externalRefs"][0]["referenceLocator"] for each in packages if "externalRefs" in each} == expected
    assert len({each["SPDXID"] for each in packages}) == len(packages) == len(expected) + 2


def test_what_else_they_say() -> None:
    cyclonedx = json.loads(bom.text(ODD, "cyclonedx", name="web", time=1700000000))
    assert cyclonedx["metadata"]["timestamp"] == "2023-11-14T22:13:20+00:00"
    assert cyclonedx["metadata"]["component"]["type"] == "container"
    components = {each["bom-ref"]: each for each in cyclonedx["components"]}
    assert components["os"] == {"bom-ref": "os", "name": "debian", "type": "operating-system", "version": "12.5"}
    flask = components["pkg:pypi/flask@3.0.0"]["evidence"]["occurrences"]
    assert [each["location"] for each in flask] == ["/opt/a/site-packages", "/opt/b/site-packages"]
    vim = components["pkg:deb/debian/vim@2:9.0.1378-2%2Bb1?arch=amd64&distro=debian-12"]
    assert vim["properties"] == [{"name": "goldsmith:source", "value": "vim-src 2:9.0.1378-2"}]
    assert components["pkg:npm/%40types/node@20.1.0"]["group"] == "@types"

    spdx = json.loads(bom.text(ODD, "spdx", name="web", time=1700000000))
    assert spdx["creationInfo"]["created"] == "2023-11-14T22:13:20Z"
    named = {each["name"]: each for each in spdx["packages"]}
    assert named["vim"]["sourceInfo"] == "built from source package vim-src 2:9.0.1378-2"
    assert named["vim"]["licenseDeclared"] == "NOASSERTION"
    assert named["@types/node"]["versionInfo"] == "20.1.0"
    assert named["debian"]["primaryPackagePurpose"] == "OPERATING-SYSTEM"


@pytest.mark.parametrize("form", sorted(bom.FILES))
def test_the_same_manifest_gives_the_same_bytes(form: str) -> None:
    def text(packages: dict[str, Any], time: int | None = None) -> str:
        return bom.text(made(packages), form, name="web", time=time)

    one = {"a": package("1"), "b": package("2")}
    assert text(one) == text(dict(reversed(one.items())))
    serial = {"cyclonedx": "serialNumber", "spdx": "documentNamespace"}[form]
    others = json.loads(text({"a": package("1"), "b": package("3")}))
    assert json.loads(text(one))[serial] != others[serial]


def test_chance_has_no_part_in_it(tmp_path: Path) -> None:
    manifest.save(ODD, tmp_path / "odd.json")
    program = """\
import pathlib, sys
from goldsmith import bom, manifest
found = manifest.load(pathlib.Path(sys.argv[1]))
print([bom.text(found, form, name='web', time=None) for form in bom.FILES])
"""
    one, other = (
        subprocess.run(
            [sys.executable, "-c", program, str(tmp_path / "odd.json")],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    )
    assert one == other


def test_an_unknown_format_is_named() -> None:
    with pytest.raises(UsageError) as caught:
        bom.text(ODD, "cyclonedex", name="web", time=None)
    assert "cyclonedx" in caught.value.hint


def test_both_have_their_names() -> None:
    found = bom.both(ODD, name="web", time=0)
    assert found.keys() == set(bom.FILES.values())
    assert json.loads(found["bom.spdx.json"])["name"] == "web"
