"""The page's data and its safety. How it looks and works in a browser: tests/browser."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest

from goldsmith import fleet, policy, report_html
from goldsmith.policy import Rule
from tests import fleets

MADE = datetime(2026, 11, 26, 19, 30, tzinfo=UTC)
RULE = Rule(section="files", key="/e*", reason="expected, and that is why", owner="ops")


@pytest.fixture(scope="module")
def judged() -> fleet.Fleet:
    return fleet.judge(fleets.recorded("image-at-rest"), fleets.machines(3, 4), policy.reference())


def inside(page: str, element: str) -> str:
    name = element.partition(" ")[0]
    found = re.search(rf"<{element}>(.*?)</{name}>", page, re.DOTALL)
    assert found
    return found[1]


def embedded(page: str) -> Any:
    return json.loads(inside(page, 'script type="application/json" id="data"'))


def test_hostile_names_end_neither_the_data_nor_a_line(judged: fleet.Fleet) -> None:
    page = report_html.page(judged, MADE)
    data = inside(page, 'script type="application/json" id="data"')
    assert not set(data) & set("<>&\u2028\u2029")
    assert page.count("</script>") == 2
    assert fleets.HOSTILE in [row[1] for row in json.loads(data)["differences"]]
    page.encode()


def test_only_its_own_script_and_style_may_be_used(judged: fleet.Fleet) -> None:
    page = report_html.page(judged, MADE)
    found = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert found
    hashes = {
        name: "&#39;sha256-" + base64.b64encode(hashlib.sha256(inside(page, name).encode()).digest()).decode() + "&#39;"
        for name in ("script", "style")
    }
    assert found[1] == (
        f"default-src &#39;none&#39;; script-src {hashes['script']}; style-src {hashes['style']}; "
        "base-uri &#39;none&#39;; form-action &#39;none&#39;"
    )


def test_each_state_difference_and_reason_is_there_once(judged: fleet.Fleet) -> None:
    data = embedded(report_html.page(judged, MADE))
    assert [len(state["machines"]) for state in data["states"]] == [4, 4, 4]
    rows = [tuple(row) for row in data["differences"]]
    assert len(rows) == len(set(rows))
    assert len(data["lines"]) == len(set(data["lines"]))
    # Most of what the policy explains is the same on all of them.
    common = set.intersection(*(set(state["explained"]) for state in data["states"]))
    assert len(common) >= 5
    for state, said in zip(judged.states, data["states"], strict=True):
        assert len(said["explained"]) == len(state.comparison.explained)
        told = [number for _, numbers in said["causes"] for number in numbers]
        assert len(told) == len(set(told)) == len(state.comparison.unexplained)
    assert set(data["sections"]) & set(data["alike"]) == set()


def test_a_large_fleet_is_a_small_page(judged: fleet.Fleet) -> None:
    machines = tuple(f"web{number:04}" for number in range(1000))
    large = fleet.Fleet("image", (fleet.State(judged.states[0].comparison, machines),), ())
    small = fleet.Fleet("image", (judged.states[0],), ())
    assert len(report_html.page(large, MADE)) - len(report_html.page(small, MADE)) < 12 * 1000


def test_the_judgement_in_one_line(judged: fleet.Fleet) -> None:
    different = next(state for state in judged.states if not state.comparison.ok)
    equal = next(state for state in judged.states if state.comparison.ok)

    def said(*states: fleet.State, shared: tuple[fleet.Shared, ...] = (), **unread: str) -> str:
        return report_html.headline(fleet.Fleet("web", states, shared, tuple(unread.items())))

    one = fleet.State(different.comparison, ("web1",))
    assert said(one) == "web1 differs from web"
    assert said(fleet.State(equal.comparison, ("web1",))) == "web1 is equal to web"
    assert said(equal) == "All 4 machines are equal to web"
    assert said(equal, different) == "4 of 8 machines differ from web"
    assert said(equal, web9="away") == "4 of 5 machines are equal to web, the others are not judged"
    assert said(one, web9="away") == "1 of 2 machines differ from web"
    clone = fleet.Shared("machine_id", "ab", ("a", "b"))
    assert said(equal, shared=(clone,)) == "All 4 machines are equal to web; 2 share an identity"
    allowed = fleet.Shared("machine_id", "ab", ("a", "b"), RULE)
    assert said(equal, shared=(allowed,)) == "All 4 machines are equal to web"


def test_a_reason_names_its_owner_and_its_end() -> None:
    rule = RULE.model_copy(update={"expires": "2027-01-31"})
    shared = (fleet.Shared("machine_id", "ab", ("a", "b"), rule),)
    data = report_html.data(fleet.Fleet("web", (), shared, (("web9", "away"),)), MADE)
    assert data["shared"][0]["reason"] == "expected, and that is why (owner: ops, until 2027-01-31)"
    assert data["unread"] == [["web9", "away"]]
    assert data["made"] == "2026-11-26 19:30 UTC"
