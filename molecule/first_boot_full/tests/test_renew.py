"""A copy of another machine gets an identity of its own by a real boot."""

from __future__ import annotations

import subprocess
from typing import Any

IDENTITY = "cat /etc/machine-id /etc/ssh/ssh_host_*_key.pub"


def docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True).stdout.strip()


def test_a_copy_gets_an_identity_of_its_own(host: Any) -> None:
    before, name = host.check_output(IDENTITY).splitlines(), host.check_output("uname -n")
    host.check_output("/usr/local/sbin/goldsmith-first-boot renew")
    container = host.backend.get_pytest_id().partition("://")[2]
    docker("restart", container)
    state = "systemctl is-system-running --wait 2>/dev/null"
    up = f"for try in $(seq 100); do {state} | grep -q . && break; sleep 0.1; done"
    docker("exec", container, "sh", "-c", up)
    after = host.check_output(IDENTITY).splitlines()
    assert len(before) == len(after) == 2
    assert set(before).isdisjoint(after)
    # It was given a name, and made its keys before the daemon started.
    assert host.check_output("uname -n") == name
    assert host.check_output("systemctl is-active ssh.service") == "active"
    assert "host key" in host.check_output("journalctl --boot --unit=goldsmith-first-boot.service --output=cat")
