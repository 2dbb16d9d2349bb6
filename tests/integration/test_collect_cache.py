"""A live collection that takes unchanged files' digests from the last one says what one without it says."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from goldsmith import collect as collecting
from goldsmith import docker, proc
from tests.paths import ROOT

CACHE = "/run/goldsmith/digests"
UNCHANGED = "/run/goldsmith/unchanged"
ANOTHER = b'{"digest": "sha256:another", "sections": {}, "runtime": {}}'
"""An expectation that no machine meets: the answer holds all sections."""
FOOL = """
set -e
cp -p /etc/debian_version /run/debian_version.times
cp -p /etc/issue /run/issue.times
head -c "$(stat -c %s /etc/debian_version)" /dev/zero | tr '\\0' x >/run/same-size
cat /run/same-size >/etc/debian_version
touch -r /run/debian_version.times /etc/debian_version
tr a-z b-za </etc/issue >/etc/issue.new
touch -r /run/issue.times /etc/issue.new
mv /etc/issue.new /etc/issue
"""
"""Other contents of the same size, written in place and as another inode, with the times of before."""


@pytest.fixture(scope="module")
def machine(base: str) -> Iterator[str]:
    """A live host in which the files that the test will change are settled: a new base's are not for a minute."""
    owner = f"--label={docker.OWNER}=test"
    name = proc.run(["docker", "run", "--detach", owner, "--tmpfs=/run", base, "sleep", "infinity"]).text
    try:
        while inside(name, "find /etc/debian_version /etc/issue -newerct '60 seconds ago'"):
            time.sleep(1)
        yield name
    finally:
        proc.run(["docker", "rm", "--force", name], check=False)


def inside(machine: str, script: str) -> str:
    return proc.run(["docker", "exec", machine, "sh", "-c", script]).text


def collect(machine: str, *arguments: str) -> str:
    command = ["goldsmith", "collect", f"docker:{machine}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def look(machine: str, expected: bytes = ANOTHER, *, cache: bool = True) -> dict[str, Any]:
    """The answer of a look as `goldsmith drift` takes it."""
    arguments = collecting._live(collecting.Target("docker", machine, cache))
    command = ["docker", "exec", "-i", machine, *collecting.collector_argv("python3", *arguments, "--expect")]
    found: dict[str, Any] = json.loads(proc.run(command, stdin=collecting.sent(expected)).stdout)
    return found


def same(one: str, other: str) -> bool:
    """Without what pytest would say of two texts of megabytes, for minutes."""
    return one == other


def files(manifest: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(manifest)["sections"]["files"]
    return found


def test_a_cache_changes_nothing_and_is_not_fooled(machine: str) -> None:
    without = collect(machine, "--no-cache")
    assert inside(machine, f"ls {CACHE} 2>&1 || true").endswith("No such file or directory")
    assert same(collect(machine), without)
    assert inside(machine, f"stat -c '%a %u' {CACHE} /run/goldsmith").split() == ["600", "0", "700", "0"]
    assert same(collect(machine), without)

    times = "stat -c '%s %.9Y' /etc/debian_version /etc/issue"
    before = inside(machine, times)
    inside(machine, FOOL)
    assert inside(machine, times) == before
    after = collect(machine)
    assert same(after, collect(machine, "--no-cache"))
    old, new = files(without), files(after)
    assert {path for path in new if old.get(path) != new[path]} == {"/etc/debian_version", "/etc/issue"}


def test_a_look_at_what_did_not_change_says_what_a_whole_one_says(machine: str) -> None:
    """Whether the sections are made or taken from the last look is told by the digests, which are kept only with those
    that are made."""
    while inside(machine, "find / -xdev -newerct '60 seconds ago' -print -quit"):
        time.sleep(1)
    inside(machine, "rm -rf /run/goldsmith")
    whole = look(machine, cache=False)
    assert inside(machine, "ls /run/goldsmith 2>&1 || true").endswith("No such file or directory")
    assert look(machine) == whole
    assert inside(machine, f"stat -c '%a %u' {UNCHANGED} {CACHE}").split() == ["600", "0"] * 2
    as_it_is = ANOTHER.replace(b"sha256:another", whole["digest"].encode())
    inside(machine, f"rm {CACHE}")
    assert look(machine) == whole
    assert look(machine, as_it_is) == {**whole, "sections": None}
    assert inside(machine, f"ls {CACHE} 2>&1 || true").endswith("No such file or directory")

    times = "stat -c '%s %.9Y' /etc/debian_version /etc/issue"
    before = inside(machine, times)
    inside(machine, FOOL.replace("tr '\\0' x", "tr '\\0' y"))
    assert inside(machine, times) == before
    after = look(machine)
    assert after["digest"] != whole["digest"]
    assert after == look(machine, cache=False)


def test_the_module_uses_it_too_and_writes_nothing_in_check_mode(machine: str, tmp_path: Path) -> None:

    def module(*arguments: str) -> dict[str, Any]:
        command = [
            "ansible",
            "all",
            "-i",
            f"{machine},",
            "-c",
            "community.docker.docker",
            "-m",
            "goldsmith.core.manifest",
        ]
        command += ["-e", "ansible_python_interpreter=/usr/bin/python3", "--tree", str(tmp_path / "said")]
        subprocess.run([*command, *arguments], cwd=ROOT, capture_output=True, check=True)
        said: dict[str, Any] = json.loads((tmp_path / "said" / machine).read_text())
        return said

    def kept() -> bool:
        return inside(machine, f"test -e {CACHE} && echo yes || echo no") == "yes"

    inside(machine, "rm -rf /run/goldsmith")
    # Ansible leaves a folder of its own there, which counts: so the first digest is not that of the others.
    module("--check")
    assert not kept()
    digest = json.loads(collect(machine, "--no-cache"))["digest"]
    assert module("-a", "cache=false")["digest"] == digest
    assert not kept()
    assert module()["digest"] == digest
    assert kept()
    assert json.loads(collect(machine))["digest"] == digest
