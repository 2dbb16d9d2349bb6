"""A look at a machine whose files did not change: it says what a whole one says, and nothing fools it.

Each test asks two collectors, one that may take the last collection's sections and one that may not.
"""

from __future__ import annotations

import io
import json
import mmap
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.goldsmith.core.plugins.module_utils.collector import (
    cache,
    command,
    document,
    expect,
    identity,
    runtime,
    tree,
    unchanged,
)

from tests.unit.test_collector_cache import LATER, needs_a_disk
from tests.unit.test_collector_tree import as_root

pytestmark = [as_root, needs_a_disk]
Change = Callable[[Path], object]


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "root"
    for name in ("etc/ssh", "etc/systemd/system", "usr/bin", "srv/data", "var/lib", "var/log", "dev"):
        (folder / name).mkdir(parents=True)
    (folder / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (folder / "etc/shadow").write_text("root:secret:1::::::\n")
    (folder / "etc/machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    (folder / "etc/a").write_bytes(b"one")
    (folder / "etc/b").write_bytes(b"one")
    (folder / "etc/odd\n\udcff").write_bytes(b"odd")
    (folder / "etc/link").symlink_to("a")
    (folder / "usr/bin/tool").write_bytes(b"#!/bin/sh\n")
    (folder / "srv/data/x").write_bytes(b"x")
    (folder / "var/log/syslog").write_bytes(b"said\n")
    (folder / "outside").mkdir()
    os.mkfifo(folder / "srv/pipe")
    os.mknod(folder / "srv/device", 0o600 | 0o020000, os.makedev(1, 3))
    yield folder
    for point in ("srv/data", "etc/a"):
        subprocess.run(["umount", folder / point], check=False, capture_output=True)


@pytest.fixture(autouse=True)
def nothing_else_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs here says nothing of the root."""
    monkeypatch.setattr(runtime, "collect", lambda _tree, _warnings: {})
    # Others mount things on this machine, and then nothing is kept.
    monkeypatch.setattr(unchanged, "select", SimpleNamespace(select=lambda *_: ([], [], [])))


@pytest.fixture
def place(tmp_path: Path) -> str:
    (tmp_path / "kept").mkdir(mode=0o700)
    return str(tmp_path / "kept/unchanged")


def begin(root: Path, place: str, sources: str = "v1", later: int = LATER) -> Any:
    """A collection of an hour from now, so that new files count as old."""
    look = unchanged.begin(sources, str(root), place)
    assert look is not None
    look._settled += later
    return look


def whole(root: Path) -> tuple[tree.DirectoryTree, dict[str, Any]]:
    source = tree.DirectoryTree(str(root))
    return source, document.collect(source, document.REST)


def keep(root: Path, place: str, later: int = LATER, sections: Any = None, asked: str = "") -> dict[str, Any]:
    """A whole collection, which leaves what it found."""
    look = begin(root, place, later=later)
    source, manifest = whole(root)
    look.keep(source, manifest["digest"], asked, sections)
    return manifest


def says(manifest: dict[str, Any]) -> tuple[Any, ...]:
    return manifest["digest"], manifest["identity"], manifest["warnings"]


def test_what_did_not_change_is_not_read(root: Path, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = keep(root, place)
    Path(place).chmod(0o600)
    assert "secret" not in Path(place).read_text("latin-1")
    opened = []
    real = os.open
    monkeypatch.setattr(os, "open", lambda name, *rest, **more: opened.append(str(name)) or real(name, *rest, **more))
    monkeypatch.setattr(tree.DirectoryTree, "_scan", None)
    found = begin(root, place).found()
    assert says(found) == says(manifest)
    assert found["sections"] is None
    # But for identity, which is made anew.
    assert set(opened) == {"/proc/self/mountinfo", place, f"{root}/etc/passwd", f"{root}/etc/machine-id"}
    assert Path.cwd() == Path("/")


def tick(root: Path) -> int:
    """Wait until the next change gets another time than all so far; that time (ns)."""
    probe = root.parent / "probe"
    probe.write_bytes(b"")
    before = probe.stat().st_ctime_ns
    while probe.stat().st_ctime_ns == before:
        probe.write_bytes(b"")
    return probe.stat().st_ctime_ns


def restored(change: Change) -> Change:
    """Another content of the same size, with the time of modification of before."""

    def changed(root: Path) -> None:
        before = (root / "etc/a").stat()
        change(root / "etc/a")
        os.utime(root / "etc/a", ns=(before.st_atime_ns, before.st_mtime_ns))

    return changed


def in_place(path: Path) -> None:
    with path.open("r+b") as target:
        target.write(b"two")


def replaced(path: Path) -> None:
    path.with_name("new").write_bytes(b"two")
    path.with_name("new").rename(path)


def through_memory(path: Path) -> None:
    with path.open("r+b") as target, mmap.mmap(target.fileno(), 3) as memory:
        memory[:] = b"two"


def relinked(root: Path) -> None:
    (root / "etc/link").unlink()
    (root / "etc/link").symlink_to("b")


def swapped(root: Path) -> None:
    (root / "etc/a").write_bytes(b"two")
    (root / "etc/b").rename(root / "etc/aside")
    (root / "etc/a").rename(root / "etc/b")
    (root / "etc/aside").rename(root / "etc/a")


def another_device(root: Path) -> None:
    (root / "srv/device").unlink()
    os.mknod(root / "srv/device", 0o600 | 0o020000, os.makedev(1, 5))


def a_folder_for_a_file(root: Path) -> None:
    (root / "etc/b").unlink()
    (root / "etc/b").mkdir()


def a_link_for_a_folder(root: Path) -> None:
    (root / "srv/data").rename(root / "outside/data")
    (root / "srv/data").symlink_to("../outside/data")


def mount(point: str, *, source: str = "outside") -> Change:
    return lambda root: subprocess.run(["mount", "--bind", root / source, root / point], check=True)


CHANGES: dict[str, Change] = {
    "in place": restored(in_place),
    "replaced": restored(replaced),
    "through memory": restored(through_memory),
    "two swap names": swapped,
    "mode": lambda root: (root / "etc/a").chmod(0o600),
    "mode of a folder": lambda root: (root / "srv/data").chmod(0o700),
    "mode of the root": lambda root: root.chmod(0o711),
    "owner": lambda root: os.chown(root / "etc/a", 1, 0),
    "group": lambda root: os.chown(root / "etc/a", 0, 1),
    "owner of a link": lambda root: os.lchown(root / "etc/link", 1, 0),
    "attribute": lambda root: os.setxattr(root / "etc/a", "user.note", b"x"),
    "attribute of a folder": lambda root: os.setxattr(root / "etc", "user.note", b"x"),
    "a link's target": relinked,
    "a new file": lambda root: (root / "usr/bin/new").write_bytes(b""),
    "a new folder": lambda root: (root / "srv/data/new").mkdir(),
    "a new folder of logs": lambda root: (root / "var/log/app").mkdir(),
    "a new link": lambda root: (root / "dev/../etc/new").symlink_to("a"),
    "a file is gone": lambda root: (root / "etc/b").unlink(),
    "a folder is gone": lambda root: shutil.rmtree(root / "srv/data"),
    "renamed": lambda root: (root / "etc/b").rename(root / "etc/c"),
    "renamed into another folder": lambda root: (root / "etc/b").rename(root / "srv/b"),
    "a hard link": lambda root: os.link(root / "etc/a", root / "srv/a"),
    "a hard link for a copy": lambda root: ((root / "etc/b").unlink(), os.link(root / "etc/a", root / "etc/b")),
    "a device": another_device,
    "a pipe is gone": lambda root: (root / "srv/pipe").unlink(),
    "a folder for a file": a_folder_for_a_file,
    "a link for a folder": a_link_for_a_folder,
    "a name that is no text": lambda root: (root / "etc/odd\n\udcff").write_bytes(b"even"),
    "identity": lambda root: (root / "etc/machine-id").write_text("f" * 32 + "\n"),
    "mode of a secret": lambda root: (root / "etc/shadow").chmod(0o640),
    "a mount on a folder": mount("srv/data"),
    "a mount of the same folder": mount("srv/data", source="srv/data"),
    "a mount on a file": mount("etc/a", source="etc/b"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_each_change_is_found(root: Path, place: str, what: str) -> None:
    before = says(keep(root, place))
    assert begin(root, place).found() is not None
    tick(root)
    CHANGES[what](root)
    assert says(whole(root)[1]) != before
    assert begin(root, place).found() is None


UNSEEN: dict[str, Change] = {
    "a log": lambda root: (root / "var/log/syslog").write_bytes(b"said more\n"),
    "below a volatile folder": lambda root: (root / "dev/new").write_bytes(b"x"),
    "a mount on a volatile folder": mount("dev"),
}


@pytest.mark.parametrize("what", UNSEEN)
def test_what_does_not_count_changes_nothing(root: Path, place: str, what: str) -> None:
    before = says(keep(root, place))
    try:
        UNSEEN[what](root)
        assert says(whole(root)[1]) == before
        assert says(begin(root, place).found()) == before
    finally:
        subprocess.run(["umount", root / "dev"], check=False, capture_output=True)


def test_a_mount_that_is_gone_is_found_and_one_that_stays_is_not_entered(root: Path, place: str) -> None:
    mount("srv/data")(root)
    before = says(keep(root, place))
    (root / "outside/new").write_bytes(b"x")
    # What was mounted there is seen where it lies.
    assert begin(root, place).found() is None
    before = says(keep(root, place))
    assert says(begin(root, place).found()) == before
    subprocess.run(["umount", root / "srv/data"], check=True)
    assert says(whole(root)[1]) != before
    assert begin(root, place).found() is None


def test_a_mounted_file_that_a_section_reads_is_read_each_time(root: Path, place: str, tmp_path: Path) -> None:
    """Its times may be another machine's."""
    elsewhere = tmp_path / "passwd"
    elsewhere.write_text("root:x:0:0:root:/root:/bin/sh\n")
    subprocess.run(["mount", "--bind", elsewhere, root / "etc/a"], check=True)
    (root / "etc/passwd").unlink()
    (root / "etc/passwd").symlink_to("a")
    before = says(keep(root, place))
    assert says(begin(root, place).found()) == before
    elsewhere.write_text("root:x:0:0:root:/root:/bin/zz\n")
    assert says(whole(root)[1]) != before
    assert begin(root, place).found() is None


def test_a_mount_that_came_and_went_meanwhile_is_noticed(
    root: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A section may have read what lay there."""
    monkeypatch.setattr(unchanged, "select", select)
    look = begin(root, place)
    source, manifest = whole(root)
    mount("etc/a", source="etc/b")(root)
    subprocess.run(["umount", root / "etc/a"], check=True)
    look.keep(source, manifest["digest"])
    assert not Path(place).exists()


@pytest.mark.parametrize("what", ["in place", "a new file", "a file is gone", "mode of the root", "identity"])
def test_what_changes_during_the_collection_is_not_kept(root: Path, place: str, what: str) -> None:
    look = begin(root, place)
    look._settled = tick(root)
    source, manifest = whole(root)
    CHANGES[what](root)
    look.keep(source, manifest["digest"])
    # A small file is known by what the collection found in it.
    assert begin(root, place).found() is None
    assert Path(place).exists() == (what == "in place")


@pytest.mark.parametrize("change", [CHANGES["in place"], CHANGES["mode"], CHANGES["owner"], CHANGES["attribute"]])
def test_a_file_that_services_touch_is_read_each_time(root: Path, place: str, change: Change) -> None:
    look = begin(root, place)
    look._settled = tick(root)
    (root / "etc/a").touch()
    source, manifest = whole(root)
    look.keep(source, manifest["digest"])
    for _ in range(2):
        assert says(begin(root, place).found()) == says(manifest)
        (root / "etc/a").touch()
    change(root)
    assert says(whole(root)[1]) != says(manifest)
    assert begin(root, place).found() is None


FRESH: dict[str, Change] = {
    "a folder": lambda root: (root / "srv/data").touch(),
    "a link": lambda root: os.utime(root / "etc/link", follow_symlinks=False),
    "what sections read": lambda root: (root / "etc/passwd").touch(),
    "identity": lambda root: (root / "etc/machine-id").touch(),
    "a secret": lambda root: (root / "etc/shadow").touch(),
    "a large file": lambda root: (root / "etc/b").write_bytes(bytes(unchanged._FRESH_SIZE + 1)),
    "a pipe": lambda root: (root / "srv/pipe").touch(),
}


@pytest.mark.parametrize("what", FRESH)
def test_what_changed_just_now_is_not_kept(root: Path, place: str, what: str) -> None:
    look = begin(root, place)
    look._settled = tick(root)
    FRESH[what](root)
    source, manifest = whole(root)
    look.keep(source, manifest["digest"])
    assert not Path(place).exists()


def test_only_a_few_files_are_read_each_time(root: Path, place: str) -> None:
    for number in range(unchanged._FRESH + 1):
        (root / "var/lib" / str(number)).write_bytes(b"")
    look = begin(root, place)
    look._settled = tick(root)
    for number in range(unchanged._FRESH + 1):
        (root / "var/lib" / str(number)).touch()
        source, manifest = whole(root)
        look.keep(source, manifest["digest"])
        assert Path(place).exists() == (number < unchanged._FRESH)
        Path(place).unlink(missing_ok=True)


def test_a_minute_must_have_passed(root: Path, place: str) -> None:
    keep(root, place, later=59 * 10**9)
    assert not Path(place).exists()
    keep(root, place, later=61 * 10**9)
    assert Path(place).exists()


def test_what_could_not_be_read_is_not_kept(root: Path, place: str) -> None:
    look = begin(root, place)
    source, manifest = whole(root)
    source.warnings.append("etc/a: can't be read")
    look.keep(source, manifest["digest"])
    assert not Path(place).exists()


def test_a_time_too_far_ahead_to_be_kept(root: Path, place: str) -> None:
    before = keep(root, place)
    os.utime(root / "etc/a", ns=(0, 1 << 63))
    assert begin(root, place).found() is None
    Path(place).unlink()
    assert says(keep(root, place)) == says(before)
    assert not Path(place).exists()


def test_a_mounted_secret_is_not_kept(root: Path, place: str) -> None:
    look = begin(root, place)
    source, manifest = whole(root)
    source.entries["/etc/shadow"] = tree.Entry(tree.MOUNT)
    look.keep(source, manifest["digest"])
    assert not Path(place).exists()


def test_a_mounted_file_that_changed_between_readings_is_not_kept(root: Path, place: str) -> None:
    look = begin(root, place)
    source, manifest = whole(root)
    source.entries["/etc/a"] = tree.Entry(tree.MOUNT)
    source.opened["/etc/a"] = {"one", "two"}
    look.keep(source, manifest["digest"])
    assert not Path(place).exists()


def test_another_version_s_is_not_taken(root: Path, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(root, place)
    assert begin(root, place, "v2").found() is None
    assert begin(root, place, "v1").found() is not None
    monkeypatch.setattr(sys, "version", "4.0")
    assert begin(root, place, "v1").found() is None


@pytest.mark.parametrize("step", [-86400 * 10**9, -(10**9), -20_000, 20_000, 10**9])
def test_a_clock_that_was_set_drops_it(root: Path, place: str, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    keep(root, place)
    look = begin(root, place)
    source, manifest = whole(root)
    real = time.clock_gettime_ns
    monkeypatch.setattr(
        time, "clock_gettime_ns", lambda clock: real(clock) + (step if clock == time.CLOCK_REALTIME else 0)
    )
    assert begin(root, place).found() is None
    Path(place).unlink()
    # Nor is it kept where that happened meanwhile.
    look.keep(source, manifest["digest"])
    assert not Path(place).exists()


def test_another_boot_drops_it(root: Path, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(root, place)
    state = cache.current()
    assert state is not None
    monkeypatch.setattr(cache, "current", lambda: {**state, "boot": "another"})
    assert begin(root, place).found() is None


def test_it_is_root_s_alone_and_damage_drops_it(root: Path, place: str) -> None:
    keep(root, place)
    assert (Path(place).stat().st_mode & 0o777, list(Path(place).parent.iterdir())) == (0o600, [Path(place)])
    good = Path(place).read_bytes()
    flipped = good[:200] + bytes([good[200] ^ 1]) + good[201:]
    for damaged in (b"", good[:-1], good[:30], good + b"x", flipped, b"x" + good[1:]):
        Path(place).write_bytes(damaged)
        assert begin(root, place).found() is None
    Path(place).write_bytes(good)
    assert begin(root, place).found() is not None
    Path(place).chmod(0o644)
    assert begin(root, place).found() is None
    Path(place).chmod(0o600)
    os.chown(place, 1, 1)
    assert begin(root, place).found() is None


def test_only_where_the_file_system_keeps_times(root: Path, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "usable", lambda _mountinfo: False)
    assert unchanged.begin("v1", str(root), place) is None


def test_a_machine_that_differs_gets_its_answer_again_when_it_is_asked_the_same(root: Path, place: str) -> None:
    expected = {"digest": "sha256:other", "sections": {}, "runtime": {}}
    manifest = whole(root)[1]
    told = expect.sections(manifest, expected)
    keep(root, place, sections=told, asked="this")
    assert begin(root, place).found("this", expected)["sections"] == json.loads(document.canonical(told))
    assert begin(root, place).found("that", expected) is None
    as_it_is = {**expected, "digest": manifest["digest"]}
    assert begin(root, place).found("that", as_it_is)["sections"] is None
    assert begin(root, place).found()["digest"] == manifest["digest"]


def test_a_file_is_seen_as_in_the_whole_tree(root: Path, place: str) -> None:
    """Identity and runtime ask both trees the same."""
    mount("etc/a", source="etc/b")(root)
    keep(root, place)
    kept, seen = unchanged._parse(Path(place).read_bytes())
    some = unchanged._Seen(str(root), seen, kept["fresh"], kept["mounts"])
    every, _manifest = whole(root)
    for path in [*every.entries, "/absent", "/dev/null", "/etc/link/x", "/var/log/syslog", "/etc/../etc/b"]:
        assert some.resolve(path) == every.resolve(path)
        assert some.read(path) == every.read(path)
        assert some.children(path) == every.children(path)
        one, other = some.entries.get(path), every.entries.get(path)
        assert (one is None) == (other is None)
        if one and other:
            for what in ("type", "mode", "uid", "gid", "target"):
                assert getattr(one, what) == getattr(other, what)
    assert identity.collect(some) == identity.collect(every)


def test_the_command_keeps_and_takes(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """On request, of a live machine that is asked for differences or its record, with leave to keep something."""
    found, kept = [], []

    class Look:
        def found(self, *asked: Any) -> Any:
            found.append(asked)
            return {"schema": "x", "digest": "d", "identity": {}, "runtime": {"a": 1}, "warnings": [], "sections": None}

        def keep(self, *what: Any) -> None:
            kept.append(what)

    begun = []
    monkeypatch.setattr(unchanged, "begin", lambda sources: begun.append(sources) or Look())
    monkeypatch.setattr(command, "_collect", lambda _options, _scope: pytest.fail("the whole was collected"))
    expected = '{"digest": "d", "sections": {}, "runtime": {}}'
    monkeypatch.setattr(sys, "stdin", io.StringIO(expected))
    assert command.main(["--expect", "--sources", "v"]) == 0
    assert json.loads(capsys.readouterr().out)["runtime"] == {"a": 1}
    assert found[0][1] == json.loads(expected)
    assert command.main(["--record", "--sources", "v"]) == 0
    assert json.loads(capsys.readouterr().out)["state"]
    assert begun == ["v", "v"]
    for arguments in (["--record"], ["--record", "--sources", "v", "--no-cache"], ["--sources", "v"]):
        with pytest.raises(pytest.fail.Exception):
            command.main(arguments)
    assert (len(begun), kept) == (2, [])
