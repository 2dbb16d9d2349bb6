"""JUnit of a fleet's judgement."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from goldsmith import fleet, report_junit
from goldsmith.compare import Comparison, Difference
from goldsmith.errors import GoldsmithError
from goldsmith.policy import Rule
from tests import fleets

RULE = Rule(section="files", key="/e*", reason="expected, and that is why", owner="ops")
EXPLAINED = Difference("files", "/e1", "mode", "changed", "0644", "0600", RULE.reason, RULE)


def comparison(*differences: Difference) -> Comparison:
    return Comparison(
        a="image",
        b="web1",
        scopes=("rest", "live"),
        digests=("sha256:1", "sha256:2"),
        differences=differences,
        not_compared=(("runtime.units", "A at rest: nothing runs"),),
        counts={"files": 10, "packages": 3},
    )


def suites(*differences: Difference, **unread: str) -> ET.Element:
    judged = fleet.Fleet("image", (fleet.State(comparison(*differences), ("web1", "web2")),), (), tuple(unread.items()))
    # As a reader of the file has it: what is no XML fails here.
    return ET.fromstring(ET.tostring(report_junit.suites(judged), encoding="utf-8"))


def test_a_suite_for_each_machine_and_a_test_for_each_section() -> None:
    found = suites(Difference("files", "/etc/motd", "mode", "changed", "0644", "0600"), EXPLAINED)
    assert [suite.get("name") for suite in found] == ["web1", "web2"]
    assert [dict(suite.attrib) for suite in found][1] == {
        "name": "web2",
        "tests": "3",
        "failures": "1",
        "errors": "0",
        "skipped": "1",
    }
    tests = {case.get("name"): case for case in found[1]}
    assert {case.get("classname") for case in tests.values()} == {"web2"}
    assert list(tests) == ["packages", "files", "runtime.units"]
    failure = tests["files"].find("failure")
    assert failure is not None
    assert failure.get("message") == "1 unexplained difference from image"
    assert failure.text == "/etc/motd mode: 0644 → 0600\n1 explained: expected, and that is why"
    skipped = tests["runtime.units"].find("skipped")
    assert skipped is not None
    assert skipped.get("message") == "A at rest: nothing runs"
    assert list(tests["packages"]) == []


def test_what_is_explained_passes_with_its_reason() -> None:
    case = next(case for case in suites(EXPLAINED)[0] if case.get("name") == "files")
    assert [(each.tag, each.text) for each in case] == [("system-out", "1 explained: expected, and that is why")]


def test_a_machine_that_could_not_be_read_is_an_error() -> None:
    found = suites(web9="unreachable: timed out")
    assert [suite.get("errors") for suite in found] == ["0", "0", "1"]
    error = found[2].find("testcase/error")
    assert error is not None
    assert error.get("message") == "unreachable: timed out"


def test_a_clone_fails_and_one_that_the_policy_explains_does_not() -> None:
    shared = (
        fleet.Shared("machine_id", "ab", ("web1", "web2")),
        fleet.Shared("docker_key", "cd", ("web1", "web2"), RULE),
    )
    suite = report_junit.suites(fleet.Fleet("image", (), shared))[0]
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    assert suite[0][0].text == "web1\nweb2"


def test_many_are_counted_and_strange_names_are_still_xml() -> None:
    many = [Difference("files", f"{fleets.UNUSUAL}{n:03}", None, "only_b", None, {"type": "file"}) for n in range(60)]
    failure = suites(*many)[0].find("testcase/failure")
    assert failure is not None
    assert failure.text is not None
    lines = failure.text.splitlines()
    assert (len(lines), lines[-1]) == (51, "… and 10 more")
    assert lines[0].startswith("/srv/\\u2028line\\u202egnp\\udcff\\n\\x1b[31m")


def test_a_report_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(GoldsmithError, match="cannot write"):
        report_junit.write(tmp_path / "file/report.xml", ET.Element("testsuites"))
