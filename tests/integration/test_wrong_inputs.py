"""What goes wrong for people, made to go wrong: one clear message, a hint, an exit code, nothing half-written."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.lab import Lab
from goldsmith import docker, proc, stages
from tests.integration.conftest import SEAL, TOOLS, Goldsmith, error, write_playbook
from tests.paths import ROOT

NO_DOCKER = {"DOCKER_HOST": "unix:///nonexistent/docker.sock"}


def left(folder: Path) -> list[str]:
    """Files that a build has left in the project's output folder, and containers and images in Docker; but for what
    it keeps for the next one."""
    files = [str(path) for path in folder.rglob("*") if path.is_file() and path.name != stages.FILE]
    containers = proc.run(["docker", "ps", "--all", "--quiet", "--filter", f"label={docker.OWNER}=build"]).text.split()
    images = proc.run(["docker", "images", "--quiet", "goldsmith/small"]).text.split()
    return files + containers + images


@pytest.fixture
def hosts(small: Goldsmith, lab: Lab) -> Goldsmith:
    """The small project, with the lab's hosts."""
    small.environment = lab.environment
    return small


# The project file and names in it.


def test_no_project(tmp_path: Path) -> None:
    message, hint = error(Goldsmith(tmp_path)("build", "web", expect=2))
    assert "goldsmith.yml" in message
    assert "goldsmith init" in hint


def test_invalid_project(small: Goldsmith) -> None:
    (small.project / "goldsmith.yml").write_text("images:\n  small:\n    playbok: site.yml\n")
    done = small("build", "small", expect=2)
    assert 'goldsmith.yml:3: images.small.playbok: unknown key; did you mean "playbook"?' in done.stderr


def test_unknown_image(small: Goldsmith) -> None:
    message, hint = error(small("build", "smal", expect=2))
    assert '"smal"' in message
    assert '"small"' in hint


def test_unknown_option_is_wrong_usage(small: Goldsmith) -> None:
    assert "--froce" in small("build", "small", "--froce", expect=2).stderr


def test_unknown_target_and_names(small: Goldsmith) -> None:
    assert "docker-image:NAME" in error(small("collect", "web1", expect=2))[1]
    assert "no Docker image" in error(small("collect", "docker-image:goldsmith/none", expect=2))[0]
    assert "does not exist" in error(small("collect", "docker:goldsmith-none", expect=2))[0]
    assert error(small("collect", "ssh:web11", expect=2))[1] == 'did you mean "web1"?'
    assert "no folder" in error(small("collect", "dir:/nonexistent", expect=2))[0]


def test_init_overwrites_nothing(small: Goldsmith) -> None:
    before = (small.project / "goldsmith.yml").read_text()
    message, _ = error(small("init", expect=2))
    assert "is there already" in message
    assert (small.project / "goldsmith.yml").read_text() == before
    assert not (small.project / "app").exists()


# Building.


def test_playbook_with_a_syntax_error(small: Goldsmith) -> None:
    (small.project / "site.yml").write_text(
        "- hosts: all\n  tasks:\n    - name: Bad\n      ansible.builtin.command 'x'\n"
    )
    message, _ = error(small("build", "small", expect=1))
    assert "site.yml:" in message
    assert left(small.project / "artifacts") == []


def test_an_error_in_the_template_is_told_with_file_and_line(small: Goldsmith, tmp_path: Path) -> None:
    """With a copy of Goldsmith: its template is a part of it."""
    for folder in ("src/goldsmith", "packer", "plugins/module_utils"):
        shutil.copytree(ROOT / folder, tmp_path / "copy" / folder)
    template = tmp_path / "copy/packer/sources.pkr.hcl"
    before, after = template.read_text().split("  commit = true\n")
    template.write_text(f"{before}  comit = true\n{after}")
    message, _ = error(small("build", "small", expect=1, PYTHONPATH=str(tmp_path / "copy/src")))
    line = before.count("\n") + 1
    assert message.startswith('building "small" failed: ')
    assert 'An argument named "comit" is not expected here.' in message
    assert message.endswith(f"({template}:{line})")


def test_task_that_fails_midway_is_named(small: Goldsmith) -> None:
    write_playbook(
        small.project,
        "ansible.builtin.command: 'true'",
        "ansible.builtin.command: sh -c 'echo out of luck >&2; exit 3'",
    )
    message, hint = error(small("build", "small", expect=1))
    assert 'task "Step 2"' in message
    assert "site.yml:7" in message
    assert "out of luck" in message
    assert "--verbose" in hint
    assert left(small.project / "artifacts") == []


def test_a_failed_build_leaves_the_last_good_image(small: Goldsmith) -> None:
    write_playbook(small.project, SEAL)
    good = small.json("build", "small")
    try:
        manifest = (small.project / "artifacts/images/small/manifest.json").read_bytes()
        write_playbook(small.project, "ansible.builtin.command: 'false'")
        small("build", "small", expect=1)
        assert docker.inspect_image("goldsmith/small:latest")["Id"] == good["image_id"]  # type: ignore[index]
        assert (small.project / "artifacts/images/small/manifest.json").read_bytes() == manifest
    finally:
        docker.remove(f"{docker.KEY}={good['content_key']}")


def test_a_play_that_has_no_host(small: Goldsmith) -> None:
    (small.project / "site.yml").write_text("- name: Other\n  hosts: db\n  tasks: []\n")
    message, hint = error(small("build", "small", expect=1))
    assert "ran no task" in message
    assert "groups" in hint
    assert left(small.project / "artifacts") == []


def test_a_group_that_the_inventory_does_not_have(small: Goldsmith) -> None:
    path = small.project / "goldsmith.yml"
    path.write_text(path.read_text().replace("site.yml\n", "site.yml\n    groups: [wbe]\n"))
    message, hint = error(small("build", "small", expect=2))
    assert '"wbe"' in message
    assert "web" in hint


def test_docker_not_running(small: Goldsmith) -> None:
    for arguments in (["build", "small"], ["collect", "docker-image:x"], ["collect", "docker:x"]):
        message, hint = error(small(*arguments, expect=5, **NO_DOCKER))
        assert "Docker daemon does not answer" in message
        assert "start it" in hint
    doctor = json.loads(small("doctor", "--json", expect=5, **NO_DOCKER).stdout)
    assert {each["name"]: each["found"] for each in doctor}["docker engine"] is False


def test_packer_missing(small: Goldsmith, tmp_path_factory: pytest.TempPathFactory) -> None:
    programs = tmp_path_factory.mktemp("bin")
    for tool in {*TOOLS, "sh", "python3"} - {"packer"}:
        (programs / tool).symlink_to(str(shutil.which(tool)))
    message, hint = error(small("build", "small", expect=5, PATH=str(programs)))
    assert "packer is not installed" in message
    assert "apt-get install packer" in hint
    doctor = small("doctor", expect=5, PATH=str(programs)).stdout
    assert "apt-get install packer" in doctor


def test_base_that_cannot_be_had(small: Goldsmith) -> None:
    path = small.project / "goldsmith.yml"
    path.write_text(path.read_text().replace("site.yml\n", "site.yml\n    base: localhost:9/none:1\n"))
    message, hint = error(small("build", "small", expect=1))
    assert "localhost:9/none:1" in message
    assert "base:" in hint


@pytest.fixture
def full(small: Goldsmith) -> Iterator[Path]:
    """An output folder on a disk that is too small."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    folder = small.project / "artifacts"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "goldsmith-test", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def test_full_disk_in_the_output_folder(small: Goldsmith, full: Path) -> None:
    message, hint = error(small("build", "small", expect=1))
    assert "free" in message
    assert "output:" in hint
    assert left(full) == []


def test_full_disk_where_a_manifest_goes(goldsmith: Goldsmith, image: object, full: Path) -> None:
    message, hint = error(goldsmith("collect", "docker-image:goldsmith/web", "-o", str(full / "web.json"), expect=1))
    assert "No space left" in message
    assert "free some space" in hint
    assert list(full.iterdir()) == []


def test_two_builds_of_one_image_at_once(small: Goldsmith) -> None:
    write_playbook(small.project, "ansible.builtin.wait_for: {path: /tmp/go, timeout: 60}")
    first = subprocess.Popen(
        ["goldsmith", "build", "small"], cwd=small.project, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    try:
        assert first.stderr
        assert any("Step 1" in line for line in first.stderr)
        message, hint = error(small("build", "small", expect=1))
        assert "another build" in message
        assert "wait" in hint
    finally:
        first.terminate()
        first.communicate()
    assert left(small.project / "artifacts") == []


# Manifests.


def test_a_manifest_cut_in_half(goldsmith: Goldsmith, image: object, tmp_path: Path) -> None:
    whole = goldsmith.project / "artifacts/images/web/manifest.json"
    half = tmp_path / "half.json"
    half.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    done = goldsmith("compare", str(half), str(whole), expect=1)
    assert "ends in the middle" in done.stderr
    assert "collect it again" in done.stderr


def test_a_manifest_that_is_not_there(goldsmith: Goldsmith, tmp_path: Path) -> None:
    message, hint = error(goldsmith("compare", str(tmp_path / "none.json"), str(tmp_path / "none.json"), expect=1))
    assert "no such manifest" in message
    assert "goldsmith collect" in hint


def test_a_policy_that_is_wrong(goldsmith: Goldsmith, tmp_path: Path) -> None:
    policy = tmp_path / "policy.yml"
    policy.write_text("rules:\n  - section: files\n    key: /etc/x\n    raeson: because it is so\n")
    done = goldsmith("compare", "a.json", "b.json", "--policy", str(policy), expect=2)
    assert f'{policy}:4: rules.0.raeson: unknown key; did you mean "reason"?' in done.stderr


# Hosts.


def test_a_host_that_is_down_does_not_hide_the_others(hosts: Goldsmith, lab: Lab) -> None:
    (hosts.project / "hosts.ini").write_text("[web]\nweb1\ngone ansible_host=127.0.0.1 ansible_port=9\n")
    result = hosts.json("converge", expect=4)
    assert {name: host["verdict"] for name, host in result["hosts"].items()} == {
        "web1": "changed",
        "gone": "unreachable",
    }
    assert "nothing listens" in result["hosts"]["gone"]["message"]
    done = hosts("converge", expect=4)
    assert "gone unreachable" in done.stderr
    assert "sshd" in done.stderr
    message, _ = error(hosts("collect", "ssh:gone", expect=4))
    assert "nothing listens" in message


def test_a_host_where_a_task_fails(hosts: Goldsmith, lab: Lab) -> None:
    write_playbook(hosts.project, "ansible.builtin.command: test {{ inventory_hostname }} = web1")
    result = hosts.json("converge", expect=1)
    assert {name: host["verdict"] for name, host in result["hosts"].items()} == {"web1": "changed", "web2": "failed"}
    assert result["hosts"]["web2"]["task"] == "Step 1"


def test_the_wrong_ssh_key(hosts: Goldsmith, lab: Lab, tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "other"], check=True)
    config = tmp_path / "ssh_config"
    config.write_text(lab.ssh_config.read_text().replace(str(lab.key), str(tmp_path / "other")))
    environment = {"ANSIBLE_SSH_COMMON_ARGS": f"-F {config}"}
    assert "refuses our key" in error(hosts("collect", "ssh:web1", expect=4, **environment))[0]
    assert "refuses our key" in hosts("converge", "--limit", "web1", expect=4, **environment).stderr


@pytest.mark.parametrize(("replaced", "said"), [(True, "host key has changed"), (False, "host key is not known")])
def test_a_host_key_that_is_not_the_known_one(
    hosts: Goldsmith, lab: Lab, tmp_path: Path, replaced: bool, said: str
) -> None:
    known = tmp_path / "known_hosts"
    lines = [line.split() for line in lab.known_hosts.read_text().splitlines()]
    # Each address gets the other's key, or none.
    known.write_text(
        "".join(f"{line[0]} {' '.join(other[1:])}\n" for line, other in zip(lines, lines[::-1], strict=True))
        if replaced
        else ""
    )
    config = tmp_path / "ssh_config"
    config.write_text(lab.ssh_config.read_text().replace(str(lab.known_hosts), str(known)))
    environment = {"ANSIBLE_SSH_COMMON_ARGS": f"-F {config}"}
    assert said in error(hosts("collect", "ssh:web1", expect=4, **environment))[0]
    assert said in hosts("converge", "--limit", "web1", expect=4, **environment).stderr


def test_converge_with_a_syntax_error_or_no_host(hosts: Goldsmith, lab: Lab) -> None:
    message, hint = error(hosts("converge", "--limit", "nobody", expect=2))
    assert '"nobody"' in message
    assert "web1" in hint
    (hosts.project / "site.yml").write_text("- hosts: all\n  roles: [no_such_role]\n")
    assert "no_such_role" in hosts("converge", expect=1).stderr


# Interruption.


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_build_leaves_nothing(small: Goldsmith, signum: signal.Signals, code: int) -> None:
    write_playbook(small.project, "ansible.builtin.wait_for: {path: /tmp/go, timeout: 120}")
    run_and_interrupt(["goldsmith", "build", "small"], small, signum, code)
    assert left(small.project / "artifacts") == []


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_converge_ends(hosts: Goldsmith, lab: Lab, signum: signal.Signals, code: int) -> None:
    write_playbook(hosts.project, "ansible.builtin.wait_for: {path: /tmp/go, timeout: 120}")
    run_and_interrupt(["goldsmith", "converge"], hosts, signum, code)


def run_and_interrupt(argv: list[str], project: Goldsmith, signum: signal.Signals, code: int) -> None:
    process = subprocess.Popen(
        argv,
        cwd=project.project,
        env={**os.environ, **project.environment},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    assert process.stderr
    assert any("Step 1" in line for line in process.stderr)
    process.send_signal(signum)
    _, said = process.communicate(timeout=60)
    assert process.returncode == code
    assert "interrupted" in said
    assert "Traceback" not in said
