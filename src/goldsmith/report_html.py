"""A fleet's judgement as one page for a browser: search, filters, and the differences of each state of machines.

The page is one file and loads nothing: its own policy forbids that, and any script but its own. What machines say is
in it as data, which the script shows as text.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Hashable
from datetime import datetime
from typing import Any

import jinja2

import goldsmith
from goldsmith import causes, resources
from goldsmith.compare import Comparison, Difference, rank
from goldsmith.fleet import Fleet, State
from goldsmith.policy import Rule
from goldsmith.words import say, sides, visible


def page(fleet: Fleet, made: datetime) -> str:
    """The page as HTML, saying when it was made."""
    folder = resources.folder("report")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    style, script = ((folder / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    return environment.get_template("page.html.j2").render(
        title=headline(fleet),
        policy=policy,
        style=style,
        script=script,
        data=data(fleet, made),
    )


def headline(fleet: Fleet) -> str:
    """The judgement in one line, as "3 of 1,000 machines differ from web"."""
    reference = visible(fleet.reference)
    different = sum(len(state.machines) for state in fleet.states if not state.comparison.ok)
    judged = sum(len(state.machines) for state in fleet.states)
    machines = judged + len(fleet.unread)
    if machines == judged == 1:
        said = f"{visible(fleet.states[0].machines[0])} {'differs from' if different else 'is equal to'} {reference}"
    elif different:
        said = f"{different:,} of {machines:,} machines differ from {reference}"
    elif fleet.unread:
        said = f"{judged:,} of {machines:,} machines are equal to {reference}, the others are not judged"
    else:
        said = f"All {machines:,} machines are equal to {reference}"
    clones = {name for each in fleet.shared if each.rule is None for name in each.machines}
    return f"{said}; {len(clones):,} share an identity" if clones else said


def data(fleet: Fleet, made: datetime) -> dict[str, Any]:
    """What the page's script shows. Each state is there once, and so is each difference, cause and reason,
    at which others point by number."""
    differences = _Table()
    lines = _Table()
    first = fleet.states[0].comparison if fleet.states else None
    states = [_state(state, differences, lines) for state in fleet.states]
    named = {row[0] for row in differences.rows}
    looked_at = {name for state in fleet.states for name in state.comparison.counts}
    return {
        "headline": headline(fleet),
        "reference": {
            "name": visible(fleet.reference),
            "scope": first.scopes[0] if first else "",
            "digest": first.digests[0] if first else "",
        },
        "policy": visible(first.policy) if first else "",
        "made": f"{made:%Y-%m-%d %H:%M %Z}".strip(),
        "version": goldsmith.__version__,
        "sections": sorted(named, key=rank),
        "alike": sorted(looked_at - named, key=rank),
        "differences": differences.rows,
        "lines": lines.rows,
        "states": states,
        "shared": [
            {
                "key": visible(each.key),
                "digest": say("sha256", each.sha256),
                "machines": [visible(name) for name in each.machines],
                "reason": _reason(each.rule) if each.rule else None,
            }
            for each in fleet.shared
        ],
        "unread": [[visible(name), visible(why)] for name, why in sorted(fleet.unread)],
        "unused": _unused([state.comparison for state in fleet.states]),
    }


class _Table:
    """Rows that others point at by number: an equal one is kept once."""

    def __init__(self) -> None:
        self.rows: list[Any] = []
        self._numbers: dict[Hashable, int] = {}

    def number(self, row: Hashable) -> int:
        if row not in self._numbers:
            self._numbers[row] = len(self.rows)
            self.rows.append(row)
        return self._numbers[row]


def _state(state: State, differences: _Table, lines: _Table) -> dict[str, Any]:
    comparison = state.comparison
    return {
        "machines": [visible(name) for name in state.machines],
        "scope": comparison.scopes[1],
        "digest": comparison.digests[1],
        "facts": sum(comparison.counts.values()),
        "causes": [
            [lines.number(visible(cause.line)), [differences.number(_row(each, lines)) for each in cause.differences]]
            for cause in causes.group(comparison.unexplained)
        ],
        "explained": [differences.number(_row(each, lines)) for each in comparison.explained],
        "left_out": [[section, visible(why)] for section, why in comparison.not_compared],
        "notes": [
            *(visible(f"Rule {each.rule} explains nothing: {each.why}") for each in comparison.refused),
            *(f"Warning: {visible(each)}" for each in comparison.warnings),
        ],
    }


def _row(difference: Difference, lines: _Table) -> tuple[str, str, str, str, str, int]:
    """(section, key, attribute, A in words, B in words, number of the line with the reason or -1)."""
    reason = lines.number(_reason(difference.rule)) if difference.rule else -1
    what = {"changed": difference.attribute or "", "equal": "cloned"}.get(difference.kind, "")
    return (difference.section, visible(difference.key), what, *sides(difference, whole=True), reason)


def _reason(rule: Rule) -> str:
    """Why, and who answers for it until when."""
    more = (f"owner: {rule.owner}" if rule.owner else "", f"until {rule.expires}" if rule.expires else "")
    said = ", ".join(each for each in more if each)
    return visible(f"{rule.reason} ({said})" if said else rule.reason)


def _unused(comparisons: list[Comparison]) -> list[list[str]]:
    """The project's own rules that fitted nothing on any machine: [rule, reason]."""
    unused = [{str(rule): rule.reason for rule in comparison.unused} for comparison in comparisons]
    return [[rule, why] for rule, why in (unused[0] if unused else {}).items() if all(rule in each for each in unused)]


def _hash(text: str) -> str:
    """What a content security policy calls this text."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
