"""The role python_app, with the sample application."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def pinned(variables: dict[str, Any]) -> dict[str, str]:
    """What the application's requirements.txt says, by name."""
    text = Path(variables["python_app_source"], "requirements.txt").read_text(encoding="utf-8")
    return {name.lower(): version for name, version in re.findall(r"^([A-Za-z0-9_.-]+)==(\S+)", text, re.MULTILINE)}


def test_application_is_healthy_behind_nginx(fetch: Any, pinned: dict[str, str]) -> None:
    status, headers, text = fetch("http://127.0.0.1/health")
    assert (status, headers["Content-Type"]) == (200, "application/json")
    state = json.loads(text)
    assert state["status"] == "ok"
    assert state["dependencies"]["flask"] == pinned["flask"]


def test_application_gets_its_environment(fetch: Any, variables: dict[str, Any]) -> None:
    assert fetch("http://127.0.0.1/")[2] == f"{variables['python_app_environment']['HELLO_GREETING']}\n"


def test_environment_has_exactly_the_pinned_libraries(fetch: Any, pinned: dict[str, str]) -> None:
    page = json.loads(fetch("http://127.0.0.1/", Accept="application/json")[2])
    assert page["libraries"] == dict(sorted(pinned.items()))


def test_application_listens_on_loopback_only(host: Any) -> None:
    assert host.socket("tcp://127.0.0.1:8000").is_listening
    assert not host.socket("tcp://0.0.0.0:8000").is_listening


def test_application_runs_as_its_own_user_without_rights(host: Any, variables: dict[str, Any]) -> None:
    name = variables["python_app_name"]
    show = host.check_output("systemctl show %s -p User -p NoNewPrivileges -p ProtectSystem -p UnitFileState", name)
    assert set(show.splitlines()) == {
        f"User={name}",
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "UnitFileState=enabled",
    }
    pid = host.check_output("systemctl show %s -p MainPID --value", name)
    status = host.file(f"/proc/{pid}/status").content_string
    assert re.search(rf"^Uid:\t{host.user(name).uid}\b", status, re.MULTILINE)
    assert "CapBnd:\t0000000000000000" in status


def test_only_root_reads_its_environment(host: Any, variables: dict[str, Any]) -> None:
    file = host.file(f"/etc/default/{variables['python_app_name']}")
    assert (file.user, file.mode) == ("root", 0o600)


def test_nothing_of_the_installation_is_left(host: Any, variables: dict[str, Any]) -> None:
    root = f"/opt/{variables['python_app_name']}"
    releases = host.file(f"{root}/releases").listdir()
    assert host.file(f"{root}/current").linked_to == f"{root}/releases/{releases[0]}"
    assert len(releases) == 1
    assert sorted(host.file(f"{root}/current/").listdir()) == ["app", "venv"]
    assert not host.file("/root/.cache").exists


def test_bytecode_names_its_source_by_hash(host: Any, variables: dict[str, Any]) -> None:
    # The fifth byte holds the flags; 3 is: by hash, and checked. By time, two machines would differ.
    code = (
        "import pathlib,sys;"
        "print(sorted({p.read_bytes()[4] for p in pathlib.Path(sys.argv[1]).resolve().rglob('*.pyc')}))"
    )
    assert host.check_output("/usr/bin/python3 -c %s %s", code, f"/opt/{variables['python_app_name']}/current") == "[3]"
