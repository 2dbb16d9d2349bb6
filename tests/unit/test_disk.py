"""A disk is made to numbers that come from its content alone."""

from __future__ import annotations

import json
import re
import uuid
from pathlib import Path
from typing import Any

import pytest

from goldsmith import disk, proc
from goldsmith.errors import UsageError
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
    assert imported <= {"__future__", "collections", "json", "os", "pathlib", "re", "shutil", "struct", "subprocess",
                        "sys", "tempfile", "typing", "uuid"}  # fmt: skip


def test_a_name_tells_the_format_or_is_refused() -> None:
    assert disk.format_of(Path("web.vhd")) == "vpc"
    assert disk.format_of(Path("web.hdd.0.{guid}.hds")) == "parallels"
    for name in ("web", "web.img", "web.tar"):
        with pytest.raises(UsageError, match="no name that tells") as caught:
            disk.format_of(Path(name))
        assert ".qcow2" in caught.value.hint


@pytest.mark.parametrize(
    "said",
    [
        {"backing-filename": "/etc/shadow"},
        {"format-specific": {"data": {"data-file": "/etc/shadow"}}},
        {"format-specific": {"data": {"extents": [{"filename": "/etc/shadow"}]}}},
    ],
)
def test_a_disk_that_names_another_file_is_not_read(
    said: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "web.vmdk"
    path.touch()
    answer = json.dumps({"format": "vmdk", "virtual-size": 512, **said}).encode()
    monkeypatch.setattr(proc, "run", lambda *_arguments, **_options: proc.Completed((), 0, answer, b""))
    with pytest.raises(UsageError, match="stands on another file"):
        disk.whole(path, "vmdk")
