"""The role time. That the clock is kept is not provable in a container, which may not set it."""

from __future__ import annotations

from typing import Any


def test_configuration_names_the_servers(host: Any, variables: dict[str, Any]) -> None:
    read = host.run("/usr/sbin/chronyd -p -f /etc/chrony/chrony.conf")
    assert read.rc == 0, read.stderr
    pools = [line.split()[1] for line in read.stdout.splitlines() if line.startswith("pool ")]
    assert pools == variables["time_pools"]


def test_service_is_enabled_and_has_not_failed(host: Any) -> None:
    assert host.service("chrony").is_enabled
    assert host.run("systemctl is-failed chrony.service").stdout.strip() in {"active", "inactive"}
