"""Judge an audit by lynis: its index and its warnings, with tests/lynis/waivers.yml for image and live host alike.

scripts/lynis.py lynis-report.dat                  show the index and the warnings, and which of them are waived
scripts/lynis.py --minimum 85 lynis-report.dat     exit 1 as well if the index is less
scripts/lynis.py --bare bare.dat lynis-report.dat  show the index of another machine beside it

Exits 1 if a warning is not waived, if a waiver matches nothing, or if the index is too low.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

WAIVERS = Path(__file__).resolve().parents[1] / "tests" / "lynis" / "waivers.yml"


@dataclass(frozen=True)
class Report:
    """What lynis found: the index, and of each warning and suggestion the test and the text."""

    index: int
    warnings: list[tuple[str, str]]
    suggestions: list[tuple[str, str]]


def parse(text: str) -> Report:
    """Read lynis-report.dat. A report without an index is one that lynis did not finish."""
    found: dict[str, list[tuple[str, str]]] = {"warning[]": [], "suggestion[]": []}
    index = None
    for line in text.splitlines():
        key, _, value = line.partition("=")
        if key == "hardening_index":
            index = int(value)
        elif key in found:
            test, _, rest = value.partition("|")
            words, details = [*rest.split("|"), ""][:2]
            found[key].append((test, words if details in ("", "-") else f"{words} ({details})"))
    if index is None:
        raise SystemExit("lynis: the report has no hardening_index; did lynis finish?")
    return Report(index, found["warning[]"], found["suggestion[]"])


def reasons(path: Path) -> dict[str, dict[str, str]]:
    """The waivers: of warnings, and of suggestions that are not followed. Each names a test once and has a reason."""
    given = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    if set(given) - {"warnings", "suggestions"}:
        raise SystemExit(f"{path}: only warnings and suggestions may stand here")
    read: dict[str, dict[str, str]] = {"warnings": {}, "suggestions": {}}
    for kind, entries in given.items():
        for entry in entries or []:
            if set(entry) != {"test", "reason"} or not str(entry["reason"]).strip() or entry["test"] in read[kind]:
                raise SystemExit(f"{path}: each test stands here once, with a reason: {entry}")
            read[kind][entry["test"]] = " ".join(str(entry["reason"]).split())
    return read


def judge(
    report: Report, waivers: dict[str, dict[str, str]], minimum: int | None = None
) -> tuple[list[str], list[str]]:
    """What to show, and what is wrong."""
    shown = [f"hardening index: {report.index}"]
    wrong = []
    if minimum is not None and report.index < minimum:
        wrong.append(f"the index is {report.index}, less than {minimum}")
    for test, text in report.warnings:
        reason = waivers["warnings"].get(test)
        shown.append(f"warning {test}: {text}" + (f"\n  waived: {reason}" if reason else ""))
        if not reason:
            wrong.append(f"warning {test} is not waived: {text}")
    seen = {test for test, _ in report.warnings}
    wrong += [f"the waiver of warning {test} matches nothing" for test in waivers["warnings"] if test not in seen]
    for test, text in report.suggestions:
        reason = waivers["suggestions"].get(test)
        shown.append(f"suggestion {test}: {text}" + (f"\n  not followed: {reason}" if reason else ""))
    return shown, wrong


def main(arguments: list[str]) -> int:
    """Read, show, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path, help="lynis-report.dat")
    parser.add_argument("--minimum", type=int, help="the least index that will do")
    parser.add_argument("--bare", type=Path, help="the report of a machine without the roles")
    parser.add_argument("--waivers", type=Path, default=WAIVERS)
    chosen = parser.parse_args(arguments)
    report = parse(chosen.report.read_text(encoding="utf-8", errors="replace"))
    shown, wrong = judge(report, reasons(chosen.waivers), chosen.minimum)
    if chosen.bare:
        shown.insert(1, f"bare: {parse(chosen.bare.read_text(encoding='utf-8', errors='replace')).index}")
    print("\n".join([*shown, *(f"lynis: {what}" for what in wrong)]))
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
