"""Single changes of a recorded machine: each is named by the section that it belongs to, and by no other."""

from __future__ import annotations

import re
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.goldsmith.core.plugins.module_utils.collector import document, tree

from goldsmith import compare as comparing
from goldsmith import manifest, policy
from tests.paths import FIXTURES

Change = Callable[[Path], object]
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILs0w76jpCr/H8NaVjfl/mtwO513kKQh1dmeP1TG/vae eve\n"


def write(name: str, text: str) -> Change:
    def change(root: Path) -> None:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)

    return change


def append(name: str, text: str) -> Change:
    return lambda root: (root / name).write_text((root / name).read_text() + text)


def replace(name: str, old: str, new: str) -> Change:
    def change(root: Path) -> None:
        text = (root / name).read_text()
        assert old in text
        (root / name).write_text(text.replace(old, new))

    return change


def link(name: str, target: str) -> Change:
    def change(root: Path) -> None:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).unlink(missing_ok=True)
        (root / name).symlink_to(target)

    return change


def remove(name: str) -> Change:
    return lambda root: (root / name).unlink()


UNITS = "etc/systemd/system"
MUTATIONS: dict[str, tuple[Change, set[tuple[str, str, str | None]]]] = {
    "a user may do all": (
        write("etc/sudoers.d/eve", "carl ALL=(ALL) NOPASSWD: ALL\n"),
        {("sudo", "carl", None)},
    ),
    "a default of sudo": (
        append("etc/sudoers", "Defaults !authenticate\n"),
        {("sudo", "Defaults authenticate", None)},
    ),
    "a member of an alias": (
        replace("etc/sudoers.d/10-site", "www-data, backup", "www-data, root"),
        {("sudo", "ops", "rules"), ("sudo", "%adm", "rules")},
    ),
    "a key": (
        append("home/ops/.ssh/authorized_keys", KEY),
        {("ssh_keys", "ops /home/ops/.ssh/authorized_keys", None)},
    ),
    "where sshd looks for keys": (
        write("etc/ssh/sshd_config.d/a.conf", "AuthorizedKeysFile .ssh/authorized_keys\n"),
        {("ssh_keys", "ops /etc/ssh/keys/ops", None)},
    ),
    "a password is unlocked": (
        replace("etc/shadow", "carl:!", "carl:"),
        {("users", "carl", "password")},
    ),
    "a password never ages": (
        replace("etc/shadow", ":1:90:14:30:", ":1:99999:14:30:"),
        {("users", "ops", "password_max_days")},
    ),
    "a member of a group": (
        replace("etc/group", "sudo:x:27:ops", "sudo:x:27:ops,carl"),
        {("groups", "sudo", "members"), ("users", "carl", "groups")},
    ),
    "PAM lets all in": (
        replace("etc/pam.d/sudo", "@include common-auth", "auth sufficient pam_permit.so"),
        {("pam", "sudo", "auth")},
    ),
    "a job of cron": (
        write("etc/cron.d/eve", "* * * * * root /bin/eve\n"),
        {("cron", "/etc/cron.d/eve: /bin/eve", None)},
    ),
    "when a job runs": (
        replace("var/spool/cron/crontabs/ops", "@daily", "@hourly"),
        {("cron", "/var/spool/cron/crontabs/ops: /bin/true", "schedule")},
    ),
    "a daily program that may not run": (
        lambda root: (root / "etc/cron.daily/dpkg").chmod(0o644),
        {("cron", "/etc/cron.daily/dpkg", None)},
    ),
    "a setting of the kernel": (
        write("etc/sysctl.d/zz.conf", "kernel.sysrq=1\n"),
        {("sysctl", "kernel.sysrq", "value"), ("sysctl", "kernel.sysrq", "path")},
    ),
    "a setting that is no longer hidden": (
        remove("etc/sysctl.d/50-hidden.conf"),
        {("sysctl", "vm.dirty_ratio", None)},
    ),
    "the kernel's command line": (
        append("etc/default/grub.d/50-site.cfg", 'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX mitigations=off"\n'),
        {("kernel", "command line", "normal"), ("kernel", "command line", "recovery")},
    ),
    "an installed kernel": (
        write("boot/vmlinuz-6.1.0-9-amd64", ""),
        {("kernel", "kernel 6.1.0-9-amd64", None)},
    ),
    "a module that is loaded": (
        append("etc/modules-load.d/site.conf", "dccp\n"),
        {("modules", "dccp", None)},
    ),
    "a module that is not blacklisted": (
        replace("etc/modprobe.d/site.conf", "blacklist floppy\n", ""),
        {("modules", "floppy", None)},
    ),
    "a mount's options": (
        replace("etc/fstab", "errors=remount-ro", "errors=remount-ro,suid"),
        {("mounts", "/", "options")},
    ),
    "a source of packages": (
        write("etc/apt/sources.list.d/eve.list", "deb [trusted=yes] http://eve.example.org x main\n"),
        {("apt", "source deb http://eve.example.org x", None)},
    ),
    "a component of a source": (
        replace("etc/apt/sources.list", "main extra", "main"),
        {("apt", "source deb https://apt.example.org/x stable", "components")},
    ),
    "a key of apt": (
        write("etc/apt/trusted.gpg.d/eve.gpg", "key"),
        {("apt", "key /etc/apt/trusted.gpg.d/eve.gpg", None)},
    ),
    "a pin": (
        replace("etc/apt/preferences.d/site", "990", "-1"),
        {("apt", "pin nginx* origin apt.example.org", "priority")},
    ),
    "a held package": (
        replace("var/lib/dpkg/status", "hold ok installed", "install ok installed"),
        {("apt", "hold nano", None), ("packages", "nano", "hold")},
    ),
    "an alternative": (
        link("etc/alternatives/editor", "/bin/nano"),
        {("alternatives", "editor", "target")},
    ),
    "a variable": (
        replace("etc/environment", "/usr/local/bin:", "/opt/eve:"),
        {("environment", "/etc/environment PATH", "values")},
    ),
    "a secret variable": (
        replace("etc/environment", "hunter2", "hunter3"),
        {("environment", "/etc/environment API_TOKEN", "values")},
    ),
    "a library in every program": (
        write("etc/ld.so.preload", "/usr/lib/eve.so\n"),
        {("linker", "preload", None)},
    ),
    "where libraries lie": (
        replace("etc/ld.so.conf.d/00-site.conf", "/opt/zz", "/opt/eve"),
        {("linker", "search", "folders")},
    ),
    "the time zone": (
        link("etc/localtime", "/usr/share/zoneinfo/Asia/Tokyo"),
        {("locale", "time zone", "zone")},
    ),
    "a timer's schedule": (
        write(f"{UNITS}/apt-daily.timer.d/a.conf", "[Timer]\nOnCalendar=hourly\n"),
        {("units", "apt-daily.timer", "schedule"), ("units", "apt-daily.timer", "drop_ins")},
    ),
    "a unit that is masked": (
        link(f"{UNITS}/apt-daily.timer", "/dev/null"),
        {("units", "apt-daily.timer", name) for name in ("path", "state", "schedule")},
    ),
    "an instance of a template": (
        link(f"{UNITS}/getty.target.wants/getty@tty9.service", "/usr/lib/systemd/system/getty@.service"),
        {("units", "getty@tty9.service", None), ("units", "getty@.service", "state")},
    ),
    "a package of npm": (
        write("usr/local/lib/node_modules/eve/package.json", '{"version": "1.0.0"}'),
        {("libraries", "/usr/local/lib/node_modules/eve", None)},
    ),
    "a gem": (
        write("var/lib/gems/3.1.0/specifications/eve-1.0.gemspec", ""),
        {("libraries", "/var/lib/gems/3.1.0/eve", None)},
    ),
    "a Python package from elsewhere": (
        write("usr/lib/python3/dist-packages/eve-1.dist-info/direct_url.json", '{"url": "https://eve.example.org/x"}'),
        {("libraries", "/usr/lib/python3/dist-packages/eve", None)},
    ),
}


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recorded Debian 12 machine, with a timer and a template beside its settings."""
    root = tmp_path_factory.mktemp("before")
    with tarfile.open(FIXTURES / "settings/debian-12.tar.gz") as recorded:
        recorded.extractall(root, filter="fully_trusted")  # noqa: S202 - our own fixture
    units = root / "usr/lib/systemd/system"
    units.mkdir(parents=True)
    (units / "apt-daily.timer").write_text("[Timer]\nOnCalendar=daily\n[Install]\nWantedBy=timers.target\n")
    (units / "getty@.service").write_text("[Service]\nExecStart=/sbin/agetty\n[Install]\nWantedBy=getty.target\n")
    return root


def collect(root: Path) -> manifest.Manifest:
    found = document.collect(tree.DirectoryTree(root), document.REST)
    return manifest.parse("".join(found.pieces()).encode(), str(root))


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_change_is_named_by_its_section(name: str, before: Path, tmp_path: Path) -> None:
    after = tmp_path / "after"
    shutil.copytree(before, after, symlinks=True)
    change, expected = MUTATIONS[name]
    change(after)
    found = comparing.compare(collect(before), collect(after), policy.Policy())
    differences = [each for each in found.differences if each.section != "files"]
    named = {(each.section, each.key.partition(" SHA256:")[0], each.attribute) for each in differences}
    assert named == expected
    # /etc/shadow's contents are no part of files, on purpose.
    assert any(each.section == "files" for each in found.differences) or "password" in name


def test_what_comes_by_itself_changes_no_section(before: Path, tmp_path: Path) -> None:
    """The header of a crontab, the day of a password's change, the drift of a clock, comments."""
    after = tmp_path / "after"
    shutil.copytree(before, after, symlinks=True)
    changes: list[Any] = [
        replace("var/spool/cron/crontabs/ops", "installed on", "installed again on"),
        append("etc/sudoers", "# a comment\n"),
        append("etc/apt/sources.list", "# a comment\n"),
        append("etc/fstab", "\n# a comment\n"),
        write("var/spool/cron/atjobs/.SEQ", "00009"),
        lambda root: (root / "etc/shadow").write_text(
            re.sub(r"^(ops:[^:]*):\d+:", r"\1:30000:", (root / "etc/shadow").read_text(), flags=re.MULTILINE)
        ),
    ]
    for change in changes:
        change(after)
    found = comparing.compare(collect(before), collect(after), policy.Policy())
    assert {each.section for each in found.differences} == {"files"}
