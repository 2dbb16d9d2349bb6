"""Drift: the fleet against one reference. All hosts are asked at once, and every one gets exactly one verdict.

A host is in sync where nothing differs but what the policy explains; drifted where something does; unreachable where
it can't be asked; unprovable where what it says proves neither.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from goldsmith import causes, collect, fleet, inventory, proc
from goldsmith.compare import Comparison, Difference
from goldsmith.errors import GoldsmithError
from goldsmith.expect import Expectation
from goldsmith.manifest import Manifest
from goldsmith.policy import Policy
from goldsmith.progress import Progress

if TYPE_CHECKING:
    from goldsmith import config
    from goldsmith.remedies import Remedy

Verdict = Literal["in sync", "drifted", "unreachable", "unprovable"]
VERDICTS: tuple[Verdict, ...] = ("in sync", "drifted", "unprovable", "unreachable")

DRIFTED_EXIT = 3
UNPROVABLE_EXIT = 1
AT_ONCE = 32
"""How many hosts are asked at a time."""
PATIENCE = 900.0
"""Seconds that a host has to answer."""


@dataclass(frozen=True)
class Problem:
    """Why a host has no manifest, and what to do about it."""

    reached: bool
    what: str
    hint: str


@dataclass(frozen=True)
class Host:
    """One host's verdict, and what it rests on. `comparison` is with the reference (A), None where `problem` says why.

    `clones`: identities that it shares with other hosts, which nothing explains. `remedies`: what a converge would do
    about each cause, and `stopped` why that is not known to its end; both only where that was asked for.
    """

    name: str
    verdict: Verdict
    comparison: Comparison | None = None
    clones: tuple[fleet.Shared, ...] = ()
    problem: Problem | None = None
    remedies: tuple[Remedy, ...] = ()
    stopped: str = ""

    @property
    def differences(self) -> tuple[Difference, ...]:
        """What nothing explains."""
        return self.comparison.unexplained if self.comparison else ()


@dataclass(frozen=True)
class Result:
    """One look at the fleet: hosts by name in the inventory's order, when it began, how long it took, and what was
    judged of the fleet as one."""

    reference: str
    hosts: dict[str, Host]
    began: datetime
    seconds: float
    judged: fleet.Fleet

    def names(self, verdict: Verdict) -> list[str]:
        """The hosts of that verdict."""
        return [host.name for host in self.hosts.values() if host.verdict == verdict]

    @property
    def exit_code(self) -> int:
        """0 all in sync; 3 one has drifted; else 1 one is unprovable; else 4 one is unreachable."""
        codes = (DRIFTED_EXIT, UNPROVABLE_EXIT, inventory.UNREACHABLE_EXIT)
        verdicts: tuple[Verdict, ...] = ("drifted", "unprovable", "unreachable")
        return next((code for verdict, code in zip(verdicts, codes, strict=True) if self.names(verdict)), 0)


class Watcher:
    """Looks at the same hosts, as often as it is asked to. Connections stay open as long as Ansible's own."""

    def __init__(self, hosts: inventory.Reached, expectation: Callable[[], Expectation], policy: Policy) -> None:
        """`expectation` is called, once, when the first hosts are asked already: what it takes costs no time then."""
        proc.require("ssh")
        self.names = list(hosts.connections)
        self._expected = expectation
        self._policy = policy
        self._groups = hosts.groups
        self._sockets = [each.socket for each in hosts.connections.values()]
        self._argv = [
            collect.over_ssh(each, collect.Target("ssh", name), "expect") for name, each in hosts.connections.items()
        ]

    @functools.cached_property
    def _expectation(self) -> Expectation:
        return self._expected()

    @property
    def _reference(self) -> Manifest:
        return self._expectation.reference

    @functools.cached_property
    def _stdin(self) -> bytes:
        return collect.sent(self._expectation.data)

    def look(self, progress: Progress) -> Result:
        """One round trip to each host; a second one where the connection that stood is dead.

        Raises:
            GoldsmithError: the reference is none. Nothing runs any more.
            Interrupted: SIGINT or SIGTERM came. Nor does it then.
        """
        began, start = datetime.now(UTC), time.monotonic()
        problems: dict[str, Problem] = {}
        for name in self.names:
            progress.row(name).task = "asked for its manifest"
        judge = functools.cache(lambda: fleet.Judgement(self._reference, self._policy, self._groups))
        with contextlib.closing(self._answers()) as answers:
            for number, done in answers:
                name, judgement = self.names[number], judge()
                try:
                    judgement.add(self._manifest(name, done, judgement.knows))
                    progress.row(name).task = "answered"
                except GoldsmithError as error:
                    reached = error.exit_code != inventory.UNREACHABLE_EXIT
                    problems[name] = Problem(reached, error.message, error.hint)
                    progress.row(name).state = "failed" if reached else "unreachable"
        judged = judge().fleet()
        found = verdicts(self.names, judged, problems)
        judged = replace(judged, unread=tuple((name, problem.what) for name, problem in problems.items()))
        return Result(self._reference.name, found, began, time.monotonic() - start, judged)

    def _answers(self) -> Generator[tuple[int, proc.Completed]]:
        """What each host says, by its number. One that has booted again knows nothing of a connection that stood."""
        stood = {number: socket for number, socket in enumerate(self._sockets) if socket and socket.exists()}
        dead = []
        for number, done in self._ask(range(len(self.names))):
            if done.code == inventory.SSH_FAILED and number in stood:
                inventory.end(stood[number])
                dead.append(number)
            else:
                yield number, done
        yield from self._ask(dead)

    def _ask(self, numbers: Sequence[int]) -> Generator[tuple[int, proc.Completed]]:
        argv = [self._argv[number] for number in numbers]
        answers = proc.run_together(argv, AT_ONCE, stdin=lambda: [self._stdin] * len(argv), timeout=PATIENCE)
        with contextlib.closing(answers):
            for at, done in answers:
                yield numbers[at], done

    def _manifest(self, name: str, done: proc.Completed, known: Callable[[str], bool]) -> Manifest:
        return self._expectation.manifest(collect.answered(collect.Target("ssh", name), done), name, known)


def rehearse(project: config.Project, result: Result, progress: Progress) -> Result:
    """What a converge would do about the hosts that have drifted: the definition runs in check mode there.

    Raises:
        GoldsmithError: Ansible stopped before the first task.
    """
    from goldsmith import converge, remedies  # noqa: PLC0415 - a look does not wait for what only a plan needs

    drifted = result.names("drifted")
    if not drifted:
        return result
    seen = remedies.Rehearsal()
    ran = converge.converge(
        project, progress, limit=",".join(drifted), check=True, diff=True, show_diff=False, listener=seen
    )
    if ran.error:
        raise GoldsmithError(
            f"the definition does not run: {ran.error}", hint="`goldsmith converge --check` shows more"
        )
    hosts = dict(result.hosts)
    for name in drifted:
        host, there = hosts[name], ran.hosts.get(name)
        found = remedies.join(causes.group(host.differences), seen.steps.get(name, {}))
        stopped = f'task "{there.task}": {there.message}' if there and there.message else ""
        hosts[name] = replace(host, remedies=found, stopped=stopped)
    return replace(result, hosts=hosts)


def verdicts(names: Sequence[str], judged: fleet.Fleet, problems: Mapping[str, Problem]) -> dict[str, Host]:
    """Every host's verdict: each is either judged or has a problem. Pure."""
    clones: dict[str, list[fleet.Shared]] = {}
    for shared in judged.shared:
        for name in shared.machines if shared.rule is None else ():
            clones.setdefault(name, []).append(shared)
    found = {}
    for name in names:
        if name in problems:
            verdict: Verdict = "unprovable" if problems[name].reached else "unreachable"
            found[name] = Host(name, verdict, problem=problems[name])
        else:
            comparison, shares = judged.comparison(name), tuple(clones.get(name, ()))
            found[name] = Host(name, "drifted" if shares else _verdict(comparison), comparison, shares)
    return found


def _verdict(comparison: Comparison) -> Verdict:
    """Of what could not be read nothing is known; and a section that one side lacks hides whatever is in it."""
    unread = {(each.section, each.key) for each in comparison.unexplained if is_unread(each)}
    if any((each.section, each.key) not in unread for each in comparison.unexplained):
        return "drifted"
    return "unprovable" if unread or unproven(comparison) else "in sync"


def is_unread(difference: Difference) -> bool:
    """Whether a difference says no more than that a thing could not be read."""
    return difference.kind == "unreadable" or difference.attribute == "unreadable"


def unproven(comparison: Comparison) -> list[tuple[str, str]]:
    """(section, why) of what was not compared though it could have been: a reference at rest has no runtime."""
    return [
        (section, why)
        for section, why in comparison.not_compared
        if not (section.startswith("runtime.") and "rest" in comparison.scopes)
    ]
