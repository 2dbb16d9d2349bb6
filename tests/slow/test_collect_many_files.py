"""A machine of a million files: how long a collection takes, and how much memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.paths import ROOT

FILES = 1_000_000
PER_FILE = 500
"""Bytes of memory that a recorded path may take at most: docs/manifest.md says about 400."""


def test_a_million_files(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for folder in range(FILES // 1000):
        (root / f"usr/share/some/package{folder}").mkdir(parents=True)
        for number in range(1000):
            (root / f"usr/share/some/package{folder}/file-number-{number}").write_bytes(b"%d" % (number % 7))
    with (tmp_path / "manifest.json").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "collector.command", "--root", root],
            cwd=ROOT / "plugins/module_utils",
            stdout=output,
        )
        _pid, status, used = os.wait4(process.pid, 0)
    assert status == 0
    assert used.ru_maxrss * 1024 < FILES * PER_FILE
    found = json.loads((tmp_path / "manifest.json").read_bytes())
    # "/", usr, share, some, and the packages' folders.
    assert len(found["sections"]["files"]) == FILES + FILES // 1000 + 4
    assert found["warnings"] == []
