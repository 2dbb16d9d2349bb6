"""YAML that people write: every complaint names file, line and key."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict, field_validator

from goldsmith import yamlfile
from goldsmith.errors import UsageError


class Image(BaseModel):
    model_config = ConfigDict(extra="forbid")
    playbook: str
    targets: list[str] = []
    size: int | str = 0
    between: tuple[str, str] | None = None

    @field_validator("playbook")
    @classmethod
    def relative(cls, value: str) -> str:
        if value.startswith("/"):
            raise ValueError("Must be relative")
        return value


class Project(BaseModel):
    model_config = ConfigDict(extra="forbid")
    images: dict[str, Image] = {}
    more: list[Image] | None = None
    sealed: bool = False


HERE = Path("goldsmith.yml")


def problems(text: str) -> list[str]:
    with pytest.raises(UsageError) as caught:
        yamlfile.validate(yamlfile.loads(text, HERE), Project)
    assert caught.value.exit_code == 2
    return caught.value.message.splitlines()


def test_lines_of_keys_and_items() -> None:
    document = yamlfile.loads("a:\n  b:\n    - x\n    - y: 1\n", HERE)
    assert document.data == {"a": {"b": ["x", {"y": 1}]}}
    assert document.line(("a", "b")) == 2
    assert document.line(("a", "b", 1, "y")) == 4
    assert document.line(("a", "b", 1, "absent", "deeper")) == 4
    assert document.where(("a",)) == "goldsmith.yml:1"


def test_valid() -> None:
    project = yamlfile.validate(yamlfile.loads("images: {web: {playbook: site.yml}}", HERE), Project)
    assert project.images["web"].playbook == "site.yml"
    assert yamlfile.validate(yamlfile.loads("# nothing\n", HERE), Project) == Project()


def test_unknown_keys_get_a_suggestion_at_every_depth() -> None:
    text = "imagse: {}\nimages:\n  web:\n    playbook: a\n    target: [x]\n"
    text += "more:\n  - playbok: x\n    playbook: y\n"
    assert problems(text) == [
        'goldsmith.yml:1: imagse: unknown key; did you mean "images"?',
        'goldsmith.yml:5: images.web.target: unknown key; did you mean "targets"?',
        'goldsmith.yml:7: more.0.playbok: unknown key; did you mean "playbook"?',
    ]


def test_missing_wrong_type_and_own_validator() -> None:
    text = "sealed: perhaps\nimages:\n  a: {}\n  b:\n    playbook: /x\n  c:\n    playbook: 5\n"
    assert problems(text) == [
        "goldsmith.yml:1: sealed: must be true or false",
        "goldsmith.yml:3: images.a.playbook: is required, and missing",
        "goldsmith.yml:5: images.b.playbook: must be relative",
        "goldsmith.yml:7: images.c.playbook: must be text (put it in quotes)",
    ]


def test_union_members_are_not_named() -> None:
    found = problems("images:\n  a:\n    playbook: x\n    size: [1]\n")
    assert {line.split(": ")[0] + ": " + line.split(": ")[1] for line in found} == {"goldsmith.yml:4: images.a.size"}


def test_not_a_mapping() -> None:
    assert problems("- a\n") == ["goldsmith.yml:1: expected keys and values, found a list"]
    assert problems("hello\n") == ["goldsmith.yml:1: expected keys and values, found only 'hello'"]


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "twice (first on line 1)"),
        ("a:\n  x: 1\n  x: 1\n", 3, "twice (first on line 2)"),
        ("a: [1\nb: 2\n", 2, "not valid YAML"),
        ("a: 1\n---\nb: 2\n", 2, "not valid YAML"),
        ("a: !!python/object:os.system x\n", 1, "not valid YAML"),
        ("a: &x [*x]\n", 1, "contains itself"),
        ("? [1, 2]\n: 3\n", 1, "plain word"),
    ],
)
def test_unreadable_yaml_names_the_line(text: str, line: int, word: str) -> None:
    with pytest.raises(UsageError) as caught:
        yamlfile.loads(text, HERE)
    assert caught.value.message.startswith(f"goldsmith.yml:{line}: ")
    assert word in caught.value.message


def test_dates_stay_text() -> None:
    assert yamlfile.loads("version: 2026-01-01\n", HERE).data == {"version": "2026-01-01"}


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        yamlfile.load(tmp_path / "absent.yml")
    with pytest.raises(UsageError, match="can't be read"):
        yamlfile.load(tmp_path)
    (tmp_path / "latin.yml").write_bytes(b"a: \xe9\n")
    with pytest.raises(UsageError, match="not UTF-8 text"):
        yamlfile.load(tmp_path / "latin.yml")
    (tmp_path / "odd.yml").write_bytes(b"a: 1\nb: \x01\n")
    with pytest.raises(UsageError, match=r"odd.yml:2: not valid YAML"):
        yamlfile.load(tmp_path / "odd.yml")
    (tmp_path / "good.yml").write_text("a: b\n")
    assert yamlfile.load(tmp_path / "good.yml").data == {"a": "b"}
