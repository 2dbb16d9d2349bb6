"""Commands about manifests: collect, compare, bom, diff-bom."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from goldsmith.commands.common import (
    HERE,
    UNEXPLAINED,
    HtmlOption,
    JsonOption,
    JunitOption,
    ProjectOption,
    SarifOption,
    collected,
    err,
    inventory_of,
    is_project,
    manifest_of,
    out,
    policy_of,
    print_json,
    short,
)
from goldsmith.errors import UsageError

if TYPE_CHECKING:
    from goldsmith import manifest

app = typer.Typer()
PANEL = "Manifests"


@app.command(rich_help_panel=PANEL)
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

    found = collected(replace(collecting.parse(target), cache=not no_cache), project)
    if output:
        manifest.save(found, output)
        err.print(f"{short(output)}: {found.digest}", highlight=False, soft_wrap=True)
    else:
        sys.stdout.write(manifest.canonical(found.document()) + "\n")


@app.command(rich_help_panel=PANEL)
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
        code = comparing.contents(reference, others[0], show, lambda: inventory_of(project), as_json=as_json)
        raise typer.Exit(code)
    judge = policy_of(policy_file, project)
    groups = comparing.groups(judge, config.load(project) if is_project(project) else None)

    def load(text: str) -> manifest.Manifest:
        return manifest_of(text, project)

    wanted = reports.Reports(junit, sarif, html)
    raise typer.Exit(
        comparing.machines(reference, others, judge, load, groups, out, wanted, files=files_too, as_json=as_json)
    )


def _bom_formats(incomplete: str) -> list[str]:
    """For the shell's completion."""
    from goldsmith import bom

    return [name for name in bom.FILES if name.startswith(incomplete)]


@app.command("bom", rich_help_panel=PANEL)
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

    found = manifest_of(source, project)
    text = bom.text(found, form, name=found.name, time=files.source_date_epoch())
    if output:
        files.write(output, text.encode())
    else:
        sys.stdout.write(text)


@app.command("diff-bom", rich_help_panel=PANEL)
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
        bom_diff.of_manifest(manifest_of(side, project)) if collecting.is_target(side) else bom_diff.read(Path(side))
        for side in (a, b)
    )
    found = bom_diff.compare(one, other)
    if as_json:
        print_json(found.to_json(a, b))
    else:
        bom_diff.render(found, out)
    if found.changes:
        raise typer.Exit(UNEXPLAINED)
