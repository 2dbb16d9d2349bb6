"""The one place where programs are started, waited for and stopped."""

from __future__ import annotations

import _thread
import contextlib
import functools
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO

from goldsmith.errors import GoldsmithError, ToolError

GRACE = 30.0
"""Seconds that an interrupted program has to clean up before it is killed."""

INSTALL = {
    "ansible-galaxy": "pip install 'ansible>=12,<13'",
    "ansible-playbook": "pip install 'ansible>=12,<13'",
    "docker": "apt-get install docker.io",
    "git": "apt-get install git",
    "gzip": "apt-get install gzip",
    "mmdebstrap": "apt-get install mmdebstrap",
    "packer": "apt-get install packer",
    "prlimit": "apt-get install util-linux",
    "qemu-img": "apt-get install qemu-utils",
    "qemu-nbd": "apt-get install qemu-utils",
    "qemu-system-x86_64": "apt-get install qemu-system-x86",
    "setpriv": "apt-get install util-linux",
    "skopeo": "apt-get install skopeo",
    "ssh": "apt-get install openssh-client",
    "vagrant": "apt-get install vagrant vagrant-libvirt libvirt-daemon-system",
    "xz": "apt-get install xz-utils",
    "zstd": "apt-get install zstd",
}
"""Program -> the command that installs it on Debian."""


class Interrupted(BaseException):
    """SIGINT, SIGTERM or SIGHUP came. Not an Exception: only the command line ends with it."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum

    @property
    def exit_code(self) -> int:
        """128 + the signal's number, as a shell reports it."""
        return 128 + self.signum


_held: list[signal.Signals | None] = []
"""A place for each `uninterrupted` block that the main thread is in: the first has the signal that came meanwhile."""


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Turn SIGINT, SIGTERM and SIGHUP into `Interrupted` for as long as the block runs."""

    def handler(signum: int, _frame: FrameType | None) -> None:
        if _held:
            _held[0] = signal.Signals(signum)
        else:
            raise Interrupted(signum)

    def lost(unraisable: sys.UnraisableHookArgs) -> None:
        # Python drops what is raised in a callback of its own (a finalizer, a hook of fork): so it comes again, later.
        if isinstance(unraisable.exc_value, Interrupted):
            again = threading.Timer(0.01, _thread.interrupt_main, (unraisable.exc_value.signum,))
            again.daemon = True
            again.start()
        else:
            hook(unraisable)

    hook, sys.unraisablehook = sys.unraisablehook, lost
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {signum: signal.signal(signum, handler) for signum in signals}
    try:
        yield
    finally:
        for signum, old in before.items():
            signal.signal(signum, old)
        sys.unraisablehook = hook


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold `Interrupted` back: for clean-up that must reach its end.

    Blocking the signals would not do: another thread gets them then, and the main one is interrupted all the same.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # it is not interrupted
        return
    _held.append(None)
    try:
        yield
    finally:
        came = _held.pop()
        if came is not None:
            _thread.interrupt_main(came)


@dataclass(frozen=True)
class Completed:
    """What a program left: its argv, exit code, and what it wrote."""

    argv: tuple[str, ...]
    code: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        """Standard output as text, without the last newline."""
        return self.stdout.decode(errors="replace").rstrip("\n")

    @property
    def error(self) -> str:
        """Standard error as text, without the last newline."""
        return self.stderr.decode(errors="replace").rstrip("\n")


def require(program: str) -> str:
    """The program's path.

    Raises:
        ToolError: it is not on PATH; the hint says how to install it.
    """
    found = shutil.which(program)
    if found is None:
        install = INSTALL.get(program)
        raise ToolError(
            f"{program} is not installed, or not on PATH",
            hint=f"install it: {install}" if install else "`goldsmith doctor` lists all that is needed",
        )
    return found


def run(
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: bytes = b"",
    timeout: float | None = None,
    check: bool = True,
    on_line: Callable[[str], None] | None = None,
) -> Completed:
    """Run one program to its end.

    With `on_line`, every line of standard output and error goes to it as it comes, and is not kept.
    When this process is interrupted, the program's process group gets SIGINT, has `GRACE` seconds to clean
    up, and is then killed; the interruption goes on upwards. When this process is killed, the program gets SIGTERM.

    Raises:
        ToolError: the program is not installed.
        GoldsmithError: `check` and it failed (the message ends with its last line of error that says why), or it
            ran longer than `timeout` seconds.
    """
    errors = subprocess.STDOUT if on_line else subprocess.PIPE
    with running(argv, cwd=cwd, env=env, stdin=subprocess.PIPE, stderr=errors) as process:
        try:
            if on_line:
                stdout, stderr = b"", b""
                _feed(process.stdin, stdin)
                assert process.stdout is not None  # noqa: S101 - Popen was given a pipe
                for line in process.stdout:
                    on_line(line.decode(errors="replace").rstrip("\r\n"))
                process.wait(timeout)
            else:
                stdout, stderr = process.communicate(stdin, timeout)
        except subprocess.TimeoutExpired:
            raise GoldsmithError(f"{argv[0]} gave no answer within {timeout:g} s") from None
    done = Completed(tuple(argv), process.returncode, stdout, stderr)
    if check and done.code != 0:
        # Docker ends every complaint with a pointer to its --help, which names no cause.
        lines = [line for line in (done.error or done.text).splitlines() if line and "--help'" not in line]
        reason = lines[-1] if lines else f"exit code {done.code}"
        raise GoldsmithError(f"{' '.join(argv[:3])} failed: {reason}")
    return done


@contextlib.contextmanager
def running(
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: int = subprocess.DEVNULL,
    stderr: int = subprocess.PIPE,
) -> Iterator[subprocess.Popen[bytes]]:
    """A program that runs for as long as the block does: what is left of it then gets SIGINT, has `GRACE` seconds to
    clean up, and is killed.

    It must say little: nobody reads it meanwhile.

    Raises:
        ToolError: the program is not installed.
    """
    process = None
    try:
        with uninterrupted():  # a program that nobody knows of would go on
            process = _start(argv, cwd=cwd, env=env, stdin=stdin, stderr=stderr)
        yield process
    finally:
        if process is not None and process.poll() is None:
            _stop(process)


def _start(
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: int = subprocess.DEVNULL,
    stderr: int = subprocess.PIPE,
) -> subprocess.Popen[bytes]:
    program = require(argv[0])
    return subprocess.Popen(
        # It is to end with us. Python could say so by itself, but would have to copy this whole process for it.
        (require("setpriv"), "--pdeathsig", "TERM", program, *argv[1:]),
        cwd=cwd,
        env={**os.environ, **env} if env else None,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=stderr,
        start_new_session=True,  # a Ctrl-C reaches the program through us, once
    )


def run_together(
    commands: Sequence[Sequence[str]],
    at_once: int,
    on_line: Callable[[int, str], None] | None = None,
    *,
    stdin: Callable[[], Sequence[bytes]] | None = None,
    timeout: float | None = None,
) -> Generator[tuple[int, Completed]]:
    """Run programs side by side, at most `at_once` at a time; each comes back with its number when it has ended.

    With `on_line`, every line of a program's standard error goes to it, with the program's number, and is not kept;
    without, each gets its own of what `stdin` makes when the first ones run already, and one that has not ended
    `timeout` seconds later is killed.
    When this process is interrupted, or an error goes through, all get SIGINT, and `GRACE` seconds to clean up.
    """
    heard: queue.Queue[tuple[int, str | Completed]] = queue.Queue()
    started: dict[int, subprocess.Popen[bytes]] = {}
    waiting = list(enumerate(commands))
    texts = functools.cache(stdin or (lambda: [None] * len(commands)))

    def hear(number: int, process: subprocess.Popen[bytes], text: bytes | None) -> None:
        if on_line and process.stderr:
            for line in process.stderr:
                heard.put((number, line.decode(errors="replace").rstrip("\r\n")))
        code, stdout, stderr = _ended(process, text, timeout)
        heard.put((number, Completed(tuple(commands[number]), code, stdout, stderr)))

    try:
        while waiting or started:
            begun = waiting[: at_once - len(started)]
            del waiting[: len(begun)]
            for number, argv in begun:
                with uninterrupted():
                    started[number] = _start(argv, stdin=subprocess.PIPE if stdin else subprocess.DEVNULL)
            given = texts()
            for number, _ in begun:
                threading.Thread(target=hear, args=(number, started[number], given[number]), daemon=True).start()
            number, what = _next(heard)
            if isinstance(what, Completed):
                del started[number]
                yield number, what
            elif on_line:
                on_line(number, what)
    except BaseException:
        _stop_together(list(started.values()))
        raise


def _next(heard: queue.Queue[tuple[int, str | Completed]]) -> tuple[int, str | Completed]:
    """What comes next. A wait without end would not see a signal that came just before it, or to another thread."""
    while True:
        with contextlib.suppress(queue.Empty):
            return heard.get(timeout=1)


def _ended(process: subprocess.Popen[bytes], stdin: bytes | None, timeout: float | None) -> tuple[int, bytes, bytes]:
    """Exit code, output and errors of a program that has ended, or was killed since it did not in time."""
    try:
        stdout, stderr = process.communicate(stdin, timeout)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        stdout, _ = process.communicate()
        stderr = f"no answer within {timeout:g} s".encode()
    return process.returncode, stdout, stderr


def _stop_together(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """End process groups: SIGINT, one grace for all, SIGKILL."""
    with uninterrupted():
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGINT)
        end = time.monotonic() + GRACE
        for process in processes:
            try:
                process.wait(max(0.0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def low_priority(process: int) -> None:
    """Let a process or a thread, and what it will start, give way to what has our own priority."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, process, os.getpriority(os.PRIO_PROCESS, 0) + 10)


def usual_priority(process: int) -> None:
    """Give it our own priority again, where the system allows it."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, process, os.getpriority(os.PRIO_PROCESS, 0))


def alive(process: str) -> bool:
    """Whether a process of this machine with that number runs."""
    return process.isdecimal() and Path("/proc", process).exists()


def _feed(pipe: IO[bytes] | None, data: bytes) -> None:
    """Write `data` and close, without waiting for the reader."""
    if pipe is None:
        return

    def write() -> None:
        with contextlib.suppress(BrokenPipeError), pipe:
            pipe.write(data)

    threading.Thread(target=write, daemon=True).start()


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the process group: SIGINT, a grace, SIGKILL."""
    with uninterrupted():
        for signum, wait in ((signal.SIGINT, GRACE), (signal.SIGKILL, None)):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signum)
            try:
                process.communicate(timeout=wait)
            except subprocess.TimeoutExpired:
                continue
            except ValueError:  # its pipes are closed already
                process.wait()
            return
