"""Which scenarios `make test` runs for what changed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.paths import ROOT

ROLES = ("a", "b", "c", "d", "e")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone with five roles, and a Molecule that only says what it is asked."""
    clone = tmp_path / "clone"
    for name in ROLES:
        (clone / "roles" / name).mkdir(parents=True)
        (clone / "molecule" / f"{name}_full").mkdir(parents=True)
    (clone / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "test.sh", clone / "scripts")
    (clone / ".gitignore").write_text("/.cache\n")
    (tmp_path / "molecule").write_text('#!/bin/sh\necho "ran $*"\n')
    (tmp_path / "molecule").chmod(0o755)
    git(clone, "init", "--quiet", "--initial-branch=main")
    commit(clone, "README.md")
    return clone


def git(clone: Path, *arguments: str) -> None:
    who = ["-c", "user.name=Somebody", "-c", "user.email=somebody@example.org"]
    subprocess.run(["git", *who, *arguments], cwd=clone, check=True)


def commit(clone: Path, *paths: str) -> None:
    for path in paths:
        with (clone / path).open("a") as file:
            file.write("more\n")
    git(clone, "add", "--all")
    git(clone, "commit", "--quiet", "--message=change")


def run(clone: Path, **environment: str) -> tuple[list[str], str]:
    """The scenarios that it ran, and what it said."""
    inherited = {key: value for key, value in os.environ.items() if key != "CHANGED_SINCE"}
    done = subprocess.run(
        [clone / "scripts/test.sh", "molecule_changed"],
        env={**inherited, "PATH": f"{clone.parent}:{os.environ['PATH']}", **environment},
        check=True,
        capture_output=True,
        text=True,
    )
    return [line.split()[-1] for line in done.stdout.splitlines() if line.startswith("ran ")], done.stdout


def test_whole_branch_counts_and_without_one_the_last_commit(clone: Path) -> None:
    git(clone, "update-ref", "refs/remotes/origin/main", "HEAD")
    commit(clone, "roles/a/x")
    commit(clone, "roles/b/x", "README.md")
    assert run(clone)[0] == ["a_full", "b_full"]
    assert run(clone, CHANGED_SINCE="HEAD~1")[0] == ["b_full"]
    git(clone, "update-ref", "refs/remotes/origin/main", "HEAD")
    assert run(clone)[0] == ["b_full"]
    git(clone, "update-ref", "-d", "refs/remotes/origin/main")
    assert run(clone)[0] == ["b_full"]


def test_no_more_than_four_and_the_others_are_named(clone: Path) -> None:
    commit(clone, "molecule/e_full/x", *(f"roles/{name}/x" for name in ROLES))
    scenarios, said = run(clone)
    assert scenarios == ["a_full", "b_full", "c_full", "d_full"]
    assert "left to `make test-all`: e_full" in said


def test_first_commit_has_nothing_before_it(clone: Path) -> None:
    scenarios, said = run(clone)
    assert scenarios == []
    assert "skipped: there is no HEAD~1" in said
