"""Policy: which differences are expected, and why.

    extends: debian
    owner: web team
    rules:
      - section: files
        key: /etc/motd
        reason: each site greets in its own words
        expires: 2027-06-30

A rule explains a difference when all that it states fits. It never hides one: what is explained is reported with
its reason, and a rule that fits nothing is reported as unused. One that has expired, or that fits more than a small
share of its section without saying so, explains nothing and is reported. So it is with waivers of hygiene:

    hygiene:
      - check: logs
        path: /var/log/installer/**
        reason: support wants to see how a machine was installed
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from goldsmith import config, yamlfile
from goldsmith.errors import UsageError, nearest
from goldsmith.hygiene_rules import CHECKS

if TYPE_CHECKING:
    from goldsmith.compare import Difference

SHARE = 0.05
"""The share of its section's facts that a rule may explain without `broad: true`."""
FEW = 10
"""As many it may explain in any case: sections can be small."""

REFERENCES = ("debian",)
"""The reference policies that `extends` may name."""

Kind = Literal["only_a", "only_b", "missing", "changed", "unreadable", "equal"]
Side = Literal["rest", "live"]


def _in_words(value: str) -> str:
    if len(value.split()) < 3:
        raise ValueError("must say why, in a few words")
    return " ".join(value.split())


def _is_check(value: str) -> str:
    if value not in CHECKS:
        raise ValueError(f'there is no check "{value}"; {nearest(value, CHECKS)}')
    return value


def _is_day(value: object) -> object:
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value):
        return datetime.date.fromisoformat(value)
    if isinstance(value, datetime.date):
        return value
    raise ValueError("must be a day, as in 2027-06-30")


Reason = Annotated[str, AfterValidator(_in_words)]
Day = Annotated[datetime.date, BeforeValidator(_is_day)]
Owner = Annotated[str, Field(min_length=1)]


class Rule(BaseModel):
    """One expected difference.

    `key` is a pattern: `?` and `*` match within one path segment, `**` also across. `attribute` states which one
    differs; without it the rule fits every attribute and a thing that only one side has. `kind` narrows that:
    `missing` (one side lacks it, whichever), `changed`, `unreadable`, and `only_a` or `only_b`, which alone depend
    on the order in which the two were given. A cloned identity is explained only by a rule that says `equal`.
    `between` narrows a rule by scope: [rest, live] (in either order), [live, live] or [rest, rest].
    `present_on: rest` (or live) fits only what that side has and the other, of the other scope, lacks.
    `machine` is a pattern of a machine's name, `group` a group of the inventory: one of the two that are compared must
    fit both. `owner` answers for the rule; `expires` is the last day on which it explains anything (in UTC). `broad`
    lets it explain more than `SHARE` of its section.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    section: str = Field(min_length=1)
    key: str = Field(min_length=1)
    attribute: str | None = None
    kind: Kind | None = None
    between: Annotated[tuple[Side, ...], Field(min_length=2, max_length=2)] | None = None
    present_on: Side | None = None
    machine: str | None = Field(default=None, min_length=1)
    group: str | None = Field(default=None, min_length=1)
    broad: bool = False
    reason: Reason
    owner: Owner | None = None
    expires: Day | None = None

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """The key as a regular expression for the whole name."""
        return re.compile(translate(self.key), re.DOTALL)

    def explains(self, difference: Difference, scopes: tuple[str, str]) -> bool:
        """Does the rule fit this difference between manifests of these scopes?"""
        return (
            self.section == difference.section
            and (self.attribute is None or self.attribute == difference.attribute)
            and self._kind_fits(difference.kind)
            and self.applies(scopes)
            and (self.present_on is None or self._present(difference.kind, scopes))
            and self.pattern.fullmatch(difference.key) is not None
        )

    def applies(self, scopes: tuple[str, str]) -> bool:
        """Can the rule fit anything between manifests of these scopes?"""
        if self.present_on is not None and scopes[0] == scopes[1]:
            return False
        return self.between is None or sorted(self.between) == sorted(scopes)

    def concerns(self, machines: Mapping[str, Collection[str]]) -> bool:
        """Is the rule one for these machines? `machines`: each with its groups."""
        return (self.machine is None and self.group is None) or any(
            (self.machine is None or fnmatchcase(name, self.machine)) and (self.group is None or self.group in groups)
            for name, groups in machines.items()
        )

    def _kind_fits(self, kind: str) -> bool:
        if self.kind is None:
            return kind not in ("equal", "unreadable")
        return kind == self.kind or (self.kind == "missing" and kind in ("only_a", "only_b"))

    def _present(self, kind: str, scopes: tuple[str, str]) -> bool:
        return kind == ("only_a" if scopes[0] == self.present_on else "only_b")

    def may_explain(self, facts: int) -> int:
        """How many of a section's facts the rule may explain."""
        return facts if self.broad else max(FEW, int(facts * SHARE))

    def __str__(self) -> str:
        what = f"{self.section} {self.key}"
        return f"{what} {self.attribute}" if self.attribute else what


def translate(glob: str) -> str:
    """A path pattern as a regular expression: `/var/*/x` → `/var/[^/]*/x`; `**` also matches slashes."""
    parts = []
    for piece in re.findall(r"\*\*|\*|\?|[^*?]+", glob):
        parts.append({"**": ".*", "*": "[^/]*", "?": "[^/]"}.get(piece) or re.escape(piece))
    return "".join(parts)


class Waiver(BaseModel):
    """One thing that a check of hygiene would forbid and that may be in an image. `path` is a pattern, as `key` is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    check: Annotated[str, AfterValidator(_is_check)]
    path: str = Field(min_length=1)
    reason: Reason

    def fits(self, check: str, path: str) -> bool:
        """Does it waive what that check found there?"""
        return check == self.check and re.fullmatch(translate(self.path), path, re.DOTALL) is not None

    def __str__(self) -> str:
        return f"{self.check} {self.path}"


class PolicyFile(BaseModel):
    """What a policy file holds. `owner` is that of each rule that names none."""

    model_config = ConfigDict(extra="forbid")

    extends: Literal["debian"] | None = None
    owner: Owner | None = None
    rules: list[Rule] = []
    hygiene: list[Waiver] = []


@dataclass(frozen=True)
class Policy:
    """Rules in order: the first that fits a difference explains it.

    `own` are the user's, `reference` those of the policy that it extends. `expired` explain nothing any more; `waivers`
    are of hygiene.
    """

    name: str = "none"
    own: tuple[Rule, ...] = ()
    reference: tuple[Rule, ...] = ()
    waivers: tuple[Waiver, ...] = ()
    expired: tuple[Rule, ...] = ()

    @property
    def rules(self) -> tuple[Rule, ...]:
        return self.own + self.reference

    def of_machines(self, machines: Mapping[str, Collection[str]]) -> Policy:
        """The policy for a comparison of these machines, each with its groups."""

        def those(rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
            return tuple(rule for rule in rules if rule.concerns(machines))

        return replace(self, own=those(self.own), reference=those(self.reference), expired=those(self.expired))


def load(path: Path, today: datetime.date | None = None) -> Policy:
    """Read a policy file, as it holds today. Raises UsageError: one line `file:line: key: message` for each thing that
    is wrong."""
    document = yamlfile.load(path)
    content = yamlfile.validate(document, PolicyFile)
    rules = _owned(content)
    nobody = [number for number, rule in enumerate(rules) if rule.expires and not rule.owner]
    if nobody:
        places = ((document.where(("rules", each, "expires")), each) for each in nobody)
        raise UsageError(
            "\n".join(f"{place}: rules.{each}.expires: has no owner who could be asked then" for place, each in places),
            hint="name one: `owner:` in the rule, or once for the whole file",
        )
    now = today or datetime.datetime.now(datetime.UTC).date()
    expired = tuple(rule for rule in rules if rule.expires and rule.expires < now)
    own = tuple(rule for rule in rules if rule not in expired)
    base = reference(content.extends).reference if content.extends else ()
    return Policy(str(path), own, base, tuple(content.hygiene), expired)


def of_project(project: config.Project) -> Policy:
    """The policy that goldsmith.yml names: a file, or one that comes with Goldsmith. Raises UsageError, as `load`."""
    name = project.config.policy
    return reference(name) if name in REFERENCES else load(project.root / name)


def reference(name: str = "debian") -> Policy:
    """The policy that comes with Goldsmith, for a system by name. Raises UsageError for a name there is none for."""
    if name not in REFERENCES:
        raise UsageError(f"no reference policy {name!r}", hint=f"there is: {', '.join(REFERENCES)}")
    with resources.as_file(resources.files("goldsmith") / "data" / "policy" / f"{name}.yml") as path:
        return Policy(name, (), _owned(yamlfile.validate(yamlfile.load(path), PolicyFile)))


def _owned(content: PolicyFile) -> tuple[Rule, ...]:
    return tuple(rule.model_copy(update={"owner": rule.owner or content.owner}) for rule in content.rules)
