"""A developer's machine by real Vagrant, libvirt and QEMU: the image, no more and no less, and its definition holds."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
from collections.abc import Iterator

import pytest

from goldsmith import proc
from tests.integration.conftest import Goldsmith, lay_down

PROJECT = {
    "goldsmith.yml": """\
images:
  small:
    playbook: site.yml
    groups: [office]
    targets: [qemu]
policy: policy.yml
""",
    # This host is reached only where a test says how: by its name no machine answers.
    "inventory/hosts.yml": "office:\n  hosts:\n    developer:\n",
    "inventory/group_vars/office.yml": "os_timezone: Europe/Berlin\nos_packages: [tzdata]\n",
    "policy.yml": """\
extends: debian
rules:
  - section: files
    key: /root/.ssh/authorized_keys
    reason: the developer's key, handed over at the first boot
  - section: ssh_keys
    key: root /root/.ssh/authorized_keys SHA256:**
    reason: the developer's key, handed over at the first boot
""",
    "site.yml": """\
- name: Small
  hosts: office
  become: true
  environment: {SOURCE_DATE_EPOCH: "0"}
  roles: [goldsmith.core.os, goldsmith.core.ssh, goldsmith.core.first_boot]
- name: Seal
  hosts: office
  become: true
  gather_facts: false
  tasks:
    - name: Seal
      ansible.builtin.include_role:
        name: goldsmith.core.seal
      when: goldsmith_delivery == 'image'
""",
}
TOOLS = ("vagrant", "virsh", "qemu-system-x86_64")
VIRSH = ("virsh", "--connect", "qemu:///system")


@pytest.fixture(scope="module")
def goldsmith(tmp_path_factory: pytest.TempPathFactory) -> Goldsmith:
    """The command line in a small project, with a home of its own for Vagrant."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    assert not missing, f"not installed: {missing}; run scripts/setup.sh --vagrant"
    folder = tmp_path_factory.mktemp("vagrant")
    lay_down(folder / "project", PROJECT)
    settings = folder / "ssh_config"
    environment = {"VAGRANT_HOME": str(folder / "home"), "ANSIBLE_SSH_COMMON_ARGS": f"-F {settings}"}
    return Goldsmith(folder / "project", environment)


def vagrant(goldsmith: Goldsmith, *arguments: str, expect: int = 0) -> str:
    """Vagrant's own command in the folder that `goldsmith up` made, as a developer would give it."""
    done = subprocess.run(
        ["vagrant", *arguments],
        cwd=goldsmith.project / "artifacts/up/small",
        env={**os.environ, **goldsmith.environment, "ANSIBLE_SSH_COMMON_ARGS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == expect, f"vagrant {arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def ours(what: str, *arguments: str) -> set[str]:
    """Names that libvirt has for domains or volumes of ours."""
    answer = proc.run([*VIRSH, what, *arguments], check=False).text
    return {word for word in answer.split() if word.startswith("goldsmith-") and "small" in word}


def volumes() -> set[str]:
    return ours("vol-list", "default")


@pytest.fixture(scope="module")
def machine(goldsmith: Goldsmith) -> Iterator[Goldsmith]:
    """The developer's machine, up; the name of the one host that the inventory has leads to it."""
    domains, disks = ours("list", "--all", "--name"), volumes()
    folder = goldsmith.project / "artifacts/up/small"
    try:
        started = goldsmith.json("up")
        assert (started["image"], started["target"]) == ("small", "qemu")
        settings = vagrant(goldsmith, "ssh-config", "--host", "developer")
        (goldsmith.project.parent / "ssh_config").write_text(settings)
        yield goldsmith
        vagrant(goldsmith, "destroy", "-f")
        assert ours("list", "--all", "--name") == domains
        vagrant(goldsmith, "box", "remove", "goldsmith/small", "--all", "--force")
        assert not list((goldsmith.project.parent / "home/boxes").glob("*small*"))
        # Of a box that is removed vagrant-libvirt leaves the volume, and says so: docs/vagrant.md has this command.
        [left] = volumes() - disks
        assert left.startswith("goldsmith-VAGRANTSLASH-small_vagrant_box_image_")
    finally:
        if folder.exists():
            subprocess.run(
                ["vagrant", "destroy", "-f"], cwd=folder, env={**os.environ, **goldsmith.environment}, check=False
            )
        for name in volumes() - disks:
            proc.run([*VIRSH, "vol-delete", name, "--pool", "default"], check=False)
    assert volumes() == disks


def test_root_gets_in_by_a_key_that_nobody_else_can_read(machine: Goldsmith) -> None:
    folder = machine.project / "artifacts/up/small"
    said = vagrant(machine, "ssh", "-c", "id -un && cat /etc/timezone && cat /root/.ssh/authorized_keys")
    public = (folder / "id_ed25519.pub").read_text()
    assert said.split("\n")[:3] == ["root", "Europe/Berlin", public.strip()]
    assert stat.S_IMODE((folder / "id_ed25519").stat().st_mode) == 0o600
    config = vagrant(machine, "ssh-config")
    assert re.findall(r"IdentityFile \"?(.*?)\"?$", config, re.MULTILINE) == [str(folder / "id_ed25519")]


def test_it_holds_what_the_image_holds(machine: Goldsmith) -> None:
    manifest = machine.project / "artifacts/images/small/qemu/manifest.json"
    live = machine.project.parent / "developer.json"  # in the project it would be a change of the definition
    machine("collect", "ssh:developer", "--output", str(live))
    found = machine.json("compare", str(manifest), str(live), expect=0)
    assert [each for each in found["differences"] if not each["explained"]] == []
    assert [json.loads(path.read_text())["scope"] for path in (manifest, live)] == ["rest", "live"]


def test_its_definition_has_nothing_left_to_do(machine: Goldsmith) -> None:
    said = vagrant(machine, "provision", "--no-color")
    recap = re.findall(r"^(\S+) +: ok=(\d+) +changed=(\d+) +unreachable=(\d+) +failed=(\d+)", said, re.MULTILINE)
    assert [(name, *counts) for name, ok, *counts in recap] == [("small-vagrant", "0", "0", "0")], said
    assert int(recap[0][1]) > 20


def test_up_again_makes_nothing_anew(machine: Goldsmith) -> None:
    boxes = machine.project / "artifacts/export"
    before = {path.name: path.stat().st_mtime_ns for path in boxes.iterdir()}
    booted = vagrant(machine, "ssh", "-c", "cat /proc/sys/kernel/random/boot_id")
    assert machine.json("up")["note"] == ""
    assert vagrant(machine, "ssh", "-c", "cat /proc/sys/kernel/random/boot_id") == booted
    assert {path.name: path.stat().st_mtime_ns for path in boxes.iterdir()} == before
