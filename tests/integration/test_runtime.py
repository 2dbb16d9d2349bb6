"""What runs: the same before and after a boot, and each change of it by hand is named."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from goldsmith import collect, docker, policy, proc
from goldsmith.compare import compare
from goldsmith.manifest import Manifest

STALE = """
cp /bin/sleep /usr/local/bin/stale
printf '[Service]\\nExecStart=/usr/local/bin/stale 600\\n' > /etc/systemd/system/stale.service
systemctl daemon-reload && systemctl start stale
until [ "$(readlink /proc/$(systemctl show --value --property=MainPID stale)/exe)" = /usr/local/bin/stale ]; do :; done
rm /usr/local/bin/stale
"""
MARTIANS = "mount -o remount,rw /proc/sys && echo 1 > /proc/sys/net/ipv4/conf/all/log_martians"
CHANGES = {
    ("runtime.mounts", "/mnt"): "mount -t tmpfs -o noexec tmpfs /mnt",
    ("runtime.restart", "stale.service"): STALE,
    ("runtime.sysctl", "net.ipv4.conf.all.log_martians"): MARTIANS,
    ("runtime.network", "interface lo"): "ip link set lo mtu 9000",
}


@pytest.fixture(scope="module")
def machine(base: str) -> Iterator[str]:
    name = f"goldsmith-runtime-{os.getpid()}"
    try:
        docker.boot(name, base, owner="lab")
        # A bare base has no host keys: its sshd fails, at once or after some tries.
        healthy = "ssh-keygen -A -q && systemctl reset-failed ssh && systemctl restart ssh"
        proc.run(["docker", "exec", name, "sh", "-ec", healthy])
        yield name
    finally:
        proc.run(["docker", "rm", "--force", "--volumes", name], check=False)


def look(machine: str) -> Manifest:
    return collect.collect(collect.parse(f"docker:{machine}"))


def unexplained(before: Manifest, after: Manifest) -> set[tuple[str, str]]:
    found = compare(before, after, policy.reference()).unexplained
    return {(each.section, each.key) for each in found if each.section.startswith("runtime.")}


def test_a_boot_changes_nothing(machine: str) -> None:
    before = look(machine)
    proc.run(["docker", "restart", machine])
    docker.settle(machine)
    after = look(machine)
    assert unexplained(before, after) == set()
    assert {"sysctl", "mounts", "network", "firewall", "restart", "reboot"} <= set(after.runtime or {})
    assert not {"kernel", "modules", "sysctl_kernel"} & set(after.runtime or {})


@pytest.mark.parametrize("named", list(CHANGES), ids=lambda named: named[0])
def test_a_change_is_named(machine: str, named: tuple[str, str]) -> None:
    before = look(machine)
    proc.run(["docker", "exec", machine, "sh", "-ec", CHANGES[named]])
    found = unexplained(before, look(machine))
    assert named in found
    assert found <= {named, ("runtime.units", "stale.service")}
