"""The role hardening where everything was on before: nothing is left in force."""

from __future__ import annotations

from typing import Any

import pytest

USER, PASSWORD = "goldsmith-test", "Quartz-7-Lantern-Vow"


@pytest.fixture
def user(host: Any) -> Any:
    """A person with a password."""
    host.check_output("useradd --create-home --shell /bin/sh %s", USER)
    host.check_output("printf '%%s:%%s\n' %s %s | chpasswd", USER, PASSWORD)
    yield USER
    host.check_output("userdel --force --remove %s 2>&1", USER)


def settings_in(host: Any, path: str) -> list[str]:
    return [line for line in host.file(path).content_string.splitlines() if line and not line.startswith("#")]


@pytest.mark.parametrize(
    "path",
    [
        "/etc/sysctl.d/80-goldsmith-hardening.conf",
        "/etc/modprobe.d/goldsmith-hardening.conf",
        "/etc/profile.d/goldsmith-hardening.sh",
        "/etc/ssh/sshd_config.d/50-goldsmith-hardening.conf",
    ],
)
def test_files_that_are_always_there_say_nothing(host: Any, path: str) -> None:
    assert settings_in(host, path) == []


@pytest.mark.parametrize(
    "path",
    [
        "/etc/apt/apt.conf.d/60goldsmith-hardening",
        "/etc/audit/rules.d/50-goldsmith.rules",
        "/etc/fail2ban/fail2ban.d/goldsmith.local",
        "/etc/fail2ban/jail.local",
        "/etc/security/goldsmith-faillock.conf",
        "/etc/security/limits.d/goldsmith.conf",
        "/etc/security/pwquality.conf.d/goldsmith.conf",
        "/etc/sysctl.d/99-protect-links.conf",
        "/etc/systemd/coredump.conf.d/goldsmith.conf",
        "/etc/systemd/system.conf.d/goldsmith.conf",
        "/etc/systemd/system/audit-rules.service.d/goldsmith.conf",
        "/etc/systemd/system/auditd.service.d/goldsmith.conf",
        "/etc/systemd/system/local-fs.target.wants/tmp.mount",
        "/etc/systemd/system/tmp.mount",
    ],
)
def test_other_files_are_gone(host: Any, path: str) -> None:
    file = host.file(path)
    assert not file.exists
    assert not file.is_symlink


def test_procps_protects_links_again(host: Any) -> None:
    assert "/usr/lib/sysctl.d/99-protect-links.conf" in host.check_output("/lib/systemd/systemd-sysctl --cat-config")


def test_pam_is_as_debian_made_it(host: Any) -> None:
    assert host.run("ls /usr/share/pam-configs | grep goldsmith").stdout == ""
    assert host.run("grep -E 'faillock|pwhistory|pam_umask.*umask=|pam_wheel' /etc/pam.d/common-*").stdout == ""


def test_failed_logins_lock_nobody(host: Any, user: str) -> None:
    # The account of another, who knows the password only at the last try.
    become = "setpriv --reuid=nobody --clear-groups sh -c 'echo %s | su %s -c id'"
    for _try in range(6):
        assert host.run(become % ("wrong", user)).rc != 0
    assert user in host.check_output(become % (PASSWORD, user))


def test_programs_dump_core(host: Any, user: str) -> None:
    assert host.check_output("su %s -c 'ulimit -H -c'", user) == "unlimited"
    assert host.check_output("systemctl show --property=DefaultLimitCORE --value") == "infinity"


def test_fail2ban_runs_neither_now_nor_after_a_boot(host: Any) -> None:
    assert host.run("systemctl is-active fail2ban.service").stdout.strip() == "inactive"
    assert host.run("systemctl is-enabled fail2ban.service").stdout.strip() == "disabled"


def test_audit_has_no_rules_of_the_role_and_does_not_start_at_a_boot(host: Any) -> None:
    assert host.run("systemctl is-enabled auditd.service").stdout.strip() == "disabled"
    # What augenrules made of the package's own.
    compiled = settings_in(host, "/etc/audit/audit.rules")
    assert compiled
    assert [rule for rule in compiled if rule.startswith(("-a", "-w"))] == []
