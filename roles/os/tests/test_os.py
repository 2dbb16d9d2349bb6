"""The role os."""

from __future__ import annotations

from typing import Any


def test_packages_are_installed(host: Any, variables: dict[str, Any]) -> None:
    missing = [name for name in variables["os_packages"] if not host.package(name).is_installed]
    assert missing == []


def test_locale_is_generated_and_is_the_default(host: Any, variables: dict[str, Any]) -> None:
    locale = variables["os_locale"]
    assert f"LANG={locale}" in host.file("/etc/default/locale").content_string.splitlines()
    # A program that sets this locale gets it. Where it is not generated, C remains.
    shown = host.run("LC_ALL=%s locale charmap", locale)
    assert shown.stdout.strip() == "UTF-8"
    assert shown.stderr == ""


def test_clock_shows_the_timezone(host: Any, variables: dict[str, Any]) -> None:
    zone = variables["os_timezone"]
    assert host.file("/etc/timezone").content_string == f"{zone}\n"
    # In July, when this zone differs from UTC whatever the season of the test is.
    local = host.check_output("date --date=@1751328000 +%H:%M")
    assert local == host.check_output("TZ=%s date --date=@1751328000 +%%H:%%M", zone)
    assert local == "02:00"


def test_kernel_settings_are_on_disk(host: Any, variables: dict[str, Any]) -> None:
    # That they are in force is not provable in a container.
    lines = host.check_output("/lib/systemd/systemd-sysctl --cat-config").splitlines()
    for key, value in variables["os_sysctl"].items():
        assert f"{key} = {value}" in lines
