"""The role ssh."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture(scope="module")
def effective(host: Any) -> dict[str, list[str]]:
    """What the daemon makes of all its files."""
    settings: dict[str, list[str]] = {}
    for line in host.check_output("/usr/sbin/sshd -T").splitlines():
        key, _, value = line.partition(" ")
        settings.setdefault(key, []).append(value)
    return settings


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("port", "22"),
        ("permitrootlogin", "without-password"),
        ("passwordauthentication", "no"),
        ("kbdinteractiveauthentication", "no"),
        ("x11forwarding", "no"),
        ("maxauthtries", "4"),
        ("allowagentforwarding", "no"),
        ("clientaliveinterval", "120"),
    ],
)
def test_setting_is_effective(effective: dict[str, list[str]], key: str, value: str) -> None:
    assert effective[key] == [value]


def test_only_the_named_may_log_in(effective: dict[str, list[str]], variables: dict[str, Any]) -> None:
    assert effective["allowusers"] == variables["ssh_allow_users"]


def test_daemon_answers(host: Any) -> None:
    assert host.service("ssh").is_running
    assert host.service("ssh").is_enabled
    code = "import socket; print(socket.create_connection(('127.0.0.1', 22), 10).recv(7).decode())"
    assert host.check_output("/usr/bin/python3 -c %s", code) == "SSH-2.0"


def test_machine_has_host_keys_and_the_unit_that_made_them(host: Any) -> None:
    for kind in ("rsa", "ecdsa", "ed25519"):
        assert host.file(f"/etc/ssh/ssh_host_{kind}_key").mode == 0o600
    unit = host.check_output("systemctl show goldsmith-host-keys.service -p Result -p ActiveState -p UnitFileState")
    assert set(unit.splitlines()) == {"Result=success", "ActiveState=active", "UnitFileState=enabled"}


def test_host_keys_come_before_the_daemon(host: Any) -> None:
    before = host.check_output("systemctl show goldsmith-host-keys.service -p Before --value").split()
    assert {"ssh.service", "ssh.socket"} <= set(before)
