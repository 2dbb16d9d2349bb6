"""The role redis. The server itself is asked; the keys that try it are removed."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Callable
from typing import Any

import pytest

Ask = Callable[..., str]
KEY = "goldsmith-test"


def number(size: str) -> int:
    """The bytes that Redis understands by `64mb`."""
    digits = size.rstrip("kKmMgGbB")
    units = {"": 1, "b": 1, "k": 10**3, "kb": 2**10, "m": 10**6, "mb": 2**20, "g": 10**9, "gb": 2**30}
    return int(digits) * units[size[len(digits) :].lower()]


@pytest.fixture(scope="module")
def run(host: Any, variables: dict[str, Any]) -> Callable[..., Any]:
    """Ask through the real socket. The password goes by the environment."""
    addresses = [address.lstrip("-") for address in variables["redis_bind"]]
    address = "127.0.0.1" if {"*", "127.0.0.1", "0.0.0.0"} & set(addresses) else addresses[0]  # noqa: S104

    def ask(*words: str, password: str | None = None, user: str = "") -> Any:
        secret = variables["redis_password"] if password is None else password
        words = (*(("--user", user) if user else ()), "-h", address, "-p", str(variables["redis_port"]), *words)
        command = " ".join(["redis-cli", "--no-auth-warning", *map(shlex.quote, words)])
        return host.run(f"REDISCLI_AUTH=%s {command}" if secret else command, *([secret] if secret else []))

    return ask


@pytest.fixture(scope="module")
def ask(run: Callable[..., Any], variables: dict[str, Any]) -> Ask:
    """As the user `default`."""
    if not variables["redis_default_user"]:
        pytest.skip("there is no user that may ask everything")

    def get(*words: str) -> str:
        done = run(*words)
        assert done.rc == 0, done.stderr
        return str(done.stdout).strip()

    return get


@pytest.fixture
def key(ask: Ask) -> Any:
    assert ask("set", KEY, "here") == "OK"
    yield KEY
    ask("del", KEY)


def setting(ask: Ask, name: str) -> str:
    return ask("config", "get", name).partition("\n")[2]


def test_redis_answers(ask: Ask) -> None:
    assert ask("ping") == "PONG"


def test_service_runs_and_comes_back_after_a_boot(host: Any) -> None:
    assert host.check_output("systemctl is-active redis-server.service") == "active"
    assert host.check_output("systemctl is-enabled redis-server.service") == "enabled"
    shown = host.check_output("systemctl show redis-server.service -p ExecStart -p ExecStartPre -p NeedDaemonReload")
    assert "/usr/bin/redis-server /etc/redis/goldsmith.conf" in shown
    assert "/usr/local/sbin/goldsmith-redis carry-over" in shown
    assert "NeedDaemonReload=no" in shown


def test_unit_keeps_what_debian_hardens(host: Any, variables: dict[str, Any]) -> None:
    wanted = {
        "User": "redis",
        "NoNewPrivileges": "yes",
        "ProtectSystem": "strict",
        "ProtectHome": "yes",
        "PrivateDevices": "yes",
        "MemoryDenyWriteExecute": "yes",
        "CapabilityBoundingSet": "",
    }
    wanted = {name: value for name, value in wanted.items() if name not in variables["redis_service"]}
    for name, value in variables["redis_service"].items():
        if not isinstance(value, list):
            wanted[name] = ("no", "yes")[value] if isinstance(value, bool) else str(value)
    shown = host.check_output(f"systemctl show redis-server.service {' '.join(f'-p {name}' for name in wanted)}")
    assert dict(line.split("=", 1) for line in shown.splitlines()) == wanted


def test_limits_are_in_force(ask: Ask, variables: dict[str, Any]) -> None:
    assert setting(ask, "maxmemory") == str(number(variables["redis_max_memory"] or "0"))
    assert setting(ask, "maxmemory-policy") == variables["redis_max_memory_policy"]


def test_settings_are_in_force(ask: Ask, variables: dict[str, Any]) -> None:
    assert setting(ask, "port") == str(variables["redis_port"])
    assert setting(ask, "bind").split() == variables["redis_bind"]
    for name, value in variables["redis_settings"].items():
        if not isinstance(value, list):
            expected = ("no", "yes")[value] if isinstance(value, bool) else str(value)
            assert setting(ask, name).lower() == expected.lower()


def test_data_are_kept_as_was_asked_for(ask: Ask, variables: dict[str, Any]) -> None:
    way = variables["redis_persistence"]
    assert setting(ask, "appendonly") == ("yes" if way in ("log", "both") else "no")
    assert setting(ask, "save") == (" ".join(variables["redis_snapshots"]) if way in ("snapshots", "both") else "")


def test_redis_listens_only_where_it_should(host: Any, variables: dict[str, Any]) -> None:
    everywhere = bool({"*", "0.0.0.0"} & set(variables["redis_bind"]))  # noqa: S104 - what is asked for
    assert host.socket(f"tcp://0.0.0.0:{variables['redis_port']}").is_listening is everywhere


def test_what_is_written_is_read(ask: Ask, key: str) -> None:
    assert ask("get", key) == "here"


def test_data_survive_a_restart_if_they_are_kept(host: Any, ask: Ask, key: str, variables: dict[str, Any]) -> None:
    if variables["redis_persistence"] == "none":
        pytest.skip("a restart would empty it, as was asked for")
    host.check_output("systemctl restart redis-server.service")
    assert ask("get", key) == "here"


def test_without_the_password_nothing_is_answered(run: Callable[..., Any], variables: dict[str, Any]) -> None:
    if variables["redis_password"] or not variables["redis_default_user"]:
        assert "NOAUTH" in run("get", KEY, password="").stdout
        refused = run("get", KEY, password=variables["redis_password"] + "x")
        assert "WRONGPASS" in refused.stdout + refused.stderr
    else:
        assert run("ping", password="").stdout.strip() == "PONG"


def test_users_log_in_and_are_held_to_their_rules(run: Callable[..., Any], variables: dict[str, Any]) -> None:
    for user in variables["redis_users"]:
        name, password = user["name"], user["password"]
        answer = run("get", KEY, user=name, password=password)
        assert "WRONGPASS" not in answer.stdout + answer.stderr
        refused = run("get", KEY, user=name, password=password + "x")
        assert "WRONGPASS" in refused.stdout + refused.stderr
        if "rules" not in user:
            assert "NOPERM" in run("config", "get", "port", user=name, password=password).stdout


def test_passwords_are_kept_as_digests_and_for_redis_only(host: Any, variables: dict[str, Any]) -> None:
    file = host.file("/etc/redis/goldsmith.conf")
    assert (file.user, file.group, file.mode) == ("redis", "redis", 0o640)
    text = file.content_string
    for password in [variables["redis_password"], *(user["password"] for user in variables["redis_users"])]:
        if password:
            assert password not in text.replace(" on #", "")
            assert hashlib.sha256(password.encode()).hexdigest() in text


def test_debians_own_file_is_untouched(host: Any) -> None:
    assert host.run("dpkg --verify redis-server").stdout == ""


@pytest.mark.parametrize("line", ["maxmemory 5 elephants", "maxmemori 5mb", "user x on #00 ~* +@nothing"])
def test_what_is_not_sound_is_refused(host: Any, line: str) -> None:
    shell = "f=$(mktemp) && echo %s >$f && /usr/local/sbin/goldsmith-redis test $f; rc=$?; rm -f $f; exit $rc"
    assert host.run(shell, line).rc == 1
    assert host.run("ls -d /tmp/goldsmith-redis.*").rc != 0


def test_program_may_not_be_changed_by_others(host: Any) -> None:
    for path in ("/usr/local/sbin/goldsmith-redis", "/etc/systemd/system/redis-server.service.d"):
        file = host.file(path)
        assert (file.user, file.group, file.mode) == ("root", "root", 0o755)
    drop_in = host.file("/etc/systemd/system/redis-server.service.d/goldsmith.conf")
    assert (drop_in.user, drop_in.mode) == ("root", 0o644)
