"""A current Packer with its plugins makes what Debian's 1.6.6 makes, by `goldsmith build` and by itself."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from goldsmith import docker, proc
from tests.integration.conftest import Goldsmith, error, write_playbook
from tests.paths import ROOT

NAME = "goldsmith-test/current"
PROJECT = {
    "goldsmith.yml": "images:\n  current:\n    playbook: site.yml\n",
    "inventory/hosts.yml": "all: {}\n",
    "site.yml": """\
- hosts: all
  become: true
  environment: {SOURCE_DATE_EPOCH: "0"}
  roles: [goldsmith.core.os, goldsmith.core.users, goldsmith.core.ssh, goldsmith.core.first_boot]
- hosts: all
  become: true
  roles: [goldsmith.core.seal]
""",
}


@pytest.fixture(scope="module")
def current() -> dict[str, str]:
    """The environment in which `packer` is the current one."""
    done = subprocess.run([ROOT / "tools/packer/build.sh"], check=False)
    if done.returncode == 3:
        pytest.skip("without Go there is no current Packer here")
    assert done.returncode == 0
    folder = ROOT / ".cache/packer-current"
    return {"PATH": f"{folder}:{os.environ['PATH']}", "PACKER_PLUGIN_PATH": str(folder / "plugins")}


@pytest.fixture
def project(tmp_path: Path, base: str) -> Iterator[Goldsmith]:
    for name, text in PROJECT.items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    yield Goldsmith(tmp_path)
    found = proc.run(["docker", "images", "--quiet", "goldsmith/current"]).text.split()
    proc.run(["docker", "rmi", "--force", f"{NAME}:latest", *found], check=False)


def test_both_make_the_same(project: Goldsmith, current: dict[str, str]) -> None:
    folder = project.project / "artifacts/images/current"
    project("build", "current")
    old = (folder / "manifest.json").rename(project.project / "old.json")

    project.environment = current
    project("build", "current")
    assert not json.loads((folder / "provenance.json").read_text())["tools"]["packer"].startswith("1.6.")
    assert differences(project, old, str(folder / "manifest.json")) == []

    options = ("playbook=site.yml", "inventory=inventory", "name=current", f"repository={NAME}")
    command = ["packer", "build", "-only=docker.image", *(f"-var={each}" for each in options), ROOT / "packer"]
    environment = {**os.environ, **current}
    subprocess.run(command, cwd=project.project, env=environment, check=True, stdout=subprocess.DEVNULL)
    assert differences(project, old, f"docker-image:{NAME}") == []


def differences(project: Goldsmith, old: Path, new: str) -> list[dict[str, str]]:
    compared = project.json("compare", str(old), new)
    return [each for each in compared["differences"] if not each["explained"]]


def test_a_task_that_fails_is_named(project: Goldsmith, current: dict[str, str]) -> None:
    project.environment = current
    write_playbook(
        project.project, "ansible.builtin.command: 'true'", "ansible.builtin.command: sh -c 'echo no >&2; exit 3'"
    )
    message, _ = error(project("build", "current", expect=1))
    assert 'task "Step 2"' in message
    assert "site.yml:7" in message
    assert "no" in message
    assert docker.inspect_image("goldsmith/current:latest") is None
