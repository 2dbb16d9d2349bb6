"""A disk that is made in a container goes on from a stage, too, and is what one from the beginning is."""

from __future__ import annotations

from pathlib import Path

from tests.integration.conftest import Goldsmith, lay_down

PROJECT = {
    "goldsmith.yml": "images:\n  staged:\n    playbook: site.yml\n    targets: [qemu]\n",
    "inventory/hosts.yml": "all: {}\n",
    "site.yml": """\
- hosts: all
  roles: [goldsmith.core.os, goldsmith.core.first_boot, last]
- hosts: all
  roles: [goldsmith.core.seal]
""",
    "roles/last/tasks/main.yml": """\
---
- name: Fail
  ansible.builtin.command: "false"
""",
}


def test_a_disk_in_stages_is_what_one_from_the_beginning_is(tmp_path: Path) -> None:
    lay_down(tmp_path, PROJECT)
    goldsmith = Goldsmith(tmp_path)
    goldsmith("build", "staged", expect=1)
    task = tmp_path / "roles/last/tasks/main.yml"
    task.write_text(task.read_text().replace('"false"', "touch /etc/last"))
    manifest = tmp_path / "artifacts/images/staged/qemu/manifest.json"
    assert "the last build has what comes before last" in goldsmith("build", "staged").stderr
    in_stages = manifest.read_bytes()
    assert b"/etc/last" in in_stages
    assert "the last build has" not in goldsmith("build", "staged", "--force").stderr
    assert manifest.read_bytes() == in_stages
