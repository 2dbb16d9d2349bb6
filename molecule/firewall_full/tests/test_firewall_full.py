"""The role firewall with listeners behind it, asked from outside: from the machine that the tests run on."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SCENARIO = Path(__file__).parents[1]
PROJECT = SCENARIO.parents[1]
PROGRAM = "/usr/local/sbin/goldsmith-firewall"
# 2223 is the port through which Ansible seems to have come.
OPEN = [2222, 2223, 8080, 8090, 8099, 8084, 8085]
CLOSED = [8081, 8082, 8083, 8089, 8100]
LISTEN = """
import select, socket, sys
listeners = [socket.create_server(("", int(port))) for port in sys.argv[1:]]
names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
names[0].bind(("", 8053)), names[1].bind(("", 8054))
while True:
    for ready in select.select([*listeners, *names], [], [])[0]:
        if ready in names:
            ready.sendto(*ready.recvfrom(64))
        else:
            ready.accept()[0].close()
"""


@pytest.fixture(scope="module")
def address(host: Any) -> Iterator[str]:
    """Where the machine is, with listeners on every port in question."""
    ports = " ".join(map(str, OPEN + CLOSED))
    host.check_output(f"systemd-run --quiet --collect --unit=goldsmith-listen /usr/bin/python3 -c %s {ports}", LISTEN)
    host.check_output("for try in $(seq 50); do ss -lun | grep -q :8054 && break; sleep 0.1; done")
    try:
        yield host.check_output("hostname -I").split()[0]
    finally:
        host.check_output("systemctl stop goldsmith-listen.service")


def apply(*arguments: str) -> str:
    """The role once more."""
    argv = ["ansible-playbook", *arguments, "--inventory", str(SCENARIO / "inventory"), "molecule/shared/role.yml"]
    env = {**os.environ, "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"), "MOLECULE_SCENARIO_NAME": SCENARIO.name}
    done = subprocess.run(argv, cwd=PROJECT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    return done.stdout


def reached(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), timeout=1).close()
    except TimeoutError:
        return False
    return True


def echoed(address: str, port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.settimeout(1)
        asker.sendto(b"hello", (address, port))
        try:
            return asker.recv(64) == b"hello"
        except TimeoutError:
            return False


@pytest.mark.parametrize("port", OPEN)
def test_what_is_listed_comes_in(address: str, port: int) -> None:
    assert reached(address, port)


@pytest.mark.parametrize("port", CLOSED)
def test_all_else_is_dropped_though_something_listens(host: Any, address: str, port: int) -> None:
    code = f"import socket; socket.create_connection(('127.0.0.1', {port}), 5)"
    host.check_output("/usr/bin/python3 -c %s", code)
    assert not reached(address, port)


def test_datagrams_come_in_where_they_are_listed(address: str) -> None:
    assert echoed(address, 8053)
    assert not echoed(address, 8054)


def test_answers_come_in(host: Any, address: str) -> None:
    with socket.create_server(("", 0)) as here:
        here.settimeout(5)
        gateway = host.check_output("ip -4 route show default").split()[2]
        code = f"import socket; print(socket.create_connection(('{gateway}', {here.getsockname()[1]}), 5).recv(5))"
        host.check_output("/usr/bin/python3 -c %s >/tmp/answer 2>&1 & :", code)
        here.accept()[0].sendall(b"hello")
    for _ in range(50):
        if host.check_output("cat /tmp/answer"):
            break
        time.sleep(0.1)
    assert host.check_output("cat /tmp/answer; rm /tmp/answer") == "b'hello'"


def test_rules_that_somebody_removed_come_back_with_a_reload(host: Any) -> None:
    host.check_output("nft delete table inet goldsmith")
    assert host.run(f"{PROGRAM} in-force").rc == 1
    host.check_output("systemctl reload nftables.service")
    assert host.run(f"{PROGRAM} in-force").rc == 0


def test_rules_of_others_stay(host: Any) -> None:
    host.check_output("nft add table inet goldsmith_test_other")
    try:
        host.check_output("systemctl reload nftables.service")
        assert "goldsmith_test_other" in host.check_output("nft list tables")
    finally:
        host.check_output("nft delete table inet goldsmith_test_other")


def test_what_somebody_wrote_is_in_force_now_and_at_every_boot(host: Any) -> None:
    file = host.file("/etc/nftables.conf")
    assert file.content_string.startswith("#!/usr/sbin/nft -f\n# By hand.\ntable inet elsewhere\n")
    assert file.mode == 0o750
    assert "dport 9 drop" in host.check_output("nft list table inet elsewhere")
    host.check_output("systemctl restart nftables.service")
    assert "dport 9 drop" in host.check_output("nft list table inet elsewhere")
    assert host.run(f"{PROGRAM} in-force").rc == 0


@pytest.fixture
def at_boot(host: Any) -> Iterator[Any]:
    """Put another file into the place of the one that is loaded at boot."""
    host.check_output("cp -p /etc/nftables.conf /root/before.nft")

    def lay(command: str) -> str:
        host.check_output(command)
        assert host.run(f"{PROGRAM} in-force").rc == 1
        host.check_output(f"{PROGRAM} try 60 && {PROGRAM} keep")
        assert host.run(f"{PROGRAM} in-force").rc == 0
        return str(host.file("/etc/nftables.conf").content_string)

    try:
        yield lay
    finally:
        host.check_output("mv /root/before.nft /etc/nftables.conf")


def test_a_flush_behind_the_rules_is_found_and_stays_before_them(host: Any, at_boot: Any) -> None:
    lines = at_boot("echo flush ruleset >>/etc/nftables.conf").splitlines()
    assert lines[1:3] == ["# By hand.", "table inet elsewhere"]
    assert lines[-2:] == ["flush ruleset", 'include "/etc/goldsmith/firewall-at-boot.nft"']


def test_what_debian_and_former_releases_wrote_is_replaced(host: Any, at_boot: Any) -> None:
    fresh = at_boot("cp /root/debian.nft /etc/nftables.conf")
    assert "flush" not in fresh
    assert at_boot("cp /etc/goldsmith/firewall.nft /etc/nftables.conf") == fresh
    mixed = at_boot("(cat /etc/goldsmith/firewall.nft; echo add table inet elsewhere) >/etc/nftables.conf")
    assert "add table inet elsewhere" in mixed
    assert "chain input" not in mixed


def test_what_nobody_could_load_is_not_kept(host: Any) -> None:
    host.check_output("cp -p /etc/nftables.conf /root/before.nft; echo nonsense >>/etc/nftables.conf")
    try:
        refused = host.run(f"{PROGRAM} try 60")
        assert (refused.rc, "nothing was changed" in refused.stderr) == (2, True)
        assert not host.file("/run/goldsmith-firewall").exists
    finally:
        host.check_output("mv /root/before.nft /etc/nftables.conf")


def test_what_somebody_wrote_is_on_trial_where_it_was_not_in_force(host: Any, address: str) -> None:
    closed = "table inet elsewhere { chain input { type filter hook input priority 9; policy drop; }; }"
    host.check_output("cp -p /etc/nftables.conf /root/before.nft && systemctl stop nftables.service")
    try:
        host.check_output("printf %s >/etc/nftables.conf", closed)
        host.check_output(f"{PROGRAM} try 60")
        assert not reached(address, 8080)
        host.check_output(f"{PROGRAM} back")
        assert reached(address, 8080)
        assert host.check_output("nft list tables") == ""
    finally:
        host.check_output("mv /root/before.nft /etc/nftables.conf && systemctl start nftables.service")
    assert host.run(f"{PROGRAM} in-force").rc == 0


def test_a_check_says_that_rules_are_not_in_force(host: Any) -> None:
    host.check_output("nft delete table inet goldsmith")
    try:
        assert "changed=1 " in apply("--check")
    finally:
        host.check_output("systemctl reload nftables.service")
    assert "changed=0 " in apply("--check")


def test_a_rule_that_somebody_put_in_force_is_found_and_taken_away(host: Any) -> None:
    before = host.check_output("nft list table inet goldsmith")
    host.check_output("nft insert rule inet goldsmith input tcp dport 4444 accept")
    assert "changed=1 " in apply("--check")
    assert "dport 4444" in host.check_output("nft list table inet goldsmith")
    assert "changed=2 " in apply()
    assert host.check_output("nft list table inet goldsmith") == before
    assert "changed=0 " in apply("--check")


def test_rules_on_trial_go_back_unless_they_are_kept(host: Any, address: str) -> None:
    closed = (
        "table inet goldsmith\ndelete table inet goldsmith\ntable inet goldsmith {\n"
        '  comment "goldsmith 0"\n  chain input { type filter hook input priority filter; policy drop; }\n}\n'
    )
    host.check_output("printf %s >/root/closed.nft", closed)
    before = host.check_output("nft list table inet goldsmith")
    host.check_output(f"{PROGRAM} try 3 /root/closed.nft && rm /root/closed.nft")
    assert not reached(address, 8080)
    assert host.run(f"{PROGRAM} try 3").rc == 2
    for _ in range(100):
        if host.run("test -e /run/goldsmith-firewall").rc:
            break
        time.sleep(0.1)
    assert reached(address, 8080)
    assert host.check_output("nft list table inet goldsmith") == before
    late = host.run(f"{PROGRAM} keep")
    assert (late.rc, "were taken back" in late.stderr) == (2, True)
    assert host.run(f"{PROGRAM} in-force").rc == 0
