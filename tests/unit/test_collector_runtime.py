"""What runs: from systemctl's recorded answer and a machine's own unit files."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import tarfile
from pathlib import Path

import pytest
from ansible_collections.goldsmith.core.plugins.module_utils.collector import tree
from ansible_collections.goldsmith.core.plugins.module_utils.collector.runtime import sockets, units

from tests.paths import FIXTURES

RECORDED = (FIXTURES / "runtime/list-units.json").read_text()


@pytest.fixture
def unit_files(tmp_path: Path) -> units.UnitFiles:
    with tarfile.open(FIXTURES / "units/debian-12.tar.gz") as recorded:
        recorded.extractall(tmp_path)  # noqa: S202 - our own fixture
    (tmp_path / "lib").symlink_to("usr/lib")
    own = tmp_path / "etc/systemd/system"
    (own / "peruse@.service").write_text("[Service]\nExecStart=x\n")
    (own / "peruse.socket").write_text("[Socket]\nAccept=yes\n")
    (own / "many@.service").write_text("[Service]\nExecStart=x\n")
    (own / "many.socket").write_text("[Socket]\nAccept=no\n")
    (own / "job.service").write_text("[Service]\nType=oneshot\n")
    (own / "stays.service").write_text("[Service]\nType=oneshot\nRemainAfterExit=yes\n")
    for name, condition in (("updated", "ConditionNeedsUpdate=|/etc"), ("first", "ConditionFirstBoot=yes")):
        unit = f"[Unit]\n{condition}\n[Service]\nType=oneshot\nRemainAfterExit=yes\n"
        (own / f"{name}.service").write_text(unit)
    return units.UnitFiles(tree.DirectoryTree(tmp_path))


def listing(*units: tuple[str, str, str]) -> str:
    return json.dumps([{"unit": name, "load": "loaded", "active": active, "sub": sub} for name, active, sub in units])


def test_recorded_answer(unit_files: units.UnitFiles) -> None:
    found = units.active_units(RECORDED, unit_files)
    assert found["nginx.service"] == {"active": "active", "sub": "running"}
    assert found["systemd-logind.service"] == {"active": "active", "sub": "running"}
    assert found["apt-daily.timer"] == {"active": "active"}
    assert found["dbus.socket"] == {"active": "active"}
    assert len(found) > 15


def test_what_comes_and_goes_is_left_out(unit_files: units.UnitFiles) -> None:
    found = units.active_units(
        listing(
            ("run-r123.service", "active", "running"),
            ("user@1000.service", "active", "running"),
            ("user-runtime-dir@1000.service", "active", "exited"),
            ("systemd-hostnamed.service", "active", "running"),
            ("peruse@3-10.0.0.1:22-10.0.0.2:5.service", "active", "running"),
            ("job.service", "activating", "start"),
            ("updated.service", "active", "exited"),
            ("first.service", "active", "exited"),
            ("plain.service", "inactive", "dead"),
        ),
        unit_files,
    )
    assert found == {}


def test_what_stays_is_recorded(unit_files: units.UnitFiles) -> None:
    found = units.active_units(
        listing(
            ("job.service", "failed", "failed"),
            ("stays.service", "active", "exited"),
            ("many@a.service", "active", "running"),
            ("plain.service", "activating", "auto-restart"),
            ("by-hand.service", "active", "running"),
            ("a.timer", "active", "elapsed"),
        ),
        unit_files,
    )
    assert found == {
        "job.service": {"active": "failed", "sub": "failed"},
        "stays.service": {"active": "active", "sub": "exited"},
        "many@a.service": {"active": "active", "sub": "running"},
        "plain.service": {"active": "activating", "sub": "auto-restart"},
        "by-hand.service": {"active": "active", "sub": "running"},
        "a.timer": {"active": "active"},
    }


def test_what_is_set_until_the_next_boot_is_recorded(tmp_path: Path) -> None:
    (tmp_path / "cron.service.d").mkdir()
    (tmp_path / "cron.service.d/x.conf").write_text("[Service]\n")
    (tmp_path / "ssh.service").symlink_to("/dev/null")
    (tmp_path / "multi-user.target.wants").mkdir()
    (tmp_path / "multi-user.target.wants/x.service").symlink_to("/opt/x.service")
    digest = "sha256:" + hashlib.sha256(b"[Service]\n").hexdigest()
    assert units.until_boot(str(tmp_path)) == {
        "cron.service": {f"{tmp_path}/cron.service.d/x.conf": digest},
        "ssh.service": {f"{tmp_path}/ssh.service": "/dev/null"},
        "x.service": {f"{tmp_path}/multi-user.target.wants/x.service": "/opt/x.service"},
    }
    assert units.until_boot(f"{tmp_path}/none") == {}


def test_no_systemd_is_a_warning_not_an_error(monkeypatch: pytest.MonkeyPatch, unit_files: units.UnitFiles) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(os.path, "isdir", lambda _path: False)
    assert units.active_units(units.list_units(warnings), unit_files) == {}
    assert len(warnings) == 1


def test_the_kernel_s_answer_is_what_its_table_says(monkeypatch: pytest.MonkeyPatch) -> None:
    places = [(socket.AF_INET, "127.0.0.1"), *((socket.AF_INET6, each) for each in ("::1", "::", "::ffff:127.0.0.1"))]
    with contextlib.ExitStack() as opened:
        own, connected = {}, set()
        for family, address in places:
            listener = opened.enter_context(socket.socket(family))
            listener.bind((address, 0))
            listener.listen()
            own[str(os.fstat(listener.fileno()).st_ino)] = (address, listener.getsockname()[1])
            client = opened.enter_context(socket.create_connection(listener.getsockname()[:2]))
            connected.add(str(os.fstat(client.fileno()).st_ino))
        for family, table in ((socket.AF_INET, "tcp"), (socket.AF_INET6, "tcp6")):
            answer = sockets.ask_kernel(family)
            told = [each for each in answer if each[2] in own]
            assert connected.isdisjoint(inode for *_other, inode in answer)
            text = Path("/proc/net", table).read_text()
            assert sorted(told) == sorted(each for each in sockets.parse_table(text, False) if each[2] in own)
            assert {(address.strip("[]"), port) for address, port, _inode in told} == {
                own[inode] for *_other, inode in told
            }
            assert len(told) == (1 if family == socket.AF_INET else 3)
    monkeypatch.setattr(socket, "IPPROTO_TCP", 253)
    with pytest.raises(OSError, match="does not tell"):
        sockets.ask_kernel(socket.AF_INET)


def test_the_kernel_is_asked_only_where_it_loads_nothing_for_that(monkeypatch: pytest.MonkeyPatch) -> None:
    table = "head\n 0: 0100007F:1F90 00000000:0000 0A 0 0 0 0 0 17\n"
    monkeypatch.setattr(os.path, "exists", lambda path: path == "/proc/modules")
    monkeypatch.setattr(sockets, "ask_kernel", lambda family: [("asked", family, "1")])
    for loaded, asked in [
        ("", False),
        ("tcp_diag 1 0 - Live 0x0\n", False),
        ("inet_diag 1 1 tcp_diag, Live 0x0\n", False),
        ("tcp_diag 1 0 - Live 0x0\ninet_diag 1 1 tcp_diag, Live 0x0\n", True),
    ]:
        monkeypatch.setattr(sockets, "read", lambda path, loaded=loaded: loaded if path == "/proc/modules" else table)
        found = list(sockets._table("tcp", False))
        assert found == ([("asked", socket.AF_INET, "1")] if asked else [("127.0.0.1", 8080, "17")])
    assert list(sockets._table("udp", True)) == []
    monkeypatch.setattr(sockets, "ask_kernel", lambda _family: sockets._ANSWER.unpack(b""))
    assert list(sockets._table("tcp6", False)) == [("127.0.0.1", 8080, "17")]


def test_own_sockets_are_found_with_their_program() -> None:
    with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        tcp.bind(("127.0.0.1", 0))
        tcp.listen()
        udp.bind(("127.0.0.1", 0))
        found = sockets.collect([])
        key = f"tcp 127.0.0.1:{tcp.getsockname()[1]}"
        assert found[key]["program"].startswith("python")
        assert "python" in found["udp 127.0.0.1:ephemeral"]["program"]
    assert key not in sockets.collect([])
