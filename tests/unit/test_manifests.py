"""Manifests by the thousand: read fast, and believed only where their bytes prove it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from goldsmith import fleet, manifest, manifests, policy
from goldsmith.errors import UsageError
from goldsmith.manifest import Manifest
from goldsmith.policy import Policy
from tests.paths import ROOT
from tests.unit.test_compare import FILE, machine, recorded, with_identity

NONE = Policy()
REFERENCE = machine("ref", files={"/x": FILE})


def saved(folder: Path, *machines: Manifest) -> list[Path]:
    for each in machines:
        manifest.save(each, folder / f"{each.name}.json")
    return [folder / f"{each.name}.json" for each in machines]


def fleet_of(count: int) -> list[Manifest]:
    """Machines of two states."""
    return [
        machine(f"m{number}", files={"/x": FILE, **({"/y": FILE} if number % 2 else {})}) for number in range(count)
    ]


@pytest.fixture(params=[manifests.KEEP, 0], ids=["kept", "digests"])
def keep(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Known sections are kept, or only their digests: nothing else may depend on it."""
    monkeypatch.setattr(manifests, "KEEP", request.param)


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of manifests that were parsed as a whole."""
    names: list[str] = []
    parse = manifest.parse

    def noted(data: bytes, source: str, *, name: str = "") -> Manifest:
        names.append(name)
        return parse(data, source, name=name)

    monkeypatch.setattr(manifest, "parse", noted)
    return names


@pytest.mark.usefixtures("keep")
def test_files_are_judged_as_machines_are_and_each_state_is_parsed_once(tmp_path: Path, parsed: list[str]) -> None:
    machines = [*fleet_of(6), replace(recorded("host"), name="host")]
    machines[2] = with_identity(machines[2], "machine_id", sha256="id of m1")
    machines[3] = replace(machines[3], warnings=["/x: can't be read"])
    paths = saved(tmp_path, *machines)
    for judge in (NONE, policy.reference()):
        parsed.clear()
        assert manifests.judge(REFERENCE, paths, judge) == fleet.judge(REFERENCE, machines, judge)
        assert parsed == ["m0", "m1", "host"]


def edited(path: Path, change: Callable[[str], str]) -> None:
    text = path.read_text()
    assert change(text) != text
    path.write_text(change(text))


@pytest.mark.usefixtures("keep")
@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda text: text.replace('"mode":"0644","owner":"root","sha', '"mode":"0666","owner":"root","sha'), "digest"),
        (lambda text: text.replace(',"/y"', ',"/z"').replace('"/x"', '"/y"'), "digest"),
        (lambda text: text.replace('"sections":{', '"sections":{"extra":{},'), "digest"),
        (lambda text: text.replace("goldsmith.manifest/1", "goldsmith.manifest/2"), "another version"),
        (lambda text: text.replace('"scope":"live"', '"scope":"rest"'), "at rest has none"),
        (lambda text: text.replace('"warnings":[]', '"warnings":{}'), "no lines"),
        (lambda text: text.replace('"warnings":[]', '"warnings":[]}'), "not JSON"),
        (lambda text: text.replace('"warnings":[]', '"warnings":[],"sections":{"files":{}}'), "digest"),
        (lambda text: text[:-20], "ends in the middle"),
        (lambda text: text[:0], "is empty"),
    ],
)
def test_a_file_that_only_says_it_is_of_a_known_state_is_refused(
    tmp_path: Path, change: Callable[[str], str], problem: str
) -> None:
    """A wrong "equal" is what must never be."""
    paths = saved(tmp_path, *fleet_of(4))
    edited(paths[2], change)
    edited(paths[3], change)
    found = manifests.judge(REFERENCE, paths, NONE)
    assert [name for name, _why in found.unread] == ["m2", "m3"]
    assert all(problem in why for _name, why in found.unread), found.unread
    assert sorted(found.state_of) == ["m0", "m1"]
    assert not found.ok


@pytest.mark.usefixtures("keep")
def test_names_that_look_like_parts_of_a_manifest(tmp_path: Path, parsed: list[str]) -> None:
    tricky = {'x","sections":{"y': {"sha256": '","warnings":[]'}, "a": {}, "sections": {}, "warnings": {}}
    text = 'x","sections":{},"warnings":[]'
    machines = [
        replace(
            each, identity=tricky, runtime={"sections": {"a": {"warnings": text, "sections": text}}}, warnings=[text]
        )
        for each in fleet_of(4)
    ]
    paths = saved(tmp_path, *machines)
    assert manifests.judge(REFERENCE, paths, NONE) == fleet.judge(REFERENCE, machines, NONE)
    assert parsed == ["m0", "m1", "m2", "m3"], "not split where it can't be told, but parsed"


@pytest.mark.usefixtures("keep")
def test_what_is_not_in_canonical_form_is_read_too(tmp_path: Path) -> None:
    paths = saved(tmp_path, *fleet_of(4))
    for path in paths[1:]:
        path.write_text(json.dumps(json.loads(path.read_text()), indent=1))
    assert manifests.judge(REFERENCE, paths, NONE) == fleet.judge(REFERENCE, fleet_of(4), NONE)


def test_two_files_of_one_name_are_told_apart_by_their_paths(tmp_path: Path) -> None:
    for folder in ("monday", "tuesday"):
        (tmp_path / folder).mkdir()
    paths = [saved(tmp_path / folder, machine("web1", files={}))[0] for folder in ("monday", "tuesday")]
    found = manifests.judge(REFERENCE, paths, NONE)
    assert sorted(found.state_of) == sorted(map(str, paths))


def test_a_folder_means_the_manifests_in_it(tmp_path: Path) -> None:
    paths = saved(tmp_path, *fleet_of(2))
    (tmp_path / "notes.txt").write_text("x")
    assert manifests.files([tmp_path, paths[1]]) == paths
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no manifest in this folder"):
        manifests.files([tmp_path / "empty"])
    found = manifests.judge(REFERENCE, [tmp_path / "missing.json"], NONE)
    assert [(name, "can't be read: No such file" in why) for name, why in found.unread] == [("missing", True)]


def test_what_is_kept_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifests, "KEEP", 200)
    reader: Any = manifests.Reader()
    for path in saved(tmp_path, *fleet_of(4)):
        reader.read(path, path.stem)
    assert len(reader._known) == 1
    assert sum(map(len, reader._known.values())) <= 200


def test_the_benchmark_judges_a_small_fleet() -> None:
    """So that it runs when somebody needs it. What it measures is not looked at here, but that it measures rightly."""
    command = [sys.executable, str(ROOT / "benchmarks/compare.py"), "--runs=1", "--machines=40", "--states=4", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    runs = json.loads(done.stdout)["runs"]
    assert [len(runs[states]) for states in ("4", "8")] == [1, 1], done.stderr
    assert all(run["cpu"] > 0 and run["memory"] > 10 for each in runs.values() for run in each)
