"""Reports as files: JUnit and SARIF for CI, a page for people. Each is written whole or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from goldsmith import files, report_html, report_junit, report_sarif
from goldsmith.compare import Comparison
from goldsmith.fleet import Fleet, State


@dataclass(frozen=True)
class Reports:
    """Which are wanted, and where."""

    junit: Path | None = None
    sarif: Path | None = None
    html: Path | None = None

    def write(self, fleet: Fleet) -> None:
        """Write those that are wanted. Raises GoldsmithError when one can't be written."""
        if self.junit:
            report_junit.write(self.junit, report_junit.suites(fleet))
        if self.sarif:
            files.write_json(self.sarif, report_sarif.log(fleet))
        if self.html:
            files.write(self.html, report_html.page(fleet, datetime.now(UTC)).encode())


def of_two(comparison: Comparison) -> Fleet:
    """The fleet of one machine, B, whose reference is A."""
    return Fleet(comparison.a, (State(comparison, (comparison.b,)),), ())
