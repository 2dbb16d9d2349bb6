"""How long a look at a fleet takes, and what it costs the controller: `goldsmith drift` against `ansible-playbook`.

    python benchmarks/drift_fleet.py --hosts 8 --runs 3

The hosts are containers with systemd and sshd on this machine, so that they share its processors with the controller:
what collecting costs them is in the seconds, and is not in the controller's. Each tool looks at the same hosts, which
the example's definition made, in turns: with no connection open, and again over those that stand. The processor time of
ssh processes that keep a connection open is not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

from examples.lab import Lab
from goldsmith import files, inventory, proc

ROOT = Path(__file__).parents[1]
BASE = "goldsmith/base:debian-bookworm"


class Run(NamedTuple):
    """One run of a program: how long it took, and the processor time of it and all that it started here."""

    seconds: float
    processor: float


def run(argv: Sequence[str], project: Path) -> Run:
    """Run a program to its end; anything but success ends the benchmark."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(argv, cwd=project, capture_output=True, text=True, check=False)
    seconds, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        sys.exit(f"{' '.join(argv)} ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
    return Run(seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def measure(project: Path, names: Sequence[str], runs: int, sockets: Path) -> dict[str, list[Run]]:
    """Both tools in turns, `runs` times each."""
    drift = ["goldsmith", "drift", "artifacts/good.json"]
    one = [*drift, "--limit", names[0]]
    playbook = ["ansible-playbook", "site.yml", "--extra-vars", "goldsmith_delivery=live"]
    found: dict[str, list[Run]] = {}
    for _ in range(runs):
        for what, argv, standing in (
            ("goldsmith drift, one host", one, False),
            ("goldsmith drift", drift, False),
            ("goldsmith drift, standing connections", drift, True),
            ("ansible-playbook", playbook, False),
        ):
            if not standing:
                inventory.close(sockets)
            found.setdefault(what, []).append(run(argv, project))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, default=8)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    names = [f"web{number}" for number in range(1, options.hosts + 1)]
    with files.temporary_folder("benchmark") as folder, Lab(folder / "lab", BASE, names) as lab:
        project, sockets = folder / "web", folder / "cp"
        os.environ.update(lab.environment, ANSIBLE_SSH_CONTROL_PATH_DIR=str(sockets))
        run(["goldsmith", "init", str(project)], folder)
        hosts = project / "inventory/hosts.yml"
        hosts.write_text("web:\n  hosts:\n" + "".join(f"    {name}: {{ansible_user: root}}\n" for name in names))
        try:
            run(["goldsmith", "converge"], project)
            run(["goldsmith", "collect", f"ssh:{names[0]}", "--output", "artifacts/good.json"], project)
            found = measure(project, names, options.runs, sockets)
        finally:
            inventory.close(sockets)
    print(json.dumps({what: [each._asdict() for each in runs] for what, runs in found.items()}, indent=2))
    middle = {what: Run(*(statistics.median(each) for each in zip(*runs, strict=True))) for what, runs in found.items()}
    for what, each in middle.items():
        print(f"{what:40} {each.seconds:7.2f} s   controller's processors {each.processor:6.2f} s")
    ratio = middle["goldsmith drift"].seconds / middle["ansible-playbook"].seconds
    print(f"goldsmith drift / ansible-playbook: {ratio:.3f}")
    if len(names) > 1:
        more = middle["goldsmith drift"].processor - middle["goldsmith drift, one host"].processor
        print(f"controller's processors for one more host: {more / (len(names) - 1):.3f} s")
    return 0


if __name__ == "__main__":
    with proc.interruptible():
        sys.exit(main())
