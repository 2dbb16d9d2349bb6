"""The judgement."""

from __future__ import annotations

import gzip
from dataclasses import replace
from typing import Any

import pytest

from goldsmith import manifest, policy
from goldsmith.compare import Comparison, Difference, compare
from goldsmith.manifest import Manifest
from goldsmith.policy import Policy, Rule
from tests.paths import FIXTURES

NONE = Policy()
FILE = {"type": "file", "mode": "0644", "owner": "root", "group": "root", "size": 1, "sha256": "a" * 64}


def recorded(name: str) -> Manifest:
    return manifest.parse(gzip.decompress((FIXTURES / f"manifests/{name}.json.gz").read_bytes()), name, name=name)


def machine(name: str = "m", /, *, at_rest: bool = False, runtime: Any = None, **sections: Any) -> Manifest:
    identity = {
        "machine_id": {"path": "/etc/machine-id", "state": "set", "sha256": f"id of {name}", "mode": "0444"},
        "hostname": {"path": "/etc/hostname", "state": "set", "sha256": f"host {name}"},
        "ssh_host_key /k": {"path": "/k", "state": "set", "sha256": f"key of {name}", "mode": "0600"},
        "ssh_host_key /k.pub": {"path": "/k.pub", "state": "set", "sha256": f"pub of {name}", "mode": "0644"},
    }
    return Manifest(
        scope="rest" if at_rest else "live",
        digest=manifest.digest(sections),
        sections=sections,
        identity=identity,
        runtime=None if at_rest else (runtime or {}),
        name=name,
    )


def with_identity(one: Manifest, key: str, **more: Any) -> Manifest:
    return replace(one, identity={**one.identity, key: {**one.identity.get(key, {}), **more}})


def short(found: Comparison) -> list[tuple[str, str, str | None, str]]:
    return [(each.section, each.key, each.attribute, each.kind) for each in found.differences]


def test_image_booted_image_and_host_are_equal() -> None:
    """Recorded from the reference definition: built, booted, and converged on its own."""
    for one, other in (("image-booted", "host"), ("image-at-rest", "host"), ("image-at-rest", "image-booted")):
        found = compare(recorded(one), recorded(other), policy.reference())
        assert found.unexplained == (), short(found)
        assert found.explained
        assert found.ok


def test_a_machine_equals_itself() -> None:
    host = recorded("host")
    found = compare(host, host, NONE)
    assert (found.differences, found.ok, found.not_compared) == ((), True, ())
    assert found.counts["files"] == len(host.sections["files"])


def test_kinds_of_differences() -> None:
    a = machine("a", files={"/same": FILE, "/changed": FILE, "/a": FILE, "/typed": FILE})
    b = machine(
        "b",
        files={
            "/same": FILE,
            "/changed": {**FILE, "mode": "0600", "xattrs": {"user.x": "1"}},
            "/b": FILE,
            "/typed": {"type": "link", "target": "/x", "owner": "root", "group": "root"},
        },
    )
    found = compare(a, b, NONE)
    assert found.differences == (
        Difference("files", "/a", None, "only_a", FILE, None),
        Difference("files", "/b", None, "only_b", None, FILE),
        Difference("files", "/changed", "mode", "changed", "0644", "0600"),
        Difference("files", "/changed", "xattrs", "changed", None, {"user.x": "1"}),
        Difference("files", "/typed", "type", "changed", "file", "link"),
    )
    assert not found.ok


def test_a_size_is_named_only_where_the_digest_does_not_say_it() -> None:
    longer = {**FILE, "size": 2, "sha256": "b" * 64}
    found = compare(machine("a", files={"/x": FILE}), machine("b", files={"/x": longer}), NONE)
    assert short(found) == [("files", "/x", "sha256", "changed")]
    hidden = [{"type": "file", "size": size, "unreadable": True} for size in (1, 2)]
    found = compare(machine("a", files={"/x": hidden[0]}), machine("b", files={"/x": hidden[1]}), NONE)
    assert short(found) == [("files", "/x", "size", "changed")]


def test_swapping_the_two_mirrors_the_result() -> None:
    rules = policy.reference()
    one, other = recorded("image-at-rest"), recorded("host")
    forth, back = compare(one, other, rules), compare(other, one, rules)
    mirror = {"only_a": "only_b", "only_b": "only_a"}
    mirrored = [(e.section, e.key, e.attribute, mirror.get(e.kind, e.kind), e.b, e.a, e.rule) for e in back.differences]
    plain = [(e.section, e.key, e.attribute, e.kind, e.a, e.b, e.rule) for e in forth.differences]
    assert plain == mirrored
    assert len(plain) > 3


def test_at_rest_runtime_is_not_compared_and_said_so() -> None:
    running = {"units": {"a.service": {"active": "active"}}, "sockets": {}}
    found = compare(machine("a", at_rest=True), machine("b", runtime=running), NONE)
    assert found.differences == ()
    assert found.not_compared == (
        ("runtime.units", "A at rest: nothing runs"),
        ("runtime.sockets", "A at rest: nothing runs"),
    )
    both = compare(machine("a", runtime={"units": {}, "sockets": {}}), machine("b", runtime=running), NONE)
    assert short(both) == [("runtime.units", "a.service", None, "only_b")]
    assert both.not_compared == ()


def test_a_section_that_one_lacks_is_not_guessed() -> None:
    found = compare(machine("a", files={}, gems={"x": {"v": "1"}}), machine("b", files={}), NONE)
    assert (found.differences, found.not_compared) == ((), (("gems", "B has no such section"),))


def test_what_nobody_could_read_is_not_equal() -> None:
    hidden = {"type": "file", "mode": "0600", "size": 3, "unreadable": True}
    found = compare(machine("a", files={"/x": hidden}), machine("b", files={"/x": hidden}), NONE)
    assert short(found) == [("files", "/x", None, "unreadable")]
    user = {"uid": 0, "password": "unknown"}
    assert not compare(machine("a", users={"root": user}), machine("b", users={"root": user}), NONE).ok


def test_which_package_brings_a_path_is_no_difference_of_its_own() -> None:
    """dpkg's own records say so too. It stands beside each difference, for its cause to be found."""
    mine, other = {**FILE, "package": "x"}, {**FILE, "package": "y"}
    assert compare(machine("a", files={"/x": mine}), machine("b", files={"/x": FILE}), NONE).differences == ()
    [mode] = compare(
        machine("a", files={"/x": {**mine, "mode": "0600"}}), machine("b", files={"/x": other}), NONE
    ).differences
    assert (mode.attribute, mode.about) == ("mode", {"package": ("x", "y"), "type": ("file",)})
    hidden = {"type": "file", "unreadable": True}
    found = compare(machine("a", files={"/x": {**hidden, "package": "x"}}), machine("b", files={"/x": hidden}), NONE)
    assert short(found) == [("files", "/x", None, "unreadable")]


def test_an_equal_host_key_is_a_clone_and_its_public_half_no_second_one() -> None:
    a, b = machine("a"), machine("b")
    b = with_identity(with_identity(b, "ssh_host_key /k", sha256="key of a"), "ssh_host_key /k.pub", sha256="pub of a")
    assert short(compare(a, b, NONE)) == [("identity", "ssh_host_key /k", "sha256", "equal")]


@pytest.mark.parametrize("name", ["docker_key", "docker_engine_id", "ssl_snakeoil_key"])
def test_what_else_must_be_a_machines_own_is_a_clone(name: str) -> None:
    engine = {"path": "/x", "state": "set", "sha256": "0b4c", "mode": "0600"}
    a, b = with_identity(machine("a"), name, **engine), with_identity(machine("b"), name, **engine)
    assert short(compare(a, b, NONE)) == [("identity", name, "sha256", "equal")]


def test_an_equal_machine_id_is_a_clone_unless_it_is_the_same_machine() -> None:
    a = machine("a")
    renamed = with_identity(machine("a"), "hostname", sha256="host b")
    kinds = short(compare(a, renamed, NONE))
    assert kinds == [("identity", "machine_id", "sha256", "equal"), ("identity", "ssh_host_key /k", "sha256", "equal")]
    assert compare(a, machine("a"), NONE).ok
    reinstalled = with_identity(machine("a"), "machine_id", sha256="new")
    assert short(compare(a, reinstalled, NONE)) == [("identity", "ssh_host_key /k", "sha256", "equal")]


def test_an_unsealed_image_is_a_clone_of_its_machine() -> None:
    image = replace(machine("a", at_rest=True), identity={"machine_id": machine("a").identity["machine_id"]})
    assert short(compare(image, machine("a"), NONE)) == [("identity", "machine_id", "sha256", "equal")]


def test_an_image_at_rest_may_lack_identity_a_live_machine_may_not() -> None:
    sealed = replace(machine("a", at_rest=True), identity={})
    assert compare(sealed, machine("b"), NONE).ok
    emptied = with_identity(machine("a", at_rest=True), "machine_id", state="empty", sha256=None)
    assert compare(emptied, machine("b"), NONE).ok
    bare = replace(machine("a"), identity={})
    assert {kind for *_, kind in short(compare(bare, machine("b"), NONE))} == {"only_b"}


def test_a_host_key_that_others_may_read_is_found() -> None:
    open_key = with_identity(machine("b"), "ssh_host_key /k", mode="0644")
    assert short(compare(machine("a"), open_key, NONE)) == [("identity", "ssh_host_key /k", "mode", "changed")]
    emptied = with_identity(machine("b"), "machine_id", state="empty", sha256=None)
    assert short(compare(machine("a"), emptied, NONE)) == [("identity", "machine_id", "state", "changed")]


def rule(**fields: Any) -> Rule:
    return Rule(**{"section": "files", "key": "/x", "reason": "because it is so", **fields})


def test_explained_come_last_with_the_first_rule_that_fits() -> None:
    a = machine("a", files={"/x": FILE, "/y": FILE}, gems={"p": {"version": "1"}})
    b = machine("b", files={}, gems={})
    first, second, unused = rule(reason="the first that fits"), rule(key="/*", kind="missing"), rule(key="/never")
    found = compare(a, b, Policy("p", (first, unused), (second,)))
    assert [(each.key, each.reason) for each in found.differences] == [
        ("p", None),
        ("/x", "the first that fits"),
        ("/y", "because it is so"),
    ]
    assert (found.unused, found.unused_reference) == ((unused,), ())
    assert len(found.unexplained) == 1


def test_rules_that_cannot_apply_are_not_called_unused() -> None:
    rules = (rule(between=("rest", "live")), rule(present_on="live"), rule(between=("live", "live")))
    found = compare(machine("a"), machine("b"), Policy("p", rules))
    assert found.unused == (rules[2],)


def test_two_rules_alike_are_both_counted() -> None:
    twice = Policy("p", (rule(), rule()))
    found = compare(machine("a", files={"/x": FILE}), machine("b", files={}), twice)
    assert found.ok
    assert len(found.unused) == 1


def many(count: int, differing: int) -> tuple[Manifest, Manifest]:
    """Machines with as many files each, of which some differ in mode and owner."""
    here = {f"/x/{number}": FILE for number in range(count)}
    there = {f"/x/{number}": {**FILE, "mode": "0600", "owner": "x"} for number in range(differing)}
    return machine("a", files=here), machine("b", files={**here, **there})


@pytest.mark.parametrize(
    ("facts", "differing", "fields", "explained"),
    [
        (400, 20, {}, True),  # 5 %
        (400, 21, {}, False),
        (400, 21, {"broad": True}, True),
        (20, 10, {}, True),  # so many in any case
        (20, 11, {}, False),
    ],
)
def test_a_rule_that_fits_too_much_explains_nothing(
    facts: int, differing: int, fields: dict[str, Any], explained: bool
) -> None:
    broad = rule(key="/x/*", **fields)
    found = compare(*many(facts, differing), Policy("p", (broad,)))
    assert found.ok is explained
    if not explained:
        [refused] = found.refused
        assert (refused.rule, refused.kind, refused.differences) == (broad, "too_broad", 2 * differing)
        assert f"fits {differing} of {facts} facts and may explain {max(10, facts // 20)}" in refused.why
        assert found.unused == ()


def test_what_a_too_broad_rule_leaves_others_may_explain() -> None:
    broad, narrow, rest = rule(key="/x/**"), rule(key="/x/1*"), rule(key="/x/*")
    found = compare(*many(400, 25), Policy("p", (broad, narrow), (rest,)))
    assert found.ok
    assert [each.rule for each in found.refused] == [broad]
    assert {id(each.rule) for each in found.differences} == {id(narrow), id(rest)}


def test_an_expired_rule_explains_nothing_and_says_who_is_asked() -> None:
    old = rule(owner="web team", expires="2026-10-31")
    other = rule(key="/other", owner="me", expires="2026-10-30")
    a, b = machine("a", files={"/x": FILE, "/y": FILE}), machine("b", files={"/y": FILE})
    found = compare(a, b, Policy("p", (), (), (), (old, other)))
    assert short(found) == [("files", "/x", None, "only_a")]
    assert not found.ok
    assert [(each.rule, each.kind, each.differences) for each in found.refused] == [
        (old, "expired", 1),
        (other, "expired", 0),
    ]
    assert found.refused[0].why == "expired: 2026-10-31 was its last day; ask its owner, web team"


def test_rules_that_nobody_owns_are_named() -> None:
    mine, nobodys = rule(owner="me"), rule(key="/y")
    assert compare(machine("a"), machine("b"), Policy("p", (mine, nobodys), (rule(),))).unowned == (nobodys,)


@pytest.mark.parametrize("name", ["image-booted", "host"])
def test_recorded_order_does_not_matter(name: str) -> None:
    one = recorded(name)
    shuffled = {key: dict(reversed(list(section.items()))) for key, section in reversed(list(one.sections.items()))}
    other = recorded("image-at-rest")
    assert compare(one, other, NONE) == compare(replace(one, sections=shuffled), other, NONE)


def test_warnings_say_whose() -> None:
    warned = replace(machine("b"), warnings=["/x: can't be read"])
    assert compare(machine("a"), warned, NONE).warnings == ("B: /x: can't be read",)
