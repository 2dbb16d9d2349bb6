"""The role users."""

from __future__ import annotations

from typing import Any

import pytest


def test_accounts_are_there_in_order(host: Any, variables: dict[str, Any]) -> None:
    accounts = [host.user(entry["name"]) for entry in variables["users_accounts"]]
    numbers = [account.uid for account in accounts]
    assert numbers == sorted(numbers)
    assert [account.shell for account in accounts] == ["/bin/bash"] * len(accounts)


def test_accounts_are_in_their_groups(host: Any, variables: dict[str, Any]) -> None:
    for entry in variables["users_accounts"]:
        extra = set(host.user(entry["name"]).groups) - {entry["name"]}
        assert extra == set(entry.get("groups", []))


def test_no_account_has_a_password(host: Any, variables: dict[str, Any]) -> None:
    with host.sudo():
        assert {host.user(entry["name"]).password for entry in variables["users_accounts"]} == {"*"}


@pytest.mark.parametrize(("name", "may"), [("ops", True), ("guest", False)])
def test_only_the_operator_becomes_root(host: Any, name: str, may: bool) -> None:
    answer = host.run("runuser -u %s -- sudo --non-interactive id --user", name)
    assert (answer.rc == 0 and answer.stdout.strip() == "0") is may


def test_sudo_rules_are_sound(host: Any) -> None:
    assert host.run("visudo --check --quiet").rc == 0
    assert host.file("/etc/sudoers.d/goldsmith").mode == 0o440


def test_keys_belong_to_their_account(host: Any) -> None:
    keys = host.file("/home/ops/.ssh/authorized_keys")
    if keys.exists:
        assert (keys.user, keys.mode) == ("ops", 0o600)
    assert not host.file("/home/guest/.ssh/authorized_keys").exists
