"""The doors that need no `goldsmith`: Packer, ansible-playbook. (The third, `molecule test`, is a stage of its own.)"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from examples.lab import Lab
from goldsmith import docker, proc
from tests.integration.conftest import Goldsmith
from tests.paths import ROOT

NAME = "goldsmith-test/door"


def test_packer_builds_with_documented_variables_only(goldsmith: Goldsmith, image: dict[str, Any]) -> None:
    """From the clone, as packer/targets/debian-12-amd64.pkrvars.hcl says; equal to what `goldsmith build` makes."""
    try:
        subprocess.run(
            [
                "packer",
                "build",
                "-color=false",
                "-only=docker.image",
                "-var-file=packer/targets/debian-12-amd64.pkrvars.hcl",
                f"-var=repository={NAME}",
                "packer/",
            ],
            cwd=ROOT,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        comparison = goldsmith.json("compare", f"docker-image:{NAME}", "docker-image:goldsmith/web")
        assert comparison["unexplained"] == 0
    finally:
        proc.run(["docker", "rmi", "--force", f"{NAME}:latest"], check=False)


def test_packer_refuses_a_wrong_variable() -> None:
    done = subprocess.run(
        ["packer", "validate", "-var=name=Web Server", "packer/"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "lower case" in done.stdout + done.stderr


@pytest.mark.parametrize("arguments", [["--check"], []])
def test_ansible_playbook_by_collection_name(
    goldsmith: Goldsmith, converged: dict[str, Any], lab: Lab, arguments: list[str]
) -> None:
    """The same definition from plain ansible-playbook: a host that `goldsmith` converged has nothing to change."""
    done = subprocess.run(
        ["ansible-playbook", "goldsmith.core.site", "-i", "inventory", "--limit", "web2", *arguments],
        cwd=goldsmith.project,
        env={**os.environ, **lab.environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^web2 +: ok=\d+ +changed=0 +unreachable=0 +failed=0", done.stdout, re.MULTILINE), done.stdout


def test_a_build_that_was_killed_is_found_by_clean(small: Goldsmith, base: str, tmp_path: Path) -> None:
    proc.run(["docker", "run", "--detach", f"--label={docker.OWNER}=build", base, "sleep", "60"])
    assert "removed container" in small("clean").stderr
    assert small("clean").stderr == "nothing was left\n"


def test_clean_leaves_what_a_verification_that_runs_has(small: Goldsmith, base: str) -> None:
    start = "from goldsmith import docker; print(' '.join(docker.labels('verify')))"
    ended = proc.run([sys.executable, "-c", start]).text.split()
    containers = [
        proc.run(["docker", "create", *labels, base, "true"]).text for labels in (docker.labels("verify"), ended)
    ]
    try:
        removed = small("clean").stderr
        assert containers[1][:12] in removed
        assert containers[0][:12] not in removed
    finally:
        proc.run(["docker", "rm", "--force", containers[0]])
