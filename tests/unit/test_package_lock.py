"""The lock on the machine that is held to it: what is pinned, what is moved, what the mirror lacks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.goldsmith.core.plugins.module_utils import package_lock

LOCK = """\
# goldsmith.lock/1 web docker: what is in this image.
deb adduser 3.134 all
deb libc6 2.36-9+deb12u10 amd64
deb libc6 2.36-9+deb12u10 i386
deb vim 2:9.0.1378-2 amd64
pypi flask 3.1.3
"""
DPKG = """\
adduser all 3.134 installed
libc6 amd64 2.36-9+deb12u4 installed
vim amd64 2:9.0.1378-2 config-files
"""
SHOW = """\
Package: libc6
Status: install ok installed
Architecture: amd64
Version: 2.36-9+deb12u4
Description: GNU C Library: Shared libraries
 Contains the standard libraries.
 Filename: is not one

Package: libc6
Architecture: amd64
Version: 2.36-9+deb12u10
Filename: pool/main/g/glibc/libc6_2.36-9+deb12u10_amd64.deb

Package: libc6
Architecture: i386
Version: 2.36-9+deb12u10
Filename: pool/main/g/glibc/libc6_2.36-9+deb12u10_i386.deb

Package: vim
Architecture: amd64
Version: 2:9.0.1378-2+deb12u2
Filename: pool/main/v/vim/vim_9.0.1378-2+deb12u2_amd64.deb
"""


def test_entries_are_the_debian_packages() -> None:
    assert package_lock.entries(LOCK) == [
        ("adduser", "all", "3.134"),
        ("libc6", "amd64", "2.36-9+deb12u10"),
        ("libc6", "i386", "2.36-9+deb12u10"),
        ("vim", "amd64", "2:9.0.1378-2"),
    ]
    with pytest.raises(package_lock.LockError, match="deb vim"):
        package_lock.entries("deb vim\n")


def test_preferences() -> None:
    assert package_lock.preferences(package_lock.entries(LOCK)[:2]) == (
        "Package: adduser\nPin: version 3.134\nPin-Priority: 1001\n\n"
        "Package: libc6:amd64\nPin: version 2.36-9+deb12u10\nPin-Priority: 1001\n"
    )


def test_only_what_can_be_fetched_is_available() -> None:
    found = package_lock.available(SHOW)
    assert ("libc6", "amd64", "2.36-9+deb12u10") in found
    assert ("libc6", "i386", "2.36-9+deb12u10") in found
    assert ("libc6", "amd64", "2.36-9+deb12u4") not in found


class Machine:
    """Answers for dpkg and apt, and keeps what they were asked to change."""

    def __init__(self, show: str) -> None:
        self.show = show
        self.changed: list[list[str]] = []
        self.broken = False

    def __call__(self, command: list[str], good: tuple[int, ...] = (0,)) -> str:
        if command[0] == "dpkg-query":
            return DPKG
        if command[:2] == ["apt-cache", "show"]:
            assert command[2:] == ["libc6:amd64", "libc6:i386", "vim:amd64"]
            assert 100 in good
            return self.show
        if command[:2] == ["apt-mark", "showauto"]:
            return "libc6\nother\n"
        self.changed.append(command)
        if self.broken:
            raise package_lock.LockError("apt-get install: broken")
        return ""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    lists = tmp_path / "lists"
    lists.mkdir()
    (lists / "mirror_Packages").touch()
    monkeypatch.setattr(package_lock, "LISTS", str(lists))
    monkeypatch.setattr(package_lock, "PREFERENCES", str(tmp_path / "goldsmith-lock"))
    found = Machine(SHOW.replace("+deb12u2", ""))
    monkeypatch.setattr(package_lock, "_run", found)
    yield found
    assert not list(tmp_path.glob("*.part"))


def test_what_the_mirror_lacks_is_named_before_anything_is_changed(machine: Machine, tmp_path: Path) -> None:
    machine.show = SHOW
    with pytest.raises(package_lock.LockError, match=r"^the mirror no longer has vim:amd64 2:9\.0\.1378-2$"):
        package_lock.lock(LOCK)
    assert machine.changed == []
    assert not (tmp_path / "goldsmith-lock").exists()


def test_what_is_there_in_another_version_is_moved(machine: Machine, tmp_path: Path) -> None:
    assert package_lock.check(LOCK) == [("libc6", "amd64", "2.36-9+deb12u10")]
    assert machine.changed == []
    assert package_lock.lock(LOCK) == [("libc6", "amd64", "2.36-9+deb12u10")]
    install, mark = machine.changed
    assert install[:2] == ["apt-get", "install"]
    assert "--allow-downgrades" in install
    assert install[-1] == "libc6:amd64=2.36-9+deb12u10"
    assert mark == ["apt-mark", "auto", "libc6:amd64"]
    pins = tmp_path / "goldsmith-lock"
    assert pins.read_text() == package_lock.preferences(package_lock.entries(LOCK))
    assert pins.stat().st_mode & 0o777 == 0o644
    assert package_lock.unlock()
    assert not package_lock.unlock()
    assert not pins.exists()


def test_pins_are_gone_when_apt_fails(machine: Machine, tmp_path: Path) -> None:
    machine.broken = True
    with pytest.raises(package_lock.LockError, match="broken"):
        package_lock.lock(LOCK)
    assert not (tmp_path / "goldsmith-lock").exists()


def test_lists_are_fetched_where_there_are_none(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "lists/mirror_Packages").unlink()
    package_lock.check(LOCK)
    assert machine.changed == [["apt-get", "update"]]


def test_a_command_that_fails_says_why(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        package_lock, "_dpkg", lambda: package_lock._run(["sh", "-c", "echo no such thing >&2; exit 2"])
    )
    assert package_lock.main(LOCK) == 1
    assert capsys.readouterr().err == "error: sh -c: no such thing\n"
