"""The judgement: two manifests and a policy in, differences out, each explained or not. Pure: no input, no output."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from goldsmith.manifest import Attributes, Manifest, Section
from goldsmith.policy import Policy, Rule

Groups = Mapping[str, Collection[str]]
"""The inventory's groups that a machine is in, by its name."""

Kind = Literal["only_a", "only_b", "changed", "unreadable", "equal"]

SECTIONS = (
    "os",
    "packages",
    "libraries",
    "units",
    "users",
    "groups",
    "files",
    "runtime.units",
    "runtime.sockets",
    "identity",
)
"""The order in which sections are reported; one that is not listed comes after them."""

_CLONES = ("machine_id", "dbus_machine_id", "ssh_host_key ", "docker_key", "docker_engine_id")
_IDENTITY_ATTRIBUTES = ("mode", "owner", "group", "target")


@dataclass(frozen=True)
class Difference:
    """One thing that the two machines don't have in common.

    kind: `only_a` and `only_b` (the other side lacks it; `a` or `b` holds all its attributes), `changed` (one
    attribute; `a` and `b` hold its values), `unreadable` (neither side could be read, so nothing is proven),
    `equal` (an identity that two machines share). `reason` is the policy's, None while nothing explains it.
    """

    section: str
    key: str
    attribute: str | None
    kind: Kind
    a: Any
    b: Any
    reason: str | None = None
    rule: Rule | None = None

    @property
    def explained(self) -> bool:
        return self.rule is not None


@dataclass(frozen=True)
class Comparison:
    """What `compare` found. `differences`: the unexplained first, then by section, key and attribute.

    `not_compared`: (section, why). `unused`: rules of the policy that could have applied and fitted nothing;
    `counts`: things looked at in each section.
    """

    a: str
    b: str
    scopes: tuple[str, str]
    digests: tuple[str, str]
    differences: tuple[Difference, ...]
    not_compared: tuple[tuple[str, str], ...] = ()
    unused: tuple[Rule, ...] = ()
    unused_reference: tuple[Rule, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)
    policy: str = "none"
    warnings: tuple[str, ...] = ()

    @property
    def unexplained(self) -> tuple[Difference, ...]:
        return tuple(each for each in self.differences if not each.explained)

    @property
    def explained(self) -> tuple[Difference, ...]:
        return tuple(each for each in self.differences if each.explained)

    @property
    def ok(self) -> bool:
        """Is every difference explained?"""
        return not self.unexplained


@dataclass(frozen=True)
class Found:
    """Differences before a policy judges them. `counts`: things looked at in each section."""

    differences: tuple[Difference, ...]
    counts: dict[str, int]
    not_compared: tuple[tuple[str, str], ...] = ()

    def __add__(self, other: Found) -> Found:
        return Found(
            self.differences + other.differences,
            {**self.counts, **other.counts},
            self.not_compared + other.not_compared,
        )


def compare(a: Manifest, b: Manifest, policy: Policy, groups: Groups | None = None) -> Comparison:
    """Compare two machines. Swapping them mirrors the result, and nothing else."""
    found = of_sections(a.sections, b.sections) + of_runtime(a, b) + of_identity(a, b)
    return judge(a, b, found, policy, groups)


def of_sections(a: Mapping[str, Section], b: Mapping[str, Section]) -> Found:
    """What differs in the sections. One that only one side has is not compared."""
    why_not = {name: f"{'B' if name in a else 'A'} has no such section" for name in a.keys() ^ b.keys()}
    return _of_pairs(a, b, why_not)


def of_runtime(a: Manifest, b: Manifest) -> Found:
    """What differs in what runs. Of a machine at rest nothing does, and nothing is guessed."""
    runs_a, runs_b = ({f"runtime.{name}": facts for name, facts in (one.runtime or {}).items()} for one in (a, b))
    at_rest = [side for side, one in (("A", a), ("B", b)) if one.runtime is None]
    why = f"{' and '.join(at_rest)} at rest: nothing runs" if at_rest else "one side has no such section"
    return _of_pairs(runs_a, runs_b, dict.fromkeys(runs_a.keys() ^ runs_b.keys(), why))


def of_identity(a: Manifest, b: Manifest) -> Found:
    """What should differ and doesn't, and what stands around it."""
    return Found(tuple(_identity(a, b)), {"identity": len(a.identity.keys() | b.identity.keys())})


def judge(a: Manifest, b: Manifest, found: Found, policy: Policy, groups: Groups | None = None) -> Comparison:
    """Let a policy judge what was found between two machines. Of them only what they are called, their scopes, digests
    and warnings count here, not their sections."""
    scopes = (a.scope, b.scope)
    policy = policy.of_machines({name: (groups or {}).get(name, ()) for name in (called(a.name), called(b.name))})
    used: set[int] = set()
    judged = []
    by_identity = {id(rule): rule for rule in policy.rules}
    for difference in found.differences:
        rule = policy.find(difference, scopes)
        if rule is None:
            judged.append(difference)
        else:
            used.add(id(rule))
            judged.append(replace(difference, reason=rule.reason, rule=rule))
    unused = {key for key, rule in by_identity.items() if key not in used and rule.applies(scopes)}
    return Comparison(
        a=a.name or "A",
        b=b.name or "B",
        scopes=scopes,
        digests=(a.digest, b.digest),
        differences=tuple(sorted(judged, key=_order)),
        not_compared=found.not_compared,
        unused=tuple(rule for rule in policy.own if id(rule) in unused),
        unused_reference=tuple(rule for rule in policy.reference if id(rule) in unused),
        counts=found.counts,
        policy=policy.name,
        warnings=tuple(f"{side}: {each}" for side, one in (("A", a), ("B", b)) for each in one.warnings),
    )


def called(name: str) -> str:
    """A machine's own name, of a manifest's: web1 of ssh:web1."""
    kind, colon, rest = name.partition(":")
    return rest if colon and kind.isidentifier() else name


def is_cloned(key: str) -> bool:
    """Whether an identity of this name must be a machine's own. The public half of a key is no second one."""
    return key.startswith(_CLONES) and not key.endswith(".pub")


def rank(section: str) -> tuple[int, str]:
    """For sorting by section."""
    return (SECTIONS.index(section) if section in SECTIONS else len(SECTIONS), section)


def _order(difference: Difference) -> tuple[bool, tuple[int, str], str, str, str]:
    return (
        difference.explained,
        rank(difference.section),
        difference.key,
        difference.attribute or "",
        difference.kind,
    )


def _of_pairs(a: Mapping[str, Section], b: Mapping[str, Section], why_not: Mapping[str, str]) -> Found:
    both = a.keys() & b.keys()
    return Found(
        tuple(each for name in both for each in _section(name, a[name], b[name])),
        {name: len(a[name].keys() | b[name].keys()) for name in both},
        tuple((name, why_not[name]) for name in sorted(why_not, key=rank)),
    )


def _section(name: str, side_a: Section, side_b: Section) -> Iterator[Difference]:
    for key in side_a.keys() | side_b.keys():
        one, other = side_a.get(key), side_b.get(key)
        if one is None:
            yield Difference(name, key, None, "only_b", None, other)
        elif other is None:
            yield Difference(name, key, None, "only_a", one, None)
        elif one != other:
            yield from _attributes(name, key, one, other)
        elif one.get("unreadable") or one.get("password") == "unknown":
            yield Difference(name, key, None, "unreadable", one, other)


def _attributes(section: str, key: str, one: Attributes, other: Attributes) -> Iterator[Difference]:
    """The attributes that differ. Of a thing that changed its type only that, since all others follow; and no size
    beside a digest that differs, for the same reason."""
    if one.get("type") != other.get("type"):
        yield Difference(section, key, "type", "changed", one.get("type"), other.get("type"))
        return
    contents = one.get("sha256") != other.get("sha256")
    for name in one.keys() | other.keys():
        if one.get(name) != other.get(name) and not (contents and name == "size"):
            yield Difference(section, key, name, "changed", one.get(name), other.get(name))


def _identity(a: Manifest, b: Manifest) -> Iterator[Difference]:
    """What should differ and doesn't; and what stands around it: mode, owner, and whether it is there.

    Two records of one machine (same hostname and same machine-id) share their identity rightly. An image at rest
    may lack any of it: a sealed one gets its own at its first boot.
    """
    same_machine = _same(a, b, "hostname") and _same(a, b, "machine_id")
    at_rest = "rest" in (a.scope, b.scope)
    for key in a.identity.keys() | b.identity.keys():
        one, other = a.identity.get(key), b.identity.get(key)
        if one is None or other is None:
            if not at_rest:
                kind: Kind = "only_b" if one is None else "only_a"
                yield Difference("identity", key, None, kind, one, other)
            continue
        for name in _IDENTITY_ATTRIBUTES:
            if name in one and name in other and one[name] != other[name]:
                yield Difference("identity", key, name, "changed", one[name], other[name])
        if one.get("state") != other.get("state") and not (
            at_rest and "empty" in (one.get("state"), other.get("state"))
        ):
            yield Difference("identity", key, "state", "changed", one.get("state"), other.get("state"))
        shared = one.get("sha256") and one.get("sha256") == other.get("sha256")
        if shared and not same_machine and is_cloned(key):
            yield Difference("identity", key, "sha256", "equal", one["sha256"], other["sha256"])


def _same(a: Manifest, b: Manifest, key: str) -> bool:
    return a.identity.get(key, {}).get("sha256") == b.identity.get(key, {}).get("sha256")
