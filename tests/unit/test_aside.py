"""A copy of this process answers one question, and is gone whatever happens."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from goldsmith.aside import Aside
from goldsmith.errors import GoldsmithError, UsageError


def nothing() -> None:
    pass


def whose(word: str) -> tuple[str, int]:
    return word, os.getpid()


def refuse() -> None:
    raise UsageError("no host matches", hint="it has: web1")


def hang() -> None:
    time.sleep(600)


def is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def test_the_answer_is_another_process_own() -> None:
    with Aside(nothing, whose) as beside:
        beside.ask("x")
        assert beside.answer() == ("x", beside._pid)
    assert beside._pid != os.getpid()
    assert is_gone(beside._pid)


def test_it_prepares_itself_before_it_is_asked(tmp_path: Path) -> None:
    with Aside((tmp_path / "prepared").touch, whose):
        end = time.monotonic() + 30
        while not (tmp_path / "prepared").exists():
            assert time.monotonic() < end


@pytest.mark.parametrize("early", [True, False])
def test_an_error_there_is_one_here(early: bool) -> None:
    """With its hint and exit code, whether it came before the question or with it."""
    with Aside(refuse, nothing) if early else Aside(nothing, refuse) as beside:
        beside.ask()
        with pytest.raises(UsageError, match="no host matches") as found:
            beside.answer()
    assert (found.value.hint, found.value.exit_code) == ("it has: web1", 2)


def test_one_that_was_killed_is_an_error() -> None:
    with Aside(hang, nothing) as beside:
        beside.ask()
        os.kill(beside._pid, signal.SIGKILL)
        with pytest.raises(GoldsmithError, match="was ended"):
            beside.answer()


def test_nothing_is_left_where_nobody_asks() -> None:
    with pytest.raises(KeyError), Aside(hang, nothing) as beside:
        raise KeyError
    assert is_gone(beside._pid)


def test_what_each_says_is_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is buffered when the copy is made, and what is buffered there at its end."""
    with (tmp_path / "said").open("w") as said:
        monkeypatch.setattr("sys.stdout", said)
        print("before")
        with Aside(lambda: print("there"), nothing) as beside:
            beside.ask()
            beside.answer()
        print("after")
    assert (tmp_path / "said").read_text() == "before\nthere\nafter\n"
