"""Real Docker, Packer, sshd and systemd. What is slow is done once: one build, two hosts, one converge."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from examples.lab import Lab
from goldsmith import docker, proc, stages
from tests.paths import ROOT

BASE = "goldsmith/base:debian-bookworm"
SEAL = "ansible.builtin.include_role: {name: goldsmith.core.seal}"
"""A task without which no image is clean: while it is made, the machine has an id of its own."""
TOOLS = ("ansible-playbook", "docker", "git", "goldsmith", "packer", "setpriv", "ssh", "ssh-keygen")


@dataclass
class Goldsmith:
    """Runs the command line in a project, as a person would."""

    project: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __call__(self, *arguments: str, expect: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["goldsmith", *arguments],
            cwd=self.project,
            env={**os.environ, **self.environment, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        told = f"goldsmith {' '.join(arguments)} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert done.returncode == expect, told
        assert "Traceback" not in done.stderr, told
        return done

    def json(self, *arguments: str, expect: int = 0) -> Any:
        return json.loads(self(*arguments, "--json", expect=expect).stdout)


def lay_down(folder: Path, contents: Mapping[str, str]) -> None:
    """Write files by their paths in a folder: a small project."""
    for name, text in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def error(done: subprocess.CompletedProcess[str]) -> tuple[str, str]:
    """The message and the hint on standard error; both must be there, each once."""
    lines = done.stderr.splitlines()
    messages = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    hints = [line.removeprefix("  hint: ") for line in lines if line.startswith("  hint: ")]
    assert (len(messages), len(hints)) == (1, 1), done.stderr
    return messages[0], hints[0]


@pytest.fixture(scope="session", autouse=True)
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Every tool is there, or the lane fails. What builds kept for the next ones is removed at the end."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    assert not missing, f"not installed: {missing}; run scripts/setup.sh"
    os.environ["COLUMNS"] = "200"
    yield
    for record in tmp_path_factory.getbasetemp().rglob(stages.FILE):
        stages.forget(stages.load(record)[1])


@pytest.fixture(scope="session")
def base() -> str:
    subprocess.run([ROOT / "packer/base-image.sh", "debian:bookworm", BASE], check=True)
    return BASE


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory, base: str) -> Path:
    """The example project, as `goldsmith init` writes it, in a git repository."""
    folder = tmp_path_factory.mktemp("project") / "web"
    Goldsmith(Path())("init", str(folder))
    for command in ("init -q", "add -A", "-c user.name=test -c user.email=test@example.org commit -qm start"):
        subprocess.run(["git", *command.split()], cwd=folder, check=True)
    return folder


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory, base: str) -> Iterator[Lab]:
    """Two bare hosts with sshd, web1 and web2."""
    with Lab(tmp_path_factory.mktemp("lab"), base, ["web1", "web2"]) as hosts:
        yield hosts


@pytest.fixture(scope="session")
def goldsmith(project: Path, lab: Lab) -> Goldsmith:
    return Goldsmith(project, lab.environment)


@pytest.fixture(scope="session")
def image(goldsmith: Goldsmith) -> Iterator[dict[str, Any]]:
    """The example's image, built for this session."""
    built = goldsmith.json("build", "web", "--force")
    yield built
    proc.run(["docker", "rmi", "--force", built["image_id"]], check=False)


@pytest.fixture(scope="session")
def booted(image: dict[str, Any]) -> Iterator[str]:
    """The image, booted; the container's name."""
    name = f"goldsmith-test-{os.getpid()}-booted"
    try:
        docker.boot(name, image["image_id"], owner="lab")
        yield name
    finally:
        proc.run(["docker", "rm", "--force", "--volumes", name], check=False)


@pytest.fixture(scope="session")
def converged(goldsmith: Goldsmith) -> dict[str, Any]:
    """The first converge of web1 and web2."""
    found: dict[str, Any] = goldsmith.json("converge")
    return found


@pytest.fixture
def small(tmp_path: Path, base: str) -> Goldsmith:
    """A project of one task, for what goes wrong; tests rewrite its site.yml."""
    (tmp_path / "goldsmith.yml").write_text("images:\n  small:\n    playbook: site.yml\ninventory: hosts.ini\n")
    (tmp_path / "hosts.ini").write_text("[web]\nweb1\nweb2\n")
    write_playbook(tmp_path, "ansible.builtin.command: 'true'")
    return Goldsmith(tmp_path)


def write_playbook(folder: Path, *tasks: str) -> None:
    lines = "".join(f"    - name: Step {number}\n      {task}\n" for number, task in enumerate(tasks, 1))
    (folder / "site.yml").write_text(f"- name: Small\n  hosts: all\n  gather_facts: false\n  tasks:\n{lines}")
