"""What one build is made from, decided before anything runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from goldsmith import config, policy


@dataclass(frozen=True)
class Plan:
    """All that one build is made from.

    `engine` is how: `container` (a Docker image), `tree` (a machine's disk, made in a container) or `vm` (a machine's
    disk, made in a machine). `folder` has the records, and the disk. `anew`: nothing of an earlier build is used.
    `lock`: the text of the lock that it is held to, or empty.
    """

    name: str
    image: config.Image
    target: str
    engine: str
    base: str
    base_id: str
    definition: str
    tools: dict[str, str]
    content_key: str
    folder: Path
    waivers: tuple[policy.Waiver, ...] = ()
    anew: bool = False
    lock: str = ""

    @property
    def repository(self) -> str:
        return f"goldsmith/{self.name}"

    @property
    def reference(self) -> str:
        """The result's name: a Docker tag, or the disk's path."""
        if self.target == "docker":
            return f"{self.repository}:{self.content_key[:12]}"
        return str(self.folder / f"{self.name}.qcow2")
