"""What is put together from Docker's own folders is what Docker itself would save."""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from goldsmith import docker, layer_store, proc, tree

FIRST = r"""
cd /opt; mkdir folder empty; echo 1 >folder/old; echo 1 >gone; echo h >hard; ln hard link; mkfifo fifo
touch "$(printf 'caf\351')" "$(printf 'new\nline')" empty/x; ln -s /dev/zero endless
chmod 4755 hard; chown 1234:100000 gone; truncate -s 3M sparse; python3 -c 'import os, struct
os.setxattr("/opt/hard", "security.capability", struct.pack("<5I", 0x02000001, 1 << 13, 0, 0, 0))'
"""
SECOND = "cd /opt; rm gone; rm -r folder; mkdir folder; echo 2 >folder/new; echo 2 >>link; rm empty/x; rm /etc/motd"


@pytest.fixture(scope="module")
def made(base: str) -> Iterator[dict[str, Any]]:
    """An image of the base and two layers, with all that layers can have."""
    name, image = "goldsmith-layers", base
    for number, script in enumerate((FIRST, SECOND)):
        tag = f"goldsmith/layers:{number}"
        proc.run(["docker", "run", f"--name={name}", *docker.labels("lab"), image, "sh", "-ec", script])
        proc.run(["docker", "commit", name, tag])
        proc.run(["docker", "rm", name])
        image = tag
    yield docker.image(image)
    proc.run(["docker", "rmi", "goldsmith/layers:1", "goldsmith/layers:0"])


def contents(archive: Path) -> list[str]:
    """Digests of the image's layers and its configuration."""
    with tarfile.open(archive) as found:
        [described] = json.load(tree.content_of(found, "manifest.json"))
        names = [*described["Layers"], described["Config"]]
        return [hashlib.sha256(tree.content_of(found, name).read()).hexdigest() for name in names]


def test_it_is_what_docker_saves(made: dict[str, Any], tmp_path: Path) -> None:
    with docker.saved({**made, "GraphDriver": None}) as path:
        saved = contents(path)
    archive = layer_store.Archive(tmp_path / "image.tar")
    if (made.get("GraphDriver") or {}).get("Name") != "overlay2" or os.geteuid() != 0:
        assert not archive.finish(made)
        pytest.skip("Docker keeps its images otherwise here, or they are not ours to read")
    assert archive.add_layers(docker.image("goldsmith/layers:0"))
    assert archive.finish(made)
    assert contents(archive.path) == saved
