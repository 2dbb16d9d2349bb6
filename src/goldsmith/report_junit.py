"""A fleet's judgement as JUnit: a test suite for each machine, in it a test for each section."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from goldsmith import files
from goldsmith.compare import Comparison, Difference, rank
from goldsmith.fleet import Fleet
from goldsmith.words import sides, visible

_LINES = 50
"""Of differences in one test's text: CI systems show these texts in full, for every machine."""
_Case = tuple[str, str, str, str]
"""A test: name, outcome (passed, failure, error or skipped), one line that says why, and the whole text."""


def write(path: Path, suites: ET.Element) -> None:
    """Write a report whole or not at all. Raises GoldsmithError when it can't be written."""
    files.write(path, ET.tostring(suites, encoding="utf-8", xml_declaration=True))


def suites(fleet: Fleet) -> ET.Element:
    """The report. A test fails where something is unexplained, and is skipped where nothing was compared; a machine
    that could not be read is an error. Pure."""
    found = ET.Element("testsuites", name="goldsmith compare")
    for state in fleet.states:
        cases = list(_cases(state.comparison))
        for machine in state.machines:
            found.append(_suite(machine, cases))
    for machine, why in sorted(fleet.unread):
        found.append(_suite(machine, [("read", "error", why, "")]))
    if fleet.shared:
        shared = [
            (
                each.key,
                "passed" if each.rule else "failure",
                f"the same on {len(each.machines)} machines",
                each.rule.reason if each.rule else "\n".join(map(visible, each.machines)),
            )
            for each in fleet.shared
        ]
        found.append(_suite("identities that machines share", shared))
    return found


def _cases(comparison: Comparison) -> Iterable[_Case]:
    for section in sorted(comparison.counts, key=rank):
        bad = [each for each in comparison.unexplained if each.section == section]
        good = Counter(each.reason for each in comparison.explained if each.section == section)
        explained = [f"{count} explained: {reason}" for reason, count in sorted(good.items(), key=str)]
        if bad:
            shown = [_line(each) for each in bad[:_LINES]]
            left = [f"… and {len(bad) - _LINES} more"] if len(bad) > _LINES else []
            said = f"{len(bad)} unexplained difference{'s' if len(bad) > 1 else ''} from {comparison.a}"
            yield section, "failure", said, "\n".join([*shown, *left, *explained])
        else:
            yield section, "passed", "", "\n".join(explained)
    for section, why in comparison.not_compared:
        yield section, "skipped", why, ""


def _line(difference: Difference) -> str:
    one, other = sides(difference)
    what = f" {difference.attribute}" if difference.kind == "changed" else ""
    return f"{visible(difference.key)}{what}: {one} → {other}" if other else f"{visible(difference.key)}: {one}"


def _suite(machine: str, cases: list[_Case]) -> ET.Element:
    outcomes = Counter(outcome for _, outcome, _, _ in cases)
    suite = ET.Element(
        "testsuite",
        name=visible(machine),
        tests=str(len(cases)),
        failures=str(outcomes["failure"]),
        errors=str(outcomes["error"]),
        skipped=str(outcomes["skipped"]),
    )
    for name, outcome, why, text in cases:
        case = ET.SubElement(suite, "testcase", classname=visible(machine), name=visible(name))
        if outcome == "passed":
            if text:
                ET.SubElement(case, "system-out").text = text
        else:
            ET.SubElement(case, outcome, message=visible(why)).text = text
    return suite
