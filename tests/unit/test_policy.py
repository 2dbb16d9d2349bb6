"""Policies."""

from __future__ import annotations

import datetime
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from goldsmith import policy
from goldsmith.compare import Difference
from goldsmith.errors import UsageError
from goldsmith.policy import Rule
from tests.paths import EXAMPLE, ROOT

LIVE, MIXED = ("live", "live"), ("rest", "live")


def rule(**fields: Any) -> Rule:
    return Rule(**{"section": "files", "key": "/etc/*", "reason": "because it is so", **fields})


def difference(**fields: Any) -> Difference:
    plain = {"section": "files", "key": "/etc/x", "attribute": "mode", "kind": "changed", "a": 1, "b": 2}
    return Difference(**{**plain, **fields})


@pytest.mark.parametrize(
    ("glob", "yes", "no"),
    [
        ("/etc/x", ["/etc/x"], ["/etc/xy", "/etc", "a/etc/x"]),
        ("/etc/*", ["/etc/x", "/etc/.x", "/etc/a\nb"], ["/etc/x/y", "/etc"]),
        ("/etc/**", ["/etc/x", "/etc/x/y"], ["/etc"]),
        ("/var/*/x", ["/var/a/x"], ["/var/a/b/x", "/var/x"]),
        ("/a?c", ["/abc"], ["/a/c", "/ac"]),
        ("/a[b].c+", ["/a[b].c+"], ["/ab.c", "/a[b]xc+"]),
    ],
)
def test_patterns_know_paths(glob: str, yes: list[str], no: list[str]) -> None:
    pattern = rule(key=glob).pattern
    assert [each for each in yes + no if pattern.fullmatch(each)] == yes


def test_every_statement_of_a_rule_must_fit() -> None:
    assert rule().explains(difference(), LIVE)
    assert not rule(section="units").explains(difference(), LIVE)
    assert not rule(key="/var/*").explains(difference(), LIVE)
    assert not rule(key="/etc/x").explains(difference(key="/etc/xy"), LIVE)
    assert rule(attribute="mode").explains(difference(), LIVE)
    assert not rule(attribute="owner").explains(difference(), LIVE)
    assert not rule(attribute="mode").explains(difference(attribute=None, kind="only_a"), LIVE)


@pytest.mark.parametrize(
    ("kind", "fits"),
    [
        (None, {"only_a", "only_b", "changed"}),
        ("missing", {"only_a", "only_b"}),
        ("only_a", {"only_a"}),
        ("only_b", {"only_b"}),
        ("changed", {"changed"}),
        ("equal", {"equal"}),
        ("unreadable", {"unreadable"}),
    ],
)
def test_kinds(kind: Any, fits: set[str]) -> None:
    kinds: Any = ("only_a", "only_b", "changed", "equal", "unreadable")
    assert {each for each in kinds if rule(kind=kind).explains(difference(kind=each), LIVE)} == fits


def test_scopes_in_either_order() -> None:
    between = rule(between=("rest", "live"))
    assert between.explains(difference(), ("rest", "live"))
    assert between.explains(difference(), ("live", "rest"))
    assert not between.explains(difference(), LIVE)
    both_live = rule(between=("live", "live"))
    assert both_live.explains(difference(), LIVE)
    assert not both_live.explains(difference(), MIXED)


def test_present_on_follows_the_scope_not_the_order() -> None:
    live = rule(present_on="live")
    assert live.explains(difference(kind="only_b"), ("rest", "live"))
    assert live.explains(difference(kind="only_a"), ("live", "rest"))
    assert not live.explains(difference(kind="only_a"), ("rest", "live"))
    assert not live.explains(difference(), ("rest", "live"))
    assert not live.explains(difference(kind="only_a"), LIVE)


def write(folder: Path, text: str) -> Path:
    path = folder / "policy.yml"
    path.write_text(text)
    return path


def test_a_file_extends_the_reference(tmp_path: Path) -> None:
    path = write(tmp_path, "extends: debian\nrules:\n  - {section: files, key: /a, reason: because it is so}\n")
    found = policy.load(path)
    assert [str(each) for each in found.own] == ["files /a"]
    assert found.reference == policy.reference("debian").reference
    assert found.rules[0] is found.own[0]
    assert found.name == str(path)
    assert policy.load(write(tmp_path, "rules: []\n")).rules == ()


def test_an_owner_stands_in_the_rule_or_once_for_all(tmp_path: Path) -> None:
    text = """{owner}rules:
  - {{section: files, key: /a, reason: because it is so}}
  - {{section: files, key: /b, reason: because it is so, owner: database team}}
"""
    found = policy.load(write(tmp_path, text.format(owner="owner: web team\n")))
    assert [each.owner for each in found.own] == ["web team", "database team"]
    found = policy.load(write(tmp_path, text.format(owner="")))
    assert [each.owner for each in found.own] == [None, "database team"]


EXPIRING = """\
owner: web team
rules:
  - {section: files, key: /a, reason: because it is so, expires: 2026-11-30}
  - {section: files, key: /b, reason: because it is so}
"""


def test_a_rule_holds_to_the_end_of_its_last_day(tmp_path: Path) -> None:
    path = write(tmp_path, EXPIRING)
    held = policy.load(path, datetime.date(2026, 11, 30))
    assert ([str(each) for each in held.own], held.expired) == (["files /a", "files /b"], ())
    over = policy.load(path, datetime.date(2026, 12, 1))
    assert [str(each) for each in over.own] == ["files /b"]
    assert [str(each) for each in over.expired] == ["files /a"]
    assert policy.load(write(tmp_path, EXPIRING.replace("2026", "1999"))).expired
    assert not policy.load(write(tmp_path, EXPIRING.replace("2026", "2999"))).expired


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("expires: soon, owner: me", "policy.yml:2: rules.0.expires: must be a day, as in 2027-06-30"),
        ("expires: 20270630, owner: me", "policy.yml:2: rules.0.expires: must be a day, as in 2027-06-30"),
        ("expires: 2027-02-30, owner: me", "policy.yml:2: rules.0.expires: "),
        ("expires: 2027-06-30", "policy.yml:2: rules.0.expires: has no owner who could be asked then"),
        ('owner: ""', "policy.yml:2: rules.0.owner: "),
        ("broad: perhaps", "policy.yml:2: rules.0.broad: must be true or false"),
    ],
)
def test_owners_and_last_days_that_are_none(tmp_path: Path, line: str, message: str) -> None:
    text = f"rules:\n  - {{section: files, key: /a, reason: because it is so, {line}}}\n"
    with pytest.raises(UsageError) as caught:
        policy.load(write(tmp_path, text))
    assert message in caught.value.message


def test_machines_and_groups() -> None:
    webs, others = {"image": (), "web1": ("webs", "all")}, {"image": (), "db1": ("dbs", "all")}
    assert rule().concerns(others)
    assert rule(machine="web*").concerns(webs)
    assert not rule(machine="web*").concerns(others)
    assert rule(group="webs").concerns(webs)
    assert not rule(group="webs").concerns(others)
    assert not rule(machine="image", group="webs").concerns(webs), "both must fit one machine"


def test_mistakes_come_with_file_line_and_key(tmp_path: Path) -> None:
    text = """extends: debain
rules:
  - section: files
    key: /a
    reson: typed wrong
  - section: files
    key: ""
    reason: why
    kind: change
  - section: files
    key: /b
    between: [rest]
    reason: because it is so
"""
    with pytest.raises(UsageError) as caught:
        policy.load(write(tmp_path, text))
    lines = [line.removeprefix(f"{tmp_path}/") for line in caught.value.message.splitlines()]
    assert [re.sub(r": [^:]*$", "", line) for line in lines] == [
        "policy.yml:1: extends",
        "policy.yml:3: rules.0.reason",
        "policy.yml:5: rules.0.reson",
        "policy.yml:7: rules.1.key",
        "policy.yml:8: rules.1.reason",
        "policy.yml:9: rules.1.kind",
        "policy.yml:12: rules.2.between",
    ]
    assert lines[2].endswith('unknown key; did you mean "reason"?')
    assert lines[4].endswith("must say why, in a few words")
    assert caught.value.exit_code == 2


def test_waivers_of_hygiene_are_as_strict(tmp_path: Path) -> None:
    text = """hygiene:
  - {check: logs, path: "/var/log/x/**", reason: support wants it there}
"""
    [waiver] = policy.load(write(tmp_path, text)).waivers
    assert waiver.fits("logs", "/var/log/x/y/z")
    assert not waiver.fits("logs", "/var/log/y")
    assert not waiver.fits("history", "/var/log/x/y")
    text = """hygiene:
  - check: log
    path: /var/log/x
    reason: support wants it there
  - check: logs
    reason: why
    pth: /x
"""
    with pytest.raises(UsageError) as caught:
        policy.load(write(tmp_path, text))
    lines = [line.removeprefix(f"{tmp_path}/") for line in caught.value.message.splitlines()]
    assert lines == [
        'policy.yml:2: hygiene.0.check: there is no check "log"; did you mean "logs"?',
        "policy.yml:5: hygiene.1.path: is required, and missing",
        "policy.yml:6: hygiene.1.reason: must say why, in a few words",
        'policy.yml:7: hygiene.1.pth: unknown key; did you mean "path"?',
    ]


def test_the_reference_policy_is_narrow() -> None:
    rules = policy.reference("debian").rules
    assert len(rules) > 5
    for each in rules:
        assert "**" not in each.key, each
        assert each.key.rstrip("*") not in ("", "/", "/etc/", "/usr/", "/var/", "/var/lib/"), each
        assert len(each.reason.split()) > 5, each
        assert each.attribute or each.kind or each.present_on, f"{each} explains whatever happens to it"
        assert each.owner == "Goldsmith"
        assert not each.broad
    assert len(
        {(each.section, each.key, each.attribute, each.kind, each.between, each.present_on) for each in rules}
    ) == len(rules)


def test_the_published_schema_takes_what_is_loaded_and_no_misspelt_key() -> None:
    schema = jsonschema.Draft202012Validator(json.loads((ROOT / "docs/schema/policy.schema.json").read_text()))
    for path in (EXAMPLE / "policy.yml", ROOT / "src/goldsmith/data/policy/debian.yml"):
        schema.validate(yaml.safe_load(path.read_text()))
    good = {"section": "files", "key": "/a", "reason": "because it is so"}
    full = {"owner": "me", "expires": "2027-06-30", "machine": "web*", "group": "webs", "broad": True}
    schema.validate({"owner": "me", "rules": [{**good, **full}]})
    for bad in ({**good, "ower": "me"}, {"section": "files", "key": "/a"}, {**good, "broad": "perhaps"}):
        assert not schema.is_valid({"rules": [bad]})


def test_the_policy_that_the_documentation_shows_is_one(tmp_path: Path) -> None:
    [text] = re.findall(r"```yaml\n(extends: debian.*?)```", (ROOT / "docs/manifest.md").read_text(), re.DOTALL)
    [shown] = policy.load(write(tmp_path, text), datetime.date(2027, 6, 30)).own
    assert set(shown.model_dump(exclude_defaults=True)) == set(Rule.model_fields), "each key is shown"


def test_an_unknown_reference_is_an_error() -> None:
    with pytest.raises(UsageError, match="no reference policy 'gentoo'"):
        policy.reference("gentoo")
