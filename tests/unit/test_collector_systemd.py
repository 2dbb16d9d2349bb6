"""What systemd answers on its own socket, from a server that speaks as it does."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible_collections.goldsmith.core.plugins.module_utils.collector.runtime import ask, environment, systemd, units

Serve = Callable[..., None]
ANSWER, ERROR, SIGNAL = 2, 3, 4


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """A server that welcomes one caller and, once it has asked, sends these bytes and hangs up."""
    monkeypatch.setattr(systemd, "_SOCKET", str(tmp_path / "private"))
    threads = []

    def start(*messages: bytes, welcome: bytes = b"OK 0123\r\n") -> None:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(systemd._SOCKET)
        listener.listen()

        def speak() -> None:
            with listener, listener.accept()[0] as caller:
                assert caller.recv(100) == b"\0AUTH EXTERNAL 30\r\nBEGIN\r\n"
                caller.sendall(welcome)
                if caller.recv(10_000):  # one that is not welcome says no more
                    caller.sendall(b"".join(messages))

        threads.append(threading.Thread(target=speak))
        threads[-1].start()

    yield start
    for thread in threads:
        thread.join(10)


def message(kind: int, body: bytes, order: bytes = systemd._ORDER) -> bytes:
    return struct.pack("=cBBBIII", order, kind, 0, 1, len(body), 1, 5) + b"field\0\0\0" + body


def unit(name: str, active: str, sub: str) -> systemd._Writer:
    written = systemd._Writer()
    for text in (name, "About it", "loaded", active, sub, "", "/path"):
        written.string(text)
    written.data += bytes(-len(written.data) % 4) + struct.pack("=I", 0)
    written.string("")
    written.string("/")
    return written


def listed(*found: tuple[str, str, str]) -> bytes:
    inner = systemd._Writer()
    for each in found:
        inner.align(8)
        inner.data += unit(*each).data
    return struct.pack("=II", len(inner.data), 0) + bytes(inner.data)


def variables(*found: str) -> bytes:
    written = systemd._Writer()
    written.signature("as")
    written.strings(found)
    return bytes(written.data)


UNITS = (("nginx.service", "active", "running"), ("cron.service", "failed", "failed"), ("x.mount", "active", "mounted"))


def test_units(serve: Serve) -> None:
    serve(message(SIGNAL, b"news"), message(ANSWER, listed(*UNITS)))
    assert systemd.units(["active", "failed"]) == list(UNITS)


def test_units_of_other_kinds_are_left_out(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ask, "systemd_runs", lambda: True)
    serve(message(ANSWER, listed(*UNITS)))
    listing = units.list_units([])
    assert "nginx.service" in listing
    assert "x.mount" not in listing


def test_environment(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ask, "systemd_runs", lambda: True)
    serve(message(ANSWER, variables("PATH=/usr/bin:/bin", "LANG=C.UTF-8")))
    assert environment.collect([]) == {"PATH": {"value": "/usr/bin:/bin"}}


def test_a_value_that_systemctl_puts_in_quotes_is_its_own_to_tell(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ask, "systemd_runs", lambda: True)
    monkeypatch.setattr(ask, "run", lambda _argv, _warnings: "A=$'x y'\nB=1")
    serve(message(ANSWER, variables("A=x y", "B=1")))
    assert environment.collect([]) == {"A": {"value": "$'x y'"}, "B": {"value": "1"}}


WHOLE = message(ANSWER, listed(*UNITS))
OTHER = b"B" if systemd._ORDER == b"l" else b"l"


@pytest.mark.parametrize(
    ("said", "welcome"),
    [
        (b"", b"OK 0123\r\n"),
        (WHOLE, b"REJECTED EXTERNAL\r\n"),
        (message(ERROR, b"no such method"), b"OK 0123\r\n"),
        (message(ANSWER, listed(*UNITS), OTHER), b"OK 0123\r\n"),
        *((WHOLE[:length], b"OK 0123\r\n") for length in (10, 20, 60, len(WHOLE) - 1)),
        *((message(ANSWER, listed(*UNITS)[:length]), b"OK 0123\r\n") for length in (2, 60, 200)),
    ],
)
def test_no_whole_answer_is_none(serve: Serve, said: bytes, welcome: bytes) -> None:
    serve(said, welcome=welcome)
    assert systemd.units(["active"]) is None


def test_a_variable_that_is_cut_short_is_none(serve: Serve) -> None:
    serve(message(ANSWER, variables("PATH=/usr/bin:/bin")[:-4]))
    assert systemd.environment() is None


def test_where_nobody_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systemd, "_SOCKET", str(tmp_path / "private"))
    assert systemd.environment() is None
