"""What is sealed and has not booted since."""

from __future__ import annotations

from typing import Any


def found(host: Any, *patterns: str) -> list[str]:
    return sorted(host.check_output(f"ls -d {' '.join(patterns)} 2>/dev/null || :").splitlines())


def test_it_has_no_identity(host: Any) -> None:
    assert host.check_output("stat -c '%F, %U' /etc/machine-id") == "regular empty file, root"
    link = host.run("readlink /var/lib/dbus/machine-id").stdout.strip()
    assert link == "/etc/machine-id" or not host.file("/var/lib/dbus/machine-id").exists
    assert found(host, "/var/lib/systemd/random-seed", "/var/lib/systemd/credential.secret") == []


def test_it_has_no_name_of_its_own_making(host: Any) -> None:
    made = host.check_output("grep ^hostname= /etc/goldsmith/first-boot.conf") != "hostname=''"
    assert (host.check_output("cat /etc/hostname") == "") is made


def test_it_has_no_host_keys_and_will_make_new_ones(host: Any) -> None:
    assert found(host, "/etc/ssh/ssh_host_*") == []
    assert "host key" in host.check_output("/usr/local/sbin/goldsmith-first-boot --check")


def test_package_lists_are_as_asked(host: Any, variables: dict[str, Any]) -> None:
    assert bool(found(host, "/var/lib/apt/lists/*")) is not variables["seal_package_lists"]
    assert found(host, "/var/cache/apt/*.bin") == []


def test_logs_are_empty(host: Any) -> None:
    # The connection of this test may be noted in the lists of logins.
    assert host.check_output("find /var/log -type f -size +0 ! -name wtmp ! -name lastlog ! -name btmp") == ""


def test_keys_of_whom_nothing_was_said_stay(host: Any, variables: dict[str, Any]) -> None:
    assert host.file("/root/.ssh/authorized_keys").exists is ("root" not in variables["seal_authorized_keys_of"])
