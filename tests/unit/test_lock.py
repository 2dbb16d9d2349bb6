"""Locks: what stands in them, whom they bind, and what is said where they don't fit."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.goldsmith.core.plugins.module_utils import package_lock

from goldsmith import config, definition, lock, manifest
from goldsmith.errors import GoldsmithError, UsageError
from tests.paths import FIXTURES
from tests.unit.test_bom import ODD, made, package

WEB = "deb libc6 2.36-9 amd64\ndeb nginx 1.22.1-9 amd64\npypi flask 3.1.3\n"
DB = "deb libc6 2.36-9 amd64\ndeb postgresql 15 all\n"


@pytest.fixture
def project(tmp_path: Path) -> config.Project:
    (tmp_path / "goldsmith.yml").write_text("images:\n  web: {playbook: site.yml}\n")
    (tmp_path / "site.yml").write_text("")
    (tmp_path / "inventory").write_text("")
    return config.load(tmp_path)


def test_text() -> None:
    assert lock.text(ODD, "web", "docker") == (
        "# goldsmith.lock/1 web docker: what is in this image. Written by goldsmith build; --locked holds to it.\n"
        "deb half 1.0 amd64\n"
        "deb libc6 2.36-9 amd64\n"
        "deb libc6 2.36-9 i386\n"
        "deb libstdc++6 12.2.0-14+deb12u1 amd64\n"
        "deb libstdc--6 1 amd64\n"
        "deb vim 2:9.0.1378-2+b1 amd64\n"
        "gem rake 13.0.6\n"
        "generic tool 1.2.3\n"
        "npm @types/node 20.1.0\n"
        "npm left-pad 1.3.0\n"
        "pypi flask 2.0.0\n"
        "pypi flask 3.0.0\n"
        "pypi flask 3.1.0\n"
        "pypi many 1\n"
        "pypi nameless -\n"
    )


@pytest.mark.parametrize("found", [ODD, *sorted((FIXTURES / "manifests").glob("*.gz"))], ids=str)
def test_both_sides_read_it(found: manifest.Manifest | Path) -> None:
    if isinstance(found, Path):
        found = manifest.parse(gzip.decompress(found.read_bytes()), found.name)
    content = lock.text(found, "web", "docker")
    items = lock.parse(content, "lock")
    assert [(each.name, each.arch, each.version) for each in items if each.type == "deb"] == package_lock.entries(
        content
    )
    lock.check(content, found)


def test_lines_that_are_none_are_named() -> None:
    for line in ("deb nginx", "deb nginx 1", "pypi flask 1 amd64", "nonsense"):
        with pytest.raises(UsageError, match=f"web.lock:2: .*{line}"):
            lock.parse(f"# head\n{line}\n", "web.lock")


def test_an_image_that_is_not_what_its_lock_says() -> None:
    locked = lock.text(made({"a": package("1"), "b": package("1")}), "web", "docker")
    image = made({"a": package("2"), "c": package("1")}, {"/opt/x/flask": {"kind": "python", "version": "3"}})
    with pytest.raises(GoldsmithError) as caught:
        lock.check(locked, image)
    assert caught.value.message == (
        "the image is not what its lock says: b: 1 amd64 in the lock, not in the image; a: 1 amd64 in the lock, "
        "2 amd64 in the image; c: not in the lock, 1 amd64 in the image; flask: not in the lock, 3 in the image"
    )


def test_it_is_written_once_and_is_no_part_of_the_definition(project: config.Project) -> None:
    before = definition.digest(project, project.image("web"))
    with pytest.raises(UsageError) as caught:
        lock.load(project, "web", "qemu")
    assert "goldsmith build web --target qemu" in caught.value.hint
    lock.save(project, ODD, "web", "qemu")
    path = project.root / "locks/web.qemu.lock"
    assert lock.load(project, "web", "qemu") == path.read_text() == lock.text(ODD, "web", "qemu")
    written = path.stat()
    lock.save(project, ODD, "web", "qemu")
    assert path.stat().st_ino == written.st_ino
    assert definition.digest(project, project.image("web")) == before
    path.write_text("deb\n")
    with pytest.raises(UsageError, match="not a line of a lock"):
        lock.load(project, "web", "qemu")


def test_another_lock_is_another_image() -> None:
    keys = {definition.content_key("d", "b", {}, [], text) for text in ("", WEB, DB)}
    assert len(keys) == 3
    assert definition.content_key("d", "b", {}, []) in keys


def test_which_hosts_are_held_to_which_lock() -> None:
    locks = {"web": WEB, "db": DB}
    found = lock.of_hosts({"web": ["w1", "w2", "all"], "db": ["d1", "all"]}, locks)
    assert [hosts for hosts, _ in found] == [["w1", "w2"], ["all"], ["d1"]]
    assert found[1][1] == "deb libc6 2.36-9 amd64\ndeb nginx 1.22.1-9 amd64\ndeb postgresql 15 all\n"
    locks["db"] = DB.replace("2.36-9", "2.36-8")
    assert len(lock.of_hosts({"web": ["w1"], "db": ["d1"]}, locks)) == 2
    with pytest.raises(UsageError, match=r"web and db don't agree.*x is of both: libc6 is 2\.36-9 in one and 2\.36-8"):
        lock.of_hosts({"web": ["x"], "db": ["x"]}, locks)


def test_the_scripts_run_by_themselves(tmp_path: Path) -> None:
    content = WEB + "deb odd'\"\\n 1 all\n"
    [before] = lock.scripts(content, tmp_path)["scripts_before"]
    program = Path(before).read_text()
    assert program.startswith("#!/usr/bin/python3\n")
    # On a machine that has nothing, and whose mirror has nothing either.
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("dpkg-query", "apt-cache", "apt-get"):
        (tools / name).write_text("#!/bin/sh\n")
        (tools / name).chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-I", before], env={"PATH": str(tools)}, capture_output=True, text=True, check=False
    )
    missing = "libc6:amd64 2.36-9, nginx:amd64 1.22.1-9, odd'\"\\n 1"
    assert (done.returncode, done.stderr) == (1, f"error: the mirror no longer has {missing}\n")
    [after] = lock.scripts(content, tmp_path)["scripts_after"]
    assert package_lock.PREFERENCES in Path(after).read_text()
