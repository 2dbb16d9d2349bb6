"""The record of a converge: what it proves, and what makes it prove nothing."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.goldsmith.core.plugins.module_utils.collector import paths
from ansible_collections.goldsmith.core.plugins.module_utils.collector import record as collector

from goldsmith import converge, record, roles, sync
from goldsmith.config import Config, Project
from goldsmith.inventory import Inventory

INPUTS = b'["definition", {"password": "s3cret"}]'


def manifest(**changed: Any) -> dict[str, Any]:
    whole = {"schema": "x/1", "digest": "sha256:1", "identity": {"hostname": {}}, "runtime": {"units": {}}}
    return {**whole, "sections": {}, "warnings": [], **changed}


def test_unchanged_inputs_and_state_are_proof() -> None:
    left = record.parse(record.new(INPUTS, "state").text())
    assert left is not None
    assert left.proves(INPUTS, "state")
    assert not left.proves(INPUTS + b" ", "state")
    assert not left.proves(INPUTS, "stat")
    assert not left.proves(INPUTS, None)


def test_inputs_can_be_neither_read_nor_guessed_from_two_records() -> None:
    one, other = record.new(INPUTS, "state"), record.new(INPUTS, "state")
    assert "s3cret" not in one.text()
    assert one.inputs != other.inputs


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "[]",
        "{}",
        "null",
        record.new(INPUTS, "state").text()[:-20],
        record.new(INPUTS, "state").text().replace('"state"', '"stage"'),
        record.new(INPUTS, "state").text().replace("record/1", "record/2"),
        json.dumps({**json.loads(record.new(INPUTS, "state").text()), "time": "2020-01-01"}),
    ],
)
def test_what_is_not_whole_is_no_record(text: str | None) -> None:
    assert record.parse(text) is None


@pytest.mark.parametrize(
    "change",
    [
        {"digest": "sha256:2"},
        {"identity": {"hostname": {"sha256": "x"}}},
        {"runtime": {"units": {"x": {}}}},
        {"schema": "x/2"},
    ],
)
def test_the_state_is_of_all_that_the_manifest_holds(change: dict[str, Any]) -> None:
    assert collector.state(manifest()) == collector.state(manifest())
    assert collector.state(manifest(**change)) != collector.state(manifest())


def test_a_machine_that_could_not_be_read_whole_has_no_state() -> None:
    assert collector.state(manifest(warnings=["/etc/x: can't be read"])) is None


def test_only_a_file_that_nobody_else_can_read_is_a_record(tmp_path: Path) -> None:
    path = tmp_path / "record"
    path.write_text("x")
    path.chmod(0o600)
    assert collector.read(str(path), os.getuid()) == "x"
    assert collector.read(str(path), os.getuid() + 1) is None
    path.chmod(0o640)
    assert collector.read(str(path), os.getuid()) is None
    path.chmod(0o600)
    link = tmp_path / "link"
    link.symlink_to(path)
    assert collector.read(str(link), os.getuid()) is None
    os.mkfifo(tmp_path / "fifo", 0o600)
    assert collector.read(str(tmp_path / "fifo"), os.getuid()) is None
    assert collector.read(str(tmp_path / "none"), os.getuid()) is None


def test_it_is_written_whole_for_root_alone_and_no_manifest_holds_it(tmp_path: Path) -> None:
    assert record.PATH == paths.RECORD
    assert paths.volatile(record.PATH)
    assert paths.volatile(f"{record.PATH}.new")
    assert not paths.volatile("/var/lib/goldsmith")
    path = tmp_path / "record"
    (tmp_path / "record.new").symlink_to("/nonexistent")
    program = record.WRITE.replace(record.PATH, str(path))
    for text in ("one", "two"):
        subprocess.run([sys.executable, "-c", program], input=text.encode(), check=True)
        assert path.read_text() == text
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["record"]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "hosts.ini").write_text("[web]\nweb1 password=s3cret\nweb2\nbox ansible_connection=local\n")
    (tmp_path / "site.yml").write_text("- import_playbook: other.yml\n- import_playbook: goldsmith.core.site\n")
    (tmp_path / "other.yml").write_text("- hosts: all\n  roles: [one]\n")
    role = tmp_path / "roles/one/tasks"
    role.mkdir(parents=True)
    (role / "main.yml").write_text("- name: X\n  ansible.builtin.command: 'true'\n")
    return Project(
        tmp_path, Config.model_validate({"images": {"x": {"playbook": "site.yml"}}, "inventory": "hosts.ini"})
    )


def inputs(project: Project) -> dict[str, bytes]:
    hosts = Inventory(project.inventory, project.root)
    made = record.Inputs(project, [project.root / "site.yml"], hosts)
    return {name: made.of(name) for name in ("web1", "web2")}


def test_inputs_change_with_what_a_host_is_made_from(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    before = inputs(project)
    assert inputs(project) == before
    (project.root / "hosts.ini").write_text("[web]\nweb1 password=other\nweb2\n")
    changed = inputs(project)
    assert changed["web1"] != before["web1"]
    (project.root / "roles/one/tasks/main.yml").write_text("[]\n")
    assert inputs(project)["web2"] != changed["web2"]
    again = inputs(project)
    with monkeypatch.context() as elsewhere:  # a variable need not stand in the project: inventories ask other systems
        elsewhere.setattr(Inventory, "resolved", lambda _self, _name: {"password": "another"})
        assert inputs(project) != again
    monkeypatch.setenv("ANSIBLE_HASH_BEHAVIOUR", "merge")
    assert inputs(project) != again
    monkeypatch.delenv("ANSIBLE_HASH_BEHAVIOUR")
    monkeypatch.setattr("goldsmith.definition.converging_versions", lambda: {"ansible-core": "1"})
    assert inputs(project) != again


def test_variables_differ_by_host_and_not_by_run(project: Project) -> None:
    """One in a process of its own, as the next converge is."""
    program = (
        "import sys,pathlib;from goldsmith import inventory;"
        "h=inventory.Inventory(pathlib.Path('hosts.ini'),pathlib.Path.cwd());"
        "import json;sys.stdout.write(json.dumps(h.resolved('web1'),sort_keys=True,default=str))"
    )
    done = [subprocess.run([sys.executable, "-c", program], cwd=project.root, capture_output=True, check=True).stdout]
    done += [subprocess.run([sys.executable, "-c", program], cwd=project.root, capture_output=True, check=True).stdout]
    assert done[0] == done[1]
    assert json.loads(done[0])["password"] == "s3cret"  # noqa: S105 - a test's


def test_imported_playbooks_are_looked_at_too(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    of_collection = project.root / "roles/collections.yml"
    of_collection.write_text("- hosts: all\n")
    known = {"site.yml": project.root / "site.yml", "goldsmith.core.site": of_collection}
    monkeypatch.setattr(roles, "playbook_path", lambda _project, name: str(known[name]))
    found = sync.playbook_files(project, ["site.yml"])
    assert sorted(found) == sorted([project.root / "site.yml", project.root / "other.yml", of_collection])


def test_roles_that_are_applied_are_looked_at_and_no_others(project: Project) -> None:
    hosts = Inventory(project.inventory, project.root)
    (project.root / "site.yml").write_text("- import_playbook: other.yml\n")
    unused = project.root / "roles/two/tasks"
    unused.mkdir(parents=True)
    (unused / "main.yml").write_text("- name: X\n  ansible.builtin.uri: {url: https://example.org}\n")
    files = sync.playbook_files(project, ["site.yml"])
    assert sync.beyond_proof(project, hosts, ["web1"], files) == {"web1": []}
    (project.root / "roles/one/tasks/main.yml").write_text((unused / "main.yml").read_text())
    [found] = sync.beyond_proof(project, hosts, ["web1"], files)["web1"]
    assert (found.line, found.why) == (2, "uri: asks another system")


def test_a_definition_that_cannot_be_read_is_beyond_proof(project: Project) -> None:
    hosts = Inventory(project.inventory, project.root)
    (project.root / "site.yml").write_text("- hosts: all\n  roles: [none_such]\n")
    assert sync.beyond_proof(project, hosts, ["web1"], [project.root / "site.yml"])["web1"]


def test_hosts_that_were_stopped_by_others_get_no_record(tmp_path: Path) -> None:
    play = tmp_path / "site.yml"
    play.write_text("- hosts: all\n")
    good, gone, bad = (converge.Host("a", ok=1), converge.Host("b", unreachable=True), converge.Host("c", failed=1))
    result = converge.Result(hosts={"a": good})
    assert sync.whole(result, [play])
    assert sync.whole(replace(result, hosts={"a": good, "b": gone}), [play])
    assert not sync.whole(replace(result, hosts={"a": good, "c": bad}), [play])
    play.write_text("- hosts: all\n  any_errors_fatal: true\n")
    assert sync.whole(result, [play])
    assert not sync.whole(replace(result, hosts={"a": good, "b": gone}), [play])
