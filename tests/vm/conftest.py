"""Real machines: one of the roles, made as an image is and booted from a disk, and a bare one beside it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples import vm
from goldsmith import docker, proc
from tests.paths import ROOT

PROJECT = Path(__file__).parent
CONTAINER = f"goldsmith-test-{os.getpid()}-tree"
IMAGE = CONTAINER
TOOLS = ("ansible-playbook", "docker", "goldsmith", "qemu-img", "qemu-system-x86_64", "ssh")


@pytest.fixture(scope="session", autouse=True)
def environment() -> None:
    """Every tool is there, or the lane fails."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    assert not missing, f"not installed: {missing}; run scripts/setup.sh"
    os.environ["ANSIBLE_CONFIG"] = str(ROOT / "ansible.cfg")


@pytest.fixture(scope="session")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The disk of a machine that the roles made: in a container of a machine's tree, for speed, then put together."""
    folder = tmp_path_factory.mktemp("disk")
    inventory = folder / "hosts.yml"
    inventory.write_text(
        "all: {hosts: {hardened: "
        f"{{ansible_connection: community.docker.docker, ansible_host: {CONTAINER}, goldsmith_delivery: image}}}}}}\n"
    )
    try:
        proc.run(["docker", "import", str(vm.base("bookworm") / "tree.tar"), IMAGE])
        docker.boot(CONTAINER, IMAGE, owner="lab")
        subprocess.run(
            ["ansible-playbook", f"--inventory={inventory}", f"--inventory={PROJECT / 'inventory'}", "site.yml"],
            cwd=PROJECT,
            check=True,
        )
        proc.run(["docker", "kill", CONTAINER])
        proc.run(["docker", "export", "--output", str(folder / "tree.tar"), CONTAINER])
    finally:
        proc.run(["docker", "rm", "--force", "--volumes", CONTAINER], check=False)
        proc.run(["docker", "rmi", "--force", IMAGE], check=False)
    vm.assemble(folder / "tree.tar", folder)
    (folder / "tree.tar").unlink()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def hardened(disk: Path) -> Iterator[vm.Machine]:
    """The machine, booted from that disk."""
    with vm.Machine("hardened", disk) as machine:
        yield machine


@pytest.fixture(scope="session")
def bare() -> Iterator[vm.Machine]:
    """Debian 12 as it comes."""
    with vm.Machine("bare", vm.base("bookworm")) as machine:
        yield machine
