"""goldsmith.yml: what is accepted, and what is said of the rest."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from goldsmith import config
from goldsmith.errors import UsageError
from tests.paths import EXAMPLE, ROOT

GOOD = "images:\n  web:\n    playbook: site.yml\n    groups: [web]\ninventory: inventory\n"


def project(folder: Path, text: str) -> config.Project:
    (folder / "goldsmith.yml").write_text(text)
    (folder / "site.yml").write_text("- hosts: all\n")
    (folder / "inventory").mkdir(exist_ok=True)
    return config.load(folder)


def test_paths_count_from_the_file(tmp_path: Path) -> None:
    loaded = project(tmp_path, GOOD)
    assert loaded.inventory == tmp_path / "inventory"
    assert loaded.output == tmp_path / "artifacts"
    assert loaded.image("web").base == "debian:bookworm"


@pytest.mark.parametrize(
    ("change", "line", "said"),
    [
        (("playbook:", "playbok:"), 3, 'images.web.playbok: unknown key; did you mean "playbook"?'),
        (("groups: [web]", "groups: web"), 4, "images.web.groups: must be a list"),
        (("images:", "image:"), 1, 'image: unknown key; did you mean "images"?'),
        (("  web:", "  Web Server:"), 2, "images.Web Server"),
        (("inventory: inventory", "inventory: hosts"), 5, "inventory: there is no hosts in"),
        (("site.yml", "sites.yml"), 3, "images.web.playbook: there is no sites.yml in"),
        (("groups: [web]", "groups: [web"), 5, "not valid YAML"),
        (("groups: [web]", "targets: [qemo]"), 4, "images.web.targets"),
    ],
)
def test_errors_name_file_line_and_key(tmp_path: Path, change: tuple[str, str], line: int, said: str) -> None:
    with pytest.raises(UsageError) as error:
        project(tmp_path, GOOD.replace(*change))
    assert f"goldsmith.yml:{line}: " in error.value.message
    assert said in error.value.message
    assert error.value.exit_code == 2


def test_missing_file_says_how_to_begin(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as error:
        config.load(tmp_path)
    assert "goldsmith init" in error.value.hint


def test_unknown_image_names_the_nearest(tmp_path: Path) -> None:
    loaded = project(tmp_path, GOOD)
    with pytest.raises(UsageError) as error:
        loaded.image("wbe")
    assert error.value.hint == 'did you mean "web"?'


@pytest.mark.parametrize(
    ("playbook", "expected"),
    [("goldsmith.core.site", True), ("site.yml", False), ("plays/a.b.yml", False), ("my.site.yml", False)],
)
def test_collection_names_and_paths_are_told_apart(playbook: str, expected: bool) -> None:
    assert config.is_collection_name(playbook) is expected


def test_published_schema_accepts_the_example_and_rejects_a_misspelt_key() -> None:
    schema = json.loads((ROOT / "docs/schema/goldsmith.schema.json").read_text())
    example = yaml.safe_load((EXAMPLE / "goldsmith.yml").read_text())
    jsonschema.Draft202012Validator(schema).validate(example)
    for bad in ({**example, "inventry": "x"}, {"images": {"Web Server": {"playbook": "x"}}}, {"images": {}}):
        assert not jsonschema.Draft202012Validator(schema).is_valid(bad)
