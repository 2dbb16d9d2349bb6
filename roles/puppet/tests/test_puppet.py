"""The role puppet. What a manifest does is its own affair."""

from __future__ import annotations

from typing import Any


def test_puppet_runs(host: Any, variables: dict[str, Any]) -> None:
    assert host.check_output("%s --version", variables["puppet_program"])
    for name in variables["puppet_packages"]:
        assert host.package(name).is_installed, name


def test_agent_does_not_run_by_itself(host: Any) -> None:
    assert host.run("systemctl is-enabled puppet.service").stdout.strip() == "disabled"
    assert host.run("systemctl is-active puppet.service").stdout.strip() == "inactive"


def test_nothing_of_a_run_is_left_behind(host: Any) -> None:
    assert host.check_output("ls -d /var/lib/goldsmith-run-* 2>/dev/null || :") == ""
