"""Several images are built side by side; one that fails does not stop the others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from goldsmith import docker
from tests.integration.conftest import SEAL, Goldsmith

PLAYBOOK = f"""\
- name: Only
  hosts: all
  gather_facts: false
  tasks:
    - name: Make a file
      ansible.builtin.copy: {{content: "{{{{ inventory_hostname }}}}", dest: /etc/made, mode: "0644"}}
    - name: Fail
      ansible.builtin.fail:
      when: inventory_hostname == 'bad-image'
    - name: Seal
      {SEAL}
"""


@pytest.fixture
def several(tmp_path: Path, base: str) -> Iterator[Goldsmith]:
    (tmp_path / "site.yml").write_text(PLAYBOOK)
    (tmp_path / "inventory").write_text("localhost\n")
    images = "".join(f"  {name}: {{playbook: site.yml}}\n" for name in ("one", "bad", "two"))
    (tmp_path / "goldsmith.yml").write_text(f"images:\n{images}inventory: inventory\n")
    yield Goldsmith(tmp_path)
    for name in ("one", "two"):
        found = docker.inspect_image(f"goldsmith/{name}:latest")
        if found:
            docker.remove(f"{docker.KEY}={found['Config']['Labels'][docker.KEY]}")


def test_several_images(several: Goldsmith) -> None:
    one, bad, two = several.json("build", "one", "bad", "two", expect=1)
    assert bad == {"name": "bad", "target": "docker", "exit_code": 1}
    assert [one["name"], two["name"]] == ["one", "two"]
    for built in (one, two):
        assert docker.image(built["reference"])["Id"] == built["image_id"]
        assert Path(several.project, built["manifest"]).exists()

    done = several("build", "one", "two")
    assert done.stdout.count("is up to date: nothing changed") == 2


def test_progress_and_errors_say_whose_they_are(several: Goldsmith) -> None:
    done = several("build", "bad", "one", expect=1)
    assert "one docker: " in done.stderr
    assert 'bad docker: error: building "bad" failed, task "Fail"' in done.stderr
    assert "bad docker failed (1)" in done.stdout


def test_wrong_usage(several: Goldsmith) -> None:
    assert "twice" in several("build", "one", "one", expect=2).stderr
    assert "--engine" in several("build", "one", "two", "--engine", "container", expect=2).stderr
