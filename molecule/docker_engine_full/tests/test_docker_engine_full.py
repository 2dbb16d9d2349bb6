"""What only this scenario's set-up makes testable. It had other settings before, and a container that was running."""

from __future__ import annotations

import ipaddress
import os
import subprocess
from pathlib import Path
from typing import Any

SURVIVOR = "goldsmith-test-survivor"
SCENARIO = Path(__file__).parents[1]
PROJECT = SCENARIO.parents[1]


def check() -> str:
    """The role once more, as a check, without facts."""
    argv = ["ansible-playbook", "--check", "--inventory", str(SCENARIO / "inventory"), "molecule/shared/role.yml"]
    env = {
        **os.environ,
        "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"),
        "ANSIBLE_GATHERING": "explicit",
        "MOLECULE_SCENARIO_NAME": SCENARIO.name,
    }
    done = subprocess.run(argv, cwd=PROJECT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    return done.stdout


def shown(host: Any, shape: str, name: str) -> str:
    return str(host.check_output("docker inspect --format=%s %s", shape, name))


def test_containers_ran_on_while_settings_changed(host: Any) -> None:
    assert shown(host, "{{.State.Running}}", SURVIVOR) == "true"
    container = shown(host, "{{.State.StartedAt}}", SURVIVOR)
    engine = host.check_output(
        'date --date="$(systemctl show --property=ActiveEnterTimestamp --value docker)" +%s', "%s"
    )
    assert int(host.check_output("date --date=%s +%s", container, "%s")) < int(engine)


def test_containers_run_on_while_the_engine_restarts(host: Any) -> None:
    before = shown(host, "{{.State.Pid}}", SURVIVOR)
    host.check_output("systemctl restart docker.service")
    assert shown(host, "{{.State.Running}} {{.State.Pid}}", SURVIVOR) == f"true {before}"


def test_engine_made_its_first_network_by_the_settings(host: Any, variables: dict[str, Any]) -> None:
    subnet = ipaddress.ip_network(shown(host, "{{range .IPAM.Config}}{{.Subnet}}{{end}}", "bridge"))
    assert subnet.subnet_of(ipaddress.ip_network(variables["docker_engine_address_pools"][0]["base"]))


def test_only_what_the_options_name_is_removed(host: Any) -> None:
    make = "docker create --network=none --name=%s --label=%s goldsmith-test-survivor /bin/sleep 1"
    host.check_output(make, "goldsmith-test-goes", "goldsmith-disposable")
    host.check_output(make, "goldsmith-test-stays", "other")
    try:
        host.check_output("systemctl start goldsmith-docker-prune.service")
        names = host.check_output("docker ps --all --format='{{.Names}}'").split()
        assert sorted(names) == ["goldsmith-test-stays", SURVIVOR]
    finally:
        host.check_output("docker rm --force goldsmith-test-stays")
        host.run("docker rm --force goldsmith-test-goes")


def test_a_check_says_that_somebody_would_leave_the_group(host: Any) -> None:
    host.check_output("gpasswd --add mail docker")
    try:
        assert "changed=1 " in check()
    finally:
        host.check_output("gpasswd --delete mail docker")
    assert "changed=0 " in check()
