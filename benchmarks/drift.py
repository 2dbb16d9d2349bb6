"""Who finds what was changed on a live host? Ansible's check mode, debsums, AIDE and Goldsmith, in one run.

    python benchmarks/drift.py [--only NAME...] [--limit N] [--json]

The host is a container with systemd and sshd that the example's definition made, and the changes are those of
tests/mutations, one after the other. Each tool first looks several times at the host as it is: what it says then is a
false alarm. Of a change it finds something where it says what it did not say before. Ansible runs by Mitogen where
that is installed, which says the same and is faster. AIDE, with Debian's own configuration, gets a new database before
each change, since undoing the last one left other inodes and times; that is not in its time. Prints a table, and with
--json what each said.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

from examples.lab import Lab
from goldsmith import drift_report, files, proc
from goldsmith.build_container import mitogen_strategies
from tests import mutations
from tests.mutations import host

BASE = "goldsmith/base:debian-bookworm"
PACKAGES = ("aide", "aide-common", "debsums")
STILL = 3
"""How often each tool looks at the host while nothing changes."""
AIDE = "aide --config=/run/aide.conf"
AIDE_SETTINGS = (
    r"sed -e 's#^database_\(in\|out\)=.*#database_\1=file:/run/aide.db#' -e 's#^Checksums = .*#Checksums = sha256#'"
    " /etc/aide/aide.conf > /run/aide.conf && rm -f /run/aide.db"
)
"""Debian's configuration with one digest of each file, as the others take, where it takes them all."""
SCRATCH = ("/run/", "/tmp/")  # noqa: S108 - of the machine that is measured
"""Where we keep what we need on the host ourselves: what AIDE says of it counts for nothing."""
AIDE_DIFFERS = range(8)
"""AIDE's exit codes that are no error: bits for added, removed and changed."""
DEBSUMS_DIFFERS = (0, 2)


def mitogen() -> dict[str, str]:
    """With which Ansible runs by Mitogen; empty where it is not installed."""
    strategies = mitogen_strategies()
    if strategies is None:
        return {}
    return {
        "ANSIBLE_STRATEGY": "mitogen_linear",
        "ANSIBLE_STRATEGY_PLUGINS": str(strategies),
        "ANSIBLE_REMOTE_TMP": "/tmp/.ansible",  # noqa: S108 - it would work in /root, and be seen there
    }


class Look(NamedTuple):
    """What a tool said, and how long it took."""

    said: frozenset[str]
    seconds: float


class Tools:
    """The tools, each with a look at the host."""

    def __init__(self, machine: host.Mutated) -> None:
        self._machine = machine
        self._mitogen = mitogen()
        self.looks: dict[str, Callable[[], frozenset[str]]] = {
            "ansible-playbook --check" + (", by Mitogen" if self._mitogen else ""): self._ansible,
            "debsums": self._debsums,
            "AIDE": self._aide,
            "goldsmith drift": self._goldsmith,
        }

    def look(self, name: str) -> Look:
        start = time.monotonic()
        said = self.looks[name]()
        return Look(said, time.monotonic() - start)

    def prepare(self) -> None:
        """A new database for AIDE."""
        self._machine.lab.execute(host.NAME, f"{AIDE_SETTINGS} && {AIDE} --init")

    def _ansible(self) -> frozenset[str]:
        """The tasks that would change something, or fail."""
        argv = ["ansible-playbook", "site.yml", "--check", "--extra-vars", "goldsmith_delivery=live"]
        environment = {**os.environ, **self._mitogen}
        done = subprocess.run(
            argv, cwd=self._machine.project, env=environment, capture_output=True, text=True, check=False
        )
        said = set()
        for block in re.split(r"^(?=(?:TASK|RUNNING HANDLER) \[)", done.stdout, flags=re.MULTILINE):
            for what in re.findall(rf"^(changed|fatal|failed): \[{host.NAME}\]", block, re.MULTILINE):
                said.add(f"{what}: {block.partition('[')[2].partition(']')[0]}")
        if "PLAY RECAP" not in done.stdout or (done.returncode != 0 and not said):
            sys.exit(f"ansible-playbook ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
        return frozenset(said)

    def _inside(self, script: str, good: range | tuple[int, ...]) -> str:
        container = self._machine.lab.container(host.NAME)
        done = proc.run(["docker", "exec", container, "sh", "-c", script], check=False)
        if done.code not in good:
            sys.exit(f"{script} ended with {done.code}\n{done.text}\n{done.error}")
        return done.text

    def _debsums(self) -> frozenset[str]:
        """Files that differ from what their package brought, or are gone."""
        return frozenset(self._inside("debsums --changed --all 2>&1", DEBSUMS_DIFFERS).splitlines())

    def _aide(self) -> frozenset[str]:
        """Paths that were added, removed or changed."""
        text = self._inside(f"{AIDE} --check", AIDE_DIFFERS)
        paths = re.findall(r"^[a-z][^/\n]*: (/.*)$", text, re.MULTILINE)
        return frozenset(path for path in paths if not f"{path}/".startswith(SCRATCH))

    def _goldsmith(self) -> frozenset[str]:
        argv = ["goldsmith", "drift", "artifacts/good.json", "--json"]
        done = subprocess.run(argv, cwd=self._machine.project, capture_output=True, text=True, check=False)
        if done.returncode not in (0, 3):
            sys.exit(f"goldsmith drift ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
        return frozenset(json.loads(done.stdout)["hosts"][host.NAME]["causes"])


def measure(machine: host.Mutated, chosen: list[mutations.Mutation]) -> dict[str, dict[str, list[Look]]]:
    """Looks of each tool: `still` at the host as it is, and one for each mutation by its name."""
    tools = Tools(machine)
    found: dict[str, dict[str, list[Look]]] = {name: {"still": []} for name in tools.looks}
    tools.prepare()
    for _ in range(STILL):
        for name, looks in found.items():
            looks["still"].append(tools.look(name))
    for number, mutation in enumerate(chosen, 1):
        tools.prepare()
        machine.run(mutation.apply, privileged=mutation.privileged)
        for name, looks in found.items():
            looks[mutation.name] = [tools.look(name)]
        machine.run(mutation.undo, privileged=mutation.privileged)
        names = [name for name, looks in found.items() if finds(looks, mutation.name)]
        print(f"{number}/{len(chosen)} {mutation.name}: {', '.join(names)}", file=sys.stderr, flush=True)
        left = drift_report.why(machine.look())
        if left:
            sys.exit(f"{mutation.name} was not undone: {left}")
    return found


def finds(looks: dict[str, list[Look]], name: str) -> bool:
    """Whether a tool said of a mutation what it had not said before."""
    before = frozenset().union(*(look.said for look in looks["still"]))
    return bool(looks[name][0].said - before)


def table(found: dict[str, dict[str, list[Look]]], chosen: list[mutations.Mutation]) -> str:
    lines = ["| | changes found | false alarms | seconds a look: median | least | most |", "|---|---|---|---|---|---|"]
    for name, looks in found.items():
        seconds = [look.seconds for several in looks.values() for look in several]
        count = sum(finds(looks, each.name) for each in chosen)
        alarms = max(len(look.said) for look in looks["still"])
        times = " | ".join(f"{each:.1f}" for each in (statistics.median(seconds), min(seconds), max(seconds)))
        lines.append(f"| {name} | {count} of {len(chosen)} | {alarms} | {times} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", metavar="NAME", help="only these mutations")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N of them")
    parser.add_argument("--json", action="store_true", help="JSON on standard output")
    given = parser.parse_args()
    chosen = [each for each in mutations.every() if not given.only or each.name in given.only][: given.limit]
    with (
        files.temporary_folder("benchmark") as folder,
        Lab(folder / "lab", BASE, [host.NAME]) as lab,
        host.ready(folder, lab, PACKAGES) as machine,
    ):
        found = measure(machine, chosen)
    if given.json:
        said = {
            name: {
                of: [{"said": sorted(look.said), "seconds": look.seconds} for look in each]
                for of, each in looks.items()
            }
            for name, looks in found.items()
        }
        print(json.dumps(said, indent=2))
    else:
        print(table(found, chosen))
    return 0


if __name__ == "__main__":
    with proc.interruptible():
        sys.exit(main())
