"""A machine's disk, put together of a tree of files and taken apart again, without a mount or a machine."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from goldsmith import collect, disk, proc
from goldsmith.errors import GoldsmithError
from tests.integration.conftest import Goldsmith, error
from tests.paths import ROOT

ROOT_TYPE = "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709"
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
    before = raw.stat().st_mtime_ns
    read = collect.collect(collect.parse(f"disk:{raw}"))
    assert raw.stat().st_mtime_ns == before
    assert written.sections["files"]["/opt/it is \u00e4 program"]["xattrs"]
    assert read.sections == written.sections
    assert read.digest == written.digest
    argv = ["docker", "run", "--rm", f"--volume={archive.parent}:/work", f"{BASE}-tools", "sfdisk", "--dump"]
    table = proc.run([*argv, "/work/disk.raw"]).text
    assert re.findall(r'name="(\w+)"', table) == ["bios", "efi", "root"]


def test_what_cannot_be_put_together_says_why(workshop: disk.Workshop, archive: Path) -> None:
    broken = archive.parent / "broken.tar"
    broken.write_bytes(archive.read_bytes()[: 10 * 2**20])
    with pytest.raises(GoldsmithError, match=r"putting the disk together failed: tar: .*"):
        workshop.unpack(broken)


# A disk at rest, as people name it.


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few files of a system, one of which no image should have."""
    folder = tmp_path_factory.mktemp("tree")
    for name, text in {"etc/os-release": "ID=debian\n", "etc/passwd": "", "root/.bash_history": "rm -rf /\n"}.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return folder


def partitioned(disk: Path, kind: str) -> None:
    """A raw disk with one partition, of that type."""
    with disk.open("wb") as file:
        file.truncate(16 * 2**20)
    argv = ["docker", "run", "--rm", "--interactive", f"--user={os.getuid()}", f"--volume={disk.parent}:/work"]
    table = f"label: gpt\nstart=2048, size=16384, type={kind}\n"
    proc.run([*argv, f"{BASE}-tools", "sfdisk", "--quiet", f"/work/{disk.name}"], stdin=table.encode())


@pytest.fixture(scope="module")
def small(tree: Path, archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A raw disk whose root file system is the tree."""
    path = tmp_path_factory.mktemp("small") / "small.raw"
    partitioned(path, ROOT_TYPE)
    proc.run(["mke2fs", "-q", "-t", "ext4", "-E", f"offset={2**20}", "-d", str(tree), str(path), "8192k"])
    # What mke2fs does not take from the tree: the mode of the root itself.
    proc.run(["debugfs", "-w", "-R", f"set_inode_field / mode 0{tree.stat().st_mode:o}", f"{path}?offset={2**20}"])
    return path


@pytest.mark.parametrize("suffix", disk.DRIVERS)
def test_every_format_is_read_at_rest(suffix: str, small: Path, tree: Path, tmp_path: Path) -> None:
    path = tmp_path / f"copy{suffix}"
    disk.convert(small, path)
    goldsmith = Goldsmith(tmp_path)
    goldsmith("collect", f"disk:{path}", "--output", "disk.json")
    found = goldsmith.json("compare", "disk.json", f"dir:{tree}")
    assert (found["differences"], found["equal"]) == ([], True)
    verdict = goldsmith.json("hygiene", f"disk:{path}", expect=3)
    assert ("/root/.bash_history", "history") in {(each["path"], each["check"]) for each in verdict["offences"]}
    assert sorted(each.name for each in tmp_path.iterdir()) == [path.name, "disk.json"]


def test_what_a_journal_only_holds_is_read_too(small: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.raw"
    path.write_bytes(small.read_bytes())
    # As a machine leaves it that wrote a file, and was cut off before it was more than an entry of the journal.
    system, new = f"{path}?offset={2**20}", tmp_path / "new"
    block = proc.run(["debugfs", "-R", "blocks /etc/os-release", system]).text.strip()
    new.write_bytes(b"ID=replay\n".ljust(1024, b"\0"))
    script = tmp_path / "script"
    script.write_text(f"journal_open\njournal_write -b {block} {new}\njournal_close\n")
    proc.run(["debugfs", "-w", "-f", str(script), system])
    found = collect.collect(collect.parse(f"disk:{path}"))
    assert found.sections["files"]["/etc/os-release"]["sha256"] == hashlib.sha256(b"ID=replay\n").hexdigest()


def test_what_is_no_disk_is_refused(small: Path, archive: Path, tmp_path: Path) -> None:
    (tmp_path / "words.qcow2").write_text("no disk at all\n" * 100)
    (tmp_path / "words.img").write_text("")
    (tmp_path / "empty.raw").write_bytes(bytes(2**20))
    partitioned(tmp_path / "data.raw", "0FC63DAF-8483-4772-8E79-3D69D8477DE4")
    partitioned(tmp_path / "bare.raw", ROOT_TYPE)
    goldsmith = Goldsmith(tmp_path)
    for name, code, said in (
        ("none.qcow2", 2, "there is no disk none.qcow2"),
        ("words.img", 2, "no name that tells a disk's format"),
        ("words.qcow2", 1, "not in qcow2 format"),
        ("empty.raw", 1, "partition table"),
        ("data.raw", 1, "no partition of it is a root file system"),
        ("bare.raw", 1, "1 (nothing that is known)"),
    ):
        for command in ("collect", "hygiene"):
            message, _hint = error(goldsmith(command, f"disk:{name}", expect=code))
            assert said in message
