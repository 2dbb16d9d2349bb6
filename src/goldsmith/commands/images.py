"""Commands about images: build, hygiene, verify, export, up."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from goldsmith import formats
from goldsmith.commands.common import (
    HERE,
    UNEXPLAINED,
    JsonOption,
    JunitOption,
    ProjectOption,
    err,
    out,
    policy_of,
    print_json,
    short,
)
from goldsmith.errors import GoldsmithError, UsageError

if TYPE_CHECKING:
    from goldsmith import config, hygiene
    from goldsmith import verify as verifying

app = typer.Typer()
PANEL = "Images"
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="Show all that Packer and Ansible say.")]


def _image_names(incomplete: str) -> list[str]:
    """For the shell's completion: names of images, if there is a project here."""
    from goldsmith import config

    try:
        names = config.load(HERE).config.images
    except GoldsmithError:
        return []
    return [name for name in names if name.startswith(incomplete)]


def _targets(incomplete: str) -> list[str]:
    """For the shell's completion."""
    from goldsmith import build as building

    return [name for name in building.ENGINES if name.startswith(incomplete)]


def _engines(incomplete: str) -> list[str]:
    """For the shell's completion."""
    from goldsmith import build as building

    return [name for engines in building.ENGINES.values() for name in engines if name.startswith(incomplete)]


@app.command(rich_help_panel=PANEL)
def build(
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE...",
            help="Names of images in goldsmith.yml. Several are built side by side.",
            autocompletion=_image_names,
            show_default=False,
        ),
    ],
    targets: Annotated[
        list[str] | None,
        typer.Option(
            "--target",
            "-t",
            help="Kind of image: docker or qemu; may be repeated. Default: the first of `targets:` in goldsmith.yml.",
            autocompletion=_targets,
            show_default=False,
        ),
    ] = None,
    engine: Annotated[
        str,
        typer.Option(
            "--engine",
            help="How a disk is made: tree (the default: in a container) or vm (in a machine that Packer boots).",
            autocompletion=_engines,
            show_default=False,
        ),
    ] = "",
    force: Annotated[bool, typer.Option("--force", help="Build from the beginning, even if nothing changed.")] = False,
    pull: Annotated[bool, typer.Option("--pull", help="Look for a newer base image first.")] = False,
    locked: Annotated[
        bool, typer.Option("--locked", help="With the package versions of locks/, or not at all.")
    ] = False,
    verbose: VerboseOption = False,
    as_json: JsonOption = False,
    project: ProjectOption = HERE,
) -> None:
    """Build golden images with Packer, from the same playbook that converges live hosts.

    A Docker image is tagged goldsmith/IMAGE:latest and by its content key; manifest, provenance and bill of materials
    lie in artifacts/images/IMAGE. A virtual machine's disk lies in artifacts/images/IMAGE/qemu, with the same records;
    it gets its name once a copy of it has booted and the roles' assertions hold there. With nothing changed, nothing
    is built. An image that is not clean (see goldsmith hygiene) is no image: that ends with 3. A build that fails or
    is interrupted leaves nothing behind, and of several the others go on.

    Examples:  goldsmith build web --target qemu
               goldsmith build web db --target docker --target qemu
    """
    from goldsmith import build as building
    from goldsmith import build_together, config
    from goldsmith.progress import Progress

    loaded = config.load(project)
    jobs = build_together.jobs(loaded, images, targets or [])
    if len(jobs) > 1:
        _build_together(
            loaded,
            project,
            jobs,
            engine=engine,
            force=force,
            pull=pull,
            locked=locked,
            verbose=verbose,
            as_json=as_json,
        )
        return
    [(image, target)] = jobs
    with Progress(err, f"build {image}") as progress:
        built = building.build(
            loaded,
            image,
            progress,
            target=target,
            engine=engine,
            force=force,
            pull=pull,
            locked=locked,
            verbose=verbose,
        )
    if as_json:
        print_json(built.to_json())
    else:
        _print_built(built.to_json())


def _build_together(
    loaded: config.Project,
    project: Path,
    jobs: list[tuple[str, str]],
    *,
    engine: str,
    force: bool,
    pull: bool,
    locked: bool,
    verbose: bool,
    as_json: bool,
) -> None:
    from goldsmith import build_together
    from goldsmith.progress import Progress

    if engine:
        raise UsageError("--engine is for one image and target", hint="build that one by itself")
    with Progress(err, f"build {len(jobs)} images") as progress:
        outcomes = build_together.run(
            loaded, project, jobs, progress, force=force, pull=pull, locked=locked, verbose=verbose
        )
    if as_json:
        print_json([outcome.to_json() for outcome in outcomes])
    for outcome in [] if as_json else outcomes:
        if outcome.built:
            _print_built(outcome.built)
        else:
            out.print(f"[bold red]{outcome.image} {outcome.target}[/] failed ({outcome.exit_code})", highlight=False)
    raise typer.Exit(build_together.exit_code(outcomes))


def _print_built(built: dict[str, Any]) -> None:
    how = "is up to date: nothing changed" if built["cached"] else f"built in {built['seconds']:.0f} s"
    out.print(f"[bold green]{built['reference']}[/] {how}", highlight=False)
    out.print(f"  manifest    {short(Path(built['manifest']))}", highlight=False, soft_wrap=True)
    out.print(f"  provenance  {short(Path(built['provenance']))}", highlight=False, soft_wrap=True)
    out.print(f"  bom         {short(Path(built['bom']))}", highlight=False, soft_wrap=True)
    out.print(f"  lock        {short(Path(built['lock']))}", highlight=False, soft_wrap=True)


@app.command("hygiene", rich_help_panel=PANEL)
def hygiene_command(
    target: Annotated[str, typer.Argument(help="docker-image:NAME, image:PATH, disk:PATH, tar:PATH or dir:PATH.")],
    policy_file: Annotated[
        Path | None, typer.Option("--policy", help="What is waived and why. Default: the project's.")
    ] = None,
    as_json: JsonOption = False,
    project: ProjectOption = HERE,
) -> None:
    """Look for what must not be in an image: host keys, secrets, logs, histories, leases and the like.

    `goldsmith build` does so with every image; this is for images that were made without it. Nothing is run. Ends
    with 0 when the image is clean, 3 when it is not, 1 on an error, 2 on wrong usage.

    Example:  goldsmith hygiene docker-image:shop:1.4
    """
    from goldsmith import at_rest, hygiene
    from goldsmith import collect as collecting

    parsed = collecting.parse(target, at_rest.KINDS)
    waivers = policy_of(policy_file, project).waivers
    with err.status(f"looking at {target}"):
        found = hygiene.inspect(parsed, waivers)
    if as_json:
        print_json({"target": target, **found.to_json()})
    else:
        _print_hygiene(found)
    if not found.clean:
        raise typer.Exit(UNEXPLAINED)


def _print_hygiene(found: hygiene.Verdict) -> None:
    from goldsmith import hygiene_rules

    def say(text: str, style: str = "") -> None:
        out.print(escape(text), style=style, highlight=False, soft_wrap=True)

    for line in (*found.lines(), *found.notes()):
        say(line)
    for waiver in found.unused:
        say(f"unused waiver: {waiver}", "yellow")
    if found.clean:
        say(f"CLEAN: {len(hygiene_rules.CHECKS)} checks, {len(found.waived)} waived", "bold green")
    else:
        say(f"NOT CLEAN: {len(found.offences)} offences, {len(found.waived)} waived", "bold red")


@app.command(rich_help_panel=PANEL)
def verify(
    target: Annotated[
        str,
        typer.Argument(
            help="An image's name in goldsmith.yml, docker-image:NAME, docker:CONTAINER, disk:PATH or ssh:PATTERN.",
            autocompletion=_image_names,
            show_default=False,
        ),
    ],
    image: Annotated[str, typer.Option("--image", help="Of which image of goldsmith.yml a docker target is.")] = "",
    role: Annotated[list[str] | None, typer.Option("--role", "-r", help="Only this role; may be repeated.")] = None,
    junit: JunitOption = None,
    as_json: JsonOption = False,
    project: ProjectOption = HERE,
) -> None:
    """Run the assertions of the definition's roles on an image, a container or live hosts.

    They are the same files everywhere, and the ones that Molecule runs: tests/test_*.py in a role's folder. An image
    is booted in a container of its own, a disk in a virtual machine that writes nothing to it. Ends with 0 when all
    hold, 1 when one does not, 4 when a host is unreachable.

    Example:  goldsmith verify web && goldsmith verify ssh:web1 --junit verify.xml
    """
    from goldsmith import config
    from goldsmith import verify as verifying
    from goldsmith.progress import Progress

    loaded = config.load(project)
    with Progress(err, f"verify {target}") as progress:
        result = verifying.verify(loaded, target, progress, image=image, only=role or [], junit=junit)
    if as_json:
        print_json(result.to_json())
    else:
        _print_checks(result)
    raise typer.Exit(result.exit_code)


def _print_checks(result: verifying.Result) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("host")
    table.add_column("role")
    for column in ("passed", "failed", "skipped"):
        table.add_column(column, justify="right")
    for (host, name), counts in result.counts().items():
        colour = "bold red" if counts["failed"] else "green"
        numbers = [str(counts[outcome]) for outcome in ("passed", "failed", "skipped")]
        table.add_row(host, f"[{colour}]{escape(name)}[/]", *numbers)
    out.print(table)
    for check in result.checks:
        if check.outcome != "passed":
            style = "[bold red]failed[/] " if check.outcome == "failed" else "skipped"
            where = f"{check.host} {check.role} {check.name}"
            out.print(f"{style} {escape(where)}", highlight=False, soft_wrap=True)
            for line in check.message.splitlines():
                out.print(f"        {escape(line)}", highlight=False, soft_wrap=True)
    if result.without:
        out.print(f"without assertions: {escape(', '.join(result.without))}", highlight=False, soft_wrap=True)
    for name, problem in result.unreachable.items():
        err.print(f"[bold]{escape(name)}[/] unreachable: {escape(problem.what)}", highlight=False, soft_wrap=True)
        err.print(f"  hint: {escape(problem.hint)}", highlight=False, soft_wrap=True)


def _formats_of(kind: str) -> str:
    return ", ".join(name for name, form in formats.FORMATS.items() if form.made_of == kind)


def _format_names(incomplete: str) -> list[str]:
    """For the shell's completion."""
    return [name for name in formats.FORMATS if name.startswith(incomplete)]


def _compressions(incomplete: str) -> list[str]:
    """For the shell's completion."""
    return [name for name in formats.COMPRESSIONS if name.startswith(incomplete)]


@app.command(rich_help_panel=PANEL)
def export(
    source: Annotated[
        str,
        typer.Argument(
            help="A disk image (raw or qcow2), an image's name in goldsmith.yml, or docker-image:NAME.",
            show_default=False,
        ),
    ],
    form: Annotated[
        list[str],
        typer.Option(
            "--format",
            "-f",
            help=f"Of a disk: {_formats_of('disk')}. Of a Docker image: {_formats_of('docker')}. May be repeated.",
            autocompletion=_format_names,
            show_default=False,
        ),
    ],
    compress: Annotated[
        str, typer.Option("--compress", help="zstd or gzip.", autocompletion=_compressions, show_default=False)
    ] = "",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder to write to. Default: artifacts/export.")
    ] = None,
    as_json: JsonOption = False,
    project: ProjectOption = HERE,
) -> None:
    """Write a disk image, or a Docker image, in the formats that hypervisors and other programs read.

    Each artifact is read back and compared with the source before it gets its name, and has a .sha256 file. All of
    one export appear together; one that fails or is interrupted leaves nothing behind.

    Example:  goldsmith export disk.qcow2 --format ova --format vhdx
    """
    from goldsmith import export as exporting
    from goldsmith.progress import Progress

    chosen = exporting.formats(form, compress)
    what, name, folder = exporting.source(source, project, chosen[0].made_of)
    with Progress(err, f"export {source}") as progress:
        made = exporting.export(what, name, chosen, output or folder, progress, compress=compress)
    if as_json:
        print_json([artifact.to_json() for artifact in made])
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("format")
    table.add_column("MiB", justify="right")
    table.add_column("seconds", justify="right")
    table.add_column("file", overflow="fold")
    for artifact in made:
        size, seconds = f"{artifact.bytes / 2**20:.1f}", f"{artifact.seconds:.1f}"
        table.add_row(artifact.format, size, seconds, escape(short(artifact.path)))
    out.print(table)


@app.command(rich_help_panel=PANEL)
def up(
    image: Annotated[
        str,
        typer.Argument(
            help="Name of the image in goldsmith.yml. Default: the only one.",
            autocompletion=_image_names,
            show_default=False,
        ),
    ] = "",
    target: Annotated[
        str,
        typer.Option(
            "--target",
            "-t",
            help="docker (with Compose) or qemu (with Vagrant and libvirt). Default: the first of `targets:`.",
            autocompletion=_targets,
            show_default=False,
        ),
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be written, and do no more.")] = False,
    verbose: VerboseOption = False,
    as_json: JsonOption = False,
    project: ProjectOption = HERE,
) -> None:
    """Start a developer's machine from the image, which is built first where it is not there.

    A disk becomes a Vagrant box and a Vagrantfile in artifacts/up/IMAGE, with a key that is made for it; `vagrant
    provision` there runs the same definition. A Docker image becomes a compose file there, with its ports on loopback.

    Example:  goldsmith up web --target qemu
    """
    from goldsmith import config
    from goldsmith import up as starting
    from goldsmith.progress import Progress

    loaded = config.load(project)
    with Progress(err, f"up {image}") as progress:
        started = starting.up(loaded, image, progress, target=target, dry_run=dry_run, verbose=verbose)
    if as_json:
        print_json(started.to_json())
        return
    if dry_run:
        err.print(f"would write {short(started.file)}:", highlight=False, soft_wrap=True)
        sys.stdout.write(started.text)
        return
    out.print(f"[bold green]{started.image}[/] runs", highlight=False)
    for label, text in (("enter it", started.enter), ("end it", started.stop), ("note", started.note)):
        if text:
            out.print(f"  {label:<10}{escape(text)}", highlight=False, soft_wrap=True)
