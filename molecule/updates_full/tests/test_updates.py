"""The role updates. It listed hostname, gzip and tar before, and somebody held sed and hostname by hand."""

from __future__ import annotations

import json
from typing import Any

import pytest

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
        key, _, value = line.partition(" ")
        found.setdefault(key, []).append(value.strip('";'))
    return found


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("APT::Periodic::Update-Package-Lists", ["1"]),
        ("APT::Periodic::Unattended-Upgrade", ["1"]),
        ("Unattended-Upgrade::Package-Blacklist::", ["linux-"]),
        ("Unattended-Upgrade::Remove-Unused-Dependencies", ["true"]),
        ("Unattended-Upgrade::Automatic-Reboot", ["true"]),
        ("Unattended-Upgrade::Automatic-Reboot-WithUsers", ["false"]),
        ("Unattended-Upgrade::Automatic-Reboot-Time", ["04:30"]),
    ],
)
def test_setting_is_effective(settings: dict[str, list[str]], key: str, values: list[str]) -> None:
    assert settings[key] == values


def test_upgrades_come_from_these_archives_and_no_other(host: Any) -> None:
    name = host.check_output(". /etc/os-release; echo $VERSION_CODENAME")
    assert json.loads(host.check_output("/usr/bin/python3 -c %s", ASK)) == [
        f"origin=Debian,codename={name},label=Debian",
        f"origin=Debian,codename={name}-updates",
        f"origin=Debian,codename={name}-security,label=Debian-Security",
        f"origin=Example,codename={name}",
    ]


@pytest.mark.parametrize("timer", ["apt-daily.timer", "apt-daily-upgrade.timer"])
def test_timers_run_now_and_after_a_boot(host: Any, timer: str) -> None:
    assert host.check_output("systemctl is-active %s", timer) == "active"
    assert host.check_output("systemctl is-enabled %s", timer) == "enabled"


def test_held_is_what_is_listed_and_what_somebody_held_by_hand(host: Any, variables: dict[str, Any]) -> None:
    held = set(host.check_output("apt-mark showhold").split())
    assert held == {*variables["updates_held_packages"], "hostname", "sed"}


def test_apt_leaves_a_held_package_alone(host: Any, variables: dict[str, Any]) -> None:
    name = variables["updates_held_packages"][0]
    tried = host.run("apt-get --simulate --yes remove %s", name)
    assert tried.rc == 100
    assert "Held packages were changed" in tried.stderr
