"""A developer's container by real Compose: the image, with systemd, its ports on loopback; and nothing left of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from goldsmith import docker, proc
from tests.integration.conftest import SEAL, Goldsmith, error, write_playbook
from tests.paths import ROOT

SERVER = """\
[Service]
ExecStart=/usr/bin/python3 -m http.server 8080
WorkingDirectory=/srv
[Install]
WantedBy=multi-user.target
"""


BASE = "goldsmith-test/page"
PREPARED = "goldsmith/base:goldsmith-test-page"


@pytest.fixture(scope="module")
def exposing(base: str) -> Iterator[str]:
    """A base that exposes a port: what is built of it does so too."""
    proc.run(["docker", "build", "--quiet", "--tag", BASE, "-"], stdin=f"FROM {base}\nEXPOSE 8080\n".encode())
    yield BASE
    proc.run(["docker", "rmi", "--force", PREPARED, BASE], check=False)


@pytest.fixture
def project(small: Goldsmith, exposing: str) -> Iterator[Goldsmith]:
    """A project with a server behind port 8080."""
    (small.project / "page.service").write_text(SERVER)
    write_playbook(
        small.project,
        "ansible.builtin.copy: {src: page.service, dest: /etc/systemd/system/page.service, mode: '0644'}",
        "ansible.builtin.copy: {content: 'one definition', dest: /srv/page, mode: '0644'}",
        "ansible.builtin.file: {src: ../page.service, dest: /etc/systemd/system/multi-user.target.wants/page.service, "
        "state: link}",
        SEAL,
    )
    text = f"images:\n  page:\n    playbook: site.yml\n    base: {exposing}\ninventory: hosts.ini\n"
    (small.project / "goldsmith.yml").write_text(text)
    yield small
    found = docker.inspect_image("goldsmith/page")
    if found:
        proc.run(["docker", "rmi", "--force", found["Id"]], check=False)


def ours() -> set[str]:
    """Every container and network of a machine that is up."""
    names = proc.run(["docker", "ps", "--all", "--format", "{{.Names}}", "--filter", f"label={docker.OWNER}=up"]).text
    networks = proc.run(["docker", "network", "ls", "--format", "{{.Name}}"]).text
    return {name for name in (*names.split(), *networks.split()) if name.startswith("goldsmith-up-")}


def fetched(url: str) -> bytes:
    """What a server says that may still be coming up."""
    end = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(url, timeout=30) as page:  # noqa: S310 - http, on loopback
                return bytes(page.read())
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


def test_the_image_runs_and_is_gone_again(project: Goldsmith) -> None:
    before = ours()
    built = project.json("build", "page")
    started = project.json("up", "page", "--target", "docker")
    try:
        [name] = {each for each in ours() - before if not each.endswith("_default")}
        assert proc.run(["docker", "inspect", "--format", "{{.Image}}", name]).text == built["image_id"]
        inside, _, where = started["note"].partition(" -> ")
        assert inside == "8080/tcp"
        assert where.startswith("127.0.0.1:")
        assert fetched(f"http://{where}/page") == b"one definition"
        booted = proc.run(["docker", "inspect", "--format", "{{.State.StartedAt}}", name]).text
        assert project.json("up")["file"] == started["file"]
        assert proc.run(["docker", "inspect", "--format", "{{.State.StartedAt}}", name]).text == booted
    finally:
        subprocess.run(["sh", "-c", started["stop"]], cwd=project.project, check=True, capture_output=True)
    assert ours() == before


@pytest.fixture
def engine(exposing: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Another Docker, with cgroup v2 whatever this machine has: there it gives each container a namespace of its own.
    Has the prepared base."""
    proc.run(["sh", str(ROOT / "packer/base-image.sh"), exposing, PREPARED])
    with tempfile.TemporaryDirectory(prefix="goldsmith-test-") as name:
        host = f"unix://{name}/socket"
        script = (
            "mount -t cgroup2 none /sys/fs/cgroup && ip link set lo up && exec dockerd --data-root $1/data"
            " --exec-root $1/exec --host unix://$1/socket --pidfile $1/pid 2>$1/log"
        )
        alone = ["unshare", "--mount", "--net", "--propagation=private", "sh", "-c", script, "sh", name]
        with proc.running(alone, stderr=subprocess.DEVNULL) as running:
            end = time.monotonic() + 30
            while proc.run(["docker", "--host", host, "info"], check=False).code != 0:
                assert running.poll() is None, Path(name, "log").read_text()[-2000:]
                assert time.monotonic() < end, Path(name, "log").read_text()[-2000:]
                time.sleep(0.1)
            with subprocess.Popen(["docker", "save", PREPARED, exposing], stdout=subprocess.PIPE) as saved:
                subprocess.run(["docker", "--host", host, "load", "--quiet"], stdin=saved.stdout, check=True)
            monkeypatch.setenv("DOCKER_HOST", host)
            yield host


def test_systemd_has_cgroups_of_its_own_where_docker_gives_them(project: Goldsmith, engine: str) -> None:
    """With cgroup v2, as on a plain Debian 12: a namespace, and none of the machine's own cgroups in it."""
    started = project.json("up", "page", "--target", "docker")
    try:
        [name] = ours() - {each for each in ours() if each.endswith("_default")}
        inside = ["docker", "--host", engine, "exec", name]
        assert proc.run([*inside, "systemctl", "show", "--value", "--property=ControlGroup", "page"]).text == (
            "/system.slice/page.service"
        )
        assert proc.run([*inside, "sed", "-n", "s/^0:://p", "/proc/1/cgroup"]).text == "/init.scope"
        assert proc.run(["docker", "inspect", "--format", "{{.HostConfig.Binds}}", name]).text == "[]"
        proc.run(["docker", "restart", name])
        assert docker.settle(name) == "running"
    finally:
        subprocess.run(["sh", "-c", started["stop"]], cwd=project.project, check=True, capture_output=True)
    assert ours() == set()


def test_a_container_that_does_not_start_is_gone_again(project: Goldsmith, tmp_path: Path) -> None:
    before = ours()
    # Compose makes network and container, and then fails.
    programs = tmp_path / "programs"
    programs.mkdir()
    for program in ("docker", "docker-compose"):
        real = shutil.which(program)
        script = f'case "$*" in *" up "*) {real} "$@"; echo no room >&2; exit 1 ;; esac\nexec {real} "$@"\n'
        (programs / program).write_text(f"#!/bin/sh\n{script}")
        (programs / program).chmod(0o755)
    done = project("up", expect=1, PATH=f"{programs}:{os.environ['PATH']}")
    assert "no room" in error(done)[0]
    assert ours() == before
