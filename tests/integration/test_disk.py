"""A machine's disk, put together of a tree of files and taken apart again, without a mount or a machine."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from goldsmith import collect, disk, proc
from tests.paths import ROOT

BASE = "goldsmith/disk:debian-bookworm"
PLANT = """
import os, struct
made = "/tree/opt/it is \\u00e4 program"
open(made, "w").write("x")
os.chmod(made, 0o755)
os.setxattr(made, "security.capability", struct.pack("<5I", 0x02000001, 1 << 10, 0, 0, 0))
os.symlink("nowhere", "/tree/opt/link")
os.makedirs("/tree/opt/empty", 0o2750)
os.chmod("/tree/opt/empty", 0o2750)
os.chown("/tree/opt/empty", 1234, 1235)
"""


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory, base: str) -> Path:
    """The files of the base of disks."""
    subprocess.run([ROOT / "packer/base-image.sh", "--disk", base, BASE], check=True)
    path = tmp_path_factory.mktemp("disk") / "tree.tar"
    disk.export(BASE, path, f"test-{os.getpid()}")
    return path


@pytest.fixture
def spec() -> disk.Spec:
    return disk.Spec.of("a" * 64, 1700000000)


@pytest.fixture
def workshop(archive: Path, spec: disk.Spec) -> Iterator[disk.Workshop]:
    with disk.Workshop(f"{BASE}-tools", archive.parent, f"test-{os.getpid()}", spec) as made:
        yield made


def test_what_is_read_back_is_what_was_written(workshop: disk.Workshop, archive: Path, spec: disk.Spec) -> None:
    workshop.unpack(archive)
    proc.run(["docker", "exec", workshop.name, "python3", "-c", PLANT])
    written = collect.of_workshop(workshop, "written")
    raw = archive.parent / "disk.raw"
    workshop.write(raw)
    assert raw.stat().st_size == spec.size
    assert raw.stat().st_blocks * 512 < spec.size / 4  # what is empty takes no room
    second = disk.Workshop(f"{BASE}-tools", archive.parent, f"test-{os.getpid()}-2", spec)
    with second:
        second.read(raw)
        read = collect.of_workshop(second, "read")
    assert written.sections["files"]["/opt/it is \u00e4 program"]["xattrs"]
    assert read.sections == written.sections
    assert read.digest == written.digest
    argv = ["docker", "run", "--rm", f"--volume={archive.parent}:/work", f"{BASE}-tools", "sfdisk", "--dump"]
    table = proc.run([*argv, "/work/disk.raw"]).text
    assert re.findall(r'name="(\w+)"', table) == ["bios", "efi", "root"]


def test_what_cannot_be_put_together_says_why(workshop: disk.Workshop, archive: Path) -> None:
    broken = archive.parent / "broken.tar"
    broken.write_bytes(archive.read_bytes()[: 10 * 2**20])
    with pytest.raises(disk.GoldsmithError, match=r"putting the disk together failed: tar: .*"):
        workshop.unpack(broken)
