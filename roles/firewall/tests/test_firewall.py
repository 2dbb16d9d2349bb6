"""The role firewall, asked from where the tests run, and by what the kernel says.

Who is let in where nothing listens is refused at once; who is dropped hears nothing. So no listener is needed.
"""

from __future__ import annotations

import ipaddress
import json
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

PROGRAM = "/usr/local/sbin/goldsmith-firewall"


# Run where the machine is asked from: `ports ADDRESS PORT…` says which of them let in, `ping ADDRESS` says "echoed".
ASK = """
import socket, struct, sys
what, address, *ports = sys.argv[1:]

def let_in(port):
    try:
        socket.create_connection((address, port), timeout=1).close()
    except ConnectionRefusedError:
        return True
    except OSError:  # no answer, or one by ICMP from something in between
        return False
    return True

def echoed():
    try:
        asker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)
    except PermissionError:
        try:
            asker = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        except PermissionError:
            return "forbidden"
    with asker:
        asker.settimeout(1)
        head = struct.pack("!BBHHH", 8, 0, 0, 77, 1)
        total = sum(struct.unpack("!4H", head))
        asker.sendto(struct.pack("!BBHHH", 8, 0, 0xFFFF - total, 77, 1), (address, 0))
        try:
            return "echoed" if asker.recv(256) else ""
        except TimeoutError:
            return ""

print(echoed() if what == "ping" else " ".join(port for port in ports if let_in(int(port))))
"""
OUTSIDE = "goldsmith-test"
NEAR, FAR = "203.0.113.253", "203.0.113.254"  # for documentation: no machine has them
# A network of one neighbour, who lives in a unit. When the unit ends, and it does by itself if nobody is left to end
# it, the kernel removes both.
NEIGHBOUR = f"""set -e
systemd-run --quiet --collect --unit={OUTSIDE} --property=RuntimeMaxSec=300 unshare --net sleep infinity
for try in $(seq 50); do
  pid=$(systemctl show --property=MainPID --value {OUTSIDE})
  [ "$(readlink /proc/$pid/ns/net)" = "$(readlink /proc/1/ns/net)" ] || break
  sleep 0.1
done
[ "$(readlink /proc/$pid/ns/net)" != "$(readlink /proc/1/ns/net)" ]
ip link add {OUTSIDE} type veth peer name eth0 netns $pid
ip address add {NEAR}/30 dev {OUTSIDE}
ip link set {OUTSIDE} up
nsenter --target $pid --net ip address add {FAR}/30 dev eth0
nsenter --target $pid --net ip link set eth0 up
echo $pid
"""


class Asker:
    """Who asks the machine, from outside of it."""

    def __init__(self, address: str, run: Callable[..., str]) -> None:
        self.address, self.run = address, run

    def let_in(self, *ports: int) -> set[int]:
        """Those ports through which one comes in."""
        return {int(port) for port in self.run("ports", self.address, *map(str, ports)).split()}

    def echoed(self) -> bool:
        """Whether it answers to ping."""
        said = self.run("ping", self.address).strip()
        if said == "forbidden":
            pytest.skip("nobody may ping from here")
        return said == "echoed"


def ask_from_here(*argv: str) -> str:
    return subprocess.run([sys.executable, "-c", ASK, *argv], capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def asker(host: Any, variables: dict[str, Any]) -> Iterator[Asker]:
    """Who reaches the machine without anything in between that forwards or filters: we, or a neighbour made for it."""
    own = host.check_output("hostname -I").split()
    # First the one that faces outwards: an address for its own containers may be another machine's here.
    outward = re.findall(r" src (\S+)", host.run("ip -4 route get 192.0.2.1").stdout)
    given = str(variables.get("ansible_host", ""))
    for found in [given, *outward, *own]:
        usable = found in own and ":" not in found and not ipaddress.ip_address(found).is_loopback
        if usable and is_near(found) and is_there(found, int(variables.get("ssh_port", 22))):
            yield Asker(found, ask_from_here)
            return
    yield from neighbour(host)


def neighbour(host: Any) -> Iterator[Asker]:
    """Somebody on the machine whose packets come in as if from another one."""
    had_module = host.file("/sys/module/veth").exists
    try:
        made = host.run(NEIGHBOUR)
        if made.rc:
            pytest.skip(f"it is not reached from here, and has no room for a neighbour: {made.stderr.strip()}")
        enter = f"nsenter --target {made.stdout.strip()} --net /usr/bin/python3 -c %s"

        def ask(*argv: str) -> str:
            return str(host.check_output(enter + " %s" * len(argv), ASK, *argv))

        yield Asker(NEAR, ask)
    finally:
        host.run(f"ip link delete {OUTSIDE}; systemctl stop {OUTSIDE}.service")
        if not had_module:
            host.run("modprobe --remove veth")


def is_near(address: str) -> bool:
    """Whether no router is on the way: one may answer for any address, and the machine's may be another's there.

    Nor is an address that is ours the machine's: both may have a bridge for containers, of one address.
    """
    if shutil.which("ip") is None:
        return False
    said = subprocess.run(["ip", "-json", "route", "get", address], capture_output=True, check=False)
    routes = json.loads(said.stdout) if said.returncode == 0 else []
    return bool(routes) and all("gateway" not in route and route.get("type") != "local" for route in routes)


def is_there(address: str, port: int) -> bool:
    """Whether a machine answers there, by SSH or to ping."""
    try:
        with socket.create_connection((address, port), timeout=5) as link:
            return link.recv(4) == b"SSH-"
    except OSError:
        return Asker(address, ask_from_here).echoed()


@pytest.fixture(scope="module")
def chain(host: Any) -> list[Any]:
    """The rules for what comes in, as the kernel has them."""
    said = json.loads(host.check_output("nft --json list chain inet goldsmith input"))["nftables"]
    return [each for each in said if "metainfo" not in each]


def ports(entries: list[dict[str, Any]]) -> Iterator[int]:
    for entry in entries:
        for ports in map(str, entry["ports"]):
            first, _dash, last = ports.partition("-")
            yield from range(int(first), int(last or first) + 1)


def test_what_may_come_from_everywhere_comes_in(asker: Asker, variables: dict[str, Any]) -> None:
    everywhere = [
        entry
        for entry in variables["firewall_allow"]
        if entry.get("protocol", "tcp") == "tcp" and not entry.get("sources") and not entry.get("interfaces")
    ]
    listed = list(ports(everywhere))[:20]
    assert asker.let_in(*listed) == set(listed)


def test_ssh_comes_in(asker: Asker, variables: dict[str, Any]) -> None:
    if not variables["firewall_ssh_sources"]:
        assert asker.let_in(int(variables.get("ssh_port", 22)))


def test_all_else_is_dropped(asker: Asker, variables: dict[str, Any]) -> None:
    listed = {*ports(variables["firewall_allow"]), int(variables.get("ssh_port", 22)), 22}
    further = " ".join(variables["firewall_rules"])
    closed = [port for port in (47, 8081, 9999, 30123, 60001) if port not in listed and str(port) not in further]
    assert asker.let_in(*closed) == set()


def test_it_answers_to_ping_only_if_it_should(asker: Asker, variables: dict[str, Any]) -> None:
    if "icmp" not in " ".join(variables["firewall_rules"]):
        assert asker.echoed() == variables["firewall_ping"]


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
