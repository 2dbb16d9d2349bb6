"""The releases of ansible-core that we say we support are those that are tested."""

from __future__ import annotations

import importlib.resources
import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.paths import ROOT

LOCKS = [*sorted(ROOT.glob("tests/matrix/*.lock")), ROOT / "requirements.lock"]


def release(lock: Path) -> str:
    """The release of ansible-core that a lock file holds, as in 2.19."""
    found = re.search(r"^ansible-core==(\d+\.\d+)\.", lock.read_text(encoding="utf-8"), re.MULTILINE)
    assert found
    return found.group(1)


def numbers(version: str) -> list[int]:
    """A version in the form that compares."""
    return [int(number) for number in version.split(".")]


RELEASES = [release(lock) for lock in LOCKS]


def test_lock_files_are_named_after_their_releases() -> None:
    assert [lock.stem for lock in LOCKS[:-1]] == RELEASES[:-1]


def test_matrix_names_the_releases() -> None:
    script = (ROOT / "scripts/matrix.sh").read_text(encoding="utf-8")
    assert f"set -- {' '.join(RELEASES)};" in script


def test_the_collection_asks_for_the_lowest() -> None:
    runtime = yaml.safe_load((ROOT / "meta/runtime.yml").read_text(encoding="utf-8"))
    assert runtime["requires_ansible"] == f">={RELEASES[0]}.0"


def test_the_package_asks_for_the_lowest_to_the_highest() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = next(line for line in project["dependencies"] if line.startswith("ansible-core"))
    major, minor = RELEASES[-1].split(".")
    assert asked == f"ansible-core>={RELEASES[0]},<{major}.{int(minor) + 1}"


def test_collections_that_we_need_come_with_each_release() -> None:
    # These tests run with every release: what is installed beside this one must be enough.
    asked = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))["dependencies"]
    listed = yaml.safe_load((ROOT / "requirements.yml").read_text(encoding="utf-8"))["collections"]
    assert {entry["name"]: entry["version"] for entry in listed} == asked
    for name, bound in asked.items():
        manifest = importlib.resources.files(f"ansible_collections.{name}") / "MANIFEST.json"
        version = json.loads(manifest.read_text(encoding="utf-8"))["collection_info"]["version"]
        assert numbers(version) >= numbers(bound.removeprefix(">=")), name


@pytest.mark.parametrize("about", sorted(ROOT.glob("roles/*/meta/main.yml")), ids=lambda path: path.parents[1].name)
def test_each_role_asks_for_the_lowest(about: Path) -> None:
    text = yaml.safe_load(about.read_text(encoding="utf-8"))
    assert text["galaxy_info"]["min_ansible_version"] == RELEASES[0]


def test_the_readme_names_them() -> None:
    words = f"ansible-core {', '.join(RELEASES[:-1])} and {RELEASES[-1]} "
    assert words in (ROOT / "README.md").read_text(encoding="utf-8")
