"""What is odd, huge, or changes under the collector's hands: it never hangs, and never takes two for equal."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import struct
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.goldsmith.core.plugins.module_utils.collector import attributes, digest, document, files, tree

from tests.paths import ROOT
from tests.unit.test_collector_tree import AS_NOBODY, as_root, image, info, layer

TERABYTE = 1 << 40


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def collect(root: Path) -> tuple[dict[str, Any], list[str]]:
    source = tree.DirectoryTree(root)
    return dict(files.collect(source)), source.warnings


class Reads:
    """What is read of files: the bytes in all, and something to do at each time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.size = self.count = 0
        self.do: Callable[[], object] = lambda: None
        self._real = os.read
        monkeypatch.setattr(os, "read", self._read)

    def _read(self, handle: int, length: int) -> bytes:
        data = self._real(handle, length)
        self.size += len(data)
        self.count += 1
        self.do()
        return data


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    return Reads(monkeypatch)


# Large and sparse


def sparse(path: Path, size: int, *parts: tuple[int, bytes]) -> Path:
    with path.open("wb") as target:
        for at, data in parts:
            target.seek(at)
            target.write(data)
        target.truncate(size)
    return path


def test_a_terabyte_of_nothing_is_not_read(tmp_path: Path, reads: Reads) -> None:
    def bounded() -> None:
        assert reads.size < 1 << 20

    reads.do = bounded
    started = time.monotonic()
    sparse(tmp_path / "empty", TERABYTE)
    sparse(tmp_path / "begin", TERABYTE, (0, b"x"))
    sparse(tmp_path / "middle", TERABYTE, (TERABYTE // 2 + 5, b"x"))
    sparse(tmp_path / "beside", TERABYTE, (TERABYTE // 2 + 4096 + 5, b"x"))
    sparse(tmp_path / "end", TERABYTE, (TERABYTE - 1, b"x"))
    sparse(tmp_path / "longer", TERABYTE + 1)
    found, warnings = collect(tmp_path)
    assert warnings == []
    assert time.monotonic() - started < 30
    del found["/"]
    assert len({entry["sha256_blocks"] for entry in found.values()}) == len(found) == 6
    assert found["/empty"]["size"] == TERABYTE
    assert not any("sha256" in entry for entry in found.values())


def blocks(data: bytes) -> str:
    """The digest of a large file's contents as docs/manifest.md explains it."""
    whole = hashlib.sha256()
    for at in range(0, len(data), 4096):
        if data[at : at + 4096].strip(b"\0"):
            whole.update(struct.pack("<Q", at // 4096) + data[at : at + 4096])
    whole.update(struct.pack("<Q", len(data)))
    return whole.hexdigest()


@pytest.mark.parametrize("size", [100_001, 3 << 20, (3 << 20) + 1, (3 << 20) + 4095])
def test_a_large_file_s_digest_says_what_it_holds_and_not_how_it_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(digest, "LARGE", 100_000)
    parts = ((0, b"a" * 10), (9000, b"b" * 10_000), (size - 5000, b"c"), (size - 3, b"d"))
    sparse(tmp_path / "sparse", size, *parts)
    data = (tmp_path / "sparse").read_bytes()
    (tmp_path / "written").write_bytes(data)
    found, _warnings = collect(tmp_path)
    assert found["/sparse"]["sha256_blocks"] == found["/written"]["sha256_blocks"] == blocks(data)
    for piece in (1, 4096, 5000, 1 << 20):
        if size > 200_000 and piece == 1:
            continue
        fed = digest.of_size("written", size)
        for at in range(0, size, piece):
            fed.update(data[at : at + piece])
        assert (fed.digest().hex(), fed.size) == (blocks(data), size)
    archived = image(tmp_path / "x.tar", layer((info("written"), data)))["/written"]
    assert {key: archived[key] for key in ("size", "sha256_blocks")} == {
        key: found["/written"][key] for key in ("size", "sha256_blocks")
    }


@pytest.mark.parametrize(
    ("at", "data", "hole", "part"),
    [
        (0, 5000, 9001, (4096, 12288)),
        (4096, 5000, 8192, (4096, 8192)),
        (8192, 8192, 99_000, (8192, 90_000)),
        (8192, 99_000, 99_000, (90_000, 90_000)),
    ],
)
def test_parts_that_are_written_are_read_in_whole_blocks(
    monkeypatch: pytest.MonkeyPatch, at: int, data: int, hole: int, part: tuple[int, int]
) -> None:
    """A file system's blocks may be smaller than ours, and a file may shrink or grow meanwhile."""
    answers = {os.SEEK_DATA: data, os.SEEK_HOLE: hole}
    monkeypatch.setattr(os, "lseek", lambda _handle, _at, how: answers[how])
    assert digest._next_data(0, at, 90_000) == part


def test_up_to_a_gibibyte_it_is_the_plain_digest(tmp_path: Path) -> None:
    assert digest.LARGE == 1 << 30
    assert isinstance(digest.of_size("x", 1 << 30), digest.Digest)
    assert isinstance(digest.of_size("x", (1 << 30) + 1), digest.BlocksDigest)
    sparse(tmp_path / "x", 10 << 20, (5 << 20, b"x"))
    assert collect(tmp_path)[0]["/x"]["sha256"] == sha((tmp_path / "x").read_bytes())


# Changes while it looks


def again(path: Path) -> Callable[[], None]:
    """Writes other contents of the same size, and sets the time back to what it was."""
    times = path.stat()
    state = {"n": 0}

    def write() -> None:
        state["n"] += 1
        before = path.stat().st_ctime_ns
        while path.stat().st_ctime_ns == before:
            path.write_bytes(b"%09d" % state["n"] * 1000)
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))

    return write


def test_a_file_that_always_changes_is_never_equal(tmp_path: Path, reads: Reads) -> None:
    (tmp_path / "busy").write_bytes(b"%09d" % 0 * 1000)
    reads.do = again(tmp_path / "busy")
    found, warnings = collect(tmp_path)
    assert warnings == ["/busy: changes while it is read"]
    assert found["/busy"]["unreadable"] is True
    assert not {"sha256", "size"} & set(found["/busy"])


def test_a_file_that_changed_once_is_read_again(tmp_path: Path, reads: Reads) -> None:
    (tmp_path / "busy").write_bytes(b"%09d" % 0 * 1000)
    change = again(tmp_path / "busy")
    reads.do = lambda: change() if reads.count == 1 else None
    found, warnings = collect(tmp_path)
    assert warnings == []
    assert found["/busy"]["sha256"] == sha((tmp_path / "busy").read_bytes()) != sha(b"%09d" % 0 * 1000)


def test_a_file_that_grows_as_fast_as_it_is_read_is_left(tmp_path: Path, reads: Reads) -> None:
    (tmp_path / "log").write_bytes(b"x" * 5_000_000)

    def grow() -> None:
        assert reads.count < 100
        with (tmp_path / "log").open("ab") as target:
            target.write(b"x" * digest.CHUNK)

    reads.do = grow
    found, warnings = collect(tmp_path)
    assert warnings == ["/log: changes while it is read"]
    assert found["/log"]["unreadable"] is True


@pytest.mark.parametrize("size", [5_000_000, (1 << 30) + 1])
def test_a_file_that_is_cut_while_it_is_read(tmp_path: Path, reads: Reads, size: int) -> None:
    sparse(tmp_path / "cut", size, (0, b"x"), (4_000_000, b"x"))
    reads.do = lambda: os.truncate(tmp_path / "cut", 100) if reads.count == 1 else None
    found, warnings = collect(tmp_path)
    assert warnings == []
    assert (found["/cut"]["size"], found["/cut"]["sha256"]) == (100, sha(b"x" + bytes(99)))


def test_a_mode_that_changes_while_it_reads_is_the_new_one(tmp_path: Path, reads: Reads) -> None:
    (tmp_path / "x").write_bytes(b"x" * 10)
    (tmp_path / "x").chmod(0o644)
    before = (tmp_path / "x").stat().st_ctime_ns

    def change() -> None:
        while (tmp_path / "x").stat().st_ctime_ns == before:
            (tmp_path / "x").chmod(0o600)

    reads.do = change
    found, _warnings = collect(tmp_path)
    assert found["/x"]["mode"] == "0600"


@pytest.mark.parametrize("instead", ["nothing", "link", "fifo", "folder"])
def test_a_file_that_is_replaced_before_it_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, instead: str
) -> None:
    (tmp_path / "x").write_bytes(b"x")
    real = os.open

    def swap(name: Any, *rest: Any, **more: Any) -> int:
        if name == "x" and (tmp_path / "x").is_file():
            (tmp_path / "x").unlink()
            if instead == "link":
                (tmp_path / "x").symlink_to("/etc/passwd")
            elif instead == "fifo":
                os.mkfifo(tmp_path / "x")
            elif instead == "folder":
                (tmp_path / "x").mkdir()
        return real(name, *rest, **more)

    monkeypatch.setattr(os, "open", swap)
    found, _warnings = collect(tmp_path)
    assert "sha256" not in found.get("/x", {})


def test_a_file_that_is_replaced_by_another_before_it_is_opened_is_that_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As editors and packages replace files. Never taken as gone."""
    (tmp_path / "x").write_bytes(b"one")
    times = (tmp_path / "x").stat()
    real = os.open

    def swap(name: Any, *rest: Any, **more: Any) -> int:
        if name == "x" and (tmp_path / "x").stat().st_ino == times.st_ino:
            (tmp_path / "new").write_bytes(b"two")
            (tmp_path / "new").chmod(0o600)
            os.utime(tmp_path / "new", ns=(times.st_atime_ns, times.st_mtime_ns))
            (tmp_path / "new").rename(tmp_path / "x")
        return real(name, *rest, **more)

    monkeypatch.setattr(os, "open", swap)
    found, warnings = collect(tmp_path)
    assert warnings == []
    assert (found["/x"]["sha256"], found["/x"]["mode"]) == (sha(b"two"), "0600")


def test_folders_that_disappear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name / "deep").mkdir(parents=True)
        (tmp_path / name / "deep/file").write_text("x")
    real = os.scandir

    def vanish(folder: Any) -> Any:
        # The first one that is entered takes one away that waits, and its own contents.
        if os.path.samestat(os.fstat(folder), (tmp_path / "c").stat()) and (tmp_path / "b").exists():
            shutil.rmtree(tmp_path / "b")
            shutil.rmtree(tmp_path / "c/deep")
        return real(folder)

    monkeypatch.setattr(os, "scandir", vanish)
    found, warnings = collect(tmp_path)
    assert warnings == []
    assert set(found) == {"/", "/a", "/a/deep", "/a/deep/file", "/c"}


# Names and shapes


def test_names_that_are_no_text_stay_apart(tmp_path: Path) -> None:
    names = [
        b"a\xff",
        b"a\xef\xbf\xbdff",
        b"a\xef\xbf\xbd\xef\xbf\xbdff",
        b"a\nb",
        b"a\\nb",
        b"\x01",
        b"\xc3\xa9",
        b"\xe9",
    ]
    names += [b"x" * 255, b"\xff" * 255, b'"', b"a\xed\xb3\xbf"]
    for name in names:
        (tmp_path / os.fsdecode(name)).write_bytes(name)
    found, _warnings = collect(tmp_path)
    del found["/"]
    assert len(found) == len(names)
    assert {entry["sha256"] for entry in found.values()} == {sha(name) for name in names}
    assert json.loads(document.canonical(found)) == found


def test_loops_and_what_never_ends(tmp_path: Path) -> None:
    (tmp_path / "self").symlink_to("self")
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    (tmp_path / "up").symlink_to("..")
    (tmp_path / "here").symlink_to(".")
    os.mkfifo(tmp_path / "fifo")
    source = tree.DirectoryTree(tmp_path)
    assert len(source.entries) == 7
    assert all(source.read(path) is None for path in ("/self", "/a", "/fifo", "/here/here/here/fifo"))


def test_deeper_than_a_path_may_be_is_said(tmp_path: Path) -> None:
    name = "d" * 200
    handle = os.open(tmp_path, os.O_RDONLY)
    for _ in range(30):
        os.mkdir(name, dir_fd=handle)
        below = os.open(name, os.O_RDONLY, dir_fd=handle)
        os.close(handle)
        handle = below
    os.close(handle)
    found, warnings = collect(tmp_path)
    assert [path for path, entry in found.items() if entry.get("unreadable")] == [max(found, key=len)]
    assert len(warnings) == 1
    assert warnings[0].endswith("can't be read: File name too long")
    shutil.rmtree(tmp_path)
    tmp_path.mkdir()


def test_what_can_be_listed_and_not_looked_at_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "root/listed"
    folder.mkdir(parents=True)
    (folder / "file").write_text("x")
    (folder / "link").symlink_to("file")
    (folder / "folder").mkdir()
    for each in (folder, *folder.parents[:4]):
        each.chmod(0o755)
    folder.chmod(0o744)
    if os.geteuid() != 0:
        folder.chmod(0o644)
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, "--root", tmp_path / "root"],
        cwd=ROOT / "plugins/module_utils",
        capture_output=True,
        check=True,
    )
    folder.chmod(0o755)
    whole = json.loads(done.stdout)
    found = whole["sections"]["files"]
    assert found["/listed/file"] == {"type": "file", "unreadable": True}
    assert found["/listed/link"] == {"type": "link", "unreadable": True}
    assert found["/listed/folder"] == {"type": "directory", "unreadable": True}
    assert len([line for line in whole["warnings"] if "can't be read" in line]) == 3


# What a file system keeps beside


def test_hard_links_are_named_by_the_first(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/b").write_text("x")
    os.link(tmp_path / "etc/b", tmp_path / "etc/c")
    (tmp_path / "etc/alone").write_text("x")
    (tmp_path / "var/log").mkdir(parents=True)
    os.link(tmp_path / "etc/alone", tmp_path / "var/log/not-recorded")
    before, _warnings = collect(tmp_path)
    assert before["/etc/b"]["hard_link"] == before["/etc/c"]["hard_link"] == "/etc/b"
    assert "hard_link" not in before["/etc/alone"]
    for name in "zyxwvutsrqp":
        os.link(tmp_path / "etc/b", tmp_path / "var" / name)
    assert {entry["hard_link"] for entry in collect(tmp_path)[0].values() if "hard_link" in entry} == {"/etc/b"}
    for name in "zyxwvutsrqp":
        (tmp_path / "var" / name).unlink()
    # The other of the two was first: nothing else can tell them apart.
    (tmp_path / "etc/b").rename(tmp_path / "etc/aside")
    (tmp_path / "etc/b").hardlink_to(tmp_path / "etc/c")
    (tmp_path / "etc/aside").unlink()
    assert collect(tmp_path)[0] == before
    (tmp_path / "etc/b").unlink()
    (tmp_path / "etc/b").write_text("x")
    after, _warnings = collect(tmp_path)
    assert not any("hard_link" in entry for entry in after.values())


def test_hard_links_in_an_archive_are_those_of_the_folder(tmp_path: Path) -> None:
    members = ((info("b"), b"x"), (info("c", tarfile.LNKTYPE, linkname="b"), b""), (info("d"), b"x"))
    found = image(tmp_path / "x.tar", layer(*members))
    assert [found[path].get("hard_link") for path in ("/b", "/c", "/d")] == ["/b", "/b", None]


def access_list(*entries: tuple[int, int, int]) -> bytes:
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


NOBODY = 0xFFFFFFFF
LIST = access_list((1, 6, NOBODY), (2, 4, 1234), (4, 4, NOBODY), (8, 5, 77), (0x10, 5, NOBODY), (0x20, 0, NOBODY))


def test_an_access_list_that_says_what_the_mode_says_is_left_out() -> None:
    mode = access_list((1, 6, NOBODY), (4, 4, NOBODY), (0x20, 0, NOBODY))
    assert attributes.describe_xattrs({"system.posix_acl_access": mode}) is None
    # That of what will be made in a folder is not its mode.
    words = {"system.posix_acl_default": "user::rw-,group::r--,other::---"}
    assert attributes.describe_xattrs({"system.posix_acl_default": mode}) == words
    odd = b"\1\0\0\0" + mode[4:]
    assert attributes.describe_xattrs({"system.posix_acl_access": odd}) == {"system.posix_acl_access": odd.hex()}


@as_root
def test_access_lists_in_words(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("alice:x:1234:1234::/:/bin/sh\n")
    (tmp_path / "etc/x").write_text("x")
    try:
        os.setxattr(tmp_path / "etc/x", "system.posix_acl_access", LIST)
    except OSError:
        pytest.skip("no access lists on this file system")
    os.setxattr(tmp_path / "etc", "system.posix_acl_default", LIST)
    os.mkfifo(tmp_path / "fifo")
    os.setxattr(tmp_path / "fifo", "system.posix_acl_access", LIST)
    words = "user::rw-,user:alice:r--,group::r--,group:77:r-x,mask::r-x,other::---"
    found, _warnings = collect(tmp_path)
    assert found["/etc/x"]["acl"] == found["/fifo"]["acl"] == found["/etc"]["default_acl"] == words
    assert not any(
        "xattrs" in entry or "acl" in entry for path, entry in found.items() if path in ("/etc", "/etc/passwd")
    )


@as_root
def test_immutable_and_append_only(tmp_path: Path) -> None:
    (tmp_path / "fixed").write_text("x")
    (tmp_path / "log").write_text("x")
    (tmp_path / "folder").mkdir()
    try:
        if subprocess.run(["chattr", "+i", tmp_path / "fixed"], capture_output=True, check=False).returncode:
            pytest.skip("no flags on this file system")
        subprocess.run(["chattr", "+a", tmp_path / "log"], check=True)
        subprocess.run(["chattr", "+ia", tmp_path / "folder"], check=True)
        found, _warnings = collect(tmp_path)
    finally:
        subprocess.run(["chattr", "-ia", *tmp_path.iterdir()], check=True)
    assert found["/fixed"]["flags"] == ["immutable"]
    assert found["/log"]["flags"] == ["append_only"]
    assert found["/folder"]["flags"] == ["immutable", "append_only"]
    assert "flags" not in found["/"]


@as_root
def test_devices_modes_and_capabilities(tmp_path: Path) -> None:
    try:
        os.mknod(tmp_path / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        os.mknod(tmp_path / "disk", stat.S_IFBLK | 0o660, os.makedev(7, 300))
    except PermissionError:
        pytest.skip("no right to make devices here")
    (tmp_path / "ping").write_text("x")
    (tmp_path / "ping").chmod(0o6755)
    capability = bytes.fromhex("0100000200200000000000000000000000000000")
    os.setxattr(tmp_path / "ping", "security.capability", capability)
    (tmp_path / "link").symlink_to("ping")
    os.setxattr(tmp_path / "link", "trusted.note", b"x", follow_symlinks=False)
    found, _warnings = collect(tmp_path)
    assert (found["/null"]["type"], found["/null"]["device"]) == ("character", "1:3")
    assert (found["/disk"]["type"], found["/disk"]["device"]) == ("block", "7:300")
    assert found["/ping"]["mode"] == "6755"
    assert found["/ping"]["xattrs"] == {"security.capability": "cap_net_raw=ep"}
    assert found["/link"]["xattrs"] == {"trusted.note": "sha256:" + sha(b"x")}
