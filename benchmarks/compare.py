"""How long does it take to judge a fleet, and how much memory?

    python benchmarks/compare.py [--runs N] [--machines N] [--states N] [--manifest FILE...] [--json]

Makes a folder of manifests, from recorded ones or those given: each machine has an identity of its own, and so many are
distinct in what they hold: another version of a package, another file, another user. Then `goldsmith compare` judges
the folder against one of them, as a program of its own, and again with twice as many states. Prints wall clock, CPU and
peak memory: medians, the least and the most, and the targets. Exit: 0 all targets are met, 1 one is not.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goldsmith import manifest

ROOT = Path(__file__).parents[1]
RECORDED = ("host", "image-booted", "image-at-rest")
SECONDS, MEGABYTES = 10.0, 500.0
"""What judging the fleet may take at most."""
LINEAR = 2.2
"""How many times as long it may take at most with twice the states."""
_MARK = "@" * 64


@dataclass(frozen=True)
class Run:
    """One judgement: seconds on the clock and of the processor, and megabytes at its peak."""

    wall: float
    cpu: float
    memory: float


def bases(given: Sequence[Path]) -> list[dict[str, Any]]:
    """The documents that the fleet is made from."""
    if given:
        return [manifest.load(path).document() for path in given]
    folder = ROOT / "tests/fixtures/manifests"
    return [json.loads(gzip.decompress((folder / f"{name}.json.gz").read_bytes())) for name in RECORDED]


def state(base: dict[str, Any], number: int) -> str:
    """A machine's manifest, distinct for each number, with marks where its identity stands."""
    sections = {name: dict(section) for name, section in base["sections"].items()}
    if number:
        package = sorted(sections["packages"])[number % len(sections["packages"])]
        sections["packages"][package] = {**sections["packages"][package], "version": f"{number}:1"}
        path = sorted(sections["files"])[number % len(sections["files"])]
        sections["files"][path] = {**sections["files"][path], "owner": f"user{number}"}
        sections["users"][f"user{number}"] = {"uid": 2000 + number, "gid": 2000, "home": "/", "shell": "/bin/sh"}
    identity = {
        name: {**facts, "sha256": _MARK} if facts.get("sha256") else facts for name, facts in base["identity"].items()
    }
    document = {**base, "sections": sections, "identity": identity, "digest": manifest.digest(sections)}
    return manifest.canonical(document) + "\n"


def make(folder: Path, documents: Sequence[dict[str, Any]], machines: int, states: int) -> int:
    """Write the fleet's manifests, and the reference beside them; gives their bytes."""
    folder.mkdir()
    (folder.parent / "reference.json").write_text(state(documents[0], 0).replace(_MARK, "0" * 64))
    for number in range(states):
        text = state(documents[number % len(documents)], number)
        for machine in range(number, machines, states):
            # Every fact of a machine's identity is its own, as all digests of 64 digits are.
            (folder / f"host{machine:05}.json").write_text(text.replace(_MARK, f"{machine + 1:064x}"))
    return sum(path.stat().st_size for path in folder.iterdir())


def judge(folder: Path, states: int) -> Run:
    """Run `goldsmith compare` on the fleet, and look at what it says."""
    command = [
        sys.executable,
        "-m",
        "goldsmith",
        "compare",
        str(folder.parent / "reference.json"),
        str(folder),
        "--json",
    ]
    with tempfile.TemporaryFile() as said:
        started = time.monotonic()
        process = subprocess.Popen(command, cwd=folder.parent, stdout=said)
        _pid, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        found = json.load(said)
    if len(found["states"]) != states or found["unread"] or process.returncode != 3:
        raise SystemExit(f"judged wrongly: {len(found['states'])} states, {len(found['unread'])} not read")
    return Run(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def measure(given: argparse.Namespace) -> dict[int, list[Run]]:
    """Number of states -> runs, interleaved."""
    documents = bases(given.manifest)
    counts = (given.states, 2 * given.states)
    found: dict[int, list[Run]] = {count: [] for count in counts}
    with tempfile.TemporaryDirectory(prefix="goldsmith-benchmark-") as name:
        for count in counts:
            size = make(Path(name) / str(count), documents, given.machines, count)
            print(f"  {given.machines:,} manifests, {count} states, {size / 1e6:,.0f} MB", file=sys.stderr)
        for _ in range(given.runs):
            for count in counts:
                run = judge(Path(name) / str(count), count)
                found[count].append(run)
                print(f"  {count} states: {run.wall:.1f} s, CPU {run.cpu:.1f} s, {run.memory:.0f} MB", file=sys.stderr)
    return found


def spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.1f} ({min(values):.1f} to {max(values):.1f})"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="of each (default: 5)")
    parser.add_argument("--machines", type=int, default=10_000, help="in the fleet (default: 10000)")
    parser.add_argument("--states", type=int, default=50, help="distinct ones (default: 50)")
    parser.add_argument("--manifest", type=Path, action="append", default=[], help="what the fleet is made from")
    parser.add_argument("--json", action="store_true", help="JSON on standard output")
    given = parser.parse_args()
    found = measure(given)
    one, two = (
        {name: [getattr(run, name) for run in runs] for name in ("wall", "cpu", "memory")} for runs in found.values()
    )
    rows = [
        ("seconds", statistics.median(one["wall"]), SECONDS),
        ("MB", statistics.median(one["memory"]), MEGABYTES),
        ("CPU, twice the states / as many", statistics.median(two["cpu"]) / statistics.median(one["cpu"]), LINEAR),
    ]
    if given.json:
        print(
            json.dumps({"runs": {str(count): [vars(run) for run in runs] for count, runs in found.items()}}, indent=2)
        )
    else:
        print("| states | seconds | CPU seconds | MB |\n|---|---|---|---|")
        for count, of in zip(found, (one, two), strict=True):
            print(f"| {count} | {spread(of['wall'])} | {spread(of['cpu'])} | {spread(of['memory'])} |")
        print("\n| | measured | at most |\n|---|---|---|")
        for what, measured, most in rows:
            print(f"| {what} | {measured:.2f} | {most:g} |")
    return 0 if all(measured <= most for _what, measured, most in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
