"""The suite of mutations itself: each file is whole, every section has one, and a wrong answer is seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from goldsmith.compare import SECTIONS, Difference
from tests import mutations
from tests.mutations import Mutation

MUTATION = Mutation("x", "a test", "files", "true", "true", ("files /a mode", "users *"), ("file /a, *", "user x"))
FOUND = [
    Difference("files", "/a", "mode", "changed", "0644", "0600"),
    Difference("users", "x", None, "only_b", None, {}),
]


def test_each_file_is_a_mutation_and_there_are_enough() -> None:
    every = mutations.every()
    assert len(every) >= 60
    assert len({each.what for each in every}) == len(every)
    for each in every:
        assert any(words.startswith(f"{each.section} ") for words in each.named), each.name


def test_every_section_has_a_mutation_or_a_reason() -> None:
    tried = {each.section for each in mutations.every()}
    assert tried.isdisjoint(mutations.NOT_IN_A_CONTAINER)
    assert tried | mutations.NOT_IN_A_CONTAINER.keys() == set(SECTIONS)


@pytest.mark.parametrize(
    "text",
    [
        "what: x\n",
        "what: x\nsection: os\napply: x\nundo: x\nnamed: []\ncauses: [x]\n",
        "what: x\nsection: os\napply: x\nundo: 1\nnamed: [x]\ncauses: [x]\n",
        "what: x\nsection: os\napply: x\nundo: x\nnamed: [x]\ncauses: [x]\nprivilege: true\n",
    ],
)
def test_a_file_that_is_not_whole_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "x.yml"
    path.write_text(text)
    with pytest.raises(ValueError, match="a mutation has"):
        mutations.load(path)


def test_what_is_as_it_must_be() -> None:
    assert MUTATION.wrong(FOUND, ["file /a, mode", "user x"]) == []


def test_what_is_missed_is_seen() -> None:
    assert MUTATION.wrong(FOUND[:1], ["file /a, mode", "user x"]) == ["not named: users *"]
    assert MUTATION.wrong(FOUND, ["user x"]) == ["no such cause: file /a, *"]
    assert MUTATION.wrong(FOUND, ["file /a, mode", "user x", "user y"]) == ["another cause: user y"]
