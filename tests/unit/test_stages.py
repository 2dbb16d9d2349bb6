"""From which stage a build may go on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from goldsmith import config, definition, stages
from goldsmith.stages import Inputs, Stage


@pytest.fixture
def project(tmp_path: Path) -> config.Project:
    for name in (
        "site.yml",
        "inventory/hosts.yml",
        *(f"roles/{role}/{part}/main.yml" for role in "abc" for part in ("tasks", "handlers", "defaults")),
        "roles/c/templates/conf.j2",
        "roles/c/library/thing.py",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("---\n")
    (tmp_path / "goldsmith.yml").write_text("images:\n  web:\n    playbook: site.yml\n")
    return config.load(tmp_path)


def stage(project: config.Project, *ran: str, names: tuple[str, ...] = ()) -> Stage:
    """After these roles have run."""
    folders = tuple(str(project.root / "roles" / role) for role in ran)
    return Stage(f"goldsmith/stage:{len(ran)}", 0, len(ran), "next", folders, names, ())


def look(project: config.Project) -> tuple[Inputs, dict[str, Path]]:
    contents = definition.contents(project)
    return stages.inputs(contents, "other"), contents


def held(project: config.Project, change: Callable[[Path], object], names: tuple[str, ...] = ()) -> list[int]:
    """After how many roles stages hold, if that changes after the build that made them."""
    known = [stage(project, "a", names=names), stage(project, "a", "b", names=names)]
    before, _ = look(project)
    change(project.root)
    now, contents = look(project)
    return [each.role for each in stages.usable(known, before, now, contents)]


@pytest.mark.parametrize(
    ("changed", "holds"),
    [
        ("roles/c/tasks/main.yml", [1, 2]),
        ("roles/c/handlers/main.yml", [1, 2]),
        ("roles/c/templates/conf.j2", [1, 2]),
        ("roles/c/README.md", [1, 2]),
        ("roles/b/tasks/main.yml", [1]),
        ("roles/b/files/new", [1]),
        ("roles/a/tasks/main.yml", []),
        # Seen by all roles of a play, whichever's they are.
        ("roles/c/defaults/main.yml", []),
        ("roles/c/library/thing.py", []),
        ("site.yml", []),
        ("inventory/hosts.yml", []),
        ("app.py", []),
    ],
)
def test_a_stage_holds_until_something_that_had_a_part_in_it_changes(
    project: config.Project, changed: str, holds: list[int]
) -> None:
    def change(root: Path) -> None:
        (root / changed).parent.mkdir(exist_ok=True)
        (root / changed).write_text("- other\n")

    assert held(project, change) == holds


def test_nothing_changed(project: config.Project) -> None:
    assert held(project, lambda _: None) == [1, 2]


def test_a_variable_that_a_task_made_must_not_be_used_by_what_is_still_to_run(project: config.Project) -> None:
    def use(root: Path) -> None:
        (root / "roles/c/templates/conf.j2").write_text("{{ a_found.stdout }}\n")

    assert held(project, use, names=("a_found",)) == []
    assert held(project, lambda _: None, names=("a_foun",)) == [1, 2]


def test_names_count_in_playbooks_too_but_not_in_what_has_run(project: config.Project) -> None:
    (project.root / "roles/a/tasks/main.yml").write_text("- debug: var=a_found\n")
    assert held(project, lambda _: None, names=("a_found",)) == [1, 2]
    (project.root / "site.yml").write_text("- debug: var=a_found\n")
    assert held(project, lambda _: None, names=("a_found",)) == []


def test_what_else_counts_is_part_of_it(project: config.Project) -> None:
    contents = definition.contents(project)
    assert stages.inputs(contents, "base 1").common != stages.inputs(contents, "base 2").common


def test_a_record_is_read_as_it_was_written(project: config.Project, tmp_path: Path) -> None:
    now, _ = look(project)
    file = tmp_path / "out/stages.jsonl"
    kept = [stage(project, "a", names=("x",))]
    stages.begin(file, now, kept)
    assert stages.load(file) == (now, kept)
    assert not stages.resumed(file)
    with file.open("a") as record:
        record.write('{"resumed": true}\n' + json.dumps({**kept[0].__dict__, "role": 2}) + '\n{"image": "cut')
    assert stages.resumed(file)
    assert [each.role for each in stages.load(file)[1]] == [1, 2]


@pytest.mark.parametrize("text", ["", "[]\n", "{}\n", "no json\n"])
def test_what_cannot_be_read_is_no_stage(tmp_path: Path, text: str) -> None:
    (tmp_path / "stages.jsonl").write_text(text)
    assert stages.load(tmp_path / "stages.jsonl") == (Inputs(""), [])
    assert stages.load(tmp_path / "none") == (Inputs(""), [])


def test_orders_name_folders_of_roles_that_changed(project: config.Project) -> None:
    before, _ = look(project)
    (project.root / "roles/b/tasks/main.yml").write_text("- other\n")
    now, contents = look(project)
    orders = stages.orders(Path("r"), "b1", None, stages.changed(before, now), contents)
    assert orders["changed"] == [str(project.root / "roles/b")]
    assert orders["tag"] == "goldsmith/stage:b1"
    assert orders["from"] is None


def test_nothing_has_changed_where_nothing_was_built_before(project: config.Project) -> None:
    now, _ = look(project)
    assert stages.changed(Inputs(""), now) == set()
