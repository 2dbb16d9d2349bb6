"""Hygiene on real images: a sealed one is clean, one that ran is not, and a build that leaves something is none."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from goldsmith import docker, hygiene_rules, proc
from tests.integration.conftest import SEAL, Goldsmith, error, write_playbook
from tests.integration.test_wrong_inputs import left

PLANT = """\
#!/bin/sh -e
ssh-keygen -A
mkdir -p /root/.ssh /etc/netplan /var/lib/dhcp
echo ssh-ed25519 AAAA build > /root/.ssh/authorized_keys
useradd --create-home packer
echo 'network: {}' > /etc/netplan/50-cloud-init.yaml
echo ls > /root/.bash_history
echo 'lease {}' > /var/lib/dhcp/dhclient.eth0.leases
echo installed > /var/log/dpkg.log
echo 'machine example.org login me password x' > /root/.netrc
echo 0123456789 > /var/lib/systemd/random-seed
echo 'Acquire::http::Proxy "http://192.0.2.1:3142";' > /etc/apt/apt.conf.d/01proxy
"""
HISTORY = "ansible.builtin.copy: {content: ls, dest: /root/.bash_history, mode: '0600'}"
UNSEALED = {"build-leftovers", "build-user", "cloud-instance-data", "secrets"}
"""What the role seal leaves alone."""


def named(message: str) -> set[str]:
    """The checks that an error or a report names."""
    return {check for check in hygiene_rules.CHECKS if f"\n{check}: " in message or f"\n  {check}: " in message}


@pytest.fixture
def dirty(small: Goldsmith) -> Goldsmith:
    """The small project, with a playbook that leaves something for every check, and applies no seal."""
    (small.project / "plant.sh").write_text(PLANT)
    write_playbook(small.project, "ansible.builtin.script: plant.sh")
    return small


def test_a_sealed_image_is_clean(goldsmith: Goldsmith, image: dict[str, Any]) -> None:
    found = goldsmith.json("hygiene", f"docker-image:{image['reference']}")
    assert found["clean"] is True
    assert (found["offences"], found["waived"]) == ([], [])
    assert json.loads(Path(image["provenance"]).read_text())["waived"] == []


def test_an_image_of_a_machine_that_ran_is_not(goldsmith: Goldsmith, booted: str, tmp_path: Path) -> None:
    """The classic mistake. Docker's own export of it says the same."""
    name = f"goldsmith-test-{os.getpid()}-unsealed"
    expected = {"ssh-host-keys", "machine-id", "logs"}
    proc.run(["docker", "commit", booted, name])
    try:
        found = goldsmith.json("hygiene", f"docker-image:{name}", expect=3)
    finally:
        proc.run(["docker", "rmi", "--force", name])
    assert {each["check"] for each in found["offences"]} == expected
    proc.run(["docker", "export", "--output", str(tmp_path / "root.tar"), booted])
    exported = goldsmith.json("hygiene", f"tar:{tmp_path}/root.tar", expect=3)
    assert exported["offences"] == found["offences"]


def test_a_build_without_a_seal_fails_and_leaves_nothing(dirty: Goldsmith) -> None:
    done = dirty("build", "small", expect=3)
    assert named(done.stderr) == set(hygiene_rules.CHECKS)
    assert "/root/.netrc: a password" in done.stderr
    assert "apply the role goldsmith.core.seal last" in done.stderr
    assert left(dirty.project / "artifacts") == []


def test_what_a_seal_leaves_and_what_comes_after_it_fails(dirty: Goldsmith) -> None:
    first_boot = "ansible.builtin.include_role: {name: goldsmith.core.first_boot}"
    write_playbook(dirty.project, first_boot, "ansible.builtin.script: plant.sh", SEAL, HISTORY)
    done = dirty("build", "small", expect=3)
    assert named(done.stderr) == {*UNSEALED, "history"}
    assert "the role seal ran" in done.stderr
    assert left(dirty.project / "artifacts") == []


def test_what_is_waived_is_built_with_its_reason_until_the_waiver_goes(small: Goldsmith) -> None:
    write_playbook(small.project, SEAL, HISTORY)
    policy = small.project / "policy.yml"
    policy.write_text("hygiene:\n  - {check: history, path: /root/**, reason: it is for a test}\n")
    with (small.project / "goldsmith.yml").open("a") as file:
        file.write("policy: policy.yml\n")
    done = small("build", "small", "--json")
    built = json.loads(done.stdout)
    try:
        assert "waived: history /root/.bash_history: it is for a test" in done.stderr
        assert json.loads(Path(built["provenance"]).read_text())["waived"] == [
            {"check": "history", "path": "/root/.bash_history", "reason": "it is for a test"}
        ]
        assert small.json("build", "small")["cached"] is True
        assert small.json("hygiene", f"docker-image:{built['reference']}")["clean"] is True
        policy.write_text("rules: []\n")
        assert small.json("hygiene", f"docker-image:{built['reference']}", expect=3)["clean"] is False
    finally:
        docker.remove(f"{docker.KEY}={built['content_key']}")


def test_a_wrong_waiver_is_refused_before_anything_is_built(small: Goldsmith) -> None:
    (small.project / "policy.yml").write_text("hygiene:\n  - {check: log, path: /x, reason: because it is so}\n")
    with (small.project / "goldsmith.yml").open("a") as file:
        file.write("policy: policy.yml\n")
    message, _ = error(small("build", "small", expect=2))
    assert 'there is no check "log"; did you mean "logs"?' in message


def test_an_image_that_is_not_there(small: Goldsmith) -> None:
    message, hint = error(small("hygiene", "docker-image:goldsmith/none", expect=2))
    assert "no Docker image goldsmith/none" in message
    assert "goldsmith build" in hint
