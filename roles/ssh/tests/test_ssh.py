"""The role ssh. What the daemon allows is tried over the network and with a key of the moment."""

from __future__ import annotations

import re
from typing import Any

import pytest

FOLDER = "/run/goldsmith-test-ssh"
OPTIONS = "-F none -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"

# The daemon's own words for these, of what is given on its command line.
ASKED = "/usr/sbin/sshd -T -f /dev/null -C user=root,host=localhost,addr=127.0.0.1 {options}"


def words(value: Any) -> str:
    return {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)


def given(variables: dict[str, Any]) -> list[tuple[str, str]]:
    """Settings and values, those before the others that win."""
    pairs = []
    for key, value in variables["ssh_settings"].items():
        pairs += [(key, words(one)) for one in (value if isinstance(value, list) else [value])]
    password = words(variables["ssh_password_authentication"])
    pairs += [
        ("Port", words(variables["ssh_port"])),
        *(("ListenAddress", address) for address in variables["ssh_listen_addresses"]),
        ("PermitRootLogin", variables["ssh_permit_root_login"]),
        ("PasswordAuthentication", password),
        ("KbdInteractiveAuthentication", password),
        ("X11Forwarding", words(variables["ssh_x11_forwarding"])),
        ("MaxAuthTries", words(variables["ssh_max_auth_tries"])),
        ("LoginGraceTime", words(variables["ssh_login_grace_time"])),
    ]
    for key in ("AllowUsers", "AllowGroups"):
        names = variables[f"ssh_{key[:5].lower()}_{key[5:].lower()}"]
        pairs += [(key, " ".join(names))] if names else []
    return pairs


def settings(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        key, _space, value = line.partition(" ")
        found.setdefault(key, []).append(value)
    return found


@pytest.fixture(scope="module")
def effective(host: Any) -> dict[str, list[str]]:
    """What the daemon makes of all its files."""
    return settings(host.check_output("/usr/sbin/sshd -T -C user=root,host=localhost,addr=127.0.0.1"))


def test_settings_are_effective(host: Any, variables: dict[str, Any], effective: dict[str, list[str]]) -> None:
    key = host.check_output("ls /etc/ssh/ssh_host_*_key | head -n 1")
    options = " ".join(f"-o '{name}={value}'" for name, value in given(variables))
    wanted = settings(host.check_output(ASKED.format(options=f"-h {key} {options}")))
    for name in {name.lower() for name, _value in given(variables)}:
        # Some settings add up with those of Debian's own file.
        assert set(wanted[name]) <= set(effective[name]), name
        if name not in {"acceptenv", "hostkey", "subsystem", "setenv"}:
            assert sorted(wanted[name]) == sorted(effective[name]), name


def test_who_is_not_limited_by_name_or_group_is_not_limited(
    variables: dict[str, Any], effective: dict[str, list[str]]
) -> None:
    others = {name.lower() for name in variables["ssh_settings"]}
    for key, names in (("allowusers", variables["ssh_allow_users"]), ("allowgroups", variables["ssh_allow_groups"])):
        if not names and key not in others:
            assert key not in effective


def test_file_is_roots(host: Any) -> None:
    assert host.check_output("stat -c '%U %G %a' /etc/ssh/sshd_config.d/00-goldsmith.conf") == "root root 644"


# The daemon that runs


@pytest.fixture(scope="module")
def addresses(effective: dict[str, list[str]]) -> list[tuple[str, str]]:
    """Where it is reached from the machine itself."""
    found = [one.rpartition(":") for one in effective["listenaddress"]]
    local = {"0.0.0.0": "127.0.0.1", "[::]": "127.0.0.1"}  # noqa: S104 - this is read, not listened at
    return sorted({(local.get(address, address.strip("[]")), port) for address, _colon, port in found})


def test_it_runs_and_comes_back_after_a_boot(host: Any) -> None:
    shown = host.check_output("systemctl show ssh.service -p ActiveState -p UnitFileState").splitlines()
    assert set(shown) == {"ActiveState=active", "UnitFileState=enabled"}


def test_it_listens_where_it_should_and_nowhere_else(host: Any, effective: dict[str, list[str]]) -> None:
    lines = host.check_output("ss --listening --tcp --numeric --processes --no-header").splitlines()
    found = {line.split()[3] for line in lines if '"sshd"' in line}
    wanted = set(effective["listenaddress"])
    assert found <= wanted
    assert found >= {one for one in wanted if not one.startswith("[")}


def test_it_offers_these_ways_in_and_no_others(
    host: Any, addresses: list[tuple[str, str]], effective: dict[str, list[str]]
) -> None:
    ways = [
        name
        for name, setting in (
            ("publickey", "pubkeyauthentication"),
            ("gssapi-with-mic", "gssapiauthentication"),
            ("password", "passwordauthentication"),
            ("keyboard-interactive", "kbdinteractiveauthentication"),
        )
        if effective[setting] == ["yes"]
    ]
    for address, port in addresses:
        # Password authentication is tried too: it is refused where it is off. An exit code of 255 would be taken for
        # the failure of our own connection.
        ask = f"ssh {OPTIONS} -p {port} -o BatchMode=yes -o PreferredAuthentications=password nobody@{address} true"
        refused = re.search(r"Permission denied \(([^)]*)\)", host.run(f"{ask} || exit 1").stderr)
        assert refused
        assert set(refused.group(1).split(",")) == set(ways)


# Who may log in


@pytest.fixture(scope="module")
def login(host: Any) -> Any:
    """Log in with a key that is made for this test and gone after it: can this account run a command?

    This machine's own daemon and settings, over its standard input; only where it looks for keys is another place.
    """
    # Who has logged in already may log in again only with a right of audit's, which a container's root lacks.
    if host.run("grep -qx 4294967295 /proc/self/loginuid").rc and host.run("systemd-detect-virt -cq").rc == 0:
        pytest.skip("not provable in a container that is reached by a login: a login within it")
    # Not /tmp: the daemon believes no file in a folder where others may write.
    host.check_output(f"mkdir -m 0755 {FOLDER} && ssh-keygen -q -t ed25519 -N '' -f {FOLDER}/key")
    daemon = f"-o ProxyCommand='/usr/sbin/sshd -i -o AuthorizedKeysFile={FOLDER}/key.pub'"
    key = f"-i {FOLDER}/key -o IdentitiesOnly=yes -o BatchMode=yes -o LogLevel=ERROR"

    def enter(name: str) -> bool:
        # The daemon does not know from where somebody comes, and asks DNS for the name UNKNOWN, time and again.
        resolver = "RES_OPTIONS='timeout:1 attempts:1'"
        done = host.run(f"{resolver} ssh {OPTIONS} {daemon} {key} {name}@localhost id -un || exit 1")
        # What the machine greets with may come first.
        assert done.stdout.split()[-1:] == [name] or "Permission denied" in done.stderr, done.stderr
        return bool(done.stdout)

    try:
        yield enter
    finally:
        host.check_output(f"rm -rf {FOLDER}")


def accounts(host: Any) -> dict[str, set[str]]:
    """Accounts with a shell, and their groups."""
    lines = [line.split(":") for line in host.check_output("getent passwd").splitlines()]
    names = [line[0] for line in lines if re.search(r"/(ba|da|z)?sh$", line[6])]
    shown = host.check_output(f"for name in {' '.join(names)}; do id -Gn $name; done").splitlines()
    return {name: set(line.split()) for name, line in zip(names, shown, strict=True)}


def test_root_logs_in_if_it_may(variables: dict[str, Any], effective: dict[str, list[str]], login: Any) -> None:
    policy = effective["permitrootlogin"][0]
    named = "root" in effective.get("allowusers", ["root"]) and "root" in effective.get("allowgroups", ["root"])
    assert login("root") is (named and policy in {"yes", "prohibit-password", "without-password"})


def test_only_the_named_log_in(host: Any, effective: dict[str, list[str]], login: Any) -> None:
    # A name may carry a pattern or a host; what is more than a name is the daemon's to judge.
    users, groups = effective.get("allowusers"), effective.get("allowgroups")
    if any(not re.fullmatch(r"[\w-]+", name) for name in [*(users or []), *(groups or [])]):
        pytest.skip("patterns")
    for name, own in accounts(host).items():
        if name != "root":
            may = (users is None or name in users) and (groups is None or bool(own & set(groups)))
            assert login(name) is may, name


# Host keys


def test_there_are_host_keys_and_only_root_reads_them(host: Any) -> None:
    shown = host.check_output("stat -c '%U %G %a' /etc/ssh/ssh_host_*_key").splitlines()
    assert shown
    assert set(shown) == {"root root 600"}
