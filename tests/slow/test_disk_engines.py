"""A disk made in a container and one made in a machine that Packer booted hold the same."""

from __future__ import annotations

import json
from pathlib import Path

from tests.integration.conftest import Goldsmith, lay_down

PROJECT = {
    "goldsmith.yml": "images:\n  small:\n    playbook: site.yml\n    targets: [qemu]\n",
    "inventory/hosts.yml": "all: {}\n",
    "site.yml": """\
- hosts: all
  become: true
  environment: {SOURCE_DATE_EPOCH: "0"}
  roles: [goldsmith.core.os, goldsmith.core.users, goldsmith.core.ssh, goldsmith.core.first_boot]
- hosts: all
  become: true
  roles: [goldsmith.core.seal]
""",
}


def test_both_engines_make_the_same(tmp_path: Path) -> None:
    lay_down(tmp_path / "small", PROJECT)
    goldsmith = Goldsmith(tmp_path / "small")
    folder = tmp_path / "small/artifacts/images/small/qemu"
    goldsmith("build", "small")
    # Beside the project: in it, it would count as a part of the definition.
    by_tree = (folder / "manifest.json").rename(tmp_path / "tree.json")
    goldsmith("build", "small", "--engine", "vm")
    assert json.loads((folder / "provenance.json").read_text())["engine"] == "vm"
    names = sorted(path.name for path in folder.iterdir())
    records = ["manifest.json", "provenance.json", "stages.jsonl", "verify.xml"]
    assert names == sorted([*records, "bom.cdx.json", "bom.spdx.json", "small.qcow2"])
    compared = goldsmith.json("compare", str(by_tree), str(folder / "manifest.json"), expect=0)
    assert [each for each in compared["differences"] if not each["explained"]] == []
