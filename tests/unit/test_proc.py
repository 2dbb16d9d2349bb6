"""Programs are started, heard and stopped."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent import futures
from pathlib import Path
from typing import Any

import pytest

from goldsmith import proc
from goldsmith.errors import GoldsmithError, ToolError


def test_output_and_input() -> None:
    done = proc.run(["cat"], stdin=b"hello\n")
    assert (done.code, done.text) == (0, "hello")


def test_lines_come_one_by_one() -> None:
    lines: list[str] = []
    proc.run(["sh", "-c", "echo one; echo two >&2"], on_line=lines.append)
    assert sorted(lines) == ["one", "two"]


def test_a_failure_says_the_last_line_of_error() -> None:
    with pytest.raises(GoldsmithError, match="it is broken"):
        proc.run(["sh", "-c", "echo it is broken >&2; exit 3"])


def test_a_failure_says_why_and_not_where_help_is() -> None:
    words = b"docker: the name is in use.\n\nRun 'docker run --help' for more information\n"
    with pytest.raises(GoldsmithError, match="the name is in use"):
        proc.run(["sh", "-c", "cat >&2; exit 3"], stdin=words)


def test_a_missing_program_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(ToolError) as error:
        proc.run(["packer", "version"])
    assert "apt-get install packer" in error.value.hint
    assert error.value.exit_code == 5


def test_too_long_is_an_error() -> None:
    with pytest.raises(GoldsmithError, match="no answer within"):
        proc.run(["sleep", "60"], timeout=0.05)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_interruption_lets_the_program_clean_up(tmp_path: Path, signum: signal.Signals) -> None:
    made, cleaned = tmp_path / "made", tmp_path / "cleaned"
    program = (
        "import pathlib, signal, sys\n"
        "def stop(*_): pathlib.Path(sys.argv[2]).touch(); sys.exit(1)\n"
        "signal.signal(signal.SIGINT, stop)\n"
        "pathlib.Path(sys.argv[1]).touch(); print('ready', flush=True); signal.pause()\n"
    )

    def interrupt(_line: str) -> None:
        threading.Timer(0, os.kill, (os.getpid(), signum)).start()

    with pytest.raises(proc.Interrupted) as stop, proc.interruptible():
        proc.run([sys.executable, "-c", program, str(made), str(cleaned)], on_line=interrupt)
    assert stop.value.exit_code == 128 + signum
    assert made.exists()
    assert cleaned.exists()


def test_a_program_ends_with_the_process_that_was_killed(tmp_path: Path) -> None:
    """Nobody cleans up after SIGKILL; the program is told, and can."""
    started = tmp_path / "started"
    program = f"echo $$ >{started}.new && mv {started}.new {started}; sleep 60"
    ours = f"from goldsmith import proc; proc.run(['sh', '-c', {program!r}])"
    process = subprocess.Popen([sys.executable, "-c", ours])
    await_condition(started.exists)
    process.kill()
    process.wait()
    number = started.read_text().strip()
    await_condition(lambda: not proc.alive(number))


def test_programs_run_side_by_side(tmp_path: Path) -> None:
    """Each of two waits for what the other one makes; the third has to wait for its turn."""
    meet = 'touch "$0/$1"; until [ -e "$0/$2" ]; do sleep 0.05; done; echo "$1" >&2; echo out-$1; exit $3'
    commands = [
        ["sh", "-c", meet, str(tmp_path), "a", "b", "0"],
        ["sh", "-c", meet, str(tmp_path), "b", "a", "3"],
        ["sh", "-c", meet, str(tmp_path), "c", "a", "0"],
    ]
    lines: list[tuple[int, str]] = []
    ended = dict(proc.run_together(commands, 2, lambda number, line: lines.append((number, line))))
    assert sorted(lines) == [(0, "a"), (1, "b"), (2, "c")]
    assert {number: (done.code, done.text) for number, done in ended.items()} == {
        0: (0, "out-a"),
        1: (3, "out-b"),
        2: (0, "out-c"),
    }


def test_all_programs_that_run_side_by_side_may_clean_up(tmp_path: Path) -> None:
    clean = 'trap "touch $0/cleaned-$1; exit 1" INT; touch "$0/$1"; echo ready >&2; while :; do sleep 0.05; done'
    commands = [["sh", "-c", clean, str(tmp_path), name] for name in "ab"]
    heard: list[int] = []

    def interrupt(number: int, _line: str) -> None:
        heard.append(number)
        if len(heard) == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(proc.Interrupted), proc.interruptible():
        list(proc.run_together(commands, 2, interrupt))
    assert sorted(path.name for path in tmp_path.glob("cleaned-*")) == ["cleaned-a", "cleaned-b"]


def await_condition(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_programs_side_by_side_get_their_input_and_no_more_than_their_time() -> None:
    commands = [["cat"], ["sh", "-c", "cat; echo sorry >&2; exit 3"], ["sleep", "60"]]
    ended = dict(proc.run_together(commands, 3, stdin=lambda: [b"a" * 200_000, b"b", b""], timeout=2))
    assert (ended[0].code, ended[0].stdout) == (0, b"a" * 200_000)
    assert (ended[1].code, ended[1].stdout, ended[1].stderr) == (3, b"b", b"sorry\n")
    assert (ended[2].code, ended[2].stderr) == (-9, b"no answer within 2 s")


def test_an_interruption_that_comes_into_a_finalizer_is_not_lost() -> None:
    class Ends:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGTERM)

    def wait() -> None:
        Ends()
        await_condition(lambda: False)

    with pytest.raises(proc.Interrupted) as stop, proc.interruptible():
        wait()
    assert stop.value.signum == signal.SIGTERM


def test_clean_up_reaches_its_end_though_another_thread_takes_signals() -> None:
    over = threading.Event()
    other = threading.Thread(target=over.wait)
    other.start()
    cleaned = []

    def clean() -> None:
        with proc.uninterrupted(), proc.uninterrupted():
            signal.pthread_kill(other.ident or 0, signal.SIGINT)
            time.sleep(0.2)  # nothing is to come of it
            cleaned.append("all")
        await_condition(lambda: False)

    try:
        with pytest.raises(proc.Interrupted), proc.interruptible():
            clean()
    finally:
        over.set()
        other.join()
    assert cleaned == ["all"]


def test_a_program_is_known_before_an_interruption_can_come(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []

    def start(*arguments: Any, **settings: Any) -> subprocess.Popen[bytes]:
        started.append(popen(*arguments, **settings))
        signal.raise_signal(signal.SIGINT)
        return started[-1]

    popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", start)
    with pytest.raises(proc.Interrupted), proc.interruptible():
        proc.run(["sleep", "60"])
    with pytest.raises(proc.Interrupted), proc.interruptible():
        list(proc.run_together([["sleep", "60"], ["sleep", "60"]], 2))
    assert [process.poll() for process in started] == [-signal.SIGINT] * 2


def test_an_interruption_that_another_thread_gets_ends_the_wait_for_programs(tmp_path: Path) -> None:
    def interrupt() -> None:
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)

    timer = threading.Timer(0.5, interrupt)
    timer.start()
    with pytest.raises(proc.Interrupted), proc.interruptible():
        list(proc.run_together([["sh", "-c", 'sleep 10 && touch "$0"', str(tmp_path / "ended")]], 1))
    timer.join()
    assert not (tmp_path / "ended").exists()


def test_input_is_made_when_the_programs_run_already(tmp_path: Path) -> None:
    def made() -> list[bytes]:
        await_condition((tmp_path / "runs").exists)
        return [b"late"]

    ended = dict(proc.run_together([["sh", "-c", 'touch "$0" && cat', str(tmp_path / "runs")]], 1, stdin=made))
    assert ended[0].stdout == b"late"


def test_programs_whose_input_cannot_be_made_are_ended(tmp_path: Path) -> None:
    runs = tmp_path / "runs"

    def failing() -> list[bytes]:
        await_condition(lambda: runs.exists() and runs.read_text().endswith("\n"))
        raise GoldsmithError("no such manifest")

    with pytest.raises(GoldsmithError, match="no such manifest"):
        list(proc.run_together([["sh", "-c", 'echo $$ >"$0"; exec sleep 60', str(runs)]], 1, stdin=failing))
    assert not proc.alive(runs.read_text().strip())


def test_a_thread_gives_way_with_what_it_starts_and_comes_back() -> None:
    ours = os.getpriority(os.PRIO_PROCESS, 0)
    lower = min(ours + 10, 19)  # there is no lower one
    with futures.ThreadPoolExecutor(1) as beside:
        thread = beside.submit(threading.get_native_id).result()
        beside.submit(proc.low_priority, thread).result()
        assert beside.submit(proc.run, ["nice"]).result().text == str(lower)
        assert proc.run(["nice"]).text == str(ours)
        proc.usual_priority(thread)
        # Only root may do that.
        expected = ours if os.geteuid() == 0 else lower
        assert os.getpriority(os.PRIO_PROCESS, thread) == expected
    proc.usual_priority(2**22 + 1)  # which is no process
