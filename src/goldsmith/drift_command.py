"""`goldsmith drift`: one look at the fleet, or one after the other, and where what was seen goes."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from rich.console import Console

from goldsmith import config, drift, drift_report, files
from goldsmith.drift import Result, Watcher
from goldsmith.progress import Progress


@dataclass(frozen=True)
class Outputs:
    """Where a look goes: people read `out` and `err`; the files are written whole, anew with each look."""

    out: Console
    err: Console
    as_json: bool = False
    junit: Path | None = None
    textfile: Path | None = None

    def write(self, result: Result) -> None:
        """Write the files.

        Raises:
            GoldsmithError: one can't be written.
        """
        if self.junit:
            files.write(self.junit, drift_report.to_junit(result))
        if self.textfile:
            files.write(self.textfile, drift_report.to_metrics(result).encode())


def look(watcher: Watcher, outputs: Outputs) -> Result:
    """One look, with progress, and its files."""
    with Progress(outputs.err, f"drift of {len(watcher.names)} hosts") as progress:
        result = watcher.look(progress)
    outputs.write(result)
    return result


def once(watcher: Watcher, outputs: Outputs, plan_of: config.Project | None = None) -> int:
    """Look once, and show it: with a project also what converging its definition would do. Gives the exit code."""
    result = look(watcher, outputs)
    if plan_of:
        with Progress(outputs.err, "converge (check)") as progress:
            result = drift.rehearse(plan_of, result, progress)
    if outputs.as_json:
        sys.stdout.write(json.dumps(drift_report.to_json(result), indent=2, sort_keys=True) + "\n")
    else:
        drift_report.render(result, outputs.out)
    return result.exit_code


def watch(watcher: Watcher, outputs: Outputs, seconds: int) -> NoReturn:
    """Look every so many seconds until interrupted. The first look is shown whole, of the others what changed; as
    JSON each is one line."""
    before: Result | None = None
    while True:
        start = time.monotonic()
        result = look(watcher, outputs)
        if outputs.as_json:
            sys.stdout.write(json.dumps(drift_report.to_json(result), sort_keys=True) + "\n")
            sys.stdout.flush()
        elif before is None:
            drift_report.render(result, outputs.out)
        else:
            for change in drift_report.changes(before, result):
                outputs.out.print(change, markup=False, highlight=False, soft_wrap=True)
        before = result
        time.sleep(max(0.0, start + seconds - time.monotonic()))
