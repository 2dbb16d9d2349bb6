"""Many machines against one reference."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from goldsmith import fleet, fleet_report, policy
from goldsmith.compare import compare
from goldsmith.fleet import Fleet
from goldsmith.policy import Policy, Rule
from tests.unit.test_compare import FILE, machine, recorded, with_identity

NONE = Policy()
OTHER = {**FILE, "sha256": "b" * 64}


def rule(**fields: Any) -> Rule:
    return Rule(**{"section": "files", "key": "/x", "reason": "because it is so", **fields})


def groups_of(found: Fleet) -> list[tuple[str, ...]]:
    return [state.machines for state in found.states]


def test_machines_of_one_state_stand_together_the_most_first() -> None:
    machines = [machine(name, files={"/x": FILE}) for name in ("c", "a", "b")]
    found = fleet.judge(machine("ref", files={"/x": FILE}), [machine("d", files={"/x": OTHER}), *machines], NONE)
    assert groups_of(found) == [("a", "b", "c"), ("d",)]
    assert [state.comparison.ok for state in found.states] == [True, False]
    assert not found.ok
    assert found.state_of["b"].comparison.ok
    assert found.comparison("b").b == "b"
    with pytest.raises(KeyError):
        found.comparison("z")


def test_each_machine_is_judged_as_by_itself() -> None:
    """The grouping may save work, and nothing else: every kind of difference, against `compare` alone."""
    reference = recorded("image-at-rest")
    running = {"units": {"a.service": {"active": "active"}}}
    others = [
        recorded("host"),
        replace(recorded("host"), name="clone"),
        replace(recorded("host"), name="other runtime", runtime=running),
        replace(recorded("host"), name="warned", warnings=["/x: can't be read"]),
        with_identity(replace(recorded("host"), name="open"), "ssh_host_key /etc/ssh/ssh_host_rsa_key", mode="0644"),
        recorded("image-booted"),
        replace(recorded("image-at-rest"), name="rest"),
    ]
    for judge, base in ((policy.reference(), reference), (NONE, recorded("host"))):
        found = fleet.judge(base, others, judge)
        assert {name for names in groups_of(found) for name in names} == {each.name for each in others}
        for each in others:
            assert found.comparison(each.name) == compare(base, each, judge)


def test_what_differs_in_runtime_identity_or_warnings_is_another_state() -> None:
    one = machine("a", runtime={"units": {}}, files={})
    found = fleet.judge(
        machine("ref", runtime={"units": {}}, files={}),
        [
            one,
            replace(one, name="b", runtime={"units": {"x": {"active": "active"}}}),
            with_identity(replace(one, name="c"), "machine_id", mode="0666"),
            replace(one, name="d", warnings=["/x: can't be read"]),
            replace(one, name="e", scope="rest", runtime=None),
        ],
        NONE,
    )
    assert sorted(groups_of(found)) == [("a",), ("b",), ("c",), ("d",), ("e",)]


def test_known_sections_are_compared_once_and_may_be_left_out() -> None:
    judgement = fleet.Judgement(machine("ref", files={"/x": FILE}), NONE)
    first = machine("a", files={"/x": OTHER})
    assert not judgement.knows(first.digest)
    judgement.add(first)
    assert judgement.knows(first.digest)
    judgement.add(replace(machine("b", files={"/x": OTHER}), sections={}))
    assert groups_of(judgement.fleet()) == [("a", "b")]


def test_identities_that_machines_share_are_found_over_the_whole_fleet() -> None:
    plain = [machine(str(number), files={}) for number in range(4)]
    clones = [
        with_identity(with_identity(each, "ssh_host_key /k", sha256="same"), "ssh_host_key /k.pub", sha256="same")
        for each in plain[1:3]
    ]
    found = fleet.judge(machine("ref", files={}), [plain[0], *clones, plain[3]], NONE)
    assert [(each.key, each.sha256, each.machines) for each in found.shared] == [
        ("ssh_host_key /k", "same", ("1", "2"))
    ]
    assert all(state.comparison.ok for state in found.states)
    assert not found.ok
    assert fleet.judge(machine("ref", files={}), plain, NONE).ok


def test_a_shared_identity_is_explained_only_by_a_rule_for_all_who_share_it() -> None:
    key = {"section": "identity", "key": "ssh_host_key /k"}
    machines = [with_identity(machine(name, files={}), "ssh_host_key /k", sha256="same") for name in ("lb1", "lb2")]

    def shared(**fields: Any) -> Rule | None:
        [each] = fleet.judge(machine("ref", files={}), machines, Policy("p", (rule(**key, **fields),))).shared
        return each.rule

    assert shared(kind="equal")
    assert shared(kind="equal", machine="lb*")
    assert shared(kind="equal", machine="lb1") is None
    assert shared() is None


def test_a_rule_for_some_machines_explains_there_only() -> None:
    machines = [machine(name, files={"/x": OTHER}) for name in ("web1", "web2", "ssh:web3", "db1", "db2")]
    reference = machine("ref", files={"/x": FILE})
    found = fleet.judge(reference, machines, Policy("p", (rule(machine="web*"),)))
    assert groups_of(found) == [("ssh:web3", "web1", "web2"), ("db1", "db2")]
    assert [state.comparison.ok for state in found.states] == [True, False]
    groups = {"db1": ["databases"], "web1": ["webs"]}
    found = fleet.judge(reference, machines, Policy("p", (rule(group="databases"),)), groups)
    assert [state.machines for state in found.states if state.comparison.ok] == [("db1",)]
    assert compare(reference, machines[3], Policy("p", (rule(group="databases"),)), groups).ok


def test_a_rule_is_unused_when_it_fits_nothing_anywhere() -> None:
    machines = [machine("web1", files={"/x": OTHER}), machine("db1", files={"/x": FILE})]
    used, for_db, never = rule(), rule(machine="db*"), rule(key="/y")
    found = fleet.judge(machine("ref", files={"/x": FILE}), machines, Policy("p", (used, for_db, never)))
    assert found.ok
    assert found.unused == (for_db, never)


def rendered(found: Fleet, **how: Any) -> str:
    out = io.StringIO()
    fleet_report.render(found, Console(file=out, width=150), **how)
    return out.getvalue()


def test_a_fleet_in_words_and_as_json() -> None:
    key = "ssh_host_key /k"
    machines = [machine(f"web{number}", at_rest=True, files={"/x": FILE}) for number in range(10)]
    clones = [with_identity(machine(name, files={"/x": OTHER}), key, sha256="same") for name in ("db1", "db2")]
    rules = Policy("p", (rule(key="/y"),))
    found = fleet.judge(machine("ref", runtime={"units": {}}, files={"/x": FILE}), [*machines, *clones], rules)
    found = replace(found, unread=(("gone", "can't be read"),))
    text = rendered(found)
    for said in (
        "EQUAL  10 machines: web0, web1, web2, web3, web4, web5, web6, web7 and 2 more",
        "DIFFERENT  2 machines: db1, db2",
        "    file /x, contents",
        "Shared identity: ssh_host_key /k same is the same on db1, db2, and each must have its own",
        "Not compared: runtime.units: B at rest: nothing runs",
        "Unused rule: files /y",
        "Not read: gone: can't be read",
        "DIFFERENT: 12 machines in 2 states; 2 in 1 differ, 1 shared identity, 1 not read",
    ):
        assert said in text, said
    assert "/x sha256" in rendered(found, files=True)
    data = json.loads(json.dumps(fleet_report.to_json(found)))
    assert (data["equal"], data["machines"], len(data["states"][0]["machines"])) == (False, 12, 10)
    assert data["states"][1]["comparison"]["causes"][0]["what"] == "file /x, contents"
    assert data["shared_identities"] == [
        {"key": key, "sha256": "same", "machines": ["db1", "db2"], "explained": False, "reason": None}
    ]
    assert data["unread"] == [{"machine": "gone", "why": "can't be read"}]
    equal = fleet.judge(machine("ref", files={"/x": FILE}), machines, NONE)
    assert "EQUAL: 10 machines in 1 state, nothing unexplained" in rendered(equal)
