"""goldsmith.yml: which images there are, where the inventory is, what may differ."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from goldsmith import place, yamlfile
from goldsmith.errors import UsageError, nearest

Name = Annotated[str, Field(pattern=r"^[a-z0-9]+([._-][a-z0-9]+)*$", max_length=63)]
"""A Docker repository's name."""


class Strict(BaseModel):
    """An unknown key is an error: a misspelt one must not pass in silence."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Image(Strict):
    """One golden image."""

    playbook: str = Field(
        description="The definition: a playbook's path, from this file's folder, or its collection name, "
        "as in goldsmith.core.site.",
        min_length=1,
    )
    groups: list[str] = Field(
        default_factory=list,
        description="Inventory groups that the machine is in while it is built, so that their group_vars apply.",
    )
    base: str = Field(
        default="debian:bookworm",
        description="Docker image to start from. It is pulled; where no registry answers, debian:SUITE is made "
        "with mmdebstrap.",
        min_length=1,
    )
    targets: list[Literal["docker", "qemu"]] = Field(
        default=["docker"],
        description="Kinds of image to build. `goldsmith build` takes the first, where --target names none.",
        min_length=1,
    )


class Config(Strict):
    """The project file."""

    images: dict[Name, Image] = Field(description="Images by name.", min_length=1)
    inventory: str = Field(
        default="inventory",
        description="Standard Ansible inventory: a file or folder, from this file's folder.",
        min_length=1,
    )
    policy: str = Field(
        default="debian",
        description="What may differ and why: a policy file's path, from this file's folder, or the name of a "
        "policy that comes with Goldsmith (debian).",
        min_length=1,
    )
    output: str = Field(
        default="artifacts",
        description="Folder for manifests, provenance and events, from this file's folder.",
        min_length=1,
    )


class Project:
    """A project: the folder of its goldsmith.yml, and what that says."""

    def __init__(self, root: Path, config: Config) -> None:
        self.root = root
        self.config = config

    @property
    def inventory(self) -> Path:
        return self.root / self.config.inventory

    @property
    def output(self) -> Path:
        return self.root / self.config.output

    def lock(self, image: str, target: str) -> Path:
        """Where the lock of an image lies."""
        return self.root / "locks" / f"{image}.{target}.lock"

    def image(self, name: str) -> Image:
        """The image of that name.

        Raises:
            UsageError: there is none; the hint names the nearest, or all.
        """
        images = self.config.images
        if name not in images:
            raise UsageError(f'{place.FILE_NAME} has no image "{name}"', hint=nearest(name, sorted(images)))
        return images[name]


def load(path: Path) -> Project:
    """Read the project file at `path`, or in the folder `path`.

    Raises:
        UsageError: it is missing or invalid; each finding as file:line, key path and message.
    """
    file = place.file(path)
    if not file.exists():
        raise UsageError(
            f"there is no {file}",
            hint="`goldsmith init` writes a project; --project FILE names one elsewhere",
        )
    document = yamlfile.load(file)
    config = yamlfile.validate(document, Config)
    project = Project(file.resolve().parent, config)
    _check_paths(project, document)
    return project


def _check_paths(project: Project, document: yamlfile.Document) -> None:
    """What the file names must be there: better said now than by Packer."""
    named: list[tuple[tuple[str, ...], str]] = [
        *((("images", name, "playbook"), image.playbook) for name, image in project.config.images.items()),
        (("inventory",), project.config.inventory),
    ]
    for key, value in named:
        if not is_collection_name(value) and not (project.root / value).exists():
            raise UsageError(
                f"{document.where(key)}: {'.'.join(key)}: there is no {value} in {project.root}",
                hint="paths count from the folder of goldsmith.yml",
            )


def is_collection_name(playbook: str) -> bool:
    """Whether a playbook is named as namespace.collection.playbook rather than by its path."""
    parts = playbook.split(".")
    return len(parts) == 3 and "/" not in playbook and all(part.isidentifier() for part in parts) and parts[2] != "yml"
