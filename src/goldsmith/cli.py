"""The command line. Every command: parse, call, print, end with a documented exit code.

A command imports what it needs by itself: so none waits for what only the others need.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

import goldsmith
from goldsmith import formats, place, proc
from goldsmith.errors import GoldsmithError, UsageError

if TYPE_CHECKING:
    from goldsmith import aside, config, drift_command, expect, hygiene, inventory, manifest, policy
    from goldsmith import collect as collecting
    from goldsmith import converge as converging
    from goldsmith import verify as verifying

UNEXPLAINED = 3
EXIT_CODES = """\
Exit codes: 0 done, nothing unexplained · 1 error, or a host is unprovable ·
2 wrong usage (arguments, goldsmith.yml, policy) · 3 unexplained differences, a host has drifted, or an image is
not clean · 4 a host is unreachable · 5 a tool is missing or does not answer · 130, 143 interrupted
"""

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="One set of Ansible roles for golden images and live hosts, and the proof that they are equal.",
    epilog=EXIT_CODES,
)

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


def _print_json(data: Any) -> None:
    sys.stdout.write(json.dumps(data, indent=2, sort_keys=True) + "\n")


def _version(asked: bool) -> None:
    if asked:
        sys.stdout.write(f"goldsmith {goldsmith.__version__}\n")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and end.")
    ] = False,
) -> None:
    pass


@app.command()
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


@app.command("doctor")
def doctor_command(as_json: JsonOption = False) -> None:
    """Show every tool: its version, what needs it, and how to install it where it is missing.

    Ends with 5 when one that is required is missing.
    """
    from goldsmith import doctor

    found = doctor.examine()
    if as_json:
        _print_json([each.to_json() for each in found])
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


@app.command()
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
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show all that Packer and Ansible say.")] = False,
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
        _print_json(built.to_json())
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
        _print_json([outcome.to_json() for outcome in outcomes])
    for outcome in [] if as_json else outcomes:
        if outcome.built:
            _print_built(outcome.built)
        else:
            out.print(f"[bold red]{outcome.image} {outcome.target}[/] failed ({outcome.exit_code})", highlight=False)
    raise typer.Exit(build_together.exit_code(outcomes))


def _print_built(built: dict[str, Any]) -> None:
    how = "is up to date: nothing changed" if built["cached"] else f"built in {built['seconds']:.0f} s"
    out.print(f"[bold green]{built['reference']}[/] {how}", highlight=False)
    out.print(f"  manifest    {_short(Path(built['manifest']))}", highlight=False, soft_wrap=True)
    out.print(f"  provenance  {_short(Path(built['provenance']))}", highlight=False, soft_wrap=True)
    out.print(f"  bom         {_short(Path(built['bom']))}", highlight=False, soft_wrap=True)
    out.print(f"  lock        {_short(Path(built['lock']))}", highlight=False, soft_wrap=True)


@app.command()
def converge(
    limit: Annotated[str, typer.Option("--limit", "-l", help="Only these hosts: an Ansible pattern.")] = "",
    check: Annotated[bool, typer.Option("--check", "-C", help="Change nothing; show what would change.")] = False,
    diff: Annotated[bool, typer.Option("--diff", "-D", help="Show what changes in files.")] = False,
    full: Annotated[bool, typer.Option("--full", help="Run on hosts that are proven in sync, too.")] = False,
    only_drifted: Annotated[
        str,
        typer.Option(
            "--only-drifted",
            metavar="REFERENCE",
            help="Only hosts that have drifted from this manifest or target; look at all before and after.",
            show_default=False,
        ),
    ] = "",
    policy_file: Annotated[
        Path | None,
        typer.Option("--policy", help="With --only-drifted: what may differ and why. Default: the project's."),
    ] = None,
    locked: Annotated[
        bool, typer.Option("--locked", help="With the package versions of the images' locks, or not at all.")
    ] = False,
    as_json: JsonOption = False,
    project: ProjectOption = HERE,
) -> None:
    """Converge the inventory's live hosts over SSH, with ansible-runner.

    Runs the images' playbooks on the hosts. Host keys are checked. Every task's outcome goes to a JSON-lines file
    in artifacts/converge. Hosts on which nothing has changed since, nor in what they are made from, are proven in sync
    and left out; what of the definition is beyond that proof is named. With --only-drifted the exit codes are those of
    `goldsmith drift`, as it is afterwards.

    Example:  goldsmith converge --limit web1 --check --diff
    """
    from goldsmith import config, drift_command, inventory, sync
    from goldsmith import converge as converging
    from goldsmith import drift as drifting
    from goldsmith.progress import Progress

    loaded = config.load(project)
    if only_drifted and locked:
        raise UsageError("--only-drifted and --locked don't go together", hint="name the drifted hosts with --limit")
    if only_drifted:
        outputs = drift_command.Outputs(out, err, as_json=as_json)
        hosts = inventory.reached(loaded.inventory, loaded.root, limit)
        watcher = drifting.Watcher(hosts, _expectation(only_drifted, project), _policy(policy_file, project))
        repaired = drift_command.repair(watcher, outputs, loaded, check=check, diff=diff)
        if as_json:
            _print_json(repaired.to_json())
        else:
            _print_repair(repaired)
        raise typer.Exit(repaired.exit_code)
    with Progress(err, "converge" + (" (check)" if check else "")) as progress:
        if check or locked:
            result = converging.converge(loaded, progress, limit=limit, check=check, diff=diff, locked=locked)
        else:
            result = sync.run(loaded, progress, limit=limit, diff=diff, full=full)
    if as_json:
        _print_json(result.to_json())
    else:
        _print_hosts(result)
    raise typer.Exit(result.exit_code)


def _expectation(reference: str, project: Path) -> Callable[[], expect.Expectation]:
    """What hosts are to be, in two parts: a target is collected, or a file read, now; the rest when it is called."""
    from goldsmith import collect as collecting
    from goldsmith import expect, manifest

    if collecting.is_target(reference):
        found = _manifest(reference, project)
        return lambda: expect.Expectation(found)
    read = manifest.later(Path(reference))
    return lambda: expect.Expectation(read())


def _print_repair(repaired: drift_command.Repair) -> None:
    from goldsmith import drift_report

    drift_report.render(repaired.before, out)
    if repaired.converged:
        out.print("\nconverged:", style="bold")
        _print_hosts(repaired.converged)
    if repaired.after:
        out.print("\nafterwards:", style="bold")
        drift_report.render(repaired.after, out)


def _print_hosts(result: converging.Result) -> None:
    from goldsmith import sync

    if result.error:
        err.print(f"[bold red]error:[/] {escape(str(result.error))}", highlight=False, soft_wrap=True)
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("host")
    table.add_column("verdict")
    for column in ("ok", "changed", "failed"):
        table.add_column(column, justify="right")
    colour = {"ok": "green", "in sync": "green", "changed": "yellow", "failed": "bold red", "unreachable": "bold red"}
    for host in result.hosts.values():
        verdict = f"[{colour[host.verdict]}]{host.verdict}[/]"
        table.add_row(host.name, verdict, str(host.ok), str(host.changed), str(host.failed))
    out.print(table)
    for line in sync.lines(result):
        out.print(escape(line), highlight=False, soft_wrap=True)
    for host in result.hosts.values():
        if host.message:
            task = f' in task "{host.task}"' if host.failed else ""
            err.print(
                f"[bold]{host.name}[/] {host.verdict}{escape(task)}: {escape(host.message)}",
                highlight=False,
                soft_wrap=True,
            )
            if host.hint:
                err.print(f"  hint: {escape(host.hint)}", highlight=False, soft_wrap=True)
    if result.events:
        out.print(f"{result.seconds:.0f} s, events in {_short(result.events)}", highlight=False, soft_wrap=True)


@app.command()
def collect(
    target: Annotated[
        str,
        typer.Argument(
            help="docker-image:NAME, docker:CONTAINER, ssh:HOST, image:PATH (any format), disk:, tar: or dir:PATH."
        ),
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write to this file, whole or not at all.")
    ] = None,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Read every file, and neither use nor keep the digests in /run.")
    ] = False,
    project: ProjectOption = HERE,
) -> None:
    """Collect a machine's manifest: the canonical JSON record of its apps, libraries and OS.

    Read-only, but for digests kept in /run/goldsmith of a live machine, and nothing is installed on it. An image or a
    disk is read at rest, without running it.

    Example:  goldsmith collect ssh:web1 -o web1.json
    """
    from goldsmith import collect as collecting
    from goldsmith import manifest

    found = _collected(replace(collecting.parse(target), cache=not no_cache), project)
    if output:
        manifest.save(found, output)
        err.print(f"{_short(output)}: {found.digest}", highlight=False, soft_wrap=True)
    else:
        sys.stdout.write(manifest.canonical(found.document()) + "\n")


def _collected(target: collecting.Target, project: Path) -> manifest.Manifest:
    from goldsmith import collect as collecting

    hosts = _inventory(project) if target.kind == "ssh" else None
    with err.status(f"collecting {target}"):
        return collecting.collect(target, hosts)


@app.command()
def compare(
    reference: Annotated[
        str, typer.Argument(metavar="A", help="A manifest file, or a target as `goldsmith collect` takes it.")
    ],
    others: Annotated[
        list[str],
        typer.Argument(
            metavar="B...", help="The other; or many, each against A. A folder stands for the manifests in it."
        ),
    ],
    policy_file: Annotated[
        Path | None, typer.Option("--policy", help="What may differ and why. Default: the project's, else Debian's.")
    ] = None,
    files_too: Annotated[bool, typer.Option("--files", help="List the differences below each cause.")] = False,
    show: Annotated[
        list[str] | None,
        typer.Option("--show", metavar="PATH", help="Only a diff of this file, fetched from both; may be repeated."),
    ] = None,
    junit: JunitOption = None,
    sarif: SarifOption = None,
    html: HtmlOption = None,
    as_json: JsonOption = False,
    project: ProjectOption = HERE,
) -> None:
    """Compare two machines, or many with one: every difference, explained by policy or not, grouped by cause.

    Ends with 0 when nothing is unexplained, 3 when something is, 1 on an error, 2 on wrong usage. With --show both
    must be targets; secrets in the files are masked.

    Examples:  goldsmith compare docker-image:goldsmith/web ssh:web1
               goldsmith compare web.json manifests/
               goldsmith compare ssh:web1 ssh:web2 --show /etc/nginx/nginx.conf
    """
    from goldsmith import comparing, config, reports

    if show:
        if len(others) != 1:
            raise UsageError("--show compares the contents of two machines", hint="name two")
        if junit or sarif or html:
            raise UsageError("--show makes no report", hint="leave out one of the two")
        code = comparing.contents(reference, others[0], show, lambda: _inventory(project), as_json=as_json)
        raise typer.Exit(code)
    judge = _policy(policy_file, project)
    known = project != HERE or (HERE / place.FILE_NAME).exists()
    groups = comparing.groups(judge, config.load(project) if known else None)

    def load(text: str) -> manifest.Manifest:
        return _manifest(text, project)

    wanted = reports.Reports(junit, sarif, html)
    raise typer.Exit(
        comparing.machines(reference, others, judge, load, groups, out, wanted, files=files_too, as_json=as_json)
    )


def _inventory(project: Path) -> inventory.Inventory:
    from goldsmith import config, inventory

    loaded = config.load(project)
    return inventory.Inventory(loaded.inventory, loaded.root)


def _policy(given: Path | None, project: Path) -> policy.Policy:
    from goldsmith import config, policy

    if given is not None:
        return policy.load(given)
    if project == HERE and not (HERE / place.FILE_NAME).exists():
        return policy.reference()
    return policy.of_project(config.load(project))


def _manifest(text: str, project: Path) -> manifest.Manifest:
    from goldsmith import collect as collecting
    from goldsmith import manifest

    if collecting.is_target(text):
        return _collected(collecting.parse(text), project)
    return manifest.load(Path(text))


def _reading(project: Path) -> aside.Aside[[Path, Path, str], inventory.Reached]:
    """What asks Ansible how a project's hosts are reached, while this process goes on."""
    from goldsmith import aside, inventory

    return aside.Aside(lambda: inventory.prepare(place.root(project)), inventory.reached)


@app.command()
def drift(
    context: typer.Context,
    reference: Annotated[
        str, typer.Argument(help="A manifest file, or a target as `goldsmith collect` takes it, such as an image.")
    ],
    limit: Annotated[str, typer.Option("--limit", "-l", help="Only these hosts: an Ansible pattern.")] = "",
    policy_file: Annotated[
        Path | None, typer.Option("--policy", help="What may differ and why. Default: the project's, else Debian's.")
    ] = None,
    plan: Annotated[
        bool,
        typer.Option("--plan", help="Say of each cause what a converge would do: runs the definition in check mode."),
    ] = False,
    watch: Annotated[
        int | None, typer.Option("--watch", min=1, metavar="SECONDS", help="Look again as often, until interrupted.")
    ] = None,
    junit: JunitOption = None,
    sarif: SarifOption = None,
    html: HtmlOption = None,
    textfile: Annotated[
        Path | None, typer.Option("--textfile", help="Write Prometheus metrics to this file (*.prom).")
    ] = None,
    as_json: JsonOption = False,
    project: ProjectOption = HERE,
) -> None:
    """Compare the inventory's live hosts with the manifest, or the image, that they should be equal to.

    All hosts are asked at once, and nothing is changed. Every host gets one verdict: in sync, drifted (with the
    causes), unprovable or unreachable. Ends with 0 when all are in sync, 3 when one has drifted, else 1 when one is
    unprovable, else 4 when one is unreachable.

    Example:  goldsmith drift docker-image:goldsmith/web --limit web
    """
    from concurrent.futures import ThreadPoolExecutor

    from goldsmith import collect as collecting
    from goldsmith import config, drift_command
    from goldsmith import drift as drifting

    if watch and plan:
        raise UsageError("--watch and --plan don't go together", hint="look once with --plan")
    begun = context.obj and place.root(project) == place.root(HERE)
    reading = context.obj if begun else context.with_resource(_reading(project))
    loaded = config.load(project)
    reading.ask(loaded.inventory, loaded.root, limit)
    judge = _policy(policy_file, project)
    # A thread: hosts are asked once it is known how, also where the reference is a long one.
    beside = context.with_resource(ThreadPoolExecutor(1))
    expectation = beside.submit(_expectation(reference, project))
    collecting.packed()
    watcher = drifting.Watcher(reading.answer(), expectation.result, judge)
    outputs = drift_command.Outputs(out, err, as_json=as_json, junit=junit, textfile=textfile, sarif=sarif, html=html)
    if watch:
        drift_command.watch(watcher, outputs, watch)
    raise typer.Exit(drift_command.once(watcher, outputs, loaded if plan else None))


def _bom_formats(incomplete: str) -> list[str]:
    """For the shell's completion."""
    from goldsmith import bom

    return [name for name in bom.FILES if name.startswith(incomplete)]


@app.command("bom")
def bom_command(
    source: Annotated[str, typer.Argument(help="A manifest file, or a target as `goldsmith collect` takes it.")],
    form: Annotated[
        str, typer.Option("--format", "-f", help="cyclonedx (1.6) or spdx (2.3).", autocompletion=_bom_formats)
    ] = "cyclonedx",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write to this file, whole or not at all.")
    ] = None,
    project: ProjectOption = HERE,
) -> None:
    """Write a machine's bill of materials, for programs that look for vulnerable or forbidden parts.

    Debian packages and libraries, each with its package URL, and the system. The same manifest gives the same bytes.
    `goldsmith build` writes it beside every image's manifest.

    Example:  goldsmith bom ssh:web1 --format spdx -o web1.spdx.json
    """
    from goldsmith import bom, files

    found = _manifest(source, project)
    text = bom.text(found, form, name=found.name, time=files.source_date_epoch())
    if output:
        files.write(output, text.encode())
    else:
        sys.stdout.write(text)


@app.command("diff-bom")
def diff_bom(
    a: Annotated[str, typer.Argument(help="A bill of materials (CycloneDX or SPDX 2, JSON), a manifest or a target.")],
    b: Annotated[str, typer.Argument(help="The other: the newer one.")],
    as_json: JsonOption = False,
    project: ProjectOption = HERE,
) -> None:
    """Tell two bills of materials apart: what was added and removed, and which versions went up or down.

    Ends with 0 when both hold the same, 3 when not, 1 on an error, 2 on wrong usage.

    Example:  goldsmith diff-bom last-release.cdx.json docker-image:goldsmith/web
    """
    from goldsmith import bom_diff
    from goldsmith import collect as collecting

    one, other = (
        bom_diff.of_manifest(_manifest(side, project)) if collecting.is_target(side) else bom_diff.read(Path(side))
        for side in (a, b)
    )
    found = bom_diff.compare(one, other)
    if as_json:
        _print_json(found.to_json(a, b))
    else:
        bom_diff.render(found, out)
    if found.changes:
        raise typer.Exit(UNEXPLAINED)


@app.command("hygiene")
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
    waivers = _policy(policy_file, project).waivers
    with err.status(f"looking at {target}"):
        found = hygiene.inspect(parsed, waivers)
    if as_json:
        _print_json({"target": target, **found.to_json()})
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


@app.command()
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
        _print_json(result.to_json())
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


@app.command()
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
        _print_json([artifact.to_json() for artifact in made])
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("format")
    table.add_column("MiB", justify="right")
    table.add_column("seconds", justify="right")
    table.add_column("file", overflow="fold")
    for artifact in made:
        size, seconds = f"{artifact.bytes / 2**20:.1f}", f"{artifact.seconds:.1f}"
        table.add_row(artifact.format, size, seconds, escape(_short(artifact.path)))
    out.print(table)


@app.command()
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
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show all that Packer and Ansible say.")] = False,
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
        _print_json(started.to_json())
        return
    if dry_run:
        err.print(f"would write {_short(started.file)}:", highlight=False, soft_wrap=True)
        sys.stdout.write(started.text)
        return
    out.print(f"[bold green]{started.image}[/] runs", highlight=False)
    for label, text in (("enter it", started.enter), ("end it", started.stop), ("note", started.note)):
        if text:
            out.print(f"  {label:<10}{escape(text)}", highlight=False, soft_wrap=True)


@app.command()
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
    if (project / place.FILE_NAME).exists() or project != HERE:
        removed += building.clear(config.load(project))
    err.print("\n".join(f"removed {what}" for what in removed) or "nothing was left", highlight=False)


def _short(path: Path) -> str:
    """The path from here, if it lies below."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and end the process with its exit code."""
    # Manifests are many objects and no cycles: looking for garbage after each 700 of them takes a quarter of the time.
    gc.set_threshold(1_000_000)
    # Its plugins are sought among all that is installed, and we use none.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    # Ansible's programs lie beside this one where the virtual environment was not activated.
    beside = str(Path(sys.executable).parent)
    if shutil.which("ansible-playbook") is None:
        os.environ["PATH"] = f"{beside}{os.pathsep}{os.environ.get('PATH', '')}"
    try:
        with proc.interruptible(), contextlib.ExitStack() as last:
            words = sys.argv[1:] if argv is None else argv
            # It takes as long as all else that comes before hosts are asked, of which the options are the first.
            reading = last.enter_context(_reading(HERE)) if words[:1] == ["drift"] else None
            app(words, obj=reading)
    except GoldsmithError as error:
        err.print(f"[bold red]error:[/] {escape(error.message)}", highlight=False, soft_wrap=True)
        if error.hint:
            err.print(f"  hint: {escape(error.hint)}", highlight=False, soft_wrap=True)
        sys.exit(error.exit_code)
    except proc.Interrupted as stop:
        err.print("interrupted: everything that had begun is cleaned up", highlight=False)
        sys.exit(stop.exit_code)
    finally:
        # At its end Python looks for garbage among all objects, several times, when the memory is given back anyway.
        gc.freeze()
