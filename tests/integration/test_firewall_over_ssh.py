"""The role firewall on a host that is reached over SSH: rules that would close that way are taken back."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.lab import Lab

PLAYBOOK = "- {hosts: all, become: true, roles: [goldsmith.core.firewall]}\n"
TRIAL = 12
"""Seconds until the host takes rules back; short, so that the test is."""


@pytest.fixture
def host(tmp_path: Path, base: str) -> Iterator[Lab]:
    with Lab(tmp_path / "lab", base, ["walled1"]) as lab:
        yield lab


def converge(lab: Lab, folder: Path, sources: str) -> subprocess.CompletedProcess[str]:
    (folder / "site.yml").write_text(PLAYBOOK)
    (folder / "hosts.yml").write_text(
        f"all: {{hosts: {{walled1: }}, vars: {{firewall_ssh_sources: [{sources}], firewall_trial: {TRIAL}}}}}\n"
    )
    return subprocess.run(
        ["ansible-playbook", "--inventory=hosts.yml", "site.yml"],
        cwd=folder,
        env={**os.environ, **lab.environment, "ANSIBLE_SSH_CONTROL_PATH_DIR": str(folder / "cp")},
        capture_output=True,
        text=True,
        check=False,
    )


def logs_in(lab: Lab) -> bool:
    argv = ["ssh", "-F", str(lab.ssh_config), "-o", "ConnectTimeout=2", "-o", "ControlPath=none", "walled1", "true"]
    return subprocess.run(argv, check=False).returncode == 0


def test_rules_that_lock_us_out_are_taken_back(host: Lab, tmp_path: Path) -> None:
    done = converge(host, tmp_path, "203.0.113.0/24")
    assert done.returncode != 0, done.stdout
    assert "Keep the rules" not in done.stdout
    end = time.monotonic() + 3 * TRIAL
    while not logs_in(host):
        assert time.monotonic() < end, "the host did not take the rules back"
    assert "table inet goldsmith" not in host.execute("walled1", "nft list ruleset; cat /etc/nftables.conf").text

    done = converge(host, tmp_path, "0.0.0.0/0")
    assert done.returncode == 0, done.stdout
    assert logs_in(host)
    assert (
        host.execute("walled1", "goldsmith-firewall in-force && nft list table inet goldsmith").text.count("SSH") == 1
    )
