"""The README of each role says the same kind of things in the same places, and its examples are right."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from tests.paths import ROOT

ROLES = sorted(path.parents[1] for path in ROOT.glob("roles/*/meta/argument_specs.yml"))
HEADINGS = ["Variables", "Examples", "Good to know"]

every_role = pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)


def options(role: Path) -> dict[str, Any]:
    spec = yaml.safe_load((role / "meta/argument_specs.yml").read_text(encoding="utf-8"))
    return dict(spec["argument_specs"]["main"].get("options", {}))


def text(role: Path) -> str:
    return (role / "README.md").read_text(encoding="utf-8")


def section(role: Path, heading: str) -> str:
    """What is below a heading, up to the next."""
    found = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", text(role), re.MULTILINE | re.DOTALL)
    return found.group(1) if found else ""


def examples(role: Path) -> list[Any]:
    """The examples: variables, or plays that hold them."""
    blocks = re.findall(r"^```yaml\n(.*?)^```$", section(role, "Examples"), re.MULTILINE | re.DOTALL)
    return [yaml.safe_load(block) for block in blocks]


def variables(example: Any) -> dict[str, Any]:
    """The variables that an example sets: itself, or those of its plays, roles and tasks."""
    if isinstance(example, dict) and not {"hosts", "role", "roles", "tasks"} & set(example):
        return example
    found: dict[str, Any] = {}
    for part in example if isinstance(example, list) else [example]:
        if isinstance(part, dict):
            found |= part.get("vars", {})
            for inner in ("pre_tasks", "roles", "tasks"):
                found |= variables(part.get(inner, []))
    return found


@every_role
def test_begins_with_name_and_purpose(role: Path) -> None:
    lines = text(role).splitlines()
    assert lines[0] == f"# goldsmith.core.{role.name}"
    assert lines[1] == ""
    assert lines[2].endswith((".", ",")) or lines[3]


@every_role
def test_headings_are_the_same_everywhere(role: Path) -> None:
    assert [line.removeprefix("## ") for line in text(role).splitlines() if line.startswith("## ")] == HEADINGS


@every_role
def test_says_what_becomes_of_unknown_variables(role: Path) -> None:
    words = " ".join(section(role, "Variables").split())
    assert f"begins with `{role.name}_` and is not in this table is an error" in words


@every_role
def test_says_its_tags_and_what_it_will_not_do(role: Path) -> None:
    words = " ".join(section(role, "Good to know").split())
    assert re.search(r"\b[Tt]ags?\b", words)
    assert re.search(r"\b[Ww]ill not\b", words)


@every_role
def test_has_two_examples_for_variables_that_exist(role: Path) -> None:
    every_option = {name for each in ROLES for name in options(each)}
    found = examples(role)
    assert len(found) >= 2
    for example in found:
        given = variables(example)
        assert {name for name in given if not name.startswith(("goldsmith_", "ansible_"))} - every_option == set()
    if options(role):
        assert any(set(variables(example)) & set(options(role)) for example in found)


@every_role
def test_examples_have_the_form_that_the_role_asks_for(role: Path) -> None:
    for example in examples(role):
        given = {name: value for name, value in variables(example).items() if name in options(role)}
        # What an example does not set, something else may.
        asked = {name: option for name, option in options(role).items() if name in given}
        done = ArgumentSpecValidator(asked).validate(given)
        assert done.error_messages == []


@every_role
def test_names_no_variable_that_no_role_has(role: Path) -> None:
    every_option = {name for each in ROLES for name in options(each)}
    first = yaml.safe_load((role / "tasks/main.yml").read_text(encoding="utf-8"))[0]
    formerly = set(first["goldsmith.core.role_variables"].get("moved", {}))
    prefixes = "|".join(each.name for each in ROLES)
    named = set(re.findall(rf"`((?:{prefixes})_\w+)(?=[`:\[])", text(role)))
    assert named - every_option - formerly == set()
