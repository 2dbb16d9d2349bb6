"""No file is ever half written."""

import errno
import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from goldsmith import files
from goldsmith.errors import GoldsmithError


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "manifest.json"
    files.write(path, b"old")

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(GoldsmithError, match="No space left") as error:
        files.write(path, b"new")
    assert "free some space" in error.value.hint
    assert path.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["manifest.json"]


def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    files.write(tmp_path / "a", b"")
    mask = os.umask(0)
    os.umask(mask)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o666 & ~mask


def test_folders_of_killed_processes_are_removed_and_no_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ended = subprocess.Popen(["true"])
    ended.wait()
    for name in (f"goldsmith-build-{ended.pid}-x1_", f"goldsmith-build-{os.getpid()}-x", f"other-build-{ended.pid}-x"):
        (tmp_path / name / "deep").mkdir(parents=True)
    (tmp_path / f"goldsmith-build-{ended.pid}-file").write_text("")
    with files.temporary_folder("here") as folder:
        assert files.remove_abandoned() == [f"folder {tmp_path}/goldsmith-build-{ended.pid}-x1_"]
        assert folder.is_dir()
    assert len(list(tmp_path.iterdir())) == 3
