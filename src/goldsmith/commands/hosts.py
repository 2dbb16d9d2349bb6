"""Commands about live hosts: converge, drift."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from goldsmith import place
from goldsmith.commands.common import (
    HERE,
    HtmlOption,
    JsonOption,
    JunitOption,
    ProjectOption,
    SarifOption,
    err,
    manifest_of,
    out,
    policy_of,
    print_json,
    short,
)
from goldsmith.errors import UsageError

if TYPE_CHECKING:
    from goldsmith import aside, drift_command, expect, inventory
    from goldsmith import converge as converging

app = typer.Typer()
PANEL = "Live hosts"


@app.command(rich_help_panel=PANEL)
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
        watcher = drifting.Watcher(hosts, _expectation(only_drifted, project), policy_of(policy_file, project))
        repaired = drift_command.repair(watcher, outputs, loaded, check=check, diff=diff)
        if as_json:
            print_json(repaired.to_json())
        else:
            _print_repair(repaired)
        raise typer.Exit(repaired.exit_code)
    with Progress(err, "converge" + (" (check)" if check else "")) as progress:
        if check or locked:
            result = converging.converge(loaded, progress, limit=limit, check=check, diff=diff, locked=locked)
        else:
            result = sync.run(loaded, progress, limit=limit, diff=diff, full=full)
    if as_json:
        print_json(result.to_json())
    else:
        _print_hosts(result)
    raise typer.Exit(result.exit_code)


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
        out.print(f"{result.seconds:.0f} s, events in {short(result.events)}", highlight=False, soft_wrap=True)


def asking(project: Path) -> aside.Aside[[Path, Path, str], inventory.Reached]:
    """What asks Ansible how a project's hosts are reached, while this process goes on."""
    from goldsmith import aside, inventory

    return aside.Aside(lambda: inventory.prepare(place.root(project)), inventory.reached)


@app.command(rich_help_panel=PANEL)
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
    reading = context.obj if begun else context.with_resource(asking(project))
    loaded = config.load(project)
    reading.ask(loaded.inventory, loaded.root, limit)
    judge = policy_of(policy_file, project)
    # A thread: hosts are asked once it is known how, also where the reference is a long one.
    beside = context.with_resource(ThreadPoolExecutor(1))
    expectation = beside.submit(_expectation(reference, project))
    collecting.packed()
    watcher = drifting.Watcher(reading.answer(), expectation.result, judge)
    outputs = drift_command.Outputs(out, err, as_json=as_json, junit=junit, textfile=textfile, sarif=sarif, html=html)
    if watch:
        drift_command.watch(watcher, outputs, watch)
    raise typer.Exit(drift_command.once(watcher, outputs, loaded if plan else None))


def _expectation(reference: str, project: Path) -> Callable[[], expect.Expectation]:
    """What hosts are to be, in two parts: a target is collected, or a file read, now; the rest when it is called."""
    from goldsmith import collect as collecting
    from goldsmith import expect, manifest

    if collecting.is_target(reference):
        found = manifest_of(reference, project)
        return lambda: expect.Expectation(found)
    read = manifest.later(Path(reference))
    return lambda: expect.Expectation(read())
