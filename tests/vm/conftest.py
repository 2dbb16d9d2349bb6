"""Real machines: one whose disk Goldsmith built of the roles, and a bare one beside it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples import vm
from goldsmith import machine, stages
from tests.integration.conftest import Goldsmith
from tests.paths import ROOT

PROJECT = Path(__file__).parent
TOOLS = ("ansible-playbook", "docker", "goldsmith", "packer", "qemu-img", "qemu-system-x86_64", "ssh")


@pytest.fixture(scope="session", autouse=True)
def environment() -> None:
    """Every tool is there, or the lane fails."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    assert not missing, f"not installed: {missing}; run scripts/setup.sh"
    os.environ["ANSIBLE_CONFIG"] = str(ROOT / "ansible.cfg")


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a disk, and its records, that `goldsmith build` made of the roles."""
    project = tmp_path_factory.mktemp("built") / "project"
    shutil.copytree(PROJECT, project, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    Goldsmith(project)("build", "hardened", "--target", "qemu")
    folder = project / "artifacts/images/hardened/qemu"
    yield folder
    stages.forget(stages.load(folder / stages.FILE)[1])
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def hardened(built: Path) -> Iterator[machine.Machine]:
    """The machine, booted from that disk by its own boot loader."""
    with machine.Machine("hardened", built / "hardened.qcow2", vm.CACHE / "hardened") as booted:
        yield booted


@pytest.fixture(scope="session")
def bare() -> Iterator[vm.Machine]:
    """Debian 12 as it comes."""
    with vm.Machine("bare", vm.base("bookworm")) as booted:
        yield booted
