"""The role os."""

from __future__ import annotations

from typing import Any

import pytest

# As the programs of somebody who has just logged in see it.
LOGIN = "su --login nobody --shell /bin/sh --command %s"


def test_packages_are_installed_and_purged(host: Any, variables: dict[str, Any]) -> None:
    for name in [*variables["os_packages"], "tzdata", *(["locales"] if variables["os_locales"] else [])]:
        assert host.package(name).is_installed, name
    for name in variables["os_packages_absent"]:
        # Its settings are gone too.
        assert host.run("dpkg-query --show --showformat='${db:Status-Status}' %s", name).stdout in {
            "",
            "not-installed",
        }, name


def test_files_are_roots(host: Any) -> None:
    files = "/etc/default/locale /etc/timezone /etc/sysctl.d/90-goldsmith.conf"
    assert set(host.check_output(f"stat -L -c '%U %G %a' {files}").splitlines()) == {"root root 644"}


# Language and time zone


def test_locales_are_generated(host: Any, variables: dict[str, Any]) -> None:
    for locale in variables["os_locales"]:
        # Where it is not generated, C remains, and the program complains.
        shown = host.run("LC_ALL=%s locale charmap", locale)
        assert (shown.stdout.strip(), shown.stderr) == (locale.partition(".")[2] or "ISO-8859-1", "")


def test_who_logs_in_gets_the_default_locale(host: Any, variables: dict[str, Any]) -> None:
    # Past the variables of this connection, which the tests' own machine may have sent.
    shown = host.run("env --ignore-environment PATH=/usr/bin:/bin " + LOGIN, "locale; locale charmap").stdout.split()
    assert f"LANG={variables['os_locale']}" in shown
    assert shown[-1] == ("UTF-8" if variables["os_locale"].lower().endswith(("utf-8", "utf8")) else shown[-1])


def test_services_get_the_default_locale(host: Any, variables: dict[str, Any]) -> None:
    assert f"System Locale: LANG={variables['os_locale']}" in host.check_output("localectl")


@pytest.mark.parametrize("season", ["@1735732800", "@1751328000"], ids=["January", "July"])
def test_clock_of_who_logs_in_shows_the_timezone(host: Any, variables: dict[str, Any], season: str) -> None:
    zone = variables["os_timezone"]
    shown = host.check_output("env --unset=TZ " + LOGIN, f"date --date={season} '+%F %T %Z'")
    assert shown == host.check_output("TZ=%s date --date=%s '+%%F %%T %%Z'", f":/usr/share/zoneinfo/{zone}", season)
    assert host.check_output("cat /etc/timezone; readlink /etc/localtime").splitlines() == [
        zone,
        f"/usr/share/zoneinfo/{zone}",
    ]


# Kernel settings


def test_kernel_settings_are_the_last_word_on_disk(host: Any, variables: dict[str, Any]) -> None:
    lines = host.check_output("/lib/systemd/systemd-sysctl --cat-config").splitlines()
    said = dict(line.split(" = ", 1) for line in lines if " = " in line)
    assert {key: said.get(key) for key in variables["os_sysctl"]} == {
        key: str(value) for key, value in variables["os_sysctl"].items()
    }


@pytest.mark.not_in_container("the kernel is the host's")
def test_kernel_settings_are_in_force(host: Any, variables: dict[str, Any]) -> None:
    for key, value in variables["os_sysctl"].items():
        assert host.check_output("cat /proc/sys/%s", key.replace(".", "/")).split() == str(value).split(), key


def test_nothing_of_release_0_1_is_left(host: Any) -> None:
    assert not host.file("/etc/systemd/journald.conf.d/90-goldsmith.conf").exists
