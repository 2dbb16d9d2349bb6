"""What one build has fetched, the next one need not; and no image has anything of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from goldsmith import manifest, proc
from tests.integration.conftest import SEAL, Goldsmith

PLAYBOOK = f"""\
- name: A package, what is fetched removed as roles do, seal
  hosts: all
  gather_facts: false
  tasks:
    - name: Package
      ansible.builtin.shell: apt-get update && apt-get install --yes FROM tree && apt-get clean
    - name: Seal
      {SEAL}
"""


@pytest.fixture
def project(tmp_path: Path, base: str) -> Iterator[Goldsmith]:
    (tmp_path / "inventory").write_text("localhost\n")
    (tmp_path / "goldsmith.yml").write_text("images:\n  cached:\n    playbook: site.yml\ninventory: inventory\n")
    yield Goldsmith(tmp_path)
    for image in proc.run(["docker", "images", "--quiet", "goldsmith/cached"]).text.split():
        proc.run(["docker", "rmi", "--force", image], check=False)


def test_a_package_is_fetched_once(project: Goldsmith) -> None:
    site = project.project / "site.yml"
    site.write_text(PLAYBOOK.replace("FROM ", ""))
    project("build", "cached")
    site.write_text(PLAYBOOK.replace("FROM", "--no-download"))
    built = json.loads(project("build", "cached", "--json").stdout)

    record = manifest.load(Path(built["manifest"]))
    assert "tree" in record.sections["packages"]
    assert [path for path in record.sections["files"] if "goldsmith" in path or path.endswith(".deb")] == []
