"""The command line. Every command: parse, call, print, end with a documented exit code.

A command imports what it needs by itself: so none waits for what only the others need.
"""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

import goldsmith
from goldsmith import proc
from goldsmith.commands import hosts, images, manifests, project
from goldsmith.commands.common import HERE, err
from goldsmith.errors import GoldsmithError

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
for commands in (project, images, hosts, manifests):
    app.add_typer(commands.app)


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
            reading = last.enter_context(hosts.asking(HERE)) if words[:1] == ["drift"] else None
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
