"""What is asked of the Docker Engine, by its own client."""

from __future__ import annotations

import json
from typing import Any

from goldsmith import proc
from goldsmith.errors import GoldsmithError, ToolError

OWNER = "org.goldsmith.owner"
"""Label of every container and image that Goldsmith makes; its value says what for."""
BUILD = "org.goldsmith.build"
"""Label that names one build."""
KEY = "org.goldsmith.content-key"
"""Label of an image: what it was built from (see definition.content_key)."""


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


def remove(label: str) -> list[str]:
    """Remove every container, and image, with that label (`key` or `key=value`); gives what was removed."""
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
    return removed
