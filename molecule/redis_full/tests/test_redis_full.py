"""The role redis on a machine that held data before, in another form (prepare.yml)."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
CLI = "REDISCLI_AUTH=%s redis-cli --no-raw -p 6380 %s %s"
DATA = "/var/lib/redis"


@pytest.fixture(scope="module")
def password(variables: dict[str, Any]) -> str:
    return str(variables["redis_password"])


def test_data_are_still_there(host: Any, password: str) -> None:
    assert host.check_output(CLI, password, "get", "kept") == '"from-before"'


def test_data_survive_every_change_of_the_way_they_are_kept(host: Any, password: str) -> None:
    config = "/etc/redis/goldsmith.conf"
    host.check_output(f"cp -p {config} /root/goldsmith.conf")
    try:
        # From the log to snapshots, where something is written that only the snapshot has, and back.
        for now, value in (("no", "from-before"), ("yes", "later")):
            host.check_output("systemctl stop redis-server.service")
            host.check_output(f"sed -i 's/^appendonly .*/appendonly {now}/; s/^save .*/save 60 1/' {config}")
            host.check_output("systemctl start redis-server.service")
            assert host.check_output(CLI, password, "get", "kept") == f'"{value}"'
            host.check_output("REDISCLI_AUTH=%s redis-cli -p 6380 set kept later", password)
            assert host.file(f"{DATA}/appendonlydir").exists is (now == "yes")
    finally:
        host.check_output(f"cp -p /root/goldsmith.conf {config} && rm -rf /root/goldsmith.conf {DATA}/*.former")
        host.check_output("systemctl restart redis-server.service")
    assert host.check_output(CLI, password, "get", "kept") == '"later"'
    host.check_output("REDISCLI_AUTH=%s redis-cli -p 6380 set kept from-before", password)


def test_commands_that_were_taken_away_are_gone(host: Any, password: str) -> None:
    assert "unknown command" in host.check_output(CLI, password, "flushall", "")


def test_user_may_do_what_the_rules_say_and_no_more(host: Any) -> None:
    ask = "REDISCLI_AUTH=other redis-cli --user cache -p 6380 %s %s"
    assert host.check_output(ask, "get", "cache:none") == ""
    assert "NOPERM" in host.check_output(ask, "get", "kept")
    assert "NOPERM" in host.check_output("REDISCLI_AUTH=other redis-cli --user cache -p 6380 config get port")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"redis_settings": {"maxmemory-polici": "its value"}}, "maxmemory-polici"),
        ({"redis_settings": {"masterauth": "its value"}}, "masterauth"),
        ({"redis_users": [{"name": "shop", "password": "its value", "rules": "+gte"}]}, "+gte"),
        ({"redis_users": [{"name": "shop", "password": "hidden", "rules": "#its-value"}]}, "user"),
    ],
)
def test_refused_setting_is_named_and_no_secret_is(
    host: Any, password: str, tmp_path: Path, wrong: dict[str, Any], words: str
) -> None:
    before = host.file("/etc/redis/goldsmith.conf").sha256sum
    given, book = tmp_path / "given.json", tmp_path / "play.yml"
    given.write_text(json.dumps(wrong), encoding="utf-8")
    book.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "roles": ["goldsmith.core.redis"]}]))
    argv = ["ansible-playbook", "-vvv", "--diff", "--inventory", str(Path(__file__).parents[1] / "inventory")]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_FORCE_COLOR": "0"}
    done = subprocess.run(
        [*argv, "--extra-vars", f"@{given}", str(book)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    told = done.stdout + done.stderr
    assert done.returncode == 2
    assert words in told.partition("Redis refuses this")[0].rpartition("FATAL CONFIG FILE ERROR")[2]
    for secret in (password, "its value", "its-value", "hidden"):
        assert secret not in told
        assert hashlib.sha256(secret.encode()).hexdigest() not in told
    assert host.file("/etc/redis/goldsmith.conf").sha256sum == before
