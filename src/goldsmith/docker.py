"""What is asked of the Docker Engine, by its own client."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from goldsmith import files, layer_store, proc
from goldsmith.errors import GoldsmithError, ToolError, UsageError

OWNER = "org.goldsmith.owner"
"""Label of every container and image that Goldsmith makes; its value says what for."""
BUILD = "org.goldsmith.build"
"""Label that names one build: see `new_build`."""
KEY = "org.goldsmith.content-key"
"""Label of an image: what it was built from (see definition.content_key)."""
BOOT = (
    "--cap-add=SYS_ADMIN",
    "--cap-add=NET_ADMIN",
    "--cap-add=SYS_PTRACE",
    "--security-opt=seccomp=unconfined",
    "--security-opt=apparmor=unconfined",
    "--cgroupns=host",
    "--volume=/sys/fs/cgroup:/sys/fs/cgroup:rw",
    "--tmpfs=/run",
    "--tmpfs=/tmp:exec",
    "--env=container=docker",
)
"""Options of `docker run` with which systemd runs as PID 1, and root may look into processes as on a machine."""
SYSTEMD = "/lib/systemd/systemd"
SETTLE = 60.0
"""Seconds that a machine has to come up."""


def version() -> str:
    """The engine's version.

    Raises:
        ToolError: the client is missing, or no engine answers it.
    """
    answer = proc.run(["docker", "version", "--format", "{{.Server.Version}}"], check=False, timeout=30)
    if answer.code != 0:
        last = answer.error.splitlines()[-1:] or ["no answer"]
        raise ToolError(
            f"the Docker daemon does not answer: {last[0]}",
            hint="start it (`systemctl start docker`, or `dockerd` where no systemd runs), "
            "and be root or in the group docker",
        )
    return answer.text


def image(reference: str) -> dict[str, Any]:
    """As `inspect_image`, of an image that must be there.

    Raises:
        UsageError: it is not.
    """
    found = inspect_image(reference)
    if found is None:
        raise UsageError(
            f"there is no Docker image {reference} here",
            hint="`docker images` lists them; `goldsmith build` makes one",
        )
    return found


def inspect_image(reference: str) -> dict[str, Any] | None:
    """`docker image inspect` of one image, or None where there is no such image."""
    answer = proc.run(["docker", "image", "inspect", reference], check=False)
    if answer.code != 0:
        if "no such image" in answer.error.lower():
            return None
        version()
        raise GoldsmithError(f"docker image inspect {reference}: {answer.error}")
    found: dict[str, Any] = json.loads(answer.stdout)[0]
    return found


def names(repository: str) -> set[str]:
    """What the images of a repository are called: REPOSITORY:TAG."""
    listed = ["docker", "images", "--format", "{{.Repository}}:{{.Tag}}", repository]
    return set(proc.run(listed).text.split())


@contextlib.contextmanager
def saved(found: dict[str, Any]) -> Iterator[Path]:
    """An image (see `inspect_image`) as a `docker save` archive, for as long as the block runs."""
    with files.temporary_folder("image") as folder:
        archive = layer_store.Archive(folder / "image.tar")
        save(found, archive)
        yield archive.path


def save(found: dict[str, Any], archive: layer_store.Archive) -> None:
    """Make an archive that of an image (see `inspect_image`)."""
    if not archive.finish(found):
        archive.leave()
        # By name it would be every tag's image.
        proc.run(["docker", "save", "--output", str(archive.path), found["Id"]])


def remove(label: str) -> list[str]:
    """Remove every container, image and volume with that label (`key` or `key=value`); gives what was removed. A volume
    that a build uses stays."""
    removed = []
    containers = proc.run(["docker", "ps", "--all", "--quiet", "--filter", f"label={label}"]).text.split()
    if containers:
        proc.run(["docker", "rm", "--force", "--volumes", *containers])
        removed += [f"container {name}" for name in containers]
    found = proc.run(["docker", "images", "--quiet", "--no-trunc", "--filter", f"label={label}"]).text.split()
    images = sorted(set(found))
    if images:
        proc.run(["docker", "rmi", "--force", *images])
        removed += [f"image {name}" for name in images]
    for volume in proc.run(["docker", "volume", "ls", "--quiet", "--filter", f"label={label}"]).text.split():
        if proc.run(["docker", "volume", "rm", volume], check=False).code == 0:
            removed.append(f"volume {volume}")
    return removed


def new_build() -> str:
    """A name for one build, which says of which process it is."""
    return f"{os.getpid()}-{secrets.token_hex(8)}"


def labels(owner: str) -> list[str]:
    """Options of `docker create` and `docker run`: whose the container is, and of which process."""
    return [f"--label={OWNER}={owner}", f"--label={BUILD}={new_build()}"]


def remove_abandoned(owners: Sequence[str]) -> list[str]:
    """Remove what killed processes left of these owners' containers and images, and of images in the making; gives what
    was removed."""
    removed = []
    for owner in owners:
        listed = ["docker", "ps", "--all", "--filter", f"label={OWNER}={owner}"]
        found = proc.run([*listed, "--format", f'{{{{.ID}}}} {{{{.Label "{BUILD}"}}}}']).text.splitlines()
        for container, _, build in (line.partition(" ") for line in found):
            if not proc.alive(build.partition("-")[0]):
                proc.run(["docker", "rm", "--force", "--volumes", container])
                removed.append(f"container {container}")
    making = ["docker", "images", "--filter", f"label={OWNER}", "--filter", "reference=*/*:building-*"]
    for name in proc.run([*making, "--format", "{{.Repository}}:{{.Tag}}"]).text.split():
        if not proc.alive(name.partition(":building-")[2].partition("-")[0]):
            proc.run(["docker", "rmi", "--no-prune", name], check=False)
            removed.append(f"image {name}")
    # Images without a name that a later one has, in use perhaps.
    nameless = ["docker", "images", "--quiet", "--filter", "dangling=true", "--filter", f"label={OWNER}=image"]
    for image in proc.run(nameless).text.split():
        if proc.run(["docker", "rmi", image], check=False).code == 0:
            removed.append(f"image {image}")
    return removed


def boot(name: str, image: str, *, owner: str) -> None:
    """Start a container with systemd as PID 1 and wait until its start-up has ended, well or badly."""
    options = ["--detach", f"--name={name}", *labels(owner), f"--hostname={name}", *BOOT]
    proc.run(["docker", "run", *options, image, SYSTEMD])
    settle(name)


def settle(name: str) -> str:
    """Wait until systemd in the container has finished starting; its word for the state."""
    end = time.monotonic() + SETTLE
    while time.monotonic() < end:
        # Before D-Bus is up there is no answer at all; then --wait waits for the end of start-up.
        state = proc.run(
            ["docker", "exec", name, "systemctl", "is-system-running", "--wait"], check=False, timeout=SETTLE
        )
        if state.text in {"running", "degraded", "maintenance"}:
            return state.text
        time.sleep(0.1)
    raise GoldsmithError(f"the container {name} did not come up within {SETTLE:g} s")
