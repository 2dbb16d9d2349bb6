"""SARIF of a fleet's judgement, against OASIS's schema."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import jsonschema
import pytest

from goldsmith import fleet, policy, report_sarif
from goldsmith.compare import Comparison, Difference
from goldsmith.policy import Rule
from tests import fleets
from tests.paths import FIXTURES

SCHEMA = json.loads((FIXTURES / "sarif/sarif-2.1.0.json").read_text(encoding="utf-8"))
RULE = Rule(section="files", key="/e*", reason="expected, and that is why", owner="ops")


def log(judged: fleet.Fleet, **unread: str) -> Any:
    """The log, as a reader of the file has it."""
    found = json.loads(json.dumps(report_sarif.log(replace(judged, unread=tuple(unread.items())))))
    jsonschema.Draft7Validator(SCHEMA).validate(found)
    return found["runs"][0]


def judged(*states: tuple[Difference, ...], shared: tuple[fleet.Shared, ...] = ()) -> fleet.Fleet:
    """A fleet of states of one machine each: web1, web2 and so on."""
    return fleet.Fleet(
        "image",
        tuple(
            fleet.State(
                Comparison("image", f"web{n}", ("rest", "live"), ("sha256:1", f"sha256:{n}"), each), (f"web{n}",)
            )
            for n, each in enumerate(states, 1)
        ),
        shared,
    )


def changed(value: str, rule: Rule | None = None) -> Difference:
    return Difference("packages", "nginx", "version", "changed", "1.22", value, rule and rule.reason, rule)


def test_a_real_fleet_is_valid() -> None:
    run = log(fleet.judge(fleets.recorded("image-at-rest"), fleets.machines(4, 2), policy.reference()), web9="away")
    assert len(run["results"]) > 5
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert {result["ruleId"] for result in run["results"]} == set(rules)
    assert len(run["logicalLocations"]) == 8
    uris = [each["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for each in run["results"]]
    assert not [uri for uri in uris if set(uri) & set('<> "')]
    assert "packages/nginx" in uris


def test_the_schema_refuses_what_is_no_log() -> None:
    broken = report_sarif.log(judged((changed("1.4"),)))
    del broken["runs"][0]["results"][0]["message"]
    with pytest.raises(jsonschema.ValidationError, match="'message' is a required property"):
        jsonschema.Draft7Validator(SCHEMA).validate(broken)


def test_one_result_for_what_several_machines_have() -> None:
    run = log(judged((changed("1.4"),), (changed("1.5"),), (changed("1.4"),)))
    (result,) = run["results"]
    assert result["ruleId"] == "packages/changed"
    assert result["message"]["text"] == "nginx: version is 1.22 on image, 1.4 on web1, web3; 1.5 on web2"
    assert result["occurrenceCount"] == 3
    named = [run["logicalLocations"][each["index"]]["name"] for each in result["locations"][0]["logicalLocations"]]
    assert named == ["web1", "web2", "web3"]


def test_fingerprints_hold_from_run_to_run() -> None:
    before, after = (
        log(judged(*states))["results"][0] for states in (((changed("1.4"),),), ((changed("1.5"),), (changed("1.6"),)))
    )
    assert before["message"] != after["message"]
    assert before["partialFingerprints"] == after["partialFingerprints"]
    other = log(judged((Difference("packages", "curl", "version", "changed", "1", "2"),)))["results"][0]
    assert other["partialFingerprints"] != before["partialFingerprints"]


def test_what_is_explained_is_counted_and_makes_no_alert() -> None:
    run = log(judged((changed("1.4", RULE),)))
    assert run["results"] == []
    assert run["properties"]["explained"] == 1


def test_each_kind_in_words() -> None:
    thing = {"type": "file", "mode": "0644"}
    run = log(
        judged(
            (
                Difference("files", "/a", None, "only_a", thing, None),
                Difference("files", "/b", None, "only_b", None, thing),
                Difference("files", "/c", None, "unreadable", thing, thing),
            ),
            *[()] * 4,
            shared=(fleet.Shared("machine_id", "ab", ("web1", "web2", "web3", "web4", "web5")),),
        )
    )
    assert [(result["ruleId"], result["message"]["text"]) for result in run["results"]] == [
        ("files/only_a", "/a is on image, and missing on web1"),
        ("files/only_b", "/b (file 0644) is on web1, and not on image"),
        ("files/unreadable", "/c can't be read on image and web1: nothing is proven"),
        ("identity/equal", "machine_id is shared: web1, web2, web3 and 2 others"),
    ]


def test_an_identity_that_the_policy_lets_be_shared_is_no_result() -> None:
    assert log(judged((), (), shared=(fleet.Shared("machine_id", "ab", ("web1", "web2"), RULE),)))["results"] == []


def test_a_machine_that_could_not_be_read_fails_the_run() -> None:
    (invocation,) = log(judged(), web9="unreachable: timed out")["invocations"]
    assert invocation["executionSuccessful"] is False
    (told,) = invocation["toolExecutionNotifications"]
    assert told["message"]["text"] == "web9 could not be read: unreachable: timed out"
    assert log(judged())["invocations"][0]["executionSuccessful"] is True
