"""The ordinary way to a base: it is pulled from a registry, a real one on this machine. (All other tests take the
other way, mmdebstrap, wherever no registry can be reached.)"""

from __future__ import annotations

import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from goldsmith import docker, proc
from tests.paths import ROOT

SCRIPT = ROOT / "packer/base-image.sh"
TAG = "goldsmith-test/base:pulled"
CONFIG = """\
version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: {data}}}}}
http: {{addr: '{address}'}}
"""
LOOK = """\
set -e
test -x /lib/systemd/systemd
test -x /usr/sbin/sshd
test ! -e /usr/sbin/policy-rc.d
python3 -c 'import apt'
ls -A /etc/ssh /var/lib/apt/lists
find /var/log -type f -size +0
wc -c < /etc/machine-id
"""


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Docker registry on loopback, from Debian's package, unpacked and not installed; its address."""
    folder = tmp_path_factory.mktemp("registry")
    subprocess.run(
        ["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", "docker-registry"], cwd=folder, check=True
    )
    subprocess.run(["dpkg", "-x", next(folder.glob("*.deb")), folder], check=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"localhost:{free.getsockname()[1]}"
    (folder / "config.yml").write_text(CONFIG.format(data=folder / "data", address=address))
    server = subprocess.Popen([folder / "usr/bin/docker-registry", "serve", folder / "config.yml"])
    try:
        end = time.monotonic() + 30
        while time.monotonic() < end:
            try:
                urllib.request.urlopen(f"http://{address}/v2/", timeout=1)
                break
            except OSError:
                time.sleep(0.1)
        yield address
    finally:
        server.terminate()
        server.wait()


@pytest.fixture(scope="module")
def bare(registry: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Debian with neither systemd nor Python, as registries have it; its name there. This machine forgets it."""
    name = f"{registry}/debian:bookworm"
    tar = tmp_path_factory.mktemp("bare") / "rootfs.tar"
    proc.run(["mmdebstrap", "--quiet", "--variant=minbase", "bookworm", str(tar)])
    proc.run(["docker", "import", str(tar), name])
    proc.run(["docker", "push", "--quiet", name])
    proc.run(["docker", "rmi", name])
    try:
        yield name
    finally:
        for image in (TAG, name):
            proc.run(["docker", "rmi", "--force", image], check=False)


def prepare(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([SCRIPT, *arguments], capture_output=True, text=True, check=False)


def test_pulls_and_adds_what_a_machine_needs(bare: str) -> None:
    done = prepare(bare, TAG)
    assert done.returncode == 0, done.stderr
    assert f"docker pull {bare}" in done.stderr
    assert "mmdebstrap" not in done.stderr
    inside = proc.run(["docker", "run", "--rm", TAG, "sh", "-c", LOOK])
    assert "ssh_host" not in inside.text
    assert "/var/log" not in inside.text
    assert inside.text.splitlines()[-1] == "0"
    image = docker.inspect_image(TAG)
    assert image is not None
    assert image["Config"]["StopSignal"] == "SIGRTMIN+3"
    assert image["Config"]["Cmd"] == ["/lib/systemd/systemd"]


def test_is_made_once_and_again_only_when_asked(bare: str) -> None:
    prepare(bare, TAG)
    again = prepare(bare, TAG)
    assert "is there" in again.stderr
    assert f"docker pull {bare}" in prepare("--pull", bare, TAG).stderr


def test_without_a_registry_only_debian_can_be_made() -> None:
    done = prepare("localhost:9/other:1", "goldsmith-test/base:none")
    assert done.returncode == 1
    assert "cannot pull localhost:9/other:1" in done.stderr
    assert docker.inspect_image("goldsmith-test/base:none") is None


def test_wrong_usage_shows_how(tmp_path: Path) -> None:
    done = prepare("debian:bookworm")
    assert done.returncode == 2
    assert "packer/base-image.sh [--pull] IMAGE TAG" in done.stderr
