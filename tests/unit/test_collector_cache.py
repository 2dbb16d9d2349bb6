"""The cache of digests: what it saves, and that nothing fools it."""

from __future__ import annotations

import hashlib
import mmap
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.goldsmith.core.plugins.module_utils.collector import cache, files, tree

from tests.unit.test_collector_tree import as_root

STATE = {"boot": "b", "clock": [0, 100]}
LATER = 3600 * 10**9
"""Nanoseconds. Collections of these tests say that they begin an hour from now, so that new files count as old."""

KNOWN = 5
"""What a collection keeps of the root below: three files and two folders."""


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def collect(root: Path, known: Any = None, later: int = LATER) -> tuple[dict[str, Any], Any]:
    """The section files with what an earlier collection left, and what this one leaves."""
    kept = cache.Cache(STATE, time.time_ns() + later, known)
    return files.collect(tree.DirectoryTree(root, kept)), cache.parse(kept.dump())[1]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    (folder / "etc").mkdir(parents=True)
    (folder / "etc/a").write_bytes(b"one")
    (folder / "etc/b").write_bytes(b"other")
    (folder / "etc/shadow").write_bytes(b"root:secret")
    (folder / "etc/x.pyc").write_bytes(b"\xa7\r\r\n" + bytes(12) + b"code")
    return folder


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What is read of files from here on."""
    found: list[bytes] = []
    real = os.read

    def read(handle: int, length: int) -> bytes:
        data = real(handle, length)
        found.append(data)
        return data

    monkeypatch.setattr(os, "read", read)
    return found


def wait_for_the_clock(path: Path) -> None:
    """Until a change gets another time than the file's."""
    probe = path.with_name("probe")
    while True:
        probe.write_bytes(b"")
        if probe.stat().st_ctime_ns != path.stat().st_ctime_ns:
            break
    probe.unlink()


def test_what_did_not_change_is_not_read(root: Path, reads: list[bytes]) -> None:
    first, known = collect(root)
    assert reads
    del reads[:]
    assert collect(root, known) == (first, known)
    # No accounts there, and no secrets in the cache.
    assert reads == []
    assert len(known) == KNOWN
    assert sha(b"root:secret") not in str(known)


def in_place(path: Path) -> None:
    with path.open("r+b") as target:
        target.write(b"two")


def replaced(path: Path) -> None:
    other = path.with_name("new")
    other.write_bytes(b"two")
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    other.rename(path)


def through_memory(path: Path) -> None:
    with path.open("r+b") as target, mmap.mmap(target.fileno(), 3) as memory:
        memory[:] = b"two"


@pytest.mark.parametrize("change", [in_place, replaced, through_memory])
def test_a_restored_time_does_not_fool_it(root: Path, change: Callable[[Path], None]) -> None:
    first, known = collect(root)
    path = root / "etc/a"
    before = path.stat()
    wait_for_the_clock(path)
    change(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    found, _known = collect(root, known)
    assert found["/etc/a"]["sha256"] == sha(b"two") != first["/etc/a"]["sha256"]


def test_a_replaced_inode_does_not_fool_it(root: Path) -> None:
    """Two files swap their names: both are as old as they were, but for the time of change."""
    _first, known = collect(root)
    (root / "etc/b").write_bytes(b"two")
    (root / "etc/b").rename(root / "etc/aside")
    (root / "etc/a").rename(root / "etc/b")
    (root / "etc/aside").rename(root / "etc/a")
    found, _known = collect(root, known)
    assert (found["/etc/a"]["sha256"], found["/etc/b"]["sha256"]) == (sha(b"two"), sha(b"one"))


def test_two_files_that_are_as_old_as_each_other_are_not_mixed_up(root: Path) -> None:
    one, two = root / "etc/a", root / "etc/b"
    while True:
        one.write_bytes(b"one")
        two.write_bytes(b"two")
        for path in (one, two):
            os.utime(path, ns=(0, 0))
        if one.stat().st_ctime_ns == two.stat().st_ctime_ns:
            break
    _first, known = collect(root)
    found, _known = collect(root, known)
    assert (found["/etc/a"]["sha256"], found["/etc/b"]["sha256"]) == (sha(b"one"), sha(b"two"))


@as_root
def test_attributes_are_kept_and_changes_of_them_seen(root: Path) -> None:
    os.setxattr(root / "etc/a", "user.note", b"x")
    first, known = collect(root)
    assert collect(root, known)[0]["/etc/a"] == first["/etc/a"]
    assert first["/etc/a"]["xattrs"] == {"user.note": "sha256:" + sha(b"x")}
    wait_for_the_clock(root / "etc/b")
    os.setxattr(root / "etc/b", "user.note", b"y")
    assert collect(root, known)[0]["/etc/b"]["xattrs"] == {"user.note": "sha256:" + sha(b"y")}


@as_root
def test_folders_and_links_are_known_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "etc/shadow").unlink()
    (root / "etc/link").symlink_to("one")
    os.setxattr(root / "etc", "user.note", b"x")
    first, known = collect(root)
    with monkeypatch.context() as patched:
        for name in ("readlink", "listxattr"):
            patched.delattr(os, name)
        assert collect(root, known) == (first, known)
    wait_for_the_clock(root / "etc")
    (root / "etc/link").unlink()
    (root / "etc/link").symlink_to("two")
    os.setxattr(root / "etc", "user.note", b"y")
    found, _known = collect(root, known)
    assert (first["/etc/link"]["target"], found["/etc/link"]["target"]) == ("one", "two")
    assert found["/etc"]["xattrs"] == {"user.note": "sha256:" + sha(b"y")} != first["/etc"]["xattrs"]


def test_a_link_that_is_replaced_while_it_looks_is_not_kept(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The target would be kept as that of the link that was there before, which may come back."""
    (root / "etc/link").symlink_to("one")
    real = os.readlink

    def replaced(name: Any, **more: Any) -> str:
        if name == "link":
            (root / "etc/link").rename(root / "aside")
            (root / "etc/link").symlink_to("two")
        return str(real(name, **more))

    monkeypatch.setattr(os, "readlink", replaced)
    _first, known = collect(root)
    assert [target for *_others, target in known.values() if target] == []


def test_a_file_that_was_changed_just_now_is_not_kept(root: Path) -> None:
    """Another change within the grain of the clock, or through memory that is mapped, would leave its time as it is."""
    assert collect(root, later=59 * 10**9)[1] == {}
    assert len(collect(root, later=61 * 10**9)[1]) == KNOWN


def test_a_time_too_far_ahead_to_be_kept_is_read_each_time(root: Path) -> None:
    """In nanoseconds the year 2262 is the last that fits."""
    os.utime(root / "etc/a", ns=(0, 1 << 63))
    os.utime(root / "etc", ns=(0, 1 << 63))
    first, known = collect(root)
    assert (first["/etc/a"]["sha256"], len(known)) == (sha(b"one"), KNOWN - 2)
    assert collect(root, known) == (first, known)


def test_a_name_that_makes_a_file_byte_code_counts(root: Path) -> None:
    """Of byte code the time in it is not digested; of the same file by another name it is."""
    (root / "etc/x.pyc").write_bytes(b"\xa7\r\r\n" + bytes(4) + b"timesize" + b"code")
    for order in (["x.pyc", "x.bin"], ["x.bin", "x.pyc"]):
        (root / "etc/x.bin").unlink(missing_ok=True)
        os.link(root / "etc" / "x.pyc", root / "etc" / "x.bin")
        (root / "etc" / order[0]).rename(root / "etc/aside")
        (root / "etc/aside").rename(root / "etc" / order[0])
        first, known = collect(root)
        assert first["/etc/x.pyc"]["sha256"] != first["/etc/x.bin"]["sha256"]
        assert collect(root, known)[0] == first


def test_what_is_gone_is_forgotten(root: Path) -> None:
    _first, known = collect(root)
    (root / "etc/a").unlink()
    kept = cache.Cache(STATE, time.time_ns() + LATER, known)
    tree.DirectoryTree(root, kept)
    assert kept.changed
    assert len(cache.parse(kept.dump())[1]) == KNOWN - 1


def test_nothing_is_written_when_nothing_changed(root: Path) -> None:
    _first, known = collect(root)
    kept = cache.Cache(STATE, time.time_ns() + LATER, known)
    tree.DirectoryTree(root, kept)
    assert not kept.changed


@pytest.mark.parametrize(
    ("now", "holds"),
    [
        ({"boot": "b", "clock": [50, 150]}, True),
        ({"boot": "b", "clock": [-50, 0]}, True),
        ({"boot": "b", "clock": [101, 200]}, False),
        ({"boot": "b", "clock": [-3600, -3500]}, False),
        ({"boot": "c", "clock": [0, 100]}, False),
    ],
)
def test_it_holds_for_one_boot_and_one_clock(now: dict[str, Any], holds: bool) -> None:
    assert cache.holds(STATE, now) is holds


def test_the_clocks_keep_their_distance() -> None:
    """On a machine whose clock nobody sets, any two looks must agree: else the cache would be dropped for nothing."""
    looks = [cache.current() for _ in range(200)]
    assert all(cache.holds(one, other) for one in looks for other in looks[::20])


@pytest.fixture
def place(tmp_path: Path) -> str:
    (tmp_path / "kept").mkdir(mode=0o700)
    return str(tmp_path / "kept/digests")


def kept_at(place: str, root: Path) -> int:
    """Collect as on a live machine; how many files were known from before."""
    kept = cache.load(place)
    assert kept is not None
    kept._settled += LATER
    tree.DirectoryTree(root, kept)
    cache.save(kept, place)
    return len(kept._known)


needs_a_disk = pytest.mark.skipif(
    not cache.usable(Path("/proc/self/mountinfo").read_bytes()), reason="needs a root whose times can be relied on"
)


@as_root
@needs_a_disk
def test_it_is_root_s_alone_and_damage_drops_it(root: Path, place: str) -> None:
    assert kept_at(place, root) == 0
    assert kept_at(place, root) == KNOWN
    info = Path(place).stat()
    assert (info.st_mode & 0o777, list(Path(place).parent.iterdir())) == (0o600, [Path(place)])
    whole = Path(place).read_bytes()
    flipped = whole[:200] + bytes([whole[200] ^ 1]) + whole[201:]
    for damaged in (b"", whole[:-1], whole[:30], whole + b"x", flipped, b"x" + whole[1:]):
        Path(place).write_bytes(damaged)
        assert kept_at(place, root) == 0
        assert kept_at(place, root) == KNOWN
    Path(place).chmod(0o644)
    assert kept_at(place, root) == 0
    Path(place).chmod(0o600)
    os.chown(place, 1, 1)
    assert kept_at(place, root) == 0
    Path(place).unlink()
    assert (kept_at(place, root), kept_at(place, root)) == (0, KNOWN)
    Path(place).rename(root.parent / "elsewhere")
    Path(place).symlink_to(root.parent / "elsewhere")
    assert kept_at(place, root) == 0
    assert not Path(place).is_symlink()
    Path(place).parent.chmod(0o720)
    assert kept_at(place, root) == 0


@as_root
@needs_a_disk
@pytest.mark.parametrize("step", [-86400 * 10**9, -(10**9), -20_000, 20_000, 10**9])
def test_a_clock_that_was_set_drops_it(root: Path, place: str, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """With its time set back, the kernel would give a file the very time of change that it had."""
    kept_at(place, root)
    real = time.clock_gettime_ns
    monkeypatch.setattr(
        time, "clock_gettime_ns", lambda clock: real(clock) + (step if clock == time.CLOCK_REALTIME else 0)
    )
    assert kept_at(place, root) == 0
    assert kept_at(place, root) == KNOWN


@as_root
@needs_a_disk
def test_where_it_cannot_be_written_the_next_one_reads_all(root: Path, tmp_path: Path) -> None:
    assert kept_at(str(tmp_path / "no/such/folder/digests"), root) == 0
    (tmp_path / "file").write_text("x")
    assert kept_at(str(tmp_path / "file/digests"), root) == 0


@pytest.mark.parametrize(
    ("kind", "usable"), [(b"ext4", True), (b"overlay", True), (b"nfs4", False), (b"tmpfs", False), (b"vfat", False)]
)
def test_only_file_systems_whose_times_the_kernel_keeps(kind: bytes, usable: bool) -> None:
    info = b"22 1 8:1 / / rw,relatime shared:1 - %s /dev/sda1 rw\n30 22 0:25 / /run rw - xfs x rw\n" % kind
    assert cache.usable(info) is usable
    assert cache.usable(b"") is False
