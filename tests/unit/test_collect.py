"""The collector on its way to a machine: byte code for a Python of our version, the source for any other."""

from __future__ import annotations

import importlib.util
import json
import marshal
from dataclasses import replace
from pathlib import Path

import pytest

from goldsmith import collect, proc, resources


@pytest.mark.parametrize("ours", [True, False])
def test_byte_code_or_source(ours: bool, tmp_path: Path) -> None:
    """Another Python's magic number stands for another Python, and what is no byte code for its byte code."""
    first, packages, magic, codes, sources = marshal.loads(collect.packed())  # noqa: S302 - our own
    assert magic == importlib.util.MAGIC_NUMBER
    if ours:
        sources = b""
    else:
        magic, codes = b"\x01\x02\r\n", b""
    data = marshal.dumps([first, packages, magic, codes, sources], 2)
    done = proc.run(collect.collector_argv("python3", "--root", str(tmp_path)), stdin=b"%d\n%b" % (len(data), data))
    assert json.loads(done.text)["scope"] == "rest"


def test_nothing_of_the_machine_gets_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies where it is started, or is named by the environment, is no part of the collector."""
    (tmp_path / "json.py").write_text("raise SystemExit('taken from the working folder')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    done = proc.run(collect.collector_argv("python3", "--help"), stdin=collect.sent())
    assert "--expect" in done.text


def test_what_a_host_kept_is_for_collectors_of_the_same_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def version() -> str:
        collect._version.cache_clear()
        return collect._version()

    (tmp_path / "runtime").mkdir()
    source = tmp_path / "runtime/units.py"
    source.write_text("one\n")
    try:
        with monkeypatch.context() as patched:
            patched.setattr(resources, "folder", lambda _name: tmp_path)
            first = version()
            source.touch()
            assert version() == first
            source.write_text("two\n")
            second = version()
            source.rename(tmp_path / "units.py")
            assert len({first, second, version()}) == 3
    finally:
        own = version()
    host = collect.Target("ssh", "web1")
    assert collect._live(host) == ["--root", "/", "--scope", "live", "--sources", own]
    assert collect._live(replace(host, cache=False)) == ["--root", "/", "--scope", "live", "--no-cache"]
