"""The role python_app: the application that the variables name, as it runs."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

# What a virtual environment holds, by name.
LIBRARIES = """
import importlib.metadata as m, json, re
print(json.dumps({re.sub(r"[-_.]+", "-", d.metadata["Name"]).lower(): d.version for d in m.distributions()}))
"""
# All files below a folder: whose they are, whether they run, and their digests.
FILES = """
import hashlib, json, pathlib, sys
root = pathlib.Path(sys.argv[1]).resolve()
print(json.dumps({str(p.relative_to(root)): [p.owner(), p.group(), bool(p.stat().st_mode & 0o100),
    bool(p.stat().st_mode & 0o022), hashlib.sha256(p.read_bytes()).hexdigest()]
    for p in root.rglob("*") if p.is_file() and not p.is_symlink() and "__pycache__" not in p.parts}))
"""
# The fifth byte holds the flags; 3 is: by hash, and checked. By time, two machines would differ.
BYTECODE = """
import pathlib, sys
print(sorted({p.read_bytes()[4] for p in pathlib.Path(sys.argv[1]).resolve().rglob("*.pyc")}))
"""
LEFT_OUT = {"__pycache__", ".git", ".venv", "venv", ".pytest_cache", ".mypy_cache", ".ruff_cache"}


@pytest.fixture(scope="module")
def name(variables: dict[str, Any]) -> str:
    if not variables["python_app_name"]:
        pytest.skip("this machine has no application, so the role does nothing")
    return str(variables["python_app_name"])


@pytest.fixture(scope="module")
def current(name: str, variables: dict[str, Any]) -> str:
    """The release that runs."""
    return f"{variables['python_app_root']}/current"


@pytest.fixture(scope="module")
def pid(host: Any, name: str) -> str:
    return str(host.check_output("systemctl show %s.service --property=MainPID --value", name))


@pytest.fixture(scope="module")
def settings(variables: dict[str, Any]) -> dict[str, Any]:
    """What the unit's part about the service must say."""
    return {**variables["_python_app_service"], **variables["python_app_service"]}


def test_application_is_healthy(host: Any, name: str, fetch: Any, variables: dict[str, Any]) -> None:
    assert host.service(name).is_running
    if variables["python_app_health_url"]:
        assert fetch(variables["python_app_health_url"])[0] == 200


def test_it_comes_back_after_a_boot(host: Any, name: str) -> None:
    assert host.service(name).is_enabled


def test_the_process_is_the_command_that_is_named(host: Any, pid: str, current: str, variables: dict[str, Any]) -> None:
    words = host.check_output("tr '\\0' '\\n' </proc/%s/cmdline", pid).splitlines()
    asked = shlex.split(variables["python_app_command"])
    assert words[-len(asked) + 1 :] == asked[1:] or len(asked) == 1
    assert f"{current}/venv/bin/{asked[0]}" in words[:2]


def test_the_process_is_younger_than_what_it_runs(host: Any, name: str, current: str) -> None:
    started = host.check_output("systemctl show %s.service --property=ExecMainStartTimestamp --value", name)
    began = int(host.check_output("date --date=%s +%%s", started))
    for path in (current, f"/etc/default/{name}", f"/etc/systemd/system/{name}.service"):
        assert began >= int(host.check_output("stat --format=%%Y %s", path)), path


def test_the_process_has_the_environment_that_is_listed(
    host: Any, pid: str, name: str, variables: dict[str, Any]
) -> None:
    has = set(host.check_output("tr '\\0' '\\n' </proc/%s/environ", pid).splitlines())
    missing = [key for key, value in variables["python_app_environment"].items() if f"{key}={value}" not in has]
    assert missing == []


def test_only_root_reads_its_environment(host: Any, name: str) -> None:
    file = host.file(f"/etc/default/{name}")
    assert (file.user, file.group, file.mode) == ("root", "root", 0o600)


def test_files_are_those_of_the_source(host: Any, current: str, variables: dict[str, Any]) -> None:
    root = Path(variables["python_app_source"])
    wanted = {}
    for path in root.rglob("*"):
        parts = path.relative_to(root).parts
        if path.is_symlink() or not path.is_file() or LEFT_OUT & set(parts) or path.name.endswith((".pyc", "~")):
            continue
        runs = bool(path.stat().st_mode & 0o100)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        wanted["/".join(parts)] = ["root", "root", runs, False, digest]
    assert wanted
    assert json.loads(host.check_output("/usr/bin/python3 -c %s %s", FILES, f"{current}/app")) == wanted


def test_its_libraries_are_the_pinned_ones(host: Any, current: str, variables: dict[str, Any]) -> None:
    pinned, always = {}, set()
    if variables["python_app_requirements"]:
        text = Path(variables["python_app_source"], variables["python_app_requirements"]).read_text(encoding="utf-8")
        for library, version, condition in re.findall(
            r"^([\w.-]+)(?:\[.*?\])?==([^\s;]+)([^\n\\]*)", text, re.MULTILINE
        ):
            pinned[re.sub(r"[-_.]+", "-", library).lower()] = version
            if ";" not in condition:
                always.add(re.sub(r"[-_.]+", "-", library).lower())
    found = json.loads(host.check_output("%s/venv/bin/python -I -c %s", current, LIBRARIES))
    assert found.items() <= pinned.items()
    assert always <= found.keys()


def test_packages_it_needs_are_installed(host: Any, name: str, variables: dict[str, Any]) -> None:
    assert [each for each in variables["python_app_packages"] if not host.package(each).is_installed] == []


def test_its_interpreter_is_the_one_that_is_named(host: Any, current: str, variables: dict[str, Any]) -> None:
    code = "import sys; print(sys.version, sys.base_prefix)"
    mine = host.check_output("%s/venv/bin/python -I -c %s", current, code)
    assert mine == host.check_output("%s -I -c %s", variables["python_app_python"], code)


def test_its_user_can_do_nothing_else(host: Any, name: str) -> None:
    user = host.user(name)
    assert (user.shell, user.home) == ("/usr/sbin/nologin", "/nonexistent")
    assert user.uid < 1000
    assert user.groups == [name]


def test_it_runs_as_the_unit_says(host: Any, name: str, pid: str, settings: dict[str, Any]) -> None:
    shown = host.check_output("systemctl show --all %s.service", name).splitlines()
    has = dict(line.split("=", 1) for line in shown if "=" in line)
    for key, value in settings.items():
        if isinstance(value, bool):
            assert has[key] == ("yes" if value else "no"), key
        elif key in {"User", "Group", "ProtectSystem", "UMask", "WorkingDirectory", "Restart", "CapabilityBoundingSet"}:
            assert has[key] == value, key
    assert has["FragmentPath"] == f"/etc/systemd/system/{name}.service"
    assert has["NeedDaemonReload"] == "no"
    file = host.file(has["FragmentPath"])
    assert (file.user, file.group, file.mode) == ("root", "root", 0o644)


def test_the_process_has_no_rights(host: Any, name: str, pid: str, settings: dict[str, Any]) -> None:
    status = dict(re.findall(r"^(\w+):\t(\S+)", host.check_output("cat /proc/%s/status", pid), re.MULTILINE))
    assert status["Uid"] == str(host.user(settings["User"]).uid)
    if settings["CapabilityBoundingSet"] == "":
        assert status["CapBnd"] == "0000000000000000"
    assert status["NoNewPrivs"] == str(int(settings["NoNewPrivileges"]))


def test_it_cannot_write_where_it_was_given_no_place(host: Any, pid: str, settings: dict[str, Any]) -> None:
    if settings["ProtectSystem"] == "strict":
        mounts = [line.split() for line in host.check_output("cat /proc/%s/mountinfo", pid).splitlines()]
        assert "ro" in [mount[5] for mount in mounts if mount[4] == "/"][-1].split(",")


def test_nothing_of_the_installation_is_left(host: Any, current: str, variables: dict[str, Any]) -> None:
    releases = host.file(f"{variables['python_app_root']}/releases").listdir()
    assert len(releases) == 1
    assert host.check_output("readlink %s", current) == f"releases/{releases[0]}"
    folder = host.file(f"{variables['python_app_root']}/releases/{releases[0]}")
    assert (folder.user, folder.group, folder.mode) == ("root", "root", 0o755)
    assert sorted(folder.listdir()) == ["app", "venv"]
    assert not host.file("/root/.cache").exists


def test_bytecode_names_its_source_by_hash(host: Any, current: str) -> None:
    assert host.check_output("/usr/bin/python3 -c %s %s", BYTECODE, current) == "[3]"
