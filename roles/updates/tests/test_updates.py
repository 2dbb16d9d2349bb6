"""The role updates: what apt makes of all its files, and what unattended-upgrade would do."""

from __future__ import annotations

import json
from typing import Any

import pytest

POLICY = "/etc/apt/apt.conf.d/60goldsmith-updates"
RECORD = "/var/lib/goldsmith/held-packages"
ASK = """
import importlib.machinery, importlib.util, json
loader = importlib.machinery.SourceFileLoader("uu", "/usr/bin/unattended-upgrade")
uu = importlib.util.module_from_spec(importlib.util.spec_from_loader("uu", loader))
loader.exec_module(uu)
print(json.dumps(uu.get_allowed_origins()))
"""


@pytest.fixture(scope="module")
def settings(host: Any) -> dict[str, list[str]]:
    """What apt makes of all its files."""
    found: dict[str, list[str]] = {}
    for line in host.check_output("apt-config dump").splitlines():
        key, _space, value = line.partition(" ")
        found.setdefault(key, []).append(value.strip('";'))
    return found


@pytest.fixture(scope="module")
def on(variables: dict[str, Any]) -> bool:
    return bool(variables["updates_policy"] != "none")


def word(value: bool) -> str:
    return "true" if value else "false"


def test_settings_are_the_last_word(settings: dict[str, list[str]], variables: dict[str, Any], on: bool) -> None:
    wanted = {
        "APT::Periodic::Enable": "1",
        "APT::Periodic::Update-Package-Lists": str(int(on)),
        "APT::Periodic::Unattended-Upgrade": str(int(on)),
        "Unattended-Upgrade::Remove-Unused-Dependencies": word(variables["updates_remove_unused"]),
        "Unattended-Upgrade::Remove-Unused-Kernel-Packages": word(variables["updates_remove_unused"]),
        "Unattended-Upgrade::Automatic-Reboot": word(variables["updates_reboot"] != "never"),
        "Unattended-Upgrade::Automatic-Reboot-WithUsers": word(variables["updates_reboot"] == "even_with_users"),
        "Unattended-Upgrade::Automatic-Reboot-Time": variables["updates_reboot_time"],
    }
    assert {key: settings.get(key) for key in wanted} == {key: [value] for key, value in wanted.items()}
    assert settings.get("Unattended-Upgrade::Package-Blacklist::", []) == variables["updates_never"]


def test_upgrades_come_from_these_archives_and_no_other(host: Any, variables: dict[str, Any], on: bool) -> None:
    if not on:
        return
    name = host.check_output(". /etc/os-release; echo $VERSION_CODENAME")
    security = f"origin=Debian,codename={name}-security,label=Debian-Security"
    debian = [f"origin=Debian,codename={name},label=Debian", f"origin=Debian,codename={name}-updates", security]
    other = [each.replace("${distro_codename}", name) for each in variables["updates_origins"]]
    found = json.loads(host.check_output("/usr/bin/python3 -c %s", ASK))
    assert found == (debian if variables["updates_policy"] == "all" else [security]) + other


def test_what_would_be_upgraded_leaves_alone_what_is_never(host: Any, variables: dict[str, Any], on: bool) -> None:
    if not on:
        return
    said = host.run("unattended-upgrade --dry-run --verbose")
    assert said.rc == 0, said.stdout + said.stderr
    shown = said.stdout + said.stderr
    assert "Allowed origins are:" in shown
    for pattern in variables["updates_never"]:
        assert pattern in next(line for line in shown.splitlines() if "blacklist" in line.lower())


@pytest.mark.parametrize("timer", ["apt-daily.timer", "apt-daily-upgrade.timer"])
def test_timers_run_if_there_is_something_to_do(host: Any, timer: str, on: bool) -> None:
    assert host.run("systemctl is-active %s", timer).stdout.strip() == ("active" if on else "inactive")
    assert host.run("systemctl is-enabled %s", timer).stdout.strip() == ("enabled" if on else "disabled")


def test_what_is_listed_is_held(host: Any, variables: dict[str, Any]) -> None:
    listed = set(variables["updates_held_packages"])
    assert listed <= set(host.check_output("apt-mark showhold").split())
    for name in sorted(listed):
        tried = host.run("apt-get --simulate --yes remove %s", name)
        assert tried.rc == 100
        assert "held packages" in tried.stderr.lower()


def test_what_the_role_holds_is_recorded(host: Any, variables: dict[str, Any]) -> None:
    if not host.file(RECORD).exists:
        # Then somebody else holds what is listed, or nothing is.
        assert not variables["updates_held_packages"] or host.check_output("apt-mark showhold")
        return
    lines = host.file(RECORD).content_string.splitlines()
    recorded = {line for line in lines if line and not line.startswith("#")}
    assert recorded
    assert recorded <= set(variables["updates_held_packages"])
    file, folder = host.file(RECORD), host.file(RECORD.rpartition("/")[0])
    assert (file.user, file.group, file.mode) == ("root", "root", 0o644)
    assert (folder.user, folder.group, folder.mode) == ("root", "root", 0o755)


def test_only_root_writes_the_policy(host: Any) -> None:
    file = host.file(POLICY)
    assert (file.user, file.group, file.mode) == ("root", "root", 0o644)
