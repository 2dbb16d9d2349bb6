"""Two bills of materials: what came, what went, and which way versions moved, by each system's own order."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from goldsmith import bom, bom_diff, manifest
from goldsmith.bom_diff import Change, Item
from goldsmith.errors import GoldsmithError
from tests.paths import FIXTURES
from tests.unit.test_bom import ODD, made, package
from tests.unit.test_cli import run


def moved(kind: str, a: str, b: str) -> str:
    """How a change of version is called."""
    [change] = bom_diff.compare([Item(kind, "x", a)], [Item(kind, "x", b)]).changes
    return change.kind


@pytest.mark.parametrize(
    ("kind", "lower", "higher"),
    [
        ("deb", "1.9-1", "1.10-1"),
        ("deb", "1.0~rc1-1", "1.0-1"),
        ("deb", "1.0-1~deb12u1", "1.0-1"),
        ("deb", "1.0-1", "1.0-1+b1"),
        ("deb", "1.0-1+deb12u1", "1.0-1+deb12u2"),
        ("deb", "2.0-1", "1:0.9-1"),
        ("deb", "1.0a-1", "1.0+dfsg-1"),
        ("deb", "20240203", "20250419~deb12u2"),
        ("pypi", "1.9", "1.10"),
        ("pypi", "1.0rc1", "1.0"),
        ("pypi", "1.0.dev1", "1.0a1"),
        ("pypi", "1.0", "1.0.post1"),
        ("pypi", "2024.1", "1!0.1"),
        ("npm", "1.9.0", "1.10.0"),
        ("npm", "1.0.0-rc.1", "1.0.0"),
        ("gem", "1.0.0.pre", "1.0.0"),
        ("gem", "5.0.0", "5.0.0.1"),
        ("rpm", "1.0-9", "1.0-10"),
        ("os", "12.9", "12.15"),
    ],
)
def test_versions_are_ordered_as_their_system_orders_them(kind: str, lower: str, higher: str) -> None:
    assert moved(kind, lower, higher) == "upgraded"
    assert moved(kind, higher, lower) == "downgraded"


@pytest.mark.parametrize(
    ("kind", "a", "b"),
    [
        ("deb", "1.0", "0:1.0"),
        ("pypi", "1.0", "1.0.0"),
        ("pypi", "odd one", "1.0"),
        ("deb", "", "1"),
        ("new", "1", "2"),
    ],
)
def test_what_nobody_can_order_is_changed(kind: str, a: str, b: str) -> None:
    assert moved(kind, a, b) == moved(kind, b, a) == "changed"


def test_what_came_and_went() -> None:
    a = [Item("deb", "both", "1"), Item("deb", "gone", "1"), Item("pypi", "up", "1"), Item("deb", "down", "2")]
    b = [Item("deb", "both", "1"), Item("deb", "come", "1"), Item("pypi", "up", "2"), Item("deb", "down", "1")]
    found = bom_diff.compare(a, b)
    assert [(change.kind, change.name) for change in found.changes] == [
        ("removed", "gone"),
        ("downgraded", "down"),
        ("upgraded", "up"),
        ("added", "come"),
    ]
    assert found.same == 1
    back = bom_diff.compare(b, a)
    assert sorted(change.kind for change in back.changes) == ["added", "downgraded", "removed", "upgraded"]
    assert bom_diff.compare(a, list(reversed(a))).changes == ()


def test_several_of_one_name() -> None:
    def items(*pairs: tuple[str, str]) -> list[Item]:
        return [Item("deb", "libc6", version, arch) for version, arch in pairs]

    # Each architecture has its own.
    changes = bom_diff.compare(items(("1", "amd64"), ("1", "i386")), items(("2", "amd64"), ("1", "i386"))).changes
    assert [(change.kind, str(change.a), str(change.b)) for change in changes] == [("upgraded", "1 amd64", "2 amd64")]
    # A package may come to be for another.
    changes = bom_diff.compare(items(("1", "amd64")), items(("2", "all"))).changes
    assert [change.kind for change in changes] == ["upgraded"]
    assert [change.kind for change in bom_diff.compare(items(("1", "amd64")), items(("1", "all"))).changes] == [
        "changed"
    ]
    # Which of two became which, nobody can say.
    changes = bom_diff.compare(items(("1", "all"), ("2", "all")), items(("3", "all"))).changes
    assert [change.kind for change in changes] == ["removed", "removed", "added"]


@pytest.mark.parametrize("found", [ODD, *sorted((FIXTURES / "manifests").glob("*.gz"))], ids=str)
def test_all_forms_of_one_manifest_hold_the_same(found: manifest.Manifest | Path, tmp_path: Path) -> None:
    if isinstance(found, Path):
        found = manifest.parse(gzip.decompress(found.read_bytes()), found.name)
    for name, data in bom.both(found, name="web", time=0).items():
        (tmp_path / name).write_bytes(data)
    manifest.save(found, tmp_path / "manifest.json")
    forms = [bom_diff.read(path) for path in tmp_path.iterdir()]
    assert len(forms) == 3
    for one in forms:
        diff = bom_diff.compare(bom_diff.of_manifest(found), one)
        assert diff.changes == ()
        assert diff.same == len(bom.parts(found)) + 1


def test_others_bills_of_materials_are_read(tmp_path: Path) -> None:
    file = tmp_path / "bom.json"
    components = [
        {"type": "library", "name": "jq", "purl": "pkg:deb/debian/jq@1.6?arch=amd64&upstream=jq%401.6"},
        {
            "type": "library",
            "group": "org.x",
            "name": "y",
            "version": "1",
            "components": [{"type": "file", "name": "z"}],
        },
        {
            "type": "application",
            "name": "outer",
            "components": [{"type": "library", "name": "i", "purl": "pkg:npm/i@1"}],
        },
    ]
    file.write_text(json.dumps({"bomFormat": "CycloneDX", "specVersion": "1.4", "components": components}))
    assert sorted(bom_diff.read(file)) == [
        Item("application", "outer", ""),
        Item("deb", "jq", "1.6", "amd64"),
        Item("library", "org.x/y", "1"),
        Item("npm", "i", "1"),
    ]
    packages = [
        {"SPDXID": "SPDXRef-root", "name": "the image"},
        {"SPDXID": "SPDXRef-1", "name": "plain", "versionInfo": "3"},
    ]
    document = {"spdxVersion": "SPDX-2.2", "packages": packages, "documentDescribes": ["SPDXRef-root"]}
    file.write_text(json.dumps(document))
    assert bom_diff.read(file) == [Item("package", "plain", "3")]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is not JSON"),
        ("<bom/>", "is not JSON"),
        ("[" * 100000, "is not JSON"),
        ("[]", "is not JSON"),
        ("{}", "not a manifest"),
        ('{"@graph": []}', "SPDX 3"),
        ('{"bomFormat": "CycloneDX", "components": [{}]}', "not a whole bill of materials"),
        ('{"bomFormat": "CycloneDX", "components": [{"name": "x", "purl": "x"}]}', "not a whole bill of materials"),
        ('{"bomFormat": "CycloneDX", "components": [1]}', "not a whole bill of materials"),
        ('{"bomFormat": "CycloneDX", "components": {"a": 1}}', "not a whole bill of materials"),
        ('{"spdxVersion": "SPDX-2.3", "packages": [{"name": "x"}]}', "not a whole bill of materials"),
        ('{"spdxVersion": "SPDX-2.3", "packages": 1}', "not a whole bill of materials"),
    ],
)
def test_what_is_none_is_refused(content: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "bom.json"
    file.write_text(content)
    with pytest.raises(GoldsmithError, match=said) as caught:
        bom_diff.read(file)
    assert caught.value.hint


def test_names_are_shown_on_one_line() -> None:
    stream = io.StringIO()
    found = bom_diff.compare([], [Item("deb", "evil\x1b[2J\n[red]", "1")])
    assert isinstance(found.changes[0], Change)
    bom_diff.render(found, Console(file=stream, width=200))
    assert "evil\\x1b[2J\\n[red]" in stream.getvalue()
    assert stream.getvalue().endswith("1 added; 0 the same\n")


def test_the_commands(tmp_path: Path) -> None:
    def saved(name: str, packages: dict[str, Any]) -> str:
        manifest.save(made(packages), tmp_path / name)
        return name

    old = saved("old.json", {"openssl": package("3.0.11-1~deb12u2"), "nginx": package("1.22.1-9")})
    new = saved("new.json", {"openssl": package("3.0.15-1~deb12u1"), "vim": package("2:9.0.1378-2")})
    done = run("bom", old, "--output", "old.cdx.json", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "")
    assert run("bom", old, cwd=tmp_path).stdout == (tmp_path / "old.cdx.json").read_text()
    dated = json.loads(run("bom", old, "--format", "spdx", cwd=tmp_path, SOURCE_DATE_EPOCH="86400").stdout)
    assert dated["creationInfo"]["created"] == "1970-01-02T00:00:00Z"
    assert run("bom", old, cwd=tmp_path, SOURCE_DATE_EPOCH="today").returncode == 2
    assert run("bom", old, "--format", "xml", cwd=tmp_path).returncode == 2

    done = run("diff-bom", "old.cdx.json", new, cwd=tmp_path)
    assert done.returncode == 3
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["change", "type", "name", "A", "B"],
        ["removed", "deb", "nginx", "1.22.1-9", "amd64", "-"],
        ["upgraded", "deb", "openssl", "3.0.11-1~deb12u2", "amd64", "3.0.15-1~deb12u1", "amd64"],
        ["added", "deb", "vim", "-", "2:9.0.1378-2", "amd64"],
        ["1", "added,", "1", "upgraded,", "1", "removed;", "1", "the", "same"],
    ]
    found = json.loads(run("diff-bom", "old.cdx.json", new, "--json", cwd=tmp_path).stdout)
    assert found["changes"][0] == {
        "kind": "removed",
        "type": "deb",
        "name": "nginx",
        "a": {"version": "1.22.1-9", "arch": "amd64"},
        "b": None,
    }
    assert run("diff-bom", "old.cdx.json", old, cwd=tmp_path).returncode == 0
    missing = run("diff-bom", "old.cdx.json", "none.json", cwd=tmp_path)
    assert missing.returncode == 1
    assert "hint: " in missing.stderr
