"""Commands about a project and this machine: init, doctor, clean."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from goldsmith.commands.common import HERE, JsonOption, ProjectOption, err, is_project, out, print_json
from goldsmith.errors import UsageError

app = typer.Typer()
PANEL = "Projects"


@app.command(rich_help_panel=PANEL)
def init(
    folder: Annotated[Path, typer.Argument(help="Where; made if missing.")] = HERE,
) -> None:
    """Write a small complete project that builds as it is.

    A web application behind nginx: goldsmith.yml, playbook, inventory, policy and the application. Files that
    are there already are never overwritten.

    Example:  goldsmith init shop && cd shop && goldsmith build web
    """
    from goldsmith import files, resources

    source = resources.folder("example")
    names = sorted(
        path.relative_to(source)
        for path in source.rglob("*")
        if path.is_file() and not {"artifacts", "__pycache__"} & set(path.relative_to(source).parts)
    )
    taken = [name for name in names if (folder / name).exists()]
    if taken:
        raise UsageError(f"{folder / taken[0]} is there already", hint="choose an empty folder; nothing was written")
    for name in names:
        files.write(folder / name, (source / name).read_bytes())
    err.print(f"wrote {len(names)} files to {folder.resolve()}", highlight=False, soft_wrap=True)
    err.print("next: goldsmith doctor, goldsmith build web, then your hosts in inventory/hosts.yml", soft_wrap=True)


@app.command("doctor", rich_help_panel=PANEL)
def doctor_command(as_json: JsonOption = False) -> None:
    """Show every tool: its version, what needs it, and how to install it where it is missing.

    Ends with 5 when one that is required is missing.
    """
    from goldsmith import doctor

    found = doctor.examine()
    if as_json:
        print_json([each.to_json() for each in found])
    else:
        table = Table(box=None, pad_edge=False)
        for column in ("tool", "version", "needed by", "install with"):
            table.add_column(column)
        for each in found:
            missing = "[bold red]missing[/]" if each.tool.required else "[yellow]missing (optional)[/]"
            install = "" if each.version else escape(each.tool.install)
            table.add_row(
                each.tool.name, escape(each.version) if each.version else missing, each.tool.needed_by, install
            )
        out.print(table)
    if doctor.missing(found):
        raise typer.Exit(5)


@app.command(rich_help_panel=PANEL)
def clean(
    project: ProjectOption = HERE,
    cache: Annotated[
        bool,
        typer.Option(
            "--cache", help="Stages from which builds go on, and Debian packages, too: the next ones begin anew."
        ),
    ] = False,
) -> None:
    """Remove what builds, verifications and exports that were killed left: containers, images and disks in the making,
    temporary folders.

    Images that were built stay, and so does all that a build that runs has.
    """
    from goldsmith import build as building
    from goldsmith import config, docker, files

    removed = docker.remove_abandoned(["build", "verify", "export"]) + files.remove_abandoned()
    if cache:
        removed += docker.remove(f"{docker.OWNER}=stage") + docker.remove(f"{docker.OWNER}=cache")
    if is_project(project):
        removed += building.clear(config.load(project))
    err.print("\n".join(f"removed {what}" for what in removed) or "nothing was left", highlight=False)
