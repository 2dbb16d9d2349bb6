"""The role users. Accounts are entered over SSH with a key of the moment, past their own."""

from __future__ import annotations

import re
from typing import Any

import pytest

FOLDER = "/run/goldsmith-test-users"

# This machine's own daemon and settings, over its standard input; only its own key and where it looks for those of
# accounts are others.
# The daemon does not know from where somebody comes, and asks DNS for the name UNKNOWN, time and again.
LOGIN = (
    "RES_OPTIONS='timeout:1 attempts:1' "
    "ssh -F none -i {folder}/key -o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=no "
    "-o UserKnownHostsFile=/dev/null -o LogLevel=ERROR "
    "-o ProxyCommand='/usr/sbin/sshd -i -h {folder}/key -o AuthorizedKeysFile={folder}/key.pub' "
    "%s@localhost %s || exit 1"
)


@pytest.fixture(scope="module")
def present(variables: dict[str, Any]) -> list[dict[str, Any]]:
    return [entry for entry in variables["users_accounts"] if entry.get("state", "present") == "present"]


@pytest.fixture(scope="module")
def absent(variables: dict[str, Any]) -> list[str]:
    return [entry["name"] for entry in variables["users_accounts"] if entry.get("state", "present") == "absent"]


def home(entry: dict[str, Any]) -> str:
    return str(entry.get("home", f"/home/{entry['name']}"))


def account(host: Any, name: str) -> list[str]:
    """Its line of passwd(5)."""
    return str(host.check_output("getent passwd %s", name)).split(":")


def test_groups_are_there(host: Any, variables: dict[str, Any]) -> None:
    for name in variables["users_groups"]:
        assert host.group(name).exists


def test_accounts_are_as_they_are_listed(host: Any, present: list[dict[str, Any]]) -> None:
    for entry in present:
        name, _password, number, _group, comment, folder, shell = account(host, entry["name"])
        assert (name, folder, shell) == (entry["name"], home(entry), entry.get("shell", "/bin/bash"))
        if "uid" in entry:
            assert int(number) == entry["uid"]
        if "comment" in entry:
            assert comment == entry["comment"]
        assert host.check_output("stat -c %%U %s", folder) == entry["name"]


def test_removed_accounts_are_gone(host: Any, absent: list[str]) -> None:
    for name in absent:
        assert host.run("getent passwd %s", name).rc == 2


def test_accounts_are_in_their_groups_and_no_others(host: Any, present: list[dict[str, Any]]) -> None:
    for entry in present:
        extra = set(host.check_output("id -Gn %s", entry["name"]).split()) - {entry["name"]}
        assert extra == set(entry.get("groups", []))


def test_no_account_is_open_without_a_password(host: Any, present: list[dict[str, Any]]) -> None:
    for entry in present:
        # One that somebody set later is left alone.
        word = host.check_output("getent shadow %s", entry["name"]).split(":")[1]
        assert word in {"*", "!", "!*"} or word.lstrip("!").startswith("$")


# Keys


def test_accounts_have_exactly_their_keys(host: Any, present: list[dict[str, Any]]) -> None:
    for entry in present:
        path = f"{home(entry)}/.ssh/authorized_keys"
        text = host.check_output("cat %s 2>/dev/null || :", path)
        assert [line for line in text.splitlines() if line.strip()] == entry.get("authorized_keys", [])
        if text:
            shown = host.check_output("stat -c '%%U %%a' %s %s", f"{home(entry)}/.ssh", path).splitlines()
            assert shown == [f"{entry['name']} 700", f"{entry['name']} 600"]


@pytest.fixture(scope="module")
def login(host: Any) -> Any:
    """Log in with a key that is made for this test and gone after it."""
    if not host.file("/usr/sbin/sshd").exists:
        pytest.skip("no SSH daemon")
    # Who has logged in already may log in again only with a right of audit's, which a container's root lacks.
    if host.run("grep -qx 4294967295 /proc/self/loginuid").rc and host.run("systemd-detect-virt -cq").rc == 0:
        pytest.skip("not provable in a container that is reached by a login: a login within it")
    # Not /tmp: the daemon believes no file in a folder where others may write.
    running = host.file("/run/sshd").exists
    host.check_output("mkdir -m 0755 -p /run/sshd %s && ssh-keygen -q -t ed25519 -N '' -f %s", FOLDER, f"{FOLDER}/key")
    try:
        yield lambda name, command: host.run(LOGIN.format(folder=FOLDER), name, command)
    finally:
        host.check_output(f"rm -rf {FOLDER}{'' if running else ' /run/sshd'}")


def test_an_account_is_entered_with_a_key(host: Any, login: Any, present: list[dict[str, Any]]) -> None:
    for entry in present:
        name = entry["name"]
        shown = host.check_output(f"/usr/sbin/sshd -T -h {FOLDER}/key -C user={name},host=localhost,addr=127.0.0.1")
        allowed = re.findall(r"^allowusers (.*)$", shown, re.MULTILINE)
        done = login(name, "id -un; pwd")
        if allowed and name not in allowed:
            assert "Permission denied" in done.stderr
        else:
            # What the machine greets with may come first.
            assert done.stdout.split()[-2:] == [name, home(entry)], done.stderr


def test_a_removed_account_is_not_entered(login: Any, absent: list[str]) -> None:
    for name in absent:
        assert "Permission denied" in login(name, "true").stderr


# Who becomes root


def test_only_who_may_becomes_root(host: Any, present: list[dict[str, Any]]) -> None:
    for entry in present:
        done = host.run("runuser -u %s -- sudo --non-interactive --reset-timestamp id -u", entry["name"])
        said = {"nopasswd": "0", "password": "a password is required", "none": "a password is required"}
        assert said[entry.get("sudo", "none")] in done.stdout + done.stderr
        rules = host.run("sudo --list --other-user=%s", entry["name"]).stdout
        if "sudo" in entry.get("groups", []):
            continue  # Debian's own rule covers it.
        told = {"nopasswd": r"NOPASSWD: ALL$", "password": r"\(ALL : ALL\) ALL$", "none": "is not allowed to run sudo"}
        assert re.search(told[entry.get("sudo", "none")], rules, re.MULTILINE), rules


def test_sudo_rules_are_sound_and_name_the_listed_only(host: Any, present: list[dict[str, Any]]) -> None:
    assert host.run("visudo --check --quiet").rc == 0
    assert host.check_output("stat -c '%U %G %a' /etc/sudoers.d/goldsmith") == "root root 440"
    lines = host.check_output("grep -v '^#' /etc/sudoers.d/goldsmith || :").splitlines()
    assert [line.split()[0] for line in lines] == [
        entry["name"] for entry in present if entry.get("sudo", "none") != "none"
    ]
