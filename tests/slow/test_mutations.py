"""Recall: each single change of a live host is named, with its cause and nothing else, and undoing it is seen too."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from examples.lab import Lab
from goldsmith import drift_report
from tests import mutations
from tests.mutations import Mutation, host
from tests.mutations.host import Mutated


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory, base: str) -> Iterator[Mutated]:
    """The converged host. Once a mutation can't be undone, no other is tried on it."""
    folder = tmp_path_factory.mktemp("mutations")
    with Lab(folder / "lab", base, [host.NAME]) as lab, host.ready(folder, lab) as ready:
        assert ready.look().verdict == "in sync"
        yield ready


@pytest.mark.parametrize("mutation", mutations.every(), ids=lambda mutation: mutation.name)
def test_a_mutation_is_named_and_so_is_its_end(mutation: Mutation, machine: Mutated) -> None:
    if machine.spoilt:
        pytest.fail(f"the host is no more what it was since {machine.spoilt}")
    machine.spoilt = mutation.name
    machine.run(mutation.apply, privileged=mutation.privileged)
    found = machine.look()
    machine.run(mutation.undo, privileged=mutation.privileged)
    assert drift_report.why(machine.look()) == [], "what undo leaves"
    machine.spoilt = ""
    assert mutation.wrong(found.differences, drift_report.why(found)) == []
    assert found.verdict == "drifted"
