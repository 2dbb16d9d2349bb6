"""What `goldsmith up` writes and starts, and what it says where it can't."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from goldsmith import config, docker, machine, proc, up
from goldsmith.errors import GoldsmithError, ToolError, UsageError
from goldsmith.progress import Progress

Answer = Callable[[list[str]], tuple[int, str] | None]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> config.Project:
    monkeypatch.setattr(machine, "accelerator", lambda: machine.EMULATED)
    (tmp_path / "goldsmith.yml").write_text(
        "images:\n  web: {playbook: site.yml, groups: [shop], targets: [qemu, docker]}\ninventory: hosts.yml\n"
    )
    (tmp_path / "site.yml").write_text("- hosts: all\n")
    (tmp_path / "hosts.yml").write_text("shop: {hosts: {web1: {}}}\n")
    return config.load(tmp_path)


def programs(monkeypatch: pytest.MonkeyPatch, answer: Answer) -> list[list[str]]:
    """Let programs answer so, and be there; gives the commands that were run."""
    ran: list[list[str]] = []

    def run(argv: list[str], **options: Any) -> proc.Completed:
        ran.append([str(word) for word in argv])
        code, text = answer(ran[-1]) or (0, "")
        if options.get("on_line"):
            options["on_line"](text)
        return proc.Completed(tuple(argv), code, text.encode(), b"")

    monkeypatch.setattr(proc, "run", run)
    monkeypatch.setattr(proc, "require", lambda program: f"/opt/bin/{program}")
    return ran


def start(project: config.Project, name: str = "web", target: str = "", *, dry_run: bool = True) -> up.Started:
    return up.up(project, name, Progress(Console(quiet=True), ""), target=target, dry_run=dry_run, verbose=False)


def plugins(argv: list[str]) -> tuple[int, str] | None:
    return (0, "vagrant-libvirt (0.11.2, system)") if argv[1:3] == ["plugin", "list"] else None


def test_a_dry_run_builds_writes_and_starts_nothing(project: config.Project, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = programs(monkeypatch, plugins)
    found = start(project, "")
    assert (found.image, found.target, found.file) == ("web", "qemu", project.output / "up/web/Vagrantfile")
    assert "ansible.groups = {'shop' => ['web-vagrant']}" in found.text
    assert 'libvirt.driver = "qemu"' in found.text
    assert ran == [["vagrant", "plugin", "list"]]
    assert not project.output.exists()
    assert json.loads(json.dumps(found.to_json()))["file"] == str(found.file)


@pytest.mark.parametrize(("name", "target", "message"), [("wep", "", 'no image "wep"'), ("web", "vm", 'target "vm"')])
def test_wrong_names(project: config.Project, name: str, target: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        start(project, name, target)


def test_of_several_images_one_must_be_named(project: config.Project) -> None:
    file = project.root / "goldsmith.yml"
    file.write_text(file.read_text().replace("images:\n", "images:\n  db: {playbook: site.yml}\n"))
    with pytest.raises(UsageError, match="which image") as caught:
        start(config.load(project.root), "")
    assert caught.value.hint == "say one of: db, web"


def test_a_live_host_of_the_machines_name_is_not_touched(
    project: config.Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs(monkeypatch, plugins)
    (project.root / "hosts.yml").write_text("shop: {hosts: {web-vagrant: {}}}\n")
    with pytest.raises(UsageError, match='has a host "web-vagrant"'):
        start(project)


@pytest.mark.parametrize(
    ("target", "answer", "missing"),
    [
        ("qemu", lambda _argv: (0, "No plugins installed."), "no plugin vagrant-libvirt"),
        ("docker", lambda argv: (1, "") if argv[1] == "compose" else None, "Compose is not installed"),
    ],
)
def test_a_missing_tool_is_named_before_anything_is_built(
    project: config.Project, monkeypatch: pytest.MonkeyPatch, target: str, answer: Answer, missing: str
) -> None:
    ran = programs(monkeypatch, answer)
    monkeypatch.setattr(shutil, "which", lambda _program: None)
    with pytest.raises(ToolError, match=missing) as caught:
        start(project, target=target, dry_run=False)
    assert caught.value.exit_code == 5
    assert "apt-get install" in caught.value.hint
    assert not any("packer" in argv for argv in ran)


@pytest.mark.parametrize(("before", "destroyed"), [(False, True), (True, False)])
def test_a_machine_that_does_not_come_up_is_gone_again_and_an_older_one_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: bool, destroyed: bool
) -> None:
    data = tmp_path / ".vagrant/machines/web-vagrant/libvirt"

    def made() -> None:
        data.mkdir(parents=True, exist_ok=True)
        (data / "id").write_text("1")

    def answer(argv: list[str]) -> tuple[int, str] | None:
        if argv[1] == "up":
            made()
            return 1, "no room left in the pool"
        return None

    if before:
        made()
    ran = programs(monkeypatch, answer)
    with pytest.raises(GoldsmithError, match="vagrant up failed: no room left in the pool"):
        up.start_vagrant(tmp_path, Progress(Console(quiet=True), ""))
    assert (["vagrant", "destroy", "--force"] in ran) is destroyed


def test_the_version_of_a_machine_that_is_there(tmp_path: Path) -> None:
    assert up.running(tmp_path) is None
    data = tmp_path / ".vagrant/machines/web-vagrant/libvirt"
    data.mkdir(parents=True)
    (data / "id").write_text("1")
    (data / "box_meta").write_text('{"name": "goldsmith/web", "version": "20261126.1.0"}')
    assert up.running(tmp_path) == "20261126.1.0"


@pytest.mark.parametrize("own_cgroups", [True, False])
def test_a_compose_file_starts_systemd_as_the_project_does(own_cgroups: bool) -> None:
    text = up.compose("web", "sha256:1", ["443/tcp", "80/tcp"], "goldsmith-up-1-web", own_cgroups=own_cgroups)
    service = yaml.safe_load(text)["services"]["machine"]
    assert service["ports"] == ["127.0.0.1::443/tcp", "127.0.0.1::80/tcp"]
    given = [f"--cap-add={each}" for each in service["cap_add"]]
    given += [f"--security-opt={each.replace(':', '=')}" for each in service["security_opt"]]
    given += [f"--volume={each}" for each in service.get("volumes", ())]
    given += [f"--tmpfs={each}" for each in service["tmpfs"]] + [f"--env={each}" for each in service["environment"]]
    elsewhere = {"--cgroupns=host", *(["--volume=/sys/fs/cgroup:/sys/fs/cgroup:rw"] if own_cgroups else [])}
    assert sorted(given) == sorted(set(docker.BOOT) - elsewhere)
    assert service["command"][-1].endswith("/lib/systemd/systemd")
    assert ("remount,rw /sys/fs/cgroup" in service["command"][-1]) is own_cgroups


@pytest.mark.parametrize(
    ("said", "own"),
    [
        ("2 [name=seccomp,profile=default name=cgroupns]", True),
        ("2 [name=seccomp,profile=default]", False),
        ("1 [name=seccomp,profile=default name=cgroupns]", False),
        ("", False),
    ],
)
def test_who_has_cgroups_of_its_own(monkeypatch: pytest.MonkeyPatch, said: str, own: bool) -> None:
    programs(monkeypatch, lambda _argv: (0, said))
    assert up._own_cgroups() is own


def test_an_image_that_exposes_nothing_publishes_nothing() -> None:
    text = up.compose("web", "sha256:1", [], "c", own_cgroups=False)
    assert "ports" not in yaml.safe_load(text)["services"]["machine"]
