"""A build goes on from where its roles have not changed, and gives what one from the beginning gives."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from goldsmith import docker, proc, stages
from tests.integration.conftest import SEAL, Goldsmith, error

PLAYBOOK = f"""\
- name: Roles
  hosts: all
  gather_facts: false
  pre_tasks:
    - name: Note that it runs
      ansible.builtin.shell: echo pre >>/etc/order
  roles:
    - first
    - second
    - last
- name: Seal
  hosts: all
  gather_facts: false
  tasks:
    - name: Seal
      {SEAL}
"""
ROLES = {
    "first/tasks": """\
- name: Note that it runs
  ansible.builtin.shell: echo first >>/etc/order
  register: first_noted
  notify: Note that it was notified
- name: Make what is not to stay
  ansible.builtin.copy: {content: "PASSWORD=hunter2hunter2\\n", dest: /etc/default/first, mode: "0600"}
""",
    "first/handlers": """\
- name: Note that it was notified
  ansible.builtin.shell: echo notified >>/etc/order
""",
    "second/tasks": """\
- name: Note that it runs
  ansible.builtin.shell: echo second >>/etc/order
""",
    "last/tasks": """\
- name: Note that it runs
  ansible.builtin.shell: echo last >>/etc/order; exit 3
- name: Remove what is not to stay
  ansible.builtin.file: {path: /etc/default/first, state: absent}
""",
}


@pytest.fixture
def staged(tmp_path: Path, base: str) -> Iterator[Goldsmith]:
    """A project whose last role fails."""
    for name, text in ROLES.items():
        folder = tmp_path / "roles" / name
        folder.mkdir(parents=True)
        (folder / "main.yml").write_text(f"---\n{text}")
    (tmp_path / "site.yml").write_text(PLAYBOOK)
    (tmp_path / "inventory").write_text("localhost\n")
    (tmp_path / "goldsmith.yml").write_text("images:\n  staged:\n    playbook: site.yml\ninventory: inventory\n")
    yield Goldsmith(tmp_path)
    built = docker.inspect_image("goldsmith/staged:latest")
    if built:
        docker.remove(f"{docker.KEY}={built['Config']['Labels'][docker.KEY]}")


def kept(project: Path) -> list[stages.Stage]:
    return stages.load(project / "artifacts/images/staged" / stages.FILE)[1]


def order(image_id: str) -> list[str]:
    """What ran, in its order."""
    command = ["docker", "run", "--rm", f"--label={docker.OWNER}=lab", image_id, "cat", "/etc/order"]
    return proc.run(command).text.split()


def test_a_build_goes_on_before_the_role_that_changed(staged: Goldsmith, base: str) -> None:
    _, hint = error(staged("build", "staged", expect=1))
    assert "--force" not in hint
    last = kept(staged.project)[-1]  # on a slow machine there are more
    assert (last.before, last.names) == ("last", ("first_noted",))

    task = staged.project / "roles/last/tasks/main.yml"
    task.write_text(task.read_text().replace("exit 3", "exit 4"))
    _, hint = error(staged("build", "staged", expect=1))
    assert "--force" in hint

    task.write_text(task.read_text().replace("; exit 4", ""))
    done = staged("build", "staged", "--json")
    assert "the last build has what comes before last" in done.stderr
    built = json.loads(done.stdout)
    # What ran is not run again, and what was notified is not forgotten.
    assert order(built["image_id"]) == ["pre", "first", "second", "last", "notified"]

    # One layer above the base: what a role made and another one removed is nowhere in the image.
    layers = docker.image(built["image_id"])["RootFS"]["Layers"]
    assert layers[:-1] == docker.image(base)["RootFS"]["Layers"]
    with docker.saved(docker.image(built["image_id"])) as archive:
        assert b"hunter2hunter2" not in archive.read_bytes()

    manifest = staged.project / "artifacts/images/staged/manifest.json"
    in_stages = manifest.read_bytes()
    anew = staged("build", "staged", "--force")
    assert "the last build has" not in anew.stderr
    assert manifest.read_bytes() == in_stages
    # It keeps its own, and not all that there ever were.
    assert all(docker.inspect_image(stage.image) for stage in kept(staged.project))
    assert docker.inspect_image(last.image) is None
