"""The judgement: two manifests and a policy in, differences out, each explained or not. Pure: no input, no output."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from goldsmith.manifest import Attributes, Manifest, Section
from goldsmith.policy import Policy, Rule

Kind = Literal["only_a", "only_b", "changed", "unreadable", "equal"]

SECTIONS = (
    "os",
    "packages",
    "libraries",
    "units",
    "users",
    "groups",
    *("sudo", "ssh_keys", "pam", "cron", "sysctl", "kernel", "modules", "mounts", "apt", "alternatives"),
    *("environment", "linker", "locale", "certificates"),
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


def compare(a: Manifest, b: Manifest, policy: Policy) -> Comparison:
    """Compare two machines. Swapping them mirrors the result, and nothing else."""
    scopes = (a.scope, b.scope)
    found: list[Difference] = []
    counts: dict[str, int] = {}
    left_out: list[tuple[str, str]] = []
    for name, side_a, side_b, why_not in _pairs(a, b):
        if side_a is None or side_b is None:
            left_out.append((name, why_not))
            continue
        counts[name] = len(side_a.keys() | side_b.keys())
        found += _section(name, side_a, side_b)
    counts["identity"] = len(a.identity.keys() | b.identity.keys())
    found += _identity(a, b)

    used: set[int] = set()
    judged = []
    by_identity = {id(rule): rule for rule in policy.rules}
    for difference in found:
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
        not_compared=tuple(left_out),
        unused=tuple(rule for rule in policy.own if id(rule) in unused),
        unused_reference=tuple(rule for rule in policy.reference if id(rule) in unused),
        counts=counts,
        policy=policy.name,
        warnings=tuple(f"{side}: {each}" for side, one in (("A", a), ("B", b)) for each in one.warnings),
    )


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


def _pairs(a: Manifest, b: Manifest) -> Iterator[tuple[str, Section | None, Section | None, str]]:
    """(section, side a, side b, why it can't be compared) of all sections, runtime's among them."""
    for name in sorted(a.sections.keys() | b.sections.keys(), key=rank):
        one = a if name in a.sections else b
        other = "B" if one is a else "A"
        yield name, a.sections.get(name), b.sections.get(name), f"{other} has no such section"
    runtime_a, runtime_b = a.runtime or {}, b.runtime or {}
    for name in sorted(runtime_a.keys() | runtime_b.keys(), key=lambda name: rank(f"runtime.{name}")):
        missing = [side for side, one in (("A", a), ("B", b)) if one.runtime is None]
        why = f"{' and '.join(missing)} at rest: nothing runs" if missing else "one side has no such section"
        yield f"runtime.{name}", runtime_a.get(name), runtime_b.get(name), why


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
        if shared and not same_machine and key.startswith(_CLONES) and not key.endswith(".pub"):
            yield Difference("identity", key, "sha256", "equal", one["sha256"], other["sha256"])


def _same(a: Manifest, b: Manifest, key: str) -> bool:
    return a.identity.get(key, {}).get("sha256") == b.identity.get(key, {}).get("sha256")
