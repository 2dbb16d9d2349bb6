"""Roles that the reference definition leaves out: built into an image and converged on a host, they are equal too."""

from __future__ import annotations

from pathlib import Path

from examples.lab import Lab, boot
from goldsmith import proc
from tests.integration.conftest import Goldsmith

PROJECT = """\
images:
  roles:
    playbook: site.yml
    groups: [web]
policy: policy.yml
"""
PLAYBOOK = """\
- name: Roles
  hosts: web
  become: true
  gather_subset: ["!all", "!min", distribution]
  roles: [goldsmith.core.ssh, goldsmith.core.logging, goldsmith.core.updates, goldsmith.core.firewall]
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
VARIABLES = """\
logging_journal_max_use: 150M
logging_forward:
  - host: 127.0.0.1
    port: 5140
updates_policy: security
firewall_allow:
  - name: web
    ports: [80, 443]
"""
POLICY = """\
extends: debian
rules:
  - section: files
    key: /root/.ssh/authorized_keys
    reason: the key by which the controller reaches a live host
"""
BOOTED = "goldsmith-test-roles"


def test_image_and_host_are_equal(tmp_path: Path, lab: Lab) -> None:
    for name, text in {
        "goldsmith.yml": PROJECT,
        "site.yml": PLAYBOOK,
        "policy.yml": POLICY,
        "inventory/hosts.yml": "web:\n  hosts:\n    web1:\n",
        "inventory/group_vars/web.yml": VARIABLES,
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    goldsmith = Goldsmith(tmp_path, lab.environment)
    image = goldsmith.json("build", "roles")
    try:
        assert goldsmith.json("converge")["hosts"]["web1"]["verdict"] == "changed"
        assert goldsmith.json("converge")["hosts"]["web1"]["verdict"] == "ok"
        boot(BOOTED, image["image_id"])
        for target in (f"docker:{BOOTED}", f"docker-image:{image['reference']}"):
            assert goldsmith.json("compare", target, "ssh:web1")["unexplained"] == 0
    finally:
        proc.run(["docker", "rm", "--force", "--volumes", BOOTED], check=False)
        proc.run(["docker", "rmi", "--force", image["image_id"]], check=False)
