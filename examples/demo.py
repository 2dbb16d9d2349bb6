"""The main job on this machine: `make demo`.

One definition makes a golden image (Packer) and two live hosts (ansible-runner over SSH); manifests prove that they
are equal; then somebody changes one host by hand, and that is found and named. Leaves nothing running.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from examples.lab import Lab
from goldsmith import docker, proc
from goldsmith.errors import GoldsmithError

ROOT = Path(__file__).parents[1]
WORK = ROOT / ".cache" / "demo"
PROJECT = WORK / "web"
MANIFESTS = WORK / "manifests"
BASE = "goldsmith/base:debian-bookworm"
BOOTED = f"goldsmith-demo-{os.getpid()}-image"
SECTIONS = ("packages", "files", "units", "users")
CHANGE = "echo 'client_max_body_size 1g;' > /etc/nginx/conf.d/upload.conf && nginx -s reload"

console = Console(highlight=False, soft_wrap=True)


def title(text: str) -> None:
    console.print(f"\n[bold cyan]{text}[/]")


def goldsmith(*arguments: str, quiet: bool = False, allowed: tuple[int, ...] = (0,)) -> str:
    """Run the command line as a person would; end the demo where it fails."""
    if not quiet:
        console.print(f"[bold]$ goldsmith {' '.join(arguments)}[/]", soft_wrap=True)
    output = subprocess.PIPE if quiet else None
    done = subprocess.run(["goldsmith", *arguments], cwd=PROJECT, stdout=output, stderr=output, text=True, check=False)
    if done.returncode not in allowed:
        raise GoldsmithError(
            f"goldsmith {' '.join(arguments)} ended with {done.returncode}\n{done.stderr or ''}".strip()
        )
    return done.stdout or ""


def fresh_project() -> None:
    """Write the example project anew, but keep what was built: that is how it is found again."""
    PROJECT.mkdir(parents=True, exist_ok=True)
    for path in PROJECT.iterdir():
        if path.name != "artifacts":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    goldsmith("init")


def built_image() -> str | None:
    """Id of the image that the demo's project has built."""
    try:
        provenance = json.loads((PROJECT / "artifacts/images/web/provenance.json").read_text())
    except FileNotFoundError:
        return None
    return str(provenance["image_id"])


def collect(target: str, name: str) -> dict[str, Any]:
    path = MANIFESTS / f"{name}.json"
    goldsmith("collect", target, "--output", str(path), quiet=True)
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def compare(one: str, other: str) -> dict[str, Any]:
    paths = (str(MANIFESTS / f"{name}.json") for name in (one, other))
    found: dict[str, Any] = json.loads(goldsmith("compare", *paths, "--json", quiet=True, allowed=(0, 3)))
    return found


def summary(title: str, manifests: dict[str, dict[str, Any]], comparisons: dict[str, dict[str, Any]]) -> Table:
    """One line a machine: what it holds, and how it differs from the image."""
    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("machine", no_wrap=True)
    for section in SECTIONS:
        table.add_column(section, justify="right")
    table.add_column("unexplained", justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for name, manifest in manifests.items():
        counts = [f"{len(manifest['sections'][section]):,}" for section in SECTIONS]
        if name in comparisons:
            unexplained = comparisons[name]["unexplained"]
            verdict = "[bold red]DIFFERENT[/]" if unexplained else "[bold green]EQUAL[/]"
            table.add_row(name, *counts, str(unexplained), verdict)
        else:
            table.add_row(name, *counts, "-", "the reference")
    return table


def main() -> int:
    started = time.monotonic()
    shutil.rmtree(MANIFESTS, ignore_errors=True)
    MANIFESTS.mkdir(parents=True)

    title("1. A project: one definition for everything")
    fresh_project()

    title("2. Build: Packer makes a golden image of it")
    before = built_image()
    goldsmith("build", "web")
    if before not in (None, built_image()):
        proc.run(["docker", "rmi", "--force", str(before)], check=False)  # the image of an earlier definition

    title("3. Converge: ansible-runner makes two live hosts of it, over SSH")
    lab = Lab(WORK / "ssh", BASE, ["web1", "web2"])
    os.environ.update(lab.environment)
    with lab:
        goldsmith("converge")

        title("4. Collect and compare: are they the same machine?")
        try:
            docker.boot(BOOTED, "goldsmith/web:latest", owner="lab")
            targets = {"image booted": f"docker:{BOOTED}", "host web1": "ssh:web1", "host web2": "ssh:web2"}
            manifests = {name: collect(target, name) for name, target in targets.items()}
        finally:
            with proc.uninterrupted():
                proc.run(["docker", "rm", "--force", "--volumes", BOOTED], check=False)
        comparisons = {name: compare("image booted", name) for name in ("host web1", "host web2")}
        console.print(summary("Image and hosts, from one definition", manifests, comparisons))
        differences = [each for found in comparisons.values() for each in found["differences"]]
        for reason in sorted({each["reason"] for each in differences if each["explained"]}):
            console.print(f"  explained: {reason}", soft_wrap=True)
        equal = all(found["equal"] for found in comparisons.values())

        title("5. Somebody changes web2 by hand")
        console.print(f"[bold]web2 # {CHANGE}[/]", soft_wrap=True)
        lab.execute("web2", CHANGE)
        manifests["host web2"] = collect("ssh:web2", "host web2")
        comparisons["host web2"] = compare("image booted", "host web2")
    console.print(summary("Image and hosts, after the change", manifests, comparisons))
    found = [each for each in comparisons["host web2"]["differences"] if not each["explained"]]
    where = {"only_a": "only in the image", "only_b": "only on web2", "changed": "changed"}
    for each in found:
        console.print(
            f"  [bold red]web2[/] {each['section']}: [bold]{each['key']}[/] {where[each['kind']]}", soft_wrap=True
        )
    named = [each["key"] for each in found] == ["/etc/nginx/conf.d/upload.conf"]
    if not (equal and named):
        console.print("\n[bold red]The demo did not come out as it should: see the tables above.[/]")
        return 1
    seconds = time.monotonic() - started
    console.print("\nOne definition, an image and two hosts: proven equal; and the change by hand is named.")
    console.print(f"{seconds:.0f} s; no machine of it is left running.")
    return 0


if __name__ == "__main__":
    try:
        with proc.interruptible():
            sys.exit(main())
    except GoldsmithError as error:
        console.print(f"[bold red]error:[/] {error.message}")
        sys.exit(error.exit_code)
    except proc.Interrupted as stop:
        sys.exit(stop.exit_code)
