"""Each role alone, with the variables of its scenario ROLE_full: the image and a converged host are equal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from examples.lab import Lab
from goldsmith import docker, proc
from goldsmith.inventory import Inventory
from tests.integration.conftest import Goldsmith
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
POLICY = """\
extends: debian
rules:
  - section: files
    key: /root/.ssh/authorized_keys
    reason: the key by which the controller reaches a live host
"""
BOOTED = "goldsmith-test-role"


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


@pytest.mark.parametrize("role", ROLES)
def test_image_and_host_are_equal(tmp_path: Path, base: str, role: str) -> None:
    for name, text in {
        "goldsmith.yml": PROJECT,
        "site.yml": playbook(role),
        "policy.yml": POLICY,
        "inventory/hosts.yml": "web:\n  hosts:\n    role1:\n",
        "inventory/group_vars/web.yml": yaml.safe_dump(variables(role)),
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    with Lab(tmp_path / "lab", base, ["role1"], prefix="goldsmith-test-") as lab:
        goldsmith = Goldsmith(tmp_path, lab.environment)
        image = goldsmith.json("build", "role")
        try:
            assert goldsmith.json("converge")["hosts"]["role1"]["verdict"] == "changed"
            docker.boot(BOOTED, image["image_id"], owner="lab")
            # Not by SSH: the role may have closed the way that the host was reached by.
            for target in (f"docker:{BOOTED}", f"docker-image:{image['reference']}"):
                found = goldsmith.json("compare", target, f"docker:{lab.container('role1')}")
                assert found["unexplained"] == 0, found
        finally:
            proc.run(["docker", "rm", "--force", "--volumes", BOOTED], check=False)
            proc.run(["docker", "rmi", "--force", image["image_id"]], check=False)
