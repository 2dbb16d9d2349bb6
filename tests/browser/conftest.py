"""The page of a fleet's judgement in Chromium, as people see it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from goldsmith import policy, report_html
from goldsmith.compare import Comparison, Difference
from goldsmith.fleet import Fleet, Shared, State, judge
from tests import fleets

MADE = datetime(2026, 11, 26, 19, 30, tzinfo=UTC)
UNREAD = (("web0099", "unreachable: Connection timed out"),)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    program = shutil.which("chromium")
    assert program, "not installed: chromium; run scripts/setup.sh --browser"
    with sync_playwright() as playwright:
        # Its own sandbox needs what root and containers have not; all that it opens here is our own.
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def fleet() -> Fleet:
    """Four states of three machines each, a cloned machine-id, and one that did not answer."""
    reference = replace(fleets.recorded("image-at-rest"), name="web-image")
    judged = judge(reference, fleets.machines(4, 3), policy.reference())
    return replace(judged, shared=(Shared("machine_id", "ab" * 32, ("web0001", "web0004")),), unread=UNREAD)


@pytest.fixture(scope="session")
def file(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "fleet.html"
    path.write_text(report_html.page(fleet, MADE), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def thousand(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1,000 machines, no two of them equal, with 60 differences each."""
    states = tuple(
        State(
            Comparison(
                a="web-image",
                b=f"web{number:04}",
                scopes=("rest", "live"),
                digests=("sha256:" + "0" * 64, f"sha256:{number:064x}"),
                differences=tuple(
                    Difference("files", f"/srv/{each:05}", "mode", "changed", "0644", "0600")
                    for each in range(number, number + 60)
                ),
                counts={"files": 20000},
            ),
            (f"web{number:04}",),
        )
        for number in range(1000)
    )
    path = tmp_path_factory.mktemp("thousand") / "fleet.html"
    path.write_text(report_html.page(Fleet("web-image", states, ()), MADE), encoding="utf-8")
    return path


@dataclass
class Seen:
    """What the browser was heard to say and ask for."""

    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens a page. At the end: nothing went to the console, and nothing but the file itself was asked for."""
    seen = Seen()
    contexts = []

    def opened(path: Path, width: int = 1280, height: int = 900, scheme: str = "light") -> Page:
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("console", lambda message: seen.said.append(message.text))
        page.on("pageerror", lambda error: seen.said.append(str(error)))
        page.on("request", lambda request: seen.asked.append(request.url))
        page.goto(path.as_uri())
        assert seen.asked.pop() == path.as_uri()
        return page

    yield opened
    for context in contexts:
        context.close()
    assert (seen.said, seen.asked) == ([], [])
