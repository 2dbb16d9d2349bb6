"""Many machines against one reference. The cost grows with their distinct states, not with their number. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

from goldsmith import compare
from goldsmith.compare import Comparison, Difference, Found, Groups
from goldsmith.manifest import Manifest, canonical
from goldsmith.policy import Policy, Rule


@dataclass(frozen=True)
class State:
    """Machines of which everything that is said of one is true of all.

    `comparison` is of the reference (A) and the first of `machines` (B).
    """

    comparison: Comparison
    machines: tuple[str, ...]


@dataclass(frozen=True)
class Shared:
    """One identity that several machines have: `key` as in the manifest, `machines` at least two.

    `rule` is the policy's that explains it: one of the section identity that says `kind: equal`.
    """

    key: str
    sha256: str
    machines: tuple[str, ...]
    rule: Rule | None = None


@dataclass(frozen=True)
class Fleet:
    """What `judge` found. `states`: the one with most machines first. `unread`: (machine, why) of those whose manifest
    could not be read."""

    reference: str
    states: tuple[State, ...]
    shared: tuple[Shared, ...]
    unread: tuple[tuple[str, str], ...] = ()

    @property
    def ok(self) -> bool:
        """Is every machine read, every difference explained, and every shared identity?"""
        if self.unread:
            return False
        return all(state.comparison.ok for state in self.states) and all(each.rule for each in self.shared)

    @cached_property
    def state_of(self) -> dict[str, State]:
        """Machine -> its state."""
        return {name: state for state in self.states for name in state.machines}

    @property
    def unused(self) -> tuple[Rule, ...]:
        """Rules of the user's that could have applied somewhere, and fitted nothing anywhere."""
        used = {id(each.rule) for state in self.states for each in state.comparison.explained}
        used |= {id(each.rule) for each in self.shared}
        found = {id(rule): rule for state in self.states for rule in state.comparison.unused}
        return tuple(rule for key, rule in found.items() if key not in used)

    def comparison(self, machine: str) -> Comparison:
        """The reference (A) and this machine (B). Raises KeyError when it was not read."""
        return replace(self.state_of[machine].comparison, b=machine)


def judge(reference: Manifest, machines: Iterable[Manifest], policy: Policy, groups: Groups | None = None) -> Fleet:
    """Compare machines, each by its `name`, which must be its own, with a reference. They are taken one by one: an
    iterator that makes them keeps few in memory."""
    judgement = Judgement(reference, policy, groups)
    for machine in machines:
        judgement.add(machine)
    return judgement.fleet()


class Judgement:
    """A fleet's, while it is read machine by machine."""

    def __init__(self, reference: Manifest, policy: Policy, groups: Groups | None = None) -> None:
        self._reference = reference
        self._policy = policy
        self._groups = groups or {}
        self._restricted = [(number, rule) for number, rule in enumerate(policy.rules) if rule.machine or rule.group]
        self._sections: dict[str, Found] = {}
        self._runtimes: dict[str, Found] = {}
        self._states: dict[tuple[str, ...], tuple[Comparison, list[str]]] = {}
        self._identities: dict[tuple[str, str], list[str]] = {}

    def knows(self, digest: str) -> bool:
        """Whether sections of this digest were compared already."""
        return digest in self._sections

    def add(self, machine: Manifest) -> None:
        """Compare one more. The sections of a digest that is known are not looked at, and may be left out; whoever
        does so vouches that they fit that digest."""
        if not self.knows(machine.digest):
            self._sections[machine.digest] = compare.of_sections(self._reference.sections, machine.sections)
        runtime = hashlib.sha256(canonical(machine.runtime).encode()).hexdigest()
        if runtime not in self._runtimes:
            self._runtimes[runtime] = compare.of_runtime(self._reference, machine)
        identity = compare.of_identity(self._reference, machine)
        rules = (str(number) for number, rule in self._restricted if self._concerns(rule, machine.name))
        key = (machine.digest, machine.scope, runtime, repr(identity), " ".join(rules), *machine.warnings)
        if key not in self._states:
            found = self._sections[machine.digest] + self._runtimes[runtime] + identity
            judged = compare.judge(self._reference, machine, found, self._policy, self._groups)
            self._states[key] = (judged, [])
        self._states[key][1].append(machine.name)
        for name, facts in machine.identity.items():
            if compare.is_cloned(name) and facts.get("sha256"):
                self._identities.setdefault((name, facts["sha256"]), []).append(machine.name)

    def _concerns(self, rule: Rule, machine: str) -> bool:
        name = compare.called(machine)
        return rule.concerns({name: self._groups.get(name, ())})

    def fleet(self) -> Fleet:
        """The judgement on all that were added."""
        states = [State(comparison, tuple(sorted(names))) for comparison, names in self._states.values()]
        shared = [
            Shared(name, digest, tuple(sorted(machines)), self._explains(name, digest, machines))
            for (name, digest), machines in self._identities.items()
            if len(machines) > 1
        ]
        return Fleet(
            self._reference.name or "reference",
            tuple(sorted(states, key=lambda state: (-len(state.machines), state.machines))),
            tuple(sorted(shared, key=lambda each: (each.key, each.machines))),
        )

    def _explains(self, name: str, digest: str, machines: list[str]) -> Rule | None:
        """The first rule that explains a shared identity, and is for every one of the machines."""
        clone = Difference("identity", name, "sha256", "equal", digest, digest)
        for rule in self._policy.rules:
            if rule.explains(clone, ("live", "live")) and all(self._concerns(rule, each) for each in machines):
                return rule
        return None
