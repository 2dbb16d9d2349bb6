"""Everything that the collection offers is described, and no check of it is switched off anywhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.paths import ROOT

ROLES = sorted(path.parents[1] for path in ROOT.glob("roles/*/meta/argument_specs.yml"))
MODULES = sorted(ROOT.glob("plugins/modules/*.py"))
# ansible-lint, yamllint and the like: a line may not be taken out of a check.
SWITCHED_OFF = re.compile(r"#\s*noqa|skip_ansible_lint|yamllint disable|skip_list|warn_list|enable_list")


def undescribed(options: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for name, option in options.items():
        if not option.get("description"):
            yield prefix + name
        yield from undescribed(option.get("options") or option.get("suboptions") or {}, f"{prefix}{name}.")


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_every_variable_of_a_role_is_described(role: Path) -> None:
    for entry in yaml.safe_load((role / "meta/argument_specs.yml").read_text(encoding="utf-8"))[
        "argument_specs"
    ].values():
        assert entry["short_description"]
        assert entry["description"]
        assert list(undescribed(entry.get("options", {}))) == []


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_role_is_called_the_same_in_its_metadata(role: Path) -> None:
    about = yaml.safe_load((role / "meta/main.yml").read_text(encoding="utf-8"))["galaxy_info"]
    spec = yaml.safe_load((role / "meta/argument_specs.yml").read_text(encoding="utf-8"))["argument_specs"]["main"]
    assert (about["role_name"], about["description"]) == (role.name, spec["short_description"])


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.stem)
def test_every_module_has_options_examples_and_return_values(module: Path) -> None:
    found = dict(
        re.findall(r'^(DOCUMENTATION|EXAMPLES|RETURN) = r?"""(.*?)"""', module.read_text(encoding="utf-8"), re.M | re.S)
    )
    about = yaml.safe_load(found["DOCUMENTATION"])
    assert about["short_description"]
    assert about["description"]
    assert list(undescribed(about.get("options", {}))) == []
    assert any(f"goldsmith.core.{module.stem}" in task for task in yaml.safe_load(found["EXAMPLES"]))
    assert list(undescribed(yaml.safe_load(found["RETURN"]))) == []


@pytest.mark.parametrize("playbook", sorted(ROOT.glob("playbooks/*.yml")), ids=lambda path: path.stem)
def test_every_playbook_begins_with_what_it_does(playbook: Path) -> None:
    assert playbook.read_text(encoding="utf-8").startswith("---\n# ")


def test_no_check_is_switched_off() -> None:
    files = [ROOT / ".ansible-lint", ROOT / ".yamllint"]
    for folder in ("roles", "playbooks", "molecule", "meta", "examples"):
        files += [path for path in (ROOT / folder).rglob("*") if path.suffix in {".yml", ".yaml", ".j2"}]
    found = [str(path.relative_to(ROOT)) for path in files if SWITCHED_OFF.search(path.read_text(encoding="utf-8"))]
    assert found == []
    assert yaml.safe_load((ROOT / ".ansible-lint").read_text(encoding="utf-8"))["profile"] == "production"
    assert not list(ROOT.glob("tests/sanity/ignore*"))
