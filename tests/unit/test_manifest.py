"""Manifests: what the collector writes is what this side reads, checks and saves."""

from __future__ import annotations

import errno
import gzip
import json
import os
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ansible_collections.goldsmith.core.plugins.module_utils.collector import SCHEMA, document, tree

from goldsmith import compare, manifest
from goldsmith.errors import GoldsmithError
from tests.paths import FIXTURES, ROOT

RECORDED = sorted((FIXTURES / "manifests").glob("*.json.gz"))
VALIDATOR = jsonschema.Draft202012Validator(json.loads((ROOT / "docs/schema/manifest.schema.json").read_text()))


def recorded(name: str) -> bytes:
    return gzip.decompress((FIXTURES / "manifests" / f"{name}.json.gz").read_bytes())


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.name)
def test_both_sides_agree_on_recorded_manifests(path: Path) -> None:
    data = gzip.decompress(path.read_bytes())
    found = manifest.parse(data, path.name)
    assert manifest.canonical(found.document()) + "\n" == data.decode()
    ours = document.assemble(found.sections, found.identity, found.runtime, found.scope, found.warnings)
    assert ours == json.loads(data)
    assert SCHEMA == manifest.SCHEMA
    VALIDATOR.validate(json.loads(data))


def test_there_are_manifests_of_both_scopes() -> None:
    assert {manifest.parse(gzip.decompress(path.read_bytes()), "").scope for path in RECORDED} == {"live", "rest"}


def test_a_manifest_collected_now_fits_the_published_schema(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nodd:x:many:0::/:\n")
    (tmp_path / "etc/group").write_text("root:x:0:\n")
    (tmp_path / "etc/machine-id").write_text("")
    os.mkfifo(tmp_path / "fifo")
    found = document.collect(tree.DirectoryTree(tmp_path), document.REST)
    VALIDATOR.validate(json.loads("".join(found.pieces())))


def test_each_section_has_its_place_in_the_schema_and_in_reports(tmp_path: Path) -> None:
    sections = set(document.collect(tree.DirectoryTree(tmp_path), document.REST)["sections"])
    schema = json.loads((ROOT / "docs/schema/manifest.schema.json").read_text())
    assert set(schema["properties"]["sections"]["properties"]) == sections
    assert sections <= set(compare.SECTIONS)
    told = (ROOT / "docs/manifest.md").read_text()
    assert [name for name in sections - {"os", "packages"} if f"**{name}**" not in told] == []


@pytest.mark.parametrize(
    "change",
    [
        {"scope": "other"},
        {"digest": "md5:1"},
        {"runtime": {"units": {}, "sockets": {}}},
        {"extra": 1},
        {"identity": {"machine_id": {"path": "/etc/machine-id"}}},
    ],
)
def test_the_published_schema_refuses(change: dict[str, Any]) -> None:
    whole = json.loads(recorded("image-at-rest"))
    VALIDATOR.validate(whole)
    assert not VALIDATOR.is_valid({**whole, **change})


def test_load_and_save(tmp_path: Path) -> None:
    (tmp_path / "host.json").write_bytes(recorded("host"))
    found = manifest.load(tmp_path / "host.json")
    assert (found.name, found.scope) == ("host", "live")
    assert manifest.load(tmp_path / "host.json", name="web1").name == "web1"
    manifest.save(found, tmp_path / "new/folder/copy.json")
    assert (tmp_path / "new/folder/copy.json").read_bytes() == recorded("host")
    assert [each.name for each in (tmp_path / "new/folder").iterdir()] == ["copy.json"]


def problem(data: bytes) -> GoldsmithError:
    with pytest.raises(GoldsmithError) as caught:
        manifest.parse(data, "x.json")
    assert caught.value.exit_code == 1
    assert caught.value.message.startswith("x.json: ")
    assert "\n" not in caught.value.message
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize("keep", [1, 100, 5000, -3, -2])
def test_a_manifest_cut_in_half(keep: int) -> None:
    found = problem(recorded("host")[:keep])
    assert "probably interrupted" in found.message
    assert "line 1, character" in found.message
    assert "collect it again" in found.hint


def test_other_files_that_are_no_manifests() -> None:
    assert "is empty" in problem(b"\n").message
    assert "is not JSON" in problem(b"{'a': 1}").message
    assert "is not text" in problem(b'"\xff"').message
    assert "names no schema" in problem(b"[]").message
    assert "names no schema" in problem(b'{"schema": "other"}').message
    assert "nested without end" in problem(b"[" * 200_000).message


def test_another_schema_version_is_named() -> None:
    found = problem(b'{"schema": "goldsmith.manifest/2"}')
    assert "goldsmith.manifest/2" in found.message
    assert "goldsmith.manifest/1" in found.message


def test_an_edited_manifest_is_refused() -> None:
    edited = recorded("host").replace(b'"uid":1000', b'"uid":0', 1)
    assert edited != recorded("host")
    assert "edited or damaged" in problem(edited).message


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"scope": "dead"}, "scope"),
        ({"digest": None}, "digest"),
        ({"runtime": None}, "runtime"),
        ({"warnings": "none"}, "warnings"),
        ({"warnings": [1]}, "warnings"),
        ({"sections": []}, "sections"),
        ({"sections": {"files": []}}, "sections.files"),
        ({"sections": {"files": {"/a": 1}}}, "sections.files"),
        ({"identity": {"machine_id": "x"}}, "identity"),
        ({"runtime": {"units": 1}}, "runtime.units"),
    ],
)
def test_a_misshapen_manifest_says_where(change: dict[str, Any], word: str) -> None:
    whole = {**json.loads(recorded("host")), **change}
    assert word in problem(json.dumps(whole).encode()).message


def test_missing_and_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(GoldsmithError, match="no such manifest"):
        manifest.load(tmp_path / "absent.json")
    with pytest.raises(GoldsmithError, match="can't be read"):
        manifest.load(tmp_path)


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = manifest.parse(recorded("host"), "host")
    (tmp_path / "a.json").write_text("before")

    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(GoldsmithError, match="No space left") as caught:
        manifest.save(found, tmp_path / "a.json")
    assert "free some space" in caught.value.hint
    assert [each.name for each in tmp_path.iterdir()] == ["a.json"]
    assert (tmp_path / "a.json").read_text() == "before"
