"""`goldsmith drift`: one look at the fleet, or one after the other, and where what was seen goes."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from rich.console import Console

from goldsmith import drift, drift_report, files
from goldsmith.drift import Result, Watcher
from goldsmith.progress import Progress

if TYPE_CHECKING:
    from goldsmith import config, converge


@dataclass(frozen=True)
class Outputs:
    """Where a look goes: people read `out` and `err`; the files are written whole, anew with each look."""

    out: Console
    err: Console
    as_json: bool = False
    junit: Path | None = None
    textfile: Path | None = None
    sarif: Path | None = None
    html: Path | None = None

    def write(self, result: Result) -> None:
        """Write the files.

        Raises:
            GoldsmithError: one can't be written.
        """
        if self.junit:
            files.write(self.junit, drift_report.to_junit(result))
        if self.textfile:
            files.write(self.textfile, drift_report.to_metrics(result).encode())
        if self.sarif or self.html:
            from goldsmith import reports  # noqa: PLC0415 - a look does not wait for what only a report needs

            reports.Reports(sarif=self.sarif, html=self.html).write(result.judged)


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


@dataclass(frozen=True)
class Repair:
    """Converging only what has drifted: what was seen before, what the converge did, and what was seen after it.

    `converged` is None where nothing had drifted, `after` also where the converge was to change nothing.
    """

    before: Result
    converged: converge.Result | None = None
    after: Result | None = None

    @property
    def exit_code(self) -> int:
        """That of the last look; but 1 where the converge failed."""
        if self.converged and self.converged.exit_code == 1:
            return 1
        return (self.after or self.before).exit_code

    def to_json(self) -> dict[str, Any]:
        """The form of `goldsmith converge --only-drifted --json`."""
        return {
            "before": drift_report.to_json(self.before),
            "converge": self.converged.to_json() if self.converged else None,
            "after": drift_report.to_json(self.after) if self.after else None,
            "exit_code": self.exit_code,
        }


def repair(watcher: Watcher, outputs: Outputs, project: config.Project, *, check: bool, diff: bool) -> Repair:
    """Look, converge the hosts that have drifted and no others, and look again. With `check` nothing is changed."""
    from goldsmith import converge, sync  # noqa: PLC0415 - a look does not wait for what only a converge needs

    before = look(watcher, outputs)
    drifted = before.names("drifted")
    if not drifted:
        return Repair(before)
    with Progress(outputs.err, "converge" + (" (check)" if check else "")) as progress:
        chosen = ",".join(drifted)
        if check:
            converged = converge.converge(project, progress, limit=chosen, check=True, diff=diff)
        else:
            converged = sync.run(project, progress, limit=chosen, diff=diff, full=True)
    return Repair(before, converged, None if check or converged.error else look(watcher, outputs))
