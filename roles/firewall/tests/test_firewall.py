"""The role firewall, asked from where the tests run, and by what the kernel says.

Who is let in where nothing listens is refused at once; who is dropped hears nothing. So no listener is needed.
"""

from __future__ import annotations

import ipaddress
import json
import re
import shutil
import socket
import struct
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

PROGRAM = "/usr/local/sbin/goldsmith-firewall"


@pytest.fixture(scope="module")
def address(host: Any, variables: dict[str, Any]) -> str:
    """Where the machine is reached without anything in between that forwards or filters."""
    own = host.check_output("hostname -I").split()
    # First the one that faces outwards: an address for its own containers may be another machine's here.
    outward = re.findall(r" src (\S+)", host.run("ip -4 route get 192.0.2.1").stdout)
    given = str(variables.get("ansible_host", ""))
    for found in [given, *outward, *own]:
        usable = found in own and ":" not in found and not ipaddress.ip_address(found).is_loopback
        if usable and is_near(found) and is_there(found, int(variables.get("ssh_port", 22))):
            return found
    pytest.skip("it is not reached from here by an address of its own")


def is_near(address: str) -> bool:
    """Whether no router is on the way: one may answer for any address, and the machine's may be another's there."""
    if shutil.which("ip") is None:
        return False
    said = subprocess.run(["ip", "-json", "route", "get", address], capture_output=True, check=False)
    return said.returncode == 0 and all("gateway" not in route for route in json.loads(said.stdout))


def is_there(address: str, port: int) -> bool:
    """Whether a machine answers there, by SSH or to ping."""
    try:
        with socket.create_connection((address, port), timeout=5) as link:
            return link.recv(4) == b"SSH-"
    except OSError:
        return echoed(address)


@pytest.fixture(scope="module")
def chain(host: Any) -> list[Any]:
    """The rules for what comes in, as the kernel has them."""
    said = json.loads(host.check_output("nft --json list chain inet goldsmith input"))["nftables"]
    return [each for each in said if "metainfo" not in each]


def let_in(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), timeout=1).close()
    except ConnectionRefusedError:
        return True
    except OSError:  # no answer, or one by ICMP from something in between
        return False
    return True


def ports(entries: list[dict[str, Any]]) -> Iterator[int]:
    for entry in entries:
        for ports in map(str, entry["ports"]):
            first, _dash, last = ports.partition("-")
            yield from range(int(first), int(last or first) + 1)


def echoed(address: str) -> bool:
    """Whether it answers to ping."""
    try:
        asker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)
    except PermissionError:
        try:
            asker = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        except PermissionError:
            pytest.skip("nobody may ping from here")
    with asker:
        asker.settimeout(1)
        head = struct.pack("!BBHHH", 8, 0, 0, 77, 1)
        total = sum(struct.unpack("!4H", head))
        asker.sendto(struct.pack("!BBHHH", 8, 0, 0xFFFF - total, 77, 1), (address, 0))
        try:
            return bool(asker.recv(256))
        except TimeoutError:
            return False


def test_what_may_come_from_everywhere_comes_in(address: str, variables: dict[str, Any]) -> None:
    everywhere = [
        entry
        for entry in variables["firewall_allow"]
        if entry.get("protocol", "tcp") == "tcp" and not entry.get("sources") and not entry.get("interfaces")
    ]
    for port in list(ports(everywhere))[:20]:
        assert let_in(address, port), port


def test_ssh_comes_in(address: str, variables: dict[str, Any]) -> None:
    if not variables["firewall_ssh_sources"]:
        assert let_in(address, int(variables.get("ssh_port", 22)))


def test_all_else_is_dropped(address: str, variables: dict[str, Any]) -> None:
    listed = {*ports(variables["firewall_allow"]), int(variables.get("ssh_port", 22)), 22}
    further = " ".join(variables["firewall_rules"])
    closed = [port for port in (47, 8081, 9999, 30123, 60001) if port not in listed and str(port) not in further]
    for port in closed:
        assert not let_in(address, port), port


def test_it_answers_to_ping_only_if_it_should(address: str, variables: dict[str, Any]) -> None:
    if "icmp" not in " ".join(variables["firewall_rules"]):
        assert echoed(address) == variables["firewall_ping"]


def test_what_is_not_let_in_is_dropped_by_the_kernel(chain: list[Any]) -> None:
    head = chain[0]["chain"]
    assert (head["hook"], head["prio"], head["policy"]) == ("input", 0, "drop")


def test_each_entry_is_a_rule_of_the_kernel(chain: list[Any], variables: dict[str, Any]) -> None:
    said = {each["rule"].get("comment") for each in chain if "rule" in each}
    assert {"SSH", *(entry["name"] for entry in variables["firewall_allow"])} <= said
    logs = [each for each in chain if any("log" in part for part in each.get("rule", {}).get("expr", []))]
    assert bool(logs) == variables["firewall_log"]


def test_rules_are_in_force_now_and_at_every_boot(host: Any) -> None:
    assert host.run(f"{PROGRAM} in-force").rc == 0
    assert host.check_output("cmp /etc/goldsmith/firewall.nft /etc/goldsmith/firewall-at-boot.nft") == ""
    lines = host.file("/etc/nftables.conf").content_string.splitlines()
    after = lines[lines.index('include "/etc/goldsmith/firewall-at-boot.nft"') :]
    assert "flush ruleset" not in after
    assert host.run("nft -c -f /etc/nftables.conf").rc == 0
    assert host.check_output("systemctl is-active nftables.service") == "active"
    assert host.check_output("systemctl is-enabled nftables.service") == "enabled"


def test_no_trial_is_left(host: Any) -> None:
    assert not host.file("/run/goldsmith-firewall").exists
    assert host.run("systemctl is-active goldsmith-firewall-back.timer").stdout.strip() == "inactive"


def test_only_root_writes_rules_and_program(host: Any) -> None:
    for path, mode in ((PROGRAM, 0o755), ("/etc/goldsmith", 0o755), ("/etc/goldsmith/firewall.nft", 0o644)):
        file = host.file(path)
        assert (file.user, file.group, file.mode) == ("root", "root", mode), path
