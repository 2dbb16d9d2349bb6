"""A disk made in a container and one made in a machine that Packer booted hold the same."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tests.integration.conftest import Goldsmith
from tests.vm.conftest import PROJECT, built

__all__ = ["built"]


def test_both_engines_make_the_same(built: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(PROJECT, project, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    goldsmith = Goldsmith(project)
    made = goldsmith.json("build", "hardened", "--target", "qemu", "--engine", "vm")
    assert json.loads(Path(made["provenance"]).read_text())["engine"] == "vm"
    compared = goldsmith.json("compare", str(built / "manifest.json"), made["manifest"])
    assert [each for each in compared["differences"] if not each["explained"]] == []
