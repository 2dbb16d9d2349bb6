"""The judgement: two manifests and a policy in, differences out, each explained or not. Pure: no input, no output."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
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
    *("sudo", "ssh_keys", "pam", "cron", "sysctl", "kernel", "modules", "mounts", "apt", "alternatives"),
    *("environment", "linker", "locale", "certificates"),
    "files",
    "runtime.units",
    "runtime.sockets",
    "runtime.environment",
    "runtime.processes",
    "runtime.restart",
    "runtime.reboot",
    "runtime.firewall",
    "runtime.containers",
    "runtime.images",
    "runtime.mounts",
    "runtime.swaps",
    "runtime.network",
    "runtime.kernel",
    "runtime.modules",
    "runtime.apparmor",
    "runtime.sysctl",
    "runtime.sysctl_kernel",
    "identity",
)
"""The order in which sections are reported; one that is not listed comes after them."""

_CLONES = ("machine_id", "dbus_machine_id", "ssh_host_key ", "docker_key", "docker_engine_id", "ssl_snakeoil_key")
_ABOUT = ("package", "path", "unit", "image", "target", "type")
_NOT_COMPARED = "package"
"""Which package a path belongs to is described, not judged: dpkg's own records are compared."""
_IDENTITY_ATTRIBUTES = ("mode", "owner", "group", "target")


@dataclass(frozen=True)
class Difference:
    """One thing that the two machines don't have in common.

    kind: `only_a` and `only_b` (the other side lacks it; `a` or `b` holds all its attributes), `changed` (one
    attribute; `a` and `b` hold its values), `unreadable` (neither side could be read, so nothing is proven),
    `equal` (an identity that two machines share). `reason` is the policy's, None while nothing explains it. `about`
    is what the thing says of what it is and where it comes from (see `_ABOUT`), on either side, for its cause to be
    found and named.
    """

    section: str
    key: str
    attribute: str | None
    kind: Kind
    a: Any
    b: Any
    reason: str | None = None
    rule: Rule | None = None
    about: Mapping[str, tuple[str, ...]] = field(default_factory=dict, compare=False, repr=False)

    @property
    def explained(self) -> bool:
        return self.rule is not None


@dataclass(frozen=True)
class Refused:
    """A rule that explains nothing, `why`, and how many differences it would have explained.

    `expired`: its day is over. `too_broad`: it fits more of its section than a rule may without saying so.
    """

    rule: Rule
    kind: Literal["expired", "too_broad"]
    why: str
    differences: int


@dataclass(frozen=True)
class Comparison:
    """What `compare` found. `differences`: the unexplained first, then by section, key and attribute.

    `not_compared`: (section, why). `unused`: rules of the policy that could have applied and fitted nothing; `refused`:
    those that explain nothing though they fit; `unowned`: those of the user's that name no owner; `counts`: things
    looked at in each section.
    """

    a: str
    b: str
    scopes: tuple[str, str]
    digests: tuple[str, str]
    differences: tuple[Difference, ...]
    not_compared: tuple[tuple[str, str], ...] = ()
    unused: tuple[Rule, ...] = ()
    unused_reference: tuple[Rule, ...] = ()
    refused: tuple[Refused, ...] = ()
    unowned: tuple[Rule, ...] = ()
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
    rules, too_broad = _assign(found, policy.rules, scopes)
    judged = [
        replace(difference, reason=rule.reason, rule=rule) if rule else difference
        for difference, rule in zip(found.differences, rules, strict=True)
    ]
    fitted = {id(rule) for rule in rules} | {id(each.rule) for each in too_broad}
    unused = {id(rule) for rule in policy.rules if id(rule) not in fitted and rule.applies(scopes)}
    return Comparison(
        a=a.name or "A",
        b=b.name or "B",
        scopes=scopes,
        digests=(a.digest, b.digest),
        differences=tuple(sorted(judged, key=_order)),
        not_compared=found.not_compared,
        unused=tuple(rule for rule in policy.own if id(rule) in unused),
        unused_reference=tuple(rule for rule in policy.reference if id(rule) in unused),
        refused=(*_expired(judged, policy, scopes), *too_broad),
        unowned=tuple(rule for rule in policy.own if not rule.owner),
        counts=found.counts,
        policy=policy.name,
        warnings=tuple(f"{side}: {each}" for side, one in (("A", a), ("B", b)) for each in one.warnings),
    )


def _assign(found: Found, rules: Sequence[Rule], scopes: tuple[str, str]) -> tuple[list[Rule | None], list[Refused]]:
    """The rule that explains each difference, the first that fits; and those that fit too much, and explain nothing."""
    left = [rule for rule in rules if rule.applies(scopes)]
    refused: list[Refused] = []
    while True:
        chosen = _first_fitting(found.differences, left, scopes)
        over = list(_too_broad(found, chosen))
        if not over:
            return chosen, refused
        refused += over
        gone = {id(each.rule) for each in over}
        left = [rule for rule in left if id(rule) not in gone]


def _first_fitting(
    differences: Iterable[Difference], rules: Iterable[Rule], scopes: tuple[str, str]
) -> list[Rule | None]:
    by_section: dict[str, list[Rule]] = {}
    for rule in rules:
        by_section.setdefault(rule.section, []).append(rule)
    return [
        next((rule for rule in by_section.get(each.section, ()) if rule.explains(each, scopes)), None)
        for each in differences
    ]


def _too_broad(found: Found, chosen: Iterable[Rule | None]) -> Iterator[Refused]:
    fitting: dict[int, tuple[Rule, list[str]]] = {}
    for difference, rule in zip(found.differences, chosen, strict=True):
        if rule:
            fitting.setdefault(id(rule), (rule, []))[1].append(difference.key)
    for rule, keys in fitting.values():
        fits, facts = len(set(keys)), found.counts.get(rule.section, 0)
        may = rule.may_explain(facts)
        if fits > may:
            why = f"fits {fits:,} of {facts:,} facts and may explain {may:,}: narrow it, or say `broad: true`"
            yield Refused(rule, "too_broad", why, len(keys))


def _expired(judged: Iterable[Difference], policy: Policy, scopes: tuple[str, str]) -> Iterator[Refused]:
    left = [each for each in judged if not each.explained]
    for rule in policy.expired:
        why = f"expired: {rule.expires} was its last day; ask its owner, {rule.owner}"
        yield Refused(rule, "expired", why, sum(rule.explains(each, scopes) for each in left))


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
            yield Difference(name, key, None, "only_b", None, other, about=_about(other))
        elif other is None:
            yield Difference(name, key, None, "only_a", one, None, about=_about(one))
        else:
            # What is as the reference has it is the reference's own object.
            changed = list(_attributes(name, key, one, other)) if one is not other and one != other else []
            yield from changed
            if not changed and ("unreadable" in one or one.get("password") == "unknown"):
                yield Difference(name, key, None, "unreadable", one, other, about=_about(one))


def _attributes(section: str, key: str, one: Attributes, other: Attributes) -> Iterator[Difference]:
    """The attributes that differ. Of a thing that changed its type only that, since all others follow; and no size
    beside a digest that differs, for the same reason."""
    about = _about(one, other)
    if one.get("type") != other.get("type"):
        yield Difference(section, key, "type", "changed", one.get("type"), other.get("type"), about=about)
        return
    contents = one.get("sha256") != other.get("sha256")
    for name in one.keys() | other.keys():
        skipped = name == _NOT_COMPARED or (contents and name == "size")
        if one.get(name) != other.get(name) and not skipped:
            yield Difference(section, key, name, "changed", one.get(name), other.get(name), about=about)


def _about(*sides: Attributes | None) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for side in sides:
        for name in _ABOUT:
            value = (side or {}).get(name, [])
            found.setdefault(name, []).extend(value if isinstance(value, list) else [str(value)])
    return {name: tuple(dict.fromkeys(values)) for name, values in found.items() if values}


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
