"""A disk is made to numbers that come from its content alone."""

from __future__ import annotations

import re
import uuid

from goldsmith import disk
from tests.paths import ROOT

SCRIPT = (ROOT / "packer/assemble-disk.py").read_text()


def test_one_content_makes_one_disk() -> None:
    one = disk.Spec.of("a" * 64, 1700000000)
    assert one == disk.Spec.of("a" * 64, 1700000000)
    assert one.seed != disk.Spec.of("b" * 64, 1700000000).seed
    assert str(uuid.UUID(one.seed)) == one.seed


def test_the_script_is_told_all_that_it_asks_for() -> None:
    asked = set(re.findall(r'os\.environ\["(\w+)"\]', SCRIPT))
    assert asked == set(disk.Spec.of("a", 1).environment())


def test_the_script_needs_the_standard_library_only() -> None:
    imported = set(re.findall(r"^(?:import|from) (\w+)", SCRIPT, re.MULTILINE))
    assert imported <= {"__future__", "collections", "os", "pathlib", "re", "shutil", "struct", "subprocess", "sys",
                        "tempfile", "typing", "uuid"}  # fmt: skip
