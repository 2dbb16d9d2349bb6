"""The role chef. What cookbooks do is their own affair."""

from __future__ import annotations

from typing import Any


def test_client_is_there(host: Any, variables: dict[str, Any]) -> None:
    for name in variables["chef_packages"]:
        assert host.package(name).is_installed, name
    if variables["chef_run_list"]:
        assert host.run("command -v %s", variables["chef_client"]).rc == 0


def test_nothing_of_a_run_is_left_behind(host: Any) -> None:
    assert host.check_output("ls -d /var/lib/goldsmith-run-* 2>/dev/null || :") == ""
