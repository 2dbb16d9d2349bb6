"""The command of a virtual machine, and whose processes are whose."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from goldsmith import machine
from goldsmith.errors import ToolError


@pytest.fixture
def emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "accelerator", lambda: machine.EMULATED)


def made(folder: Path, **given: Any) -> machine.Machine:
    found = machine.Machine("web-disk", Path("/images/web.qcow2"), folder, **given)
    for name in ("id_ed25519.pub", "host_key", "host_key.pub"):
        (folder / name).write_text(f"content of {name}\n")
    return found


def test_no_key_is_in_what_everybody_may_see(tmp_path: Path, emulated: None) -> None:
    argv = made(tmp_path).argv(2222)
    assert "content" not in " ".join(argv)
    for file in tmp_path.iterdir():
        if any(word == f"type=11,path={file}" for word in argv):
            assert file.stat().st_mode & 0o077 == 0


def test_a_disk_boots_by_its_own_boot_loader_unless_it_has_none(tmp_path: Path, emulated: None) -> None:
    assert "-kernel" not in made(tmp_path).argv(2222)
    with_kernel = made(tmp_path, kernel=Path("/base")).argv(2222)
    assert with_kernel[with_kernel.index("-kernel") + 1] == "/base/kernel"


def test_it_has_the_firmware_that_was_asked_for_and_writes_to_a_copy_only(tmp_path: Path, emulated: None) -> None:
    assert "pflash" not in " ".join(made(tmp_path).argv(2222))
    argv = made(tmp_path, firmware=machine.UEFI).argv(2222)
    code, variables = [word for word in argv if "pflash" in word]
    assert code == f"if=pflash,format=raw,file={machine.UEFI.code},readonly=on"
    assert variables == f"if=pflash,format=raw,file={tmp_path}/variables.fd"
    assert "smm=on" not in argv
    assert "smm=on" in made(tmp_path, firmware=machine.SECURE_BOOT).argv(2222)


def test_firmware_that_is_missing_is_named(tmp_path: Path) -> None:
    firmware = machine.Firmware(tmp_path / "code.fd", tmp_path / "variables.fd")
    with pytest.raises(ToolError, match=r"no .*variables\.fd") as caught:
        machine.Machine("web", tmp_path / "web.qcow2", tmp_path / "machine", firmware=firmware).start()
    assert "ovmf" in caught.value.hint


def test_only_this_machine_reaches_the_guest(tmp_path: Path, emulated: None) -> None:
    [forward] = [word for word in made(tmp_path).argv(2222) if "hostfwd" in word]
    assert forward == "user,id=net,hostfwd=tcp:127.0.0.1:2222-:22"


def test_hardware_that_is_there_but_fails_is_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fails = tmp_path / "qemu-system-x86_64"
    fails.write_text("#!/bin/sh\nexit 134\n")
    fails.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(os, "access", lambda *_: True)
    assert machine.accelerator.__wrapped__() == machine.EMULATED
    fails.write_text("#!/bin/sh\nexit 1\n")
    assert machine.accelerator.__wrapped__() == ("-accel", "kvm", "-cpu", "host")


def test_only_machines_with_a_disk_in_the_folder_are_ended(tmp_path: Path) -> None:
    # A stand-in that only looks like QEMU in the process list: what is tried is who is found, and ended.
    stand_in = tmp_path / "qemu-system-x86_64"
    stand_in.symlink_to("/bin/sleep")
    one, other = (tmp_path / name for name in ("one", "other"))
    started = [
        subprocess.Popen(["/bin/bash", "-c", f'exec -a {stand_in} /bin/sh -c "sleep 60; :" file={folder}/disk.qcow2'])
        for folder in (one, other)
    ]
    try:
        while not (machine.processes(one) and machine.processes(other)):
            pass
        machine.end(one)
        assert started[0].wait(10) != 0
        assert started[1].poll() is None
        assert machine.processes(other)
    finally:
        machine.end(other)
        for process in started:
            process.wait(10)


def test_a_connection_that_hangs_while_the_machine_goes_down_is_given_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ssh = tmp_path / "ssh"
    calls = tmp_path / "calls"
    ssh.write_text(
        f"#!/bin/sh\necho >>{calls}\ncase $(wc -l <{calls}) in\n"
        "1 | 5) echo old ;; 2 | 3) exec sleep 3600 ;; 4) exit 255 ;; *) echo new ;; esac\n"
    )
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(machine, "ANSWER", 0.5)
    monkeypatch.setattr(machine.Machine, "settle", lambda _: "running")
    began = time.monotonic()
    assert made(tmp_path).reboot() == "running"
    assert time.monotonic() - began < 600
    assert len(calls.read_text().splitlines()) >= 6
