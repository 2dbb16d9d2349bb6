"""Mutation of content: take one task out of a role and see that its assertions notice.

scripts/mutation.py [--sample N] [--seed TEXT] [ROLE...]

For every task of the role (or N of them) a machine is made anew with the scenario ROLE_full, from a copy of the role
that lacks that task; if nothing notices, with ROLE too, and with ROLE_off where there is one. The mutation is killed
if the play fails or an assertion does. Survivors must stand in tests/mutation.yml with a reason; a reason for what does
not survive, or is no task, is an error too.
Exit: 0 no unexplained survivor, 1 some, 2 usage.
"""

from __future__ import annotations

import argparse
import copy
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from goldsmith import docker, proc

ROOT = Path(__file__).resolve().parents[1]
BASE = "goldsmith/base:debian-bookworm"
EXPLAINED = ROOT / "tests" / "mutation.yml"
# What refuses wrong input changes nothing on a machine: its tests are tests/unit/test_roles.py.
NO_MUTATION = ("goldsmith.core.role_variables", "ansible.builtin.assert", "ansible.builtin.fail")


@dataclass(frozen=True)
class Mutation:
    """One task of a role: the file, its place in the (nested) lists, and its name."""

    file: Path
    place: tuple[str | int, ...]
    name: str

    def __str__(self) -> str:
        return f"{self.file}: {self.name}"


def tasks(entries: list[Any], place: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Every task with its place; those of a block each for itself."""
    for index, task in enumerate(entries):
        here = (*place, index)
        if "block" in task:
            for part in ("block", "rescue", "always"):
                yield from tasks(task.get(part, []), (*here, part))
        elif not set(NO_MUTATION) & set(task):
            yield here, task


def mutations(role: Path) -> list[Mutation]:
    """All that can be taken out of a role."""
    found = []
    for file in sorted([*role.glob("tasks/**/*.yml"), *role.glob("handlers/*.yml")]):
        for place, task in tasks(yaml.safe_load(file.read_text(encoding="utf-8")) or []):
            found.append(Mutation(file.relative_to(role), place, task.get("name", "?")))
    return found


def without(document: list[Any], place: tuple[str | int, ...]) -> list[Any]:
    """The tasks without one."""
    changed = copy.deepcopy(document)
    at: Any = changed
    for step in place[:-1]:
        at = at[step]
    del at[place[-1]]
    return changed


class Bench:
    """A copy of the collection in which one role can be changed, and machines for a scenario of the role."""

    def __init__(self, folder: Path, role: str, scenario: str) -> None:
        self.role = role
        self.scenario = folder / "molecule" / scenario
        tree = folder / "ansible_collections" / "goldsmith" / "core"
        (tree / "roles").mkdir(parents=True)
        for name in ("galaxy.yml", "meta", "playbooks", "plugins"):
            (tree / name).symlink_to(ROOT / name)
        for path in (ROOT / "roles").iterdir():
            if path.name != role:
                (tree / "roles" / path.name).symlink_to(path)
        self.copy = tree / "roles" / role
        mark = f"goldsmith-mutation-{os.getpid()}-"
        # As in the clone: scenarios name files beside them and examples.
        shutil.copytree(ROOT / "molecule" / scenario, self.scenario)
        (folder / "molecule" / "shared").symlink_to(ROOT / "molecule" / "shared")
        (folder / "examples").symlink_to(ROOT / "examples")
        (folder / "roles").symlink_to(tree / "roles")
        self.inventory = self.scenario / "inventory"
        for path in self.inventory.rglob("*.yml"):
            path.write_text(path.read_text(encoding="utf-8").replace("goldsmith-molecule-", mark), encoding="utf-8")
        self.machine = f"{mark}{scenario}"
        listed = proc.run(["ansible-inventory", "--inventory", str(self.inventory), "--list"]).text
        self.machines = sorted(set(re.findall(rf"{mark}[a-z0-9_-]+", listed)))
        self.config = yaml.safe_load((self.scenario / "molecule.yml").read_text(encoding="utf-8")) or {}
        self.environment = {
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": f"{folder}:{ROOT / '.ansible/collections'}",
            "MOLECULE_SCENARIO_NAME": self.scenario.name,
            "MOLECULE_SCENARIO_DIRECTORY": str(self.scenario),
            "MOLECULE_PROJECT_DIRECTORY": str(ROOT),
            "MOLECULE_EPHEMERAL_DIRECTORY": str(folder),
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def expand(self, text: str) -> str:
        """Molecule's variables in a value of molecule.yml."""
        return re.sub(r"\$\{(\w+)\}", lambda match: self.environment.get(match[1], ""), text)

    def tests(self) -> list[str]:
        """The assertions that the scenario runs."""
        verifier = self.config.get("verifier", {})
        default = f"{ROOT}/roles/{self.role}/tests"
        named = [verifier.get("directory", default), *verifier.get("additional_files_or_dirs", [])]
        found = []
        for entry in map(self.expand, named):
            found += [str(path) for path in Path("/").glob(entry.lstrip("/"))]
        return found

    def play(self, playbook: str) -> bool:
        argv = ["ansible-playbook", "--inventory", str(self.inventory), self.expand(playbook)]
        return self.quiet(argv)

    def quiet(self, argv: list[str]) -> bool:
        done = subprocess.run(argv, env=self.environment, cwd=ROOT, capture_output=True, text=True, check=False)
        self.last = done.stdout + done.stderr
        return done.returncode == 0

    def verdict(self, mutation: Mutation | None) -> str:
        """What noticed the mutation: "converge", "verify", or "" for nothing."""
        shutil.rmtree(self.copy, ignore_errors=True)
        shutil.copytree(ROOT / "roles" / self.role, self.copy)
        if mutation:
            file = self.copy / mutation.file
            document = yaml.safe_load(file.read_text(encoding="utf-8"))
            file.write_text(yaml.safe_dump(without(document, mutation.place), sort_keys=False), encoding="utf-8")
        books = self.config.get("ansible", {}).get("playbooks", {})
        try:
            for name in self.machines:
                docker.boot(name, BASE, owner="mutation")
            prepare = self.scenario / "prepare.yml"
            if prepare.exists() and not self.play(str(prepare)):
                return "converge"
            if not self.play(books.get("converge", f"{ROOT}/molecule/shared/role.yml")):
                return "converge"
            # By docker exec, many times as fast as a module of Ansible for every command.
            argv = ["pytest", "-q", "-x", "-p", "no:cacheprovider", f"--hosts=docker://{self.machine}"]
            argv += [f"--ansible-inventory={self.inventory}", *self.tests()]
            return "" if self.quiet(argv) else "verify"
        finally:
            with proc.uninterrupted():
                proc.run(["docker", "rm", "--force", "--volumes", *self.machines], check=False)


def examine(role: str, *, sample: int, seed: str) -> list[str]:
    """Mutate one role; the complaints."""
    explained = (yaml.safe_load(EXPLAINED.read_text(encoding="utf-8")) or {}).get(role, {})
    todo = mutations(ROOT / "roles" / role)
    complaints = [f"{role}: no task is called {name}" for name in set(explained) - {each.name for each in todo}]
    if sample:
        todo = random.Random(f"{seed}{role}").sample(todo, min(sample, len(todo)))  # noqa: S311 - a choice of tests
    with tempfile.TemporaryDirectory(prefix="goldsmith-mutation-") as folder:
        names = [name for name in (f"{role}_full", role, f"{role}_off") if (ROOT / "molecule" / name).is_dir()]
        benches = [Bench(Path(folder) / scenario, role, scenario) for scenario in names]
        sound: set[Bench] = set()
        for number, mutation in enumerate(todo, 1):
            started = time.monotonic()
            for bench in benches:
                if bench not in sound and bench.verdict(None):
                    return [f"{role}: {bench.scenario.name} fails without any mutation:\n{bench.last[-3000:]}"]
                sound.add(bench)
                killed = bench.verdict(mutation)
                if killed:
                    break
            how = f"killed by {killed} of {bench.scenario.name}" if killed else "survived"
            if not killed and mutation.name in explained:
                how += f", explained: {explained[mutation.name]}"
            elif not killed:
                complaints.append(f"{role}: {mutation} survived and is not explained")
            elif mutation.name in explained:
                complaints.append(f"{role}: {mutation} is killed, yet explained as a survivor")
            print(f"{role} {number}/{len(todo)} {mutation}: {how} ({time.monotonic() - started:.0f} s)", flush=True)
    return complaints


def main() -> int:
    """Mutate the roles that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("roles", nargs="*", metavar="ROLE", help="all, if none is named")
    parser.add_argument("--sample", type=int, default=0, metavar="N", help="only N tasks of each role")
    parser.add_argument("--seed", default="", help="which ones: another text chooses others")
    options = parser.parse_args()
    options.roles = options.roles or sorted(path.name for path in (ROOT / "roles").iterdir() if path.is_dir())
    unknown = [role for role in options.roles if not (ROOT / "molecule" / f"{role}_full").is_dir()]
    if unknown:
        parser.error(f"no scenario {', '.join(f'{role}_full' for role in unknown)}")
    complaints = []
    try:
        with proc.interruptible():
            for role in options.roles:
                complaints += examine(role, sample=options.sample, seed=options.seed)
    except proc.Interrupted as stop:
        return stop.exit_code
    print("\n".join(complaints) or "no unexplained survivor")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
