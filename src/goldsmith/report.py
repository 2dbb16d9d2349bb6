"""A comparison in words: a table for people, JSON for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from goldsmith import causes
from goldsmith.compare import Comparison, Difference, rank
from goldsmith.words import short, sides, visible

SCHEMA = "goldsmith.comparison/1"


def render(comparison: Comparison, console: Console | None = None, *, files: bool = False, limit: int = 40) -> None:
    """Print a comparison: a line for each cause of unexplained differences, and one for each reason of the explained.

    With `files` every difference stands below its cause. At most `limit` causes are listed, and five times as many
    differences of one; the rest is counted (the JSON has all).
    """
    (console or Console()).print(renderable(comparison, files=files, limit=limit))


def renderable(comparison: Comparison, *, files: bool = False, limit: int = 40) -> RenderableType:
    """As `render`, to be put into something larger."""
    parts: list[RenderableType] = [_heading(comparison)]
    if comparison.unexplained:
        parts += ["", *unexplained(comparison, files=files, limit=limit)]
    if comparison.explained:
        parts += [
            "",
            Text("Explained by policy", style="bold"),
            Padding(_explained(comparison.explained), (0, 0, 0, 2)),
        ]
    notes = _notes(comparison)
    if notes:
        parts += ["", *notes]
    return Group(*parts, "", verdict(comparison))


def verdict(comparison: Comparison) -> Text:
    """The last line: equal, equal but for what the policy explains, or different."""
    unexplained, explained = len(comparison.unexplained), len(comparison.explained)
    looked_at = f"{sum(comparison.counts.values()):,} facts compared"
    if unexplained:
        count = f"{unexplained} unexplained difference{_s(unexplained)}"
        return Text.assemble(("DIFFERENT", "bold red"), f": {count}, {explained} explained; {looked_at}")
    if explained:
        return Text.assemble(("EQUAL", "bold green"), f": 0 unexplained, {explained} explained; {looked_at}")
    return Text.assemble(("EQUAL", "bold green"), f": no difference at all; {looked_at}")


def _heading(comparison: Comparison) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_column(style="dim", no_wrap=True)
    machines = zip(("A", "B"), (comparison.a, comparison.b), comparison.scopes, comparison.digests, strict=True)
    for side, name, scope, digest in machines:
        table.add_row(side, Text(name), f"{'at rest' if scope == 'rest' else scope}  {short(digest)}")
    return table


def unexplained(comparison: Comparison, *, files: bool = False, limit: int = 40) -> Iterable[RenderableType]:
    """The causes of what the policy does not explain, as `render` shows them."""
    found = causes.group(comparison.unexplained)
    many = len(comparison.unexplained)
    yield Text.assemble(("Not explained", "bold"), f"  {many} difference{_s(many)}, {len(found)} cause{_s(len(found))}")
    for cause in found[:limit]:
        line = Text(cause.what)
        if cause.brings:
            line.append(f": {cause.brings}", style="cyan")
        yield Padding(line, (0, 0, 0, 2))
        if files:
            yield Padding(_differences(cause.differences, 5 * limit), (0, 0, 0, 4))
    if len(found) > limit:
        yield Padding(Text(f"… and {len(found) - limit} more causes: --json has them all", style="dim"), (0, 0, 0, 2))
    if not files and any(cause.brings for cause in found):
        yield Padding(
            Text("--files lists them; --show PATH compares the contents of a file", style="dim"), (0, 0, 0, 2)
        )


def _differences(found: Sequence[Difference], limit: int) -> RenderableType:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0), expand=False)
    table.add_column("what", overflow="fold", ratio=None, min_width=20)
    table.add_column("A", overflow="fold", style="red")
    table.add_column("B", overflow="fold", style="green")
    for difference in found[:limit]:
        table.add_row(*_cells(difference))
    if len(found) > limit:
        return Group(table, Text(f"… and {len(found) - limit} more: --json has them all", style="dim"))
    return table


def _cells(difference: Difference) -> tuple[Text, Text, Text]:
    section = "" if difference.section == "files" else f"{difference.section} "
    what = Text(f"{section}{visible(difference.key)}")
    if difference.kind in ("changed", "equal"):
        what.append(f" {difference.attribute if difference.kind == 'changed' else 'cloned'}", style="cyan")
    one, other = sides(difference)
    return what, Text(one), Text(other)


def _explained(differences: Iterable[Difference]) -> Table:
    counts = Counter((difference.section, difference.reason or "") for difference in differences)
    table = Table.grid(padding=(0, 2))
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    for (section, reason), count in sorted(counts.items(), key=lambda item: (rank(item[0][0]), item[0][1])):
        table.add_row(str(count), section, Text(reason))
    return table


def _notes(comparison: Comparison) -> list[RenderableType]:
    notes: list[RenderableType] = []
    for section, why in comparison.not_compared:
        notes.append(Text(f"Not compared: {section}: {why}", style="yellow"))
    for warning in comparison.warnings:
        notes.append(Text(f"Warning: {visible(warning)}", style="yellow"))
    for each in comparison.refused:
        again = f"; {each.differences} difference{_s(each.differences)} it would explain" if each.differences else ""
        notes.append(Text(f"Rule {each.rule} explains nothing: {each.why}{again}", style="bold yellow"))
    for rule in comparison.unused:
        notes.append(Text(f"Unused rule: {rule}", style="yellow"))
    if comparison.unowned:
        count = len(comparison.unowned)
        text = f"{count} rule{_s(count)} of the policy without an owner: name one with `owner:`, once will do"
        notes.append(Text(text, style="dim"))
    if comparison.unused_reference:
        count = len(comparison.unused_reference)
        text = f"{count} rule{_s(count)} of the reference policy fitted nothing here; --json names them"
        notes.append(Text(text, style="dim"))
    return notes


def _s(count: int) -> str:
    return "" if count == 1 else "s"


def to_json(comparison: Comparison) -> dict[str, Any]:
    """The comparison for programs; docs/manifest.md describes the shape."""
    return {
        "schema": SCHEMA,
        "a": _side(comparison, 0),
        "b": _side(comparison, 1),
        "policy": comparison.policy,
        "equal": comparison.ok,
        "unexplained": len(comparison.unexplained),
        "explained": len(comparison.explained),
        "compared": comparison.counts,
        "causes": [
            {
                "kind": cause.kind,
                "name": cause.name,
                "what": cause.what,
                "brings": cause.brings,
                "differences": len(cause.differences),
                "files": list(cause.paths),
            }
            for cause in causes.group(comparison.unexplained)
        ],
        "differences": [
            {
                "section": difference.section,
                "key": difference.key,
                "attribute": difference.attribute,
                "kind": difference.kind,
                "a": difference.a,
                "b": difference.b,
                "explained": difference.explained,
                "reason": difference.reason,
                "rule": str(difference.rule) if difference.rule else None,
                "owner": difference.rule.owner if difference.rule else None,
            }
            for difference in comparison.differences
        ],
        "not_compared": [{"section": section, "why": why} for section, why in comparison.not_compared],
        "unused_rules": [
            {"rule": str(rule), "reason": rule.reason, "reference": is_reference}
            for rules, is_reference in ((comparison.unused, False), (comparison.unused_reference, True))
            for rule in rules
        ],
        "refused_rules": [
            {
                "rule": str(each.rule),
                "reason": each.rule.reason,
                "owner": each.rule.owner,
                "kind": each.kind,
                "why": each.why,
                "differences": each.differences,
            }
            for each in comparison.refused
        ],
        "rules_without_owner": [str(rule) for rule in comparison.unowned],
        "warnings": list(comparison.warnings),
    }


def _side(comparison: Comparison, index: int) -> dict[str, str]:
    return {
        "name": (comparison.a, comparison.b)[index],
        "scope": comparison.scopes[index],
        "digest": comparison.digests[index],
    }
