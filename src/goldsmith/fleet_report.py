"""A fleet's judgement in words: groups of equal machines for people, JSON for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from goldsmith import report
from goldsmith.fleet import Fleet, State
from goldsmith.words import short, visible

SCHEMA = "goldsmith.fleet/1"
_NAMES = 8


def render(found: Fleet, console: Console, *, files: bool = False) -> None:
    """Print a fleet's judgement: each state with its machines and causes, and what machines share."""
    console.print(Group(*_parts(found, files), verdict(found)))


def verdict(found: Fleet) -> Text:
    """The last line."""
    machines = len(found.state_of)
    differ = [state for state in found.states if not state.comparison.ok]
    counted = f"{machines:,} machine{_s(machines)} in {len(found.states):,} state{_s(len(found.states))}"
    if found.ok:
        return Text.assemble(("EQUAL", "bold green"), f": {counted}, nothing unexplained")
    problems = []
    if differ:
        problems.append(f"{sum(len(each.machines) for each in differ):,} in {len(differ):,} differ")
    shared = sum(1 for each in found.shared if each.rule is None)
    if shared:
        problems.append(f"{shared:,} shared identit{'y' if shared == 1 else 'ies'}")
    if found.unread:
        problems.append(f"{len(found.unread):,} not read")
    return Text.assemble(("DIFFERENT", "bold red"), f": {counted}; {', '.join(problems)}")


def _parts(found: Fleet, files: bool) -> Iterator[RenderableType]:
    yield Text.assemble(("A", "bold"), f"  {visible(found.reference)}, and against it each of the machines as B")
    for state in found.states:
        yield ""
        yield _heading(state)
        if not state.comparison.ok:
            for part in report.unexplained(state.comparison, files=files, limit=10):
                yield Padding(part, (0, 0, 0, 2))
        for refused in state.comparison.refused:
            yield Padding(Text(f"Rule {refused.rule} explains nothing: {refused.why}", style="yellow"), (0, 0, 0, 2))
    for each in found.shared:
        style = "dim" if each.rule else "bold red"
        why = f": {each.rule.reason}" if each.rule else ", and each must have its own"
        text = f"{each.key} {short(each.sha256)} is the same on {_some(each.machines)}{why}"
        yield ""
        yield Text(f"Shared identity: {text}", style=style)
    yield ""
    yield from _notes(found)


def _notes(found: Fleet) -> Iterator[Text]:
    left_out: dict[str, set[str]] = {}
    for state in found.states:
        for section, why in state.comparison.not_compared:
            left_out.setdefault(why, set()).add(section)
    for why, sections in left_out.items():
        yield Text(f"Not compared: {', '.join(sorted(sections))}: {why}", style="yellow")
    for rule in found.unused:
        yield Text(f"Unused rule: {rule}", style="yellow")
    for name, why in found.unread:
        yield Text(f"Not read: {visible(name)}: {visible(why)}", style="bold red")


def _heading(state: State) -> Text:
    word = ("EQUAL", "bold green") if state.comparison.ok else ("DIFFERENT", "bold red")
    count = len(state.machines)
    explained = len(state.comparison.explained)
    why = f", {explained} explained difference{_s(explained)}" if explained else ""
    return Text.assemble(word, f"  {count:,} machine{_s(count)}: {_some(state.machines)}{why}")


def _some(names: Sequence[str]) -> str:
    more = len(names) - _NAMES
    return visible(", ".join(names[:_NAMES])) + (f" and {more:,} more" if more > 0 else "")


def _s(count: int) -> str:
    return "" if count == 1 else "s"


def to_json(found: Fleet) -> dict[str, Any]:
    """The judgement for programs; docs/manifest.md describes the shape."""
    return {
        "schema": SCHEMA,
        "reference": found.reference,
        "equal": found.ok,
        "machines": len(found.state_of),
        "states": [
            {"machines": list(state.machines), "comparison": report.to_json(state.comparison)} for state in found.states
        ],
        "shared_identities": [
            {
                "key": each.key,
                "sha256": each.sha256,
                "machines": list(each.machines),
                "explained": each.rule is not None,
                "reason": each.rule.reason if each.rule else None,
            }
            for each in found.shared
        ],
        "unused_rules": [{"rule": str(rule), "reason": rule.reason} for rule in found.unused],
        "unread": [{"machine": name, "why": why} for name, why in found.unread],
    }
