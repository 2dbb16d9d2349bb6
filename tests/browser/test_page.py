"""Search, filters and differences, by mouse and by keyboard, on a desk and on a phone, in the light and in the dark."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from goldsmith import causes
from goldsmith.fleet import Fleet
from tests import fleets

Open = Callable[..., Page]


def machines(page: Page) -> list[str]:
    """The first machine of each row that is shown."""
    return page.locator(".open .name").all_inner_texts()


def row(page: Page, machine: str) -> Locator:
    return page.locator(".state").filter(has_text=machine)


def detail(page: Page, machine: str) -> Locator:
    """What opens below a machine's row."""
    return page.locator(f"#{row(page, machine).locator('.open').get_attribute('aria-controls')}")


def open_all(page: Page) -> None:
    for closed in (".open[aria-expanded=false]", "details:not([open]) > summary"):
        for number in reversed(range(page.locator(closed).count())):
            page.locator(closed).nth(number).click()


def test_rows_are_states_and_the_worst_comes_first(open_page: Open, file: Path) -> None:
    page = open_page(file)
    assert page.get_by_role("heading", level=1).inner_text() == (
        "9 of 13 machines differ from web-image; 2 share an identity"
    )
    assert machines(page) == ["web0004", "web0010", "web0007", "web0001", "web0099"]
    assert page.locator(".badge").all_inner_texts() == [*["Different"] * 3, "Explained", "Not judged"]
    assert page.locator(".state .number").all_inner_texts() == ["3", "3", "3", "3", "1"]
    expect(page.get_by_role("status")).to_have_text("13 of 13 machines, in 5 states")
    expect(page.get_by_role("columnheader", name="packages")).to_be_visible()


def test_a_click_leads_to_the_differences(open_page: Open, file: Path) -> None:
    page = open_page(file)
    row(page, "web0004").get_by_role("button", name="packages: 1 unexplained").click()
    shown = detail(page, "web0004")
    expect(shown.get_by_role("row", name="nginx version")).to_contain_text("1.22.1-9+deb12u11")
    assert page.evaluate("document.activeElement.innerText").startswith("packages nginx version")
    expect(shown.get_by_role("row", name="mallory")).to_have_count(0)
    row(page, "web0004").get_by_role("button", name="users: 1 unexplained").click()
    expect(shown.get_by_role("row", name="mallory")).to_contain_text("shell: /bin/bash")
    assert shown.locator(".hosts li").all_inner_texts() == ["web0004", "web0005", "web0006"]
    row(page, "web0004").locator(".open").click()
    expect(shown).to_be_hidden()


def test_explained_and_unexplained_stand_apart(open_page: Open, file: Path, fleet: Fleet) -> None:
    page = open_page(file)
    row(page, "web0010").locator(".open").click()
    comparison = fleet.comparison("web0010")
    parts = detail(page, "web0010").locator(".inside > div")
    bad = parts.filter(has_text="unexplained difference")
    good = parts.filter(has_text="explained by policy")
    lines = [cause.line for cause in causes.group(comparison.unexplained)]
    assert bad.locator("summary").all_inner_texts() == lines
    assert "package nginx 1.22.1-9+deb12u11 → 1.3" in lines
    reasons = Counter((each.section, each.reason) for each in comparison.explained)
    assert good.locator("summary").count() == len(reasons)
    for (section, reason), number in reasons.items():
        summary = good.locator("summary").filter(has_text=f"{section} {reason}")
        assert summary.locator("b").inner_text() == str(number)
    open_all(page)
    assert bad.locator("td.what").count() == len(comparison.unexplained)
    assert good.locator("td.what").count() == len(comparison.explained)
    expect(detail(page, "web0010")).to_contain_text("Not compared: runtime.units: A at rest: nothing runs")


def test_search_finds_machines_and_what_differs(open_page: Open, file: Path) -> None:
    page = open_page(file)
    search = page.get_by_role("searchbox")
    search.fill("web0005")
    assert machines(page) == ["web0005"]
    expect(page.get_by_role("status")).to_have_text("1 of 13 machines, in 1 state")
    search.fill("MALLORY shell")
    assert machines(page) == ["web0004"]
    row(page, "web0004").locator(".open").click()
    assert detail(page, "web0004").locator("td.what").all_inner_texts() == ["users mallory"]
    expect(detail(page, "web0004")).to_contain_text("Filtered: 1 of ")
    search.fill("docker lays")
    assert len(machines(page)) == 4
    search.fill("timed out")
    assert machines(page) == ["web0099"]
    search.fill("no such thing")
    assert machines(page) == []
    expect(page.locator("#rows")).to_contain_text("No machine fits these filters")
    search.press("Escape")
    assert len(machines(page)) == 5


def test_filters_by_verdict_and_section(open_page: Open, file: Path) -> None:
    page = open_page(file)
    verdicts = page.locator(".verdicts label").all_inner_texts()
    assert verdicts == ["All 13", "Different 9", "Explained 3", "Not judged 1"]
    page.get_by_role("radio", name="Explained").check()
    assert machines(page) == ["web0001"]
    page.get_by_role("radio", name="All").check()
    page.get_by_role("combobox", name="Section").select_option("users")
    assert machines(page) == ["web0004"]
    page.get_by_role("radio", name="Not judged").check()
    assert machines(page) == []


def test_what_is_no_machines_difference_is_told(open_page: Open, file: Path) -> None:
    page = open_page(file)
    clone = page.locator("details.clone")
    expect(clone).to_contain_text("Cloned identity: machine_id is the same on 2 machines")
    clone.locator("summary").click()
    expect(clone).to_contain_text("web0001, web0004")
    expect(page.locator("#notes")).to_contain_text("No difference on any machine: os, libraries, groups")
    row(page, "web0099").locator(".open").click()
    expect(detail(page, "web0099")).to_have_text("unreachable: Connection timed out")


def test_names_are_only_text(open_page: Open, file: Path) -> None:
    page = open_page(file)
    open_all(page)
    expect(page.get_by_text(fleets.HOSTILE, exact=True).first).to_be_visible()
    expect(
        page.get_by_text("/srv/\\u2028line\\u202egnp\\udcff\\n\\x1b[31m'\"&amp;<!--", exact=True).first
    ).to_be_visible()
    assert page.title().startswith("9 of 13 machines")
    assert (page.locator("script").count(), page.locator("img").count()) == (2, 0)


def test_what_got_in_could_neither_run_nor_load(browser: Any, file: Path) -> None:
    """The page's own policy holds, even if a name were taken for markup one day."""
    page = browser.new_page()
    failed: dict[str, str] = {}
    page.on("requestfailed", lambda request: failed.update({request.url: request.failure}))
    page.goto(file.as_uri())
    refused = page.evaluate(
        """() => new Promise((resolve) => {
          const refused = new Set();
          setTimeout(() => resolve([...refused].sort()), 10000);
          document.addEventListener("securitypolicyviolation", (event) => {
            refused.add(event.effectiveDirective);
            if (refused.size === 4) resolve([...refused].sort());
          });
          document.body.insertAdjacentHTML("beforeend",
            `<img src="http://192.0.2.1/x.png"><p onclick="document.title = 'owned'">x</p><p style="color: red">y</p>`);
          document.querySelector("[onclick]").click();
          const script = document.createElement("script");
          script.textContent = "document.title = 'owned'";
          document.body.append(script);
        })"""
    )
    assert refused == ["img-src", "script-src-attr", "script-src-elem", "style-src-attr"]
    assert page.title() != "owned"
    assert failed == {"http://192.0.2.1/x.png": "csp"}
    page.close()


def focused(page: Page) -> dict[str, Any]:
    """What has the focus, and how it shows."""
    found: dict[str, Any] = page.evaluate(
        """() => {
          const node = document.activeElement;
          const shows = node.matches("[type=radio]") ? node.nextElementSibling : node;
          const style = getComputedStyle(shows);
          return { id: node.id, name: node.ariaLabel ?? node.innerText ?? "", role: node.tagName.toLowerCase(),
            expanded: node.ariaExpanded,
            outline: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2 };
        }"""
    )
    return found


def test_all_of_it_by_keyboard(open_page: Open, file: Path) -> None:
    page = open_page(file)
    keys = page.keyboard
    stops = []
    for _ in range(6):
        keys.press("Tab")
        stops.append(focused(page))
    assert [stop["role"] for stop in stops] == ["a", "summary", "input", "input", "select", "button"]
    assert [stop["id"] for stop in stops[3:5]] == ["search", "section"]
    assert all(stop["outline"] for stop in stops), stops
    assert stops[5]["name"].startswith("web0004")

    keys.press("Enter")
    expect(detail(page, "web0004")).to_be_visible()
    assert focused(page)["expanded"] == "true"
    keys.press("Tab")
    assert focused(page)["role"] == "summary"
    keys.press("Enter")
    expect(detail(page, "web0004").locator("details[open]")).to_have_count(1)
    keys.press("Escape")
    expect(detail(page, "web0004")).to_be_hidden()
    assert focused(page)["name"].startswith("web0004")
    keys.press("Space")
    expect(detail(page, "web0004")).to_be_visible()
    keys.press("Escape")
    expect(detail(page, "web0004")).to_be_hidden()

    keys.press("ArrowDown")
    assert focused(page)["name"].startswith("web0010")
    keys.press("ArrowUp")
    keys.press("ArrowRight")
    keys.press("ArrowRight")
    assert focused(page)["name"] == "units: 1 unexplained"
    assert focused(page)["outline"]
    keys.press("ArrowLeft")
    keys.press("ArrowDown")
    assert focused(page)["name"] == "packages: 1 unexplained"
    keys.press("Enter")
    expect(detail(page, "web0010")).to_be_visible()

    keys.press("/")
    assert focused(page)["id"] == "search"
    keys.type("a/b")
    assert page.get_by_role("searchbox").input_value() == "a/b"
    keys.press("Escape")
    assert page.get_by_role("searchbox").input_value() == ""
    keys.press("Shift+Tab")
    keys.press("ArrowRight")
    assert machines(page) == ["web0004", "web0010", "web0007"]


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_no_page_is_wider_than_its_window(open_page: Open, file: Path, width: int) -> None:
    page = open_page(file, width=width, height=740)
    open_all(page)
    expect(page.get_by_text(fleets.HOSTILE, exact=True).first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == width
    beyond = page.evaluate(
        """(width) => [...document.querySelectorAll("body *")].filter((node) => {
          const box = node.getBoundingClientRect();
          return box.width > 1 && box.height > 1 && box.right > width + 0.5;
        }).map((node) => node.outerHTML.slice(0, 200))""",
        width,
    )
    assert beyond == []


def test_a_phone_shows_the_same(open_page: Open, file: Path) -> None:
    page = open_page(file, width=360, height=740)
    cell = row(page, "web0004").get_by_role("button", name="users: 1 unexplained")
    expect(cell).to_have_text(re.compile(r"^users\s*1$"), use_inner_text=True)
    cell.click()
    expect(detail(page, "web0004").locator("tr").filter(has_text="mallory").locator("td").nth(2)).to_contain_text(
        "these machines: gid: 1000"
    )
    assert page.get_by_role("row").count() > 5


CONTRAST = """() => {
  const channel = (value) => (value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const luminance = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const ground = (node) => {
    for (let each = node; each; each = each.parentElement) {
      const colour = numbers(getComputedStyle(each).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
      if (colour[3] !== 0) throw new Error("half transparent");
    }
    throw new Error("no ground");
  };
  const found = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const node = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || !node.checkVisibility() || node.matches("script, noscript")) continue;
    const [one, other] = [numbers(getComputedStyle(node).color), ground(node)].map(luminance);
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    found.push([ratio, node.className, walk.currentNode.data.slice(0, 40)]);
  }
  return found;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read(open_page: Open, file: Path, scheme: str) -> None:
    """Contrast of level AA of WCAG 2: 4.5 for all text, though it would let large text have less."""
    page = open_page(file, scheme=scheme)
    open_all(page)
    found = page.evaluate(CONTRAST)
    assert len(found) > 100
    assert [each for each in found if each[0] < 4.5] == []
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(19, 18, 15)"
    assert dark == (scheme == "dark")


def test_a_thousand_different_machines_stay_small_and_quick(open_page: Open, thousand: Path) -> None:
    assert thousand.stat().st_size < 1_000_000
    page = open_page(thousand)
    nodes = "document.querySelectorAll('*').length"
    assert page.evaluate(nodes) < 2000
    assert len(machines(page)) == 100
    page.get_by_role("searchbox").fill("web0999")
    assert machines(page) == ["web0999"]
    page.locator(".open").click()
    assert page.evaluate(nodes) < 2000
    expect(page.locator("td.what")).to_have_count(20)
    page.get_by_role("button", name="Show the other 40").click()
    expect(page.locator("td.what")).to_have_count(60)
    page.get_by_role("searchbox").fill("/srv/00000")
    assert machines(page) == ["web0000"]
    page.get_by_role("searchbox").fill("")
    page.get_by_role("button", name="Show 100 more of the other 900").click()
    assert len(machines(page)) == 200
    assert focused(page)["name"].startswith("web0")


def test_paper_leaves_nothing_out(open_page: Open, thousand: Path) -> None:
    page = open_page(thousand)
    page.locator(".open").first.click()
    assert page.pdf().startswith(b"%PDF")
    assert len(machines(page)) == 1000
    assert page.locator("td.what").count() == 60
    page.emulate_media(media="print")
    expect(page.get_by_role("searchbox")).to_be_hidden()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
