"""A machine's manifest, told by what it differs in: what the collector leaves out, this side puts back, exactly."""

from __future__ import annotations

import copy
import gzip
import io
import json
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.goldsmith.core.plugins.module_utils.collector import command, document
from ansible_collections.goldsmith.core.plugins.module_utils.collector import expect as collector

from goldsmith import expect, manifest
from goldsmith.errors import GoldsmithError
from tests.paths import FIXTURES

Document = dict[str, Any]


def recorded(name: str) -> Document:
    found: Document = json.loads(gzip.decompress((FIXTURES / f"manifests/{name}.json.gz").read_bytes()))
    return found


def again(found: Document) -> Document:
    """The document with its digest."""
    return {**found, "digest": manifest.digest(found["sections"])}


def asked(machine: Document, reference: Document) -> tuple[bytes, manifest.Manifest]:
    """What the machine's collector answers, and what is made of it."""
    expectation = expect.Expectation(manifest.from_document(reference, "reference"))
    answer = document.canonical(collector.answer(machine, json.loads(expectation.data))).encode()
    return answer, expectation.manifest(answer, "web1")


@pytest.mark.parametrize("machine", ["host", "image-at-rest", "image-booted"])
@pytest.mark.parametrize("reference", ["host", "image-at-rest", "image-booted"])
def test_recorded_machines_are_put_together_again(machine: str, reference: str) -> None:
    answer, found = asked(recorded(machine), recorded(reference))
    assert found.document() == recorded(machine)
    assert len(answer) < len(json.dumps(recorded(machine))) / 4


def test_an_equal_machine_says_almost_nothing() -> None:
    host = recorded("host")
    answer, found = asked(host, host)
    assert found.document() == host
    assert len(answer) < 2500  # of 95,000: identity, and one digest
    assert json.loads(answer)["runtime"] == {"sockets": None, "units": None}


def no_section(machine: Document) -> None:
    del machine["sections"]["units"]


def new_section(machine: Document) -> None:
    machine["sections"]["cron"] = {"/etc/cron.d/x": {"line": "* * * * *"}}


def empty_section(machine: Document) -> None:
    machine["sections"]["packages"] = {}


def odd_names(machine: Document) -> None:
    machine["sections"]["files"].update({"/a\nb": {"type": "file"}, "/\ufffd80ü": {"type": "file"}, "": {}})


def runtime_only(machine: Document) -> None:
    machine["runtime"]["units"]["nginx.service"] = {"active": "failed", "sub": "failed"}


@pytest.mark.parametrize("change", [no_section, new_section, empty_section, odd_names, runtime_only])
def test_a_change_comes_through(change: Callable[[Document], None]) -> None:
    host = recorded("host")
    machine = copy.deepcopy(host)
    change(machine)
    machine = again(machine)
    assert machine != host
    assert asked(machine, host)[1].document() == machine
    assert asked(host, machine)[1].document() == host


@pytest.mark.parametrize("seed", range(20))
def test_any_changes_come_through(seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311 - dice
    host = recorded("host")
    machine = copy.deepcopy(host)
    for _ in range(dice.randint(1, 30)):
        section = machine["sections"][dice.choice(sorted(machine["sections"]))]
        name = dice.choice(sorted(section) or ["x"])
        match dice.randint(0, 2):
            case 0:
                section.pop(name, None)
            case 1:
                section[name] = {**section.get(name, {}), "mode": f"{dice.randint(0, 4095):04o}"}
            case _:
                section[f"{name}.{dice.random()}"] = {"type": "file"}
    assert asked(again(machine), host)[1].document() == again(machine)


def test_an_answer_that_leaves_something_out_is_not_believed() -> None:
    host = recorded("host")
    machine = copy.deepcopy(host)
    machine["sections"]["files"]["/etc/evil"] = {"type": "file"}
    answer, _ = asked(again(machine), host)
    told = json.loads(answer)
    for lie in (
        {"files": {"buckets": [], "things": {}}},
        {"files": {"buckets": [99999], "things": {}}},
        {"files": None},
    ):
        said = {**told, "sections": {**told["sections"], **lie}}
        with pytest.raises(GoldsmithError, match=r"digest|not whole"):
            expect.Expectation(manifest.from_document(host, "x")).manifest(json.dumps(said).encode(), "web1")


def test_sections_of_another_digest_are_never_taken_for_equal() -> None:
    host = recorded("host")
    said = {**host, "digest": "sha256:0", "sections": None}
    with pytest.raises(GoldsmithError, match="not whole"):
        expect.Expectation(manifest.from_document(host, "x")).manifest(json.dumps(said).encode(), "web1")


@pytest.mark.parametrize("answer", [b"", b"[]", b"{}", b'{"digest": [], "sections": {}}', b"\xff"])
def test_what_is_no_answer_is_refused(answer: bytes) -> None:
    with pytest.raises(GoldsmithError):
        expect.Expectation(manifest.from_document(recorded("host"), "x")).manifest(answer, "web1")


def test_sections_of_a_known_digest_are_left_out() -> None:
    host, image = recorded("host"), recorded("image-booted")
    expectation = expect.Expectation(manifest.from_document(image, "x"))
    answer = document.canonical(collector.answer(host, json.loads(expectation.data))).encode()
    found = expectation.manifest(answer, "web1", lambda digest: digest == host["digest"])
    assert (found.sections, found.digest, found.identity) == ({}, host["digest"], host["identity"])


def test_the_collector_takes_an_expectation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/motd").write_text("hello\n")
    assert command.main(["--root", str(tmp_path)]) == 0
    whole = json.loads(capsys.readouterr().out)
    expectation = expect.Expectation(manifest.from_document(whole, "x"))
    (tmp_path / "etc/motd").write_text("good bye\n")
    monkeypatch.setattr(sys, "stdin", io.StringIO(expectation.data.decode()))
    assert command.main(["--root", str(tmp_path), "--expect"]) == 0
    found = expectation.manifest(capsys.readouterr().out.encode(), "web1")
    assert found.digest != whole["digest"]
    assert found.sections["files"]["/etc/motd"]["size"] == 9
