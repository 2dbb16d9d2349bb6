"""Building several images and targets side by side, each as `goldsmith build` alone does it, with one display."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goldsmith import build, config, proc
from goldsmith.errors import UsageError
from goldsmith.progress import Progress

_TASK = re.compile(r"^ +\d+\.\d s  (?P<task>.+)$")


@dataclass(frozen=True)
class Outcome:
    """What became of one build: its exit code, and, if that is 0, the form of `goldsmith build --json`."""

    image: str
    target: str
    exit_code: int
    built: dict[str, Any] | None

    def to_json(self) -> dict[str, Any]:
        return self.built or {"name": self.image, "target": self.target, "exit_code": self.exit_code}


def jobs(project: config.Project, images: Sequence[str], targets: Sequence[str]) -> list[tuple[str, str]]:
    """Every image with every target; without targets each with its own first, as `goldsmith build` takes it. Pure.

    Raises:
        UsageError: there is no such image or target, or one is named twice.
    """
    found = []
    for image in images:
        own = project.image(image).targets[0]
        found += [(image, target) for target in targets or [own]]
    for _, target in found:
        build.chosen_engine(target, "")
    if len(set(found)) < len(found):
        raise UsageError("an image or a target is named twice", hint="name each once")
    return found


def run(
    project: config.Project,
    file: Path,
    wanted: Sequence[tuple[str, str]],
    progress: Progress,
    *,
    force: bool,
    pull: bool,
    locked: bool,
    verbose: bool,
) -> list[Outcome]:
    """Build all that is wanted, as many at a time as there are processors, but two at least. A build that fails does
    not stop the others. `file` is the project's, as `--project` has it; the switches are those of `build.build`.

    Raises:
        GoldsmithError: a base can't be had.
    """
    # What several of them start from is made once.
    bases = {(project.image(image).base, target): project.image(image) for image, target in wanted}
    for (_, target), each in bases.items():
        build.prepared_base(each, target, progress, pull=pull)
    labels = [f"{image} {target}" for image, target in wanted]
    switches = [*(["--force"] if force else []), *(["--locked"] if locked else []), *(["--verbose"] if verbose else [])]

    def heard(number: int, line: str) -> None:
        match = _TASK.match(line)
        if match:
            progress.row(labels[number]).task = match["task"]
        if line and not (match and progress.live):
            progress.say(f"{labels[number]}: {line.strip() if match else line}")

    for label in labels:
        progress.row(label).task = "waits"
    commands = [
        [sys.executable, "-m", "goldsmith", "build", i, "--target", t, "--project", str(file), "--json", *switches]
        for i, t in wanted
    ]
    outcomes: dict[int, Outcome] = {}
    for number, done in proc.run_together(commands, max(2, os.cpu_count() or 2), heard):
        built = json.loads(done.text) if done.code == 0 else None
        outcomes[number] = Outcome(*wanted[number], done.code, built)
        row = progress.row(labels[number])
        row.task = "there" if built else ""
        row.state = row.state if built else "failed"
    return [outcomes[number] for number in range(len(wanted))]


def exit_code(outcomes: Sequence[Outcome]) -> int:
    """0 if all were built, the code of those that were not, or 1 if theirs differ. Pure."""
    codes = {outcome.exit_code for outcome in outcomes} - {0}
    return 0 if not codes else codes.pop() if len(codes) == 1 else 1
