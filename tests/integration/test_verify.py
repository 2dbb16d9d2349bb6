"""`goldsmith verify`: the assertions that Molecule runs on a converged machine, on image, container and live host."""

from __future__ import annotations

import signal
import subprocess
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from examples.lab import Lab
from goldsmith import docker, proc
from tests.integration.conftest import Goldsmith, error

WEB_ROLES = {"os", "users", "ssh", "time", "python_app", "nginx"}


def outcomes(result: dict[str, Any]) -> dict[str, Counter[str]]:
    """Role -> outcome -> how many."""
    found: dict[str, Counter[str]] = {}
    for check in result["checks"]:
        found.setdefault(check["role"], Counter())[check["outcome"]] += 1
    return found


def verifying() -> str:
    return proc.run(["docker", "ps", "--all", "--quiet", "--filter", f"label={docker.OWNER}=verify"]).text


@pytest.mark.parametrize("target", ["web", "docker:{booted}", "ssh:web*"])
def test_assertions_hold(
    goldsmith: Goldsmith, converged: dict[str, Any], booted: str, tmp_path: Path, target: str
) -> None:
    report = tmp_path / "reports" / "verify.xml"
    result = goldsmith.json("verify", target.format(booted=booted), "--junit", str(report))
    found = outcomes(result)
    assert set(found) >= WEB_ROLES
    assert [check for check in result["checks"] if check["outcome"] == "failed"] == []
    assert [check for check in result["checks"] if check["outcome"] == "skipped" and not check["message"]] == []
    suites = ET.parse(report).getroot().findall("testsuite")
    names = ["web1", "web2"] if target.startswith("ssh") else [f"docker-image:goldsmith/{target}"]
    assert [suite.get("name") for suite in suites] == ([target.format(booted=booted)] if "docker:" in target else names)
    assert sum(len(suite.findall("testcase")) for suite in suites) == len(result["checks"])
    assert verifying() == ""


def test_failure_names_host_role_and_what_is_wrong(
    goldsmith: Goldsmith, converged: dict[str, Any], lab: Lab, tmp_path: Path
) -> None:
    lab.execute("web1", "systemctl stop nginx")
    try:
        report = tmp_path / "verify.xml"
        done = goldsmith("verify", "ssh:web1", "--role", "nginx", "--junit", str(report), expect=1)
        assert "failed  web1 nginx test_" in done.stdout
        assert ET.parse(report).getroot().find("testsuite/testcase/failure") is not None
        assert set(outcomes(goldsmith.json("verify", "ssh:web1", "-r", "nginx", expect=1))) == {"nginx"}
    finally:
        lab.execute("web1", "systemctl start nginx")


def test_unreachable_host_is_no_failed_check(goldsmith: Goldsmith, converged: dict[str, Any], lab: Lab) -> None:
    lab.execute("web2", "systemctl stop ssh.socket ssh.service")
    try:
        done = goldsmith("verify", "ssh:web2", expect=4)
        assert "web2 unreachable: nothing listens on its SSH port" in done.stderr
    finally:
        lab.execute("web2", "systemctl start ssh.service")


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["wbe"], '"wbe" is neither an image of goldsmith.yml nor a target', 'did you mean "web"?'),
        (["dir:/"], "dir:/ does not run", "verify docker-image:NAME"),
        (["ssh:wbe1"], 'no host matches "wbe1"', "web1"),
        (["docker-image:nobody/nothing"], "there is no Docker image nobody/nothing here", "goldsmith build web"),
    ],
)
def test_wrong_target_is_refused(goldsmith: Goldsmith, arguments: list[str], message: str, hint: str) -> None:
    told, advice = error(goldsmith("verify", *arguments, expect=2))
    assert message in told
    assert hint in advice


def test_misspelt_role_is_refused(goldsmith: Goldsmith, booted: str) -> None:
    told, advice = error(goldsmith("verify", f"docker:{booted}", "--role", "ngnix", expect=2))
    assert 'no role "ngnix"' in told
    assert "nginx" in advice


def test_roles_without_assertions_are_an_error(small: Goldsmith, booted: str) -> None:
    told, _ = error(small("verify", f"docker:{booted}", expect=1))
    assert "nothing to verify" in told


def test_interrupted_verification_leaves_no_container(goldsmith: Goldsmith, image: dict[str, Any]) -> None:
    process = subprocess.Popen(
        ["goldsmith", "verify", "web"], cwd=goldsmith.project, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr
    next(line for line in process.stderr if " s  " in line)  # the first assertion has begun
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 143
    assert verifying() == ""
