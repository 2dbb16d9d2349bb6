"""The role seal: what holds of an image, before it boots and when it has."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture(autouse=True)
def _is_an_image(variables: dict[str, Any]) -> None:
    if variables.get("goldsmith_delivery") != "image":
        pytest.skip("only an image is sealed")


def found(host: Any, *patterns: str) -> list[str]:
    return sorted(host.check_output(f"ls -d {' '.join(patterns)} 2>/dev/null || :").splitlines())


def test_what_makes_a_new_identity_is_there(host: Any) -> None:
    if host.file("/usr/sbin/sshd").exists:
        assert host.check_output("systemctl is-enabled goldsmith-first-boot.service") == "enabled"


def test_keys_of_the_build_are_gone(host: Any, variables: dict[str, Any]) -> None:
    for name in variables["seal_authorized_keys_of"]:
        home = host.check_output("getent passwd %s", name).split(":")[5]
        assert found(host, f"{home}/.ssh/authorized_keys*") == []


def test_packages_that_were_fetched_are_gone_and_lists_as_asked(host: Any, variables: dict[str, Any]) -> None:
    assert found(host, "/var/cache/apt/archives/*.deb") == []
    if variables["seal_package_lists"]:
        assert found(host, "/var/lib/apt/lists/*_*") == []


def test_histories_and_leases_of_the_build_are_gone(host: Any) -> None:
    assert found(host, "/root/.*_history", "/home/*/.*_history", "/root/.cache/pip", "/var/lib/dhcp/*.leases") == []


def test_logs_of_the_build_are_gone(host: Any) -> None:
    # A machine's journal lies in a folder of its machine id's name.
    own = host.check_output("cat /etc/machine-id")
    assert set(host.check_output("ls /var/log/journal 2>/dev/null || :").split()) <= {own}
    assert host.check_output("find /var/log -name '*.gz' -o -name '*.[0-9]' -o -name '*.old'") == ""


def test_messages_of_the_build_do_not_wait_to_be_sent(host: Any) -> None:
    # A machine that sends keeps its own here, while nobody answers.
    if not host.file("/etc/rsyslog.d/99-goldsmith.conf").exists:
        assert found(host, "/var/spool/rsyslog/*") == []
