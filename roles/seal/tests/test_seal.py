"""The role seal. An image that has booted is a machine with an identity of its own again, and so is a live host."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture(autouse=True)
def _becomes_an_image(variables: dict[str, Any]) -> None:
    if variables.get("goldsmith_delivery") != "image":
        pytest.skip("only a machine that becomes an image is sealed")


def found(host: Any, *patterns: str) -> list[str]:
    return sorted(host.check_output(f"ls -d {' '.join(patterns)} 2>/dev/null || :").splitlines())


def test_it_has_no_identity(host: Any) -> None:
    assert host.check_output("stat -c '%F, %U' /etc/machine-id") == "regular empty file, root"
    link = host.run("readlink /var/lib/dbus/machine-id").stdout.strip()
    assert link == "/etc/machine-id" or not host.file("/var/lib/dbus/machine-id").exists
    assert found(host, "/var/lib/systemd/random-seed", "/var/lib/systemd/credential.secret") == []


def test_it_has_no_host_keys_and_what_makes_new_ones(host: Any) -> None:
    assert found(host, "/etc/ssh/ssh_host_*") == []
    assert host.check_output("systemctl is-enabled goldsmith-first-boot.service") == "enabled"
    assert "host key" in host.check_output("/usr/local/sbin/goldsmith-first-boot --check")


def test_keys_of_the_build_are_gone(host: Any, variables: dict[str, Any]) -> None:
    for name in variables["seal_authorized_keys_of"]:
        home = host.check_output("getent passwd %s", name).split(":")[5]
        assert found(host, f"{home}/.ssh/authorized_keys*") == []


def test_package_lists_are_as_asked(host: Any, variables: dict[str, Any]) -> None:
    assert bool(found(host, "/var/lib/apt/lists/*")) is not variables["seal_package_lists"]
    assert found(host, "/var/cache/apt/archives/*.deb", "/var/cache/apt/*.bin") == []


def test_what_was_written_while_it_was_made_is_gone(host: Any) -> None:
    homes = [f"{home}/{name}" for home in ("/root", "/home/*") for name in (".*_history", ".ansible/tmp/ansible-tmp-*")]
    assert found(host, *homes, "/var/lib/dhcp/*.leases", "/var/log/journal/*") == []
    # The connection of this test may be noted in the lists of logins.
    assert host.check_output("find /var/log -type f -size +0 ! -name wtmp ! -name lastlog ! -name btmp") == ""
