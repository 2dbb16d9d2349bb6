"""The role docker_engine. Containers are made of the machine's own Perl, so that no registry is needed."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterator
from typing import Any

import pytest

NAME = "goldsmith-test"
# A tree of one program and its libraries.
IMPORT = (
    "cd / && tar -ch usr/bin/perl $(ldd /usr/bin/perl | grep -o '/[^ ]*' | sed 's#^/##')"
    f" | docker import - {NAME}:latest"
)
# Protocol numbers instead of modules: those are not in the tree.
SERVE = (
    'socket(S,2,1,6); setsockopt(S,1,2,1); bind(S,pack("Sna4x8",2,80,"\\0"x4)) or die; listen(S,9); $|=1;'
    'print "ready\\n"; while(accept(C,S)) { sysread(C,$_,4096);'
    ' syswrite(C,"HTTP/1.0 200 OK\\r\\n\\r\\nfrom inside"); close(C) }'
)


@pytest.fixture(scope="module")
def image(host: Any) -> Iterator[str]:
    """An image of Perl alone."""
    host.check_output(IMPORT)
    try:
        yield f"{NAME}:latest"
    finally:
        host.check_output(f"docker rmi --force {NAME}:latest")


@pytest.fixture(scope="module")
def container(host: Any, image: str) -> Iterator[str]:
    """A container of it that serves a page on a port that the machine publishes."""
    run = f"docker run --detach --name={NAME} --publish=0.0.0.0::80 {image} /usr/bin/perl -e %s"
    host.check_output(run, SERVE)
    try:
        host.check_output(
            f"for try in $(seq 100); do docker logs {NAME} | grep -q ready && exit; sleep 0.1; done; exit 1"
        )
        yield NAME
    finally:
        host.check_output(f"docker rm --force --volumes {NAME}")


@pytest.fixture(scope="module")
def information(host: Any) -> dict[str, Any]:
    """What the engine says of itself."""
    return dict(json.loads(host.check_output("docker info --format '{{json .}}'")))


@pytest.fixture(scope="module")
def settings(variables: dict[str, Any]) -> dict[str, Any]:
    """What daemon.json is to say."""
    own = {name.removeprefix("docker_engine_"): value for name, value in variables.items()}
    wanted = {"live-restore": own["live_restore"], "log-driver": own["log_driver"]}
    if own["log_driver"] in {"json-file", "local"}:
        wanted["log-opts"] = {"max-size": own["log_max_size"], "max-file": str(own["log_max_files"])}
    if own["address_pools"]:
        wanted["default-address-pools"] = own["address_pools"]
    if own["registry_mirrors"]:
        wanted["registry-mirrors"] = own["registry_mirrors"]
    return {**wanted, **own["settings"]}


def test_engine_runs_now_and_after_a_boot(host: Any) -> None:
    for unit in ("docker.socket", "docker.service", "containerd.service"):
        assert host.check_output("systemctl is-active %s", unit) == "active"
        assert host.check_output("systemctl is-enabled %s", unit) == "enabled"


def test_packages_are_installed(host: Any, variables: dict[str, Any]) -> None:
    for name in ("docker.io", "apparmor", "ca-certificates", *variables["docker_engine_packages"]):
        assert host.package(name).is_installed


def test_settings_are_those_of_the_running_engine(information: dict[str, Any], settings: dict[str, Any]) -> None:
    assert information["LiveRestoreEnabled"] == settings["live-restore"]
    assert information["LoggingDriver"] == settings["log-driver"]
    mirrors = information["RegistryConfig"]["Mirrors"] or []
    assert [mirror.rstrip("/") for mirror in mirrors] == settings.get("registry-mirrors", [])
    assert (information["Labels"] or []) == settings.get("labels", [])


def test_settings_are_a_file_that_anybody_can_read_and_root_owns(host: Any, settings: dict[str, Any]) -> None:
    file = host.file("/etc/docker/daemon.json")
    assert (file.user, file.group, file.mode) == ("root", "root", 0o644)
    assert json.loads(file.content_string) == settings
    folder = host.file("/etc/docker")
    assert (folder.user, folder.group, folder.mode) == ("root", "root", 0o755)


def test_container_serves_through_a_published_port(host: Any, fetch: Any, container: str) -> None:
    port = host.check_output(f"docker port {container} 80/tcp").split()[0].rpartition(":")[2]
    own = host.check_output("hostname -I").split()[0]
    for address in ("127.0.0.1", own):
        status, _headers, text = fetch(f"http://{address}:{port}/")
        assert (status, text) == (200, "from inside")


def test_logs_of_containers_are_bounded(host: Any, container: str, settings: dict[str, Any]) -> None:
    shape = "{{json .HostConfig.LogConfig}}"
    log = json.loads(host.check_output("docker inspect --format=%s %s", shape, container))
    assert log == {"Type": settings["log-driver"], "Config": settings.get("log-opts") or {}}


def test_networks_come_from_the_pools(host: Any, variables: dict[str, Any]) -> None:
    pools = {ipaddress.ip_network(pool["base"]): int(pool["size"]) for pool in variables["docker_engine_address_pools"]}
    host.check_output(f"docker network create {NAME}")
    try:
        shape = "{{range .IPAM.Config}}{{.Subnet}}{{end}}"
        subnet = ipaddress.ip_network(host.check_output("docker network inspect --format=%s %s", shape, NAME))
        found = [size for pool, size in pools.items() if pool.version == subnet.version and subnet.subnet_of(pool)]  # type: ignore[arg-type]
        assert found == [subnet.prefixlen] if pools else subnet.is_private
    finally:
        host.check_output(f"docker network rm {NAME}")


def test_members_of_the_group_are_the_listed(host: Any, variables: dict[str, Any]) -> None:
    members = set(filter(None, host.check_output("getent group docker").split(":")[3].split(",")))
    accounts = variables.get("users_accounts", [])
    others = {account["name"] for account in accounts if "docker" in account.get("groups", [])}
    assert members - others == set(variables["docker_engine_users"]) - others
    assert set(variables["docker_engine_users"]) <= members


def test_members_may_talk_to_the_engine_and_others_may_not(host: Any, variables: dict[str, Any]) -> None:
    for user in variables["docker_engine_users"]:
        assert host.run("runuser --user=%s -- docker version", user).rc == 0
    refused = host.run("runuser --user=nobody -- docker version")
    assert refused.rc != 0
    assert "permission denied" in refused.stderr.lower()


def test_engine_listens_on_no_port(host: Any) -> None:
    assert "dockerd" not in host.check_output("ss -Hlntup")


def test_containerd_offers_nothing_to_kubernetes(host: Any) -> None:
    with host.sudo():
        assert "containerd" not in host.check_output("ss --no-header --tcp --listening --processes")
    file = host.file("/etc/containerd/config.toml")
    assert (file.user, file.group, file.mode) == ("root", "root", 0o644)


def test_what_is_not_in_use_is_removed_in_time(host: Any, variables: dict[str, Any]) -> None:
    timer, service = "goldsmith-docker-prune.timer", "goldsmith-docker-prune.service"
    if variables["docker_engine_prune"]:
        assert host.check_output("systemctl is-active %s", timer) == "active"
        assert host.check_output("systemctl is-enabled %s", timer) == "enabled"
        calendar = host.check_output("systemctl show --property=TimersCalendar --value %s", timer)
        wanted = host.check_output("systemd-analyze calendar %s", variables["docker_engine_prune"])
        normal = next(line for line in wanted.splitlines() if "Normalized form:" in line).partition(": ")[2]
        assert f"OnCalendar={normal} ;" in calendar
        command = host.check_output("systemctl show --property=ExecStart --value %s", service)
        assert f"prune --force {' '.join(variables['docker_engine_prune_options'])} ;" in command
        for unit in (timer, service):
            file = host.file(f"/etc/systemd/system/{unit}")
            assert (file.user, file.group, file.mode) == ("root", "root", 0o644)
    else:
        for unit in (timer, service):
            assert host.check_output("systemctl show --property=LoadState --value %s", unit) == "not-found"
            assert host.run("systemctl is-active %s", unit).stdout.strip() == "inactive"
        assert not host.file(f"/etc/systemd/system/timers.target.wants/{timer}").is_symlink
