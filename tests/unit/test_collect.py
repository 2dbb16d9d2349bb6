"""The collector on its way to a machine: byte code for a Python of our version, the source for any other."""

from __future__ import annotations

import importlib.util
import io
import zipfile
import zipimport
from pathlib import Path

import pytest

from goldsmith import collect, proc


@pytest.mark.parametrize("ours", [True, False])
def test_byte_code_or_source(ours: bool, tmp_path: Path) -> None:
    """Another Python's magic number stands for another Python."""
    archive = tmp_path / "collector.zip"
    with zipfile.ZipFile(io.BytesIO(collect.packed())) as sent, zipfile.ZipFile(archive, "w") as other:
        for name in sent.namelist():
            data = sent.read(name)
            if name.endswith(".pyc") and not ours:
                assert data.startswith(importlib.util.MAGIC_NUMBER)
                data = b"\x01\x02\r\n" + data[4:]
            other.writestr(name, data)
    found = Path(zipimport.zipimporter(str(archive / "collector")).get_filename("command"))
    assert found.name == ("command.pyc" if ours else "command.py")


def test_nothing_of_the_machine_gets_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies where it is started, or is named by the environment, is no part of the collector."""
    (tmp_path / "json.py").write_text("raise SystemExit('taken from the working folder')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    done = proc.run(collect._command("python3", "--help"), stdin=collect.packed())
    assert "--expect" in done.text
