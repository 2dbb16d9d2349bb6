"""The image and a converged host are equal: each role alone, with the variables of its scenario ROLE_full; and all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from examples.lab import Lab
from goldsmith import docker, proc
from goldsmith.inventory import Inventory
from tests.integration.conftest import Goldsmith, lay_down
from tests.paths import ROOT

# An image must be sealed, and a sealed one needs what makes host keys.
ALWAYS = ("ssh", "first_boot")
ROLES = sorted(path.parent.name.removesuffix("_full") for path in ROOT.glob("molecule/*_full/molecule.yml"))
PROJECT = """\
images:
  role:
    playbook: site.yml
    groups: [web]
policy: policy.yml
"""
SEAL = """\
- name: Seal
  hosts: web
  become: true
  gather_facts: false
  tasks:
    - name: Seal
      ansible.builtin.include_role:
        name: goldsmith.core.seal
      when: goldsmith_delivery == 'image'
"""
WAIVERS = """\
hygiene:
  - check: secrets
    path: /etc/ssl/goldsmith-test.key
    reason: the scenario's own key, which opens nothing
  - check: secrets
    path: /etc/default/*
    reason: the scenario's application has a secret, which keeps nothing
  - check: authorized-keys
    path: /root/.ssh/authorized_keys
    reason: the scenario of seal leaves root's keys, to show that it takes only those that it is told to
"""
POLICY = f"""\
{WAIVERS}\
extends: debian
rules:
  - section: files
    key: /root/.ssh/authorized_keys
    reason: the key by which the controller reaches a live host
  - section: ssh_keys
    key: root /root/.ssh/authorized_keys SHA256:**
    reason: the key by which the controller reaches a live host
"""
BOOTED = f"goldsmith-test-{os.getpid()}-booted"


def playbook(role: str) -> str:
    """What a scenario prepares, the role, and the seal."""
    roles = [f"goldsmith.core.{name}" for name in dict.fromkeys((*ALWAYS, role)) if name != "seal"]
    play = {
        "name": "Roles",
        "hosts": "web",
        "become": True,
        "gather_subset": ["!all", "!min", "distribution"],
        "environment": {"SOURCE_DATE_EPOCH": "0"},
        "roles": roles,
    }
    prepare = ROOT / "molecule" / f"{role}_full" / "prepare.yml"
    first = f"- name: Prepare\n  ansible.builtin.import_playbook: {prepare}\n" if prepare.exists() else ""
    return first + yaml.safe_dump([play], sort_keys=False) + SEAL


def variables(role: str) -> dict[str, Any]:
    """The scenario's variables for this role, with their templates filled in."""
    scenario = ROOT / "molecule" / f"{role}_full"
    found = Inventory(scenario / "inventory", ROOT).role_variables(
        f"goldsmith-molecule-{scenario.name}", ROOT / "roles" / role
    )
    return {key: value for key, value in found.items() if key.startswith(f"{role}_")}


def assert_equal(folder: Path, base: str, image: str, host: str) -> None:
    """Build the project's image and converge its host: what is booted, what lies at rest and what lives are equal."""
    with Lab(folder / "lab", base, [host]) as lab:
        goldsmith = Goldsmith(folder, lab.environment)
        built = goldsmith.json("build", image)
        try:
            assert goldsmith.json("converge")["hosts"][host]["verdict"] == "changed"
            docker.boot(BOOTED, built["image_id"], owner="lab")
            # Not by SSH: the role may have closed the way that the host was reached by.
            for target in (f"docker:{BOOTED}", f"docker-image:{built['reference']}"):
                found = goldsmith.json("compare", target, f"docker:{lab.container(host)}")
                assert found["unexplained"] == 0, found
        finally:
            proc.run(["docker", "rm", "--force", "--volumes", BOOTED], check=False)
            proc.run(["docker", "rmi", "--force", built["image_id"]], check=False)


@pytest.mark.parametrize("role", ROLES)
def test_image_and_host_are_equal(tmp_path: Path, base: str, role: str) -> None:
    project = {
        "goldsmith.yml": PROJECT,
        "site.yml": playbook(role),
        "policy.yml": POLICY,
        "inventory/hosts.yml": "web:\n  hosts:\n    role1:\n",
        "inventory/group_vars/web.yml": yaml.safe_dump(variables(role)),
    }
    lay_down(tmp_path, project)
    assert_equal(tmp_path, base, "role", "role1")


def test_image_and_host_are_equal_with_all_roles(tmp_path: Path, base: str) -> None:
    project = tmp_path / "web"
    Goldsmith(tmp_path)("init", str(project))
    shared = ROOT / "molecule" / "shared" / "all_roles.yml"
    with (project / "policy.yml").open("a") as file:
        file.write(WAIVERS)
    (project / "site.yml").write_text(f"- name: All roles\n  ansible.builtin.import_playbook: {shared}\n")
    (project / "inventory" / "hosts.yml").write_text("web:\n  hosts:\n    web1:\n")
    default = ROOT / "molecule" / "default" / "inventory"
    [more] = (default / "host_vars").iterdir()
    text = more.read_text().replace("{{ inventory_dir }}", str(default)).replace("project_dir: ", "example_dir: ")
    with (project / "inventory" / "group_vars" / "web.yml").open("a") as file:
        file.write(text.removeprefix("---"))
    assert_equal(project, base, "web", "web1")
