"""A build that is killed at any moment: the next one succeeds, and `goldsmith clean` leaves no orphan."""

from __future__ import annotations

import random
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from goldsmith import docker, proc
from tests.integration.conftest import SEAL, Goldsmith

TIMES = 10
PLAYBOOK = f"""\
- name: Roles
  hosts: all
  gather_facts: false
  tasks:
    - name: Make a file
      ansible.builtin.copy: {{content: a, dest: /etc/killed, mode: "0644"}}
    - name: Install a package
      ansible.builtin.apt: {{name: less, update_cache: true}}
- name: Seal
  hosts: all
  gather_facts: false
  tasks:
    - name: Seal
      {SEAL}
"""


@pytest.fixture
def killed(tmp_path: Path, base: str) -> Iterator[Goldsmith]:
    (tmp_path / "site.yml").write_text(PLAYBOOK)
    (tmp_path / "inventory").write_text("localhost\n")
    (tmp_path / "goldsmith.yml").write_text("images:\n  killed:\n    playbook: site.yml\ninventory: inventory\n")
    yield Goldsmith(tmp_path)
    for image in proc.run(["docker", "images", "--quiet", "goldsmith/killed"]).text.split():
        proc.run(["docker", "rmi", "--force", image], check=False)


def orphans(project: Path, build: int) -> list[str]:
    """What a build, by its process, left anywhere."""
    form = f'{{{{.ID}}}} {{{{.Label "{docker.BUILD}"}}}}'
    running = proc.run(["docker", "ps", "--all", "--filter", f"label={docker.BUILD}", "--format", form]).text
    containers = [line for line in running.splitlines() if f" {build}-" in line]
    images = proc.run(["docker", "images", "--quiet", "--filter", "reference=goldsmith/killed:building-*"]).text.split()
    folders = [str(folder) for folder in Path(tempfile.gettempdir()).glob(f"goldsmith-*-{build}-*")]
    unfinished = [str(path) for path in (project / "artifacts").rglob(".*")]
    return containers + images + folders + unfinished


def test_builds_that_are_killed(killed: Goldsmith) -> None:
    started = time.monotonic()
    killed("build", "killed")
    whole = time.monotonic() - started
    # The moments differ from run to run of the test; which they were is said.
    moments = random.SystemRandom()
    for _ in range(TIMES):
        moment = moments.uniform(0, whole)
        print(f"killed after {moment:.1f} of {whole:.1f} s")
        process = subprocess.Popen(
            ["goldsmith", "build", "killed", "--force"], cwd=killed.project, stderr=subprocess.DEVNULL
        )
        try:
            process.wait(moment)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        packer_ends(process.pid)
        killed("clean")
        assert orphans(killed.project, process.pid) == []
    killed("build", "killed", "--force")
    report = killed.json("build", "killed")
    assert report["cached"]


def packer_ends(build: int) -> None:
    """Wait until Packer, which was told, has ended too."""
    end = time.monotonic() + 60
    packer = ["pgrep", "--full", f"packer build .*goldsmith-build-{build}-"]
    while subprocess.run(packer, capture_output=True, check=False).returncode == 0:
        assert time.monotonic() < end
        time.sleep(0.1)
