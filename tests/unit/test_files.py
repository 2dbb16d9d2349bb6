"""No file is ever half written."""

import errno
import os
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
