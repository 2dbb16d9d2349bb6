"""What the commands have in common: options, output, and how a project, a policy and a manifest are found."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from goldsmith import place

if TYPE_CHECKING:
    from goldsmith import collect as collecting
    from goldsmith import inventory, manifest, policy

UNEXPLAINED = 3

ProjectOption = Annotated[
    Path, typer.Option("--project", "-p", help="The project: its goldsmith.yml, or the folder that holds it.")
]
JunitOption = Annotated[Path | None, typer.Option("--junit", help="Write a JUnit report to this file.")]
SarifOption = Annotated[Path | None, typer.Option("--sarif", help="Write a SARIF log to this file.")]
HtmlOption = Annotated[Path | None, typer.Option("--html", help="Write a page for a browser to this file.")]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON on standard output, for machines.")]
HERE = Path()

out = Console()
err = Console(stderr=True)


def print_json(data: Any) -> None:
    sys.stdout.write(json.dumps(data, indent=2, sort_keys=True) + "\n")


def short(path: Path) -> str:
    """The path from here, if it lies below."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def is_project(path: Path) -> bool:
    """Whether a project was named, or is here."""
    return path != HERE or (HERE / place.FILE_NAME).exists()


def inventory_of(project: Path) -> inventory.Inventory:
    from goldsmith import config, inventory

    loaded = config.load(project)
    return inventory.Inventory(loaded.inventory, loaded.root)


def policy_of(given: Path | None, project: Path) -> policy.Policy:
    from goldsmith import config, policy

    if given is not None:
        return policy.load(given)
    if not is_project(project):
        return policy.reference()
    return policy.of_project(config.load(project))


def manifest_of(text: str, project: Path) -> manifest.Manifest:
    from goldsmith import collect as collecting
    from goldsmith import manifest

    if collecting.is_target(text):
        return collected(collecting.parse(text), project)
    return manifest.load(Path(text))


def collected(target: collecting.Target, project: Path) -> manifest.Manifest:
    from goldsmith import collect as collecting

    hosts = inventory_of(project) if target.kind == "ssh" else None
    with err.status(f"collecting {target}"):
        return collecting.collect(target, hosts)
