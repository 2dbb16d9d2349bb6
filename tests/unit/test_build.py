"""What is handed to Packer."""

import re
from pathlib import Path

import pytest

from goldsmith import build, config
from tests.paths import ROOT


def test_variables_are_those_that_the_template_declares(tmp_path: Path) -> None:
    image = config.Image(playbook="site.yml", groups=["web"])
    project = config.Project(tmp_path, config.Config(images={"web": image}))
    plan = build.Plan("web", image, "goldsmith/base:x", "sha256:1", "d", {}, "k" * 64, tmp_path)
    given = build.packer_variables(project, plan, "b1", tmp_path / "site.yml")
    declared = set(re.findall(r'^variable "(\w+)"', (ROOT / "packer/variables.pkr.hcl").read_text(), re.MULTILINE))
    assert given.keys() <= declared
    assert given["tags"] == ["building-b1"]  # a temporary name: the final one comes when it is whole
    assert given["groups"] == ["web"]
    assert given["changes"] == [f"LABEL org.goldsmith.content-key={'k' * 64}"]
    assert plan.reference == "goldsmith/web:kkkkkkkkkkkk"


def test_of_all_targets_of_the_template_only_docker_is_built() -> None:
    command = build.packer_command(Path("variables.json"))
    assert command[:2] == ["packer", "build"]
    assert [word for word in command if word.startswith("-only")] == ["-only=docker.image"]
    assert command[-1] == str(ROOT / "packer")


def test_without_git_the_provenance_has_no_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert build._git(tmp_path) is None
