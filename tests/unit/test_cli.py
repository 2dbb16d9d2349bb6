"""The command line itself: help, version, completion, exit codes of compare."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from goldsmith import __version__
from tests.paths import EXAMPLE, FIXTURES

COMMANDS = (
    "init",
    "doctor",
    "build",
    "converge",
    "collect",
    "compare",
    "drift",
    "hygiene",
    "verify",
    "export",
    "up",
    "clean",
)


def run(*arguments: str, cwd: Path = EXAMPLE, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "goldsmith", *arguments],
        cwd=cwd,
        env={**os.environ, "COLUMNS": "200", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_version() -> None:
    assert run("--version").stdout == f"goldsmith {__version__}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command(command: str) -> None:
    assert f"goldsmith {command}" in run(command, "--help").stdout.replace("python -m goldsmith", "goldsmith")
    assert command in run("--help").stdout


def test_help_lists_the_exit_codes() -> None:
    assert "3 unexplained differences" in run("--help").stdout


@pytest.mark.parametrize(
    ("words", "known"),
    [
        ("goldsmith build w", ["web"]),
        ("goldsmith up w", ["web"]),
        ("goldsmith export disk.raw --format v", ["vmdk", "vdi", "vhdx", "vhd"]),
        ("goldsmith export disk.raw --compress z", ["zstd"]),
    ],
)
def test_shell_completion(words: str, known: list[str]) -> None:
    last = str(len(words.split()) - 1)
    environment = {"_GOLDSMITH_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": last}
    program = str(Path(sys.executable).parent / "goldsmith")
    done = subprocess.run(
        [program], cwd=EXAMPLE, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == known


@pytest.fixture
def manifests(tmp_path: Path) -> tuple[Path, Path]:
    """A recorded manifest, and the same without its digest's agreement: one that was edited."""
    recorded = next((FIXTURES / "manifests").glob("*host*.json.gz"))
    document = json.loads(gzip.decompress(recorded.read_bytes()))
    good, edited = tmp_path / "good.json", tmp_path / "edited.json"
    good.write_text(json.dumps(document))
    document["sections"]["packages"].popitem()
    edited.write_text(json.dumps(document))
    return good, edited


def test_compare_of_equals_ends_with_0(manifests: tuple[Path, Path]) -> None:
    done = run("compare", str(manifests[0]), str(manifests[0]))
    assert (done.returncode, done.stderr) == (0, "")
    assert "EQUAL" in done.stdout


def test_compare_of_a_manifest_that_was_edited_ends_with_1(manifests: tuple[Path, Path]) -> None:
    done = run("compare", *map(str, manifests))
    assert done.returncode == 1
    assert "edited or damaged" in done.stderr


def test_output_that_is_cut_off_is_no_traceback(manifests: tuple[Path, Path]) -> None:
    command = f"{sys.executable} -m goldsmith compare {manifests[0]} {manifests[0]} --json | true"
    done = subprocess.run(["sh", "-c", command], cwd=EXAMPLE, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr


def test_compare_of_many_groups_equal_machines(manifests: tuple[Path, Path], tmp_path: Path) -> None:
    fleet = tmp_path / "fleet"
    fleet.mkdir()
    for name in ("web1", "web2"):
        (fleet / f"{name}.json").write_bytes(manifests[0].read_bytes())
    done = run("compare", str(manifests[0]), str(fleet))
    assert "EQUAL  2 machines: web1, web2" in done.stdout
    assert "is the same on web1, web2, and each must have its own" in done.stdout
    assert done.returncode == 3
    (fleet / "web2.json").write_bytes(manifests[1].read_bytes())
    done = run("compare", str(manifests[0]), str(fleet), "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 1, "not all could be read"
    assert [state["machines"] for state in found["states"]] == [["web1"]]
    assert [(each["machine"], "edited or damaged" in each["why"]) for each in found["unread"]] == [("web2", True)]


def test_show_tells_the_contents_of_two_targets(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_text(f"token={name}\n")
    done = run("compare", f"dir:{tmp_path}/a", f"dir:{tmp_path}/b", "--show", "/x")
    assert done.returncode == 3
    assert done.stdout.splitlines()[-2:] == ["-token=[masked 1]", "+token=[masked 2]"]
    done = run("compare", f"dir:{tmp_path}/a", f"dir:{tmp_path}/a", "--show", "/x", "--json")
    assert (done.returncode, json.loads(done.stdout)[0]["equal"]) == (0, True)
    done = run("compare", "a.json", f"dir:{tmp_path}/a", "--show", "/x")
    assert done.returncode == 2
    assert "only a manifest" in done.stderr
