"""What the scripts of this scenario did."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def role_path() -> Path:
    return Path(__file__).parents[3] / "roles" / "scripts"


@pytest.fixture(scope="module")
def said(host: Any) -> dict[str, str]:
    return dict(line.split("=", 1) for line in host.file("/var/lib/example/installed").content_string.splitlines())


def test_environment_and_arguments_arrive_unchanged(said: dict[str, str], variables: dict[str, Any]) -> None:
    script = variables["scripts_run"][1]
    assert said["license"] == hashlib.sha256(script["environment"]["LICENSE"].encode()).hexdigest()
    assert said["verbose"] == "true"
    assert said["arguments"] == "|".join(script["arguments"])
    assert said["shell"] == "bash"


def test_surroundings_are_the_same_everywhere(said: dict[str, str]) -> None:
    assert said["environment"] == "HOME LANG LICENSE LOGNAME PATH PWD SHELL USER VERBOSE"
    assert (said["umask"], said["input"], said["mode"]) == ("0022", "0", "755:root")


def test_folder_of_the_script_is_gone(host: Any, said: dict[str, str]) -> None:
    assert said["folder"] == "/var/lib/goldsmith-run"
    assert host.run("ls -d /var/lib/goldsmith-run-*").stdout == ""


def test_secret_is_not_in_the_journal(host: Any, variables: dict[str, Any]) -> None:
    secret = variables["scripts_run"][1]["environment"]["LICENSE"]
    assert host.run("journalctl --output=cat | grep -F %s", secret).stdout == ""
    assert "carried_command" in host.check_output("journalctl --output=cat")


def test_script_ran_as_its_user(host: Any) -> None:
    own = host.file("/var/lib/example/own")
    assert (own.content_string, own.user, own.group) == ("daemon", "daemon", "daemon")
    assert host.file("/var/lib/example/groups").content_string == str(own.gid)


def test_those_without_guards_ran(host: Any) -> None:
    for name in ("by-code", "by-word"):
        assert host.file(f"/var/lib/example/{name}").exists
        assert host.file(f"/run/example-{name}").exists
