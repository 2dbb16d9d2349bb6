"""A virtual machine on this machine: QEMU, started over a layer of a disk, reached over SSH, gone without a trace.

It gets its key, its own host key and its name from outside, as a cloud gives them: systemd reads them as credentials
from the firmware's tables (SMBIOS type 11; systemd 252 or newer). The disk itself is never written to.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import os
import shutil
import signal
import socket
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from goldsmith import proc
from goldsmith.disk import format_of
from goldsmith.errors import GoldsmithError, ToolError

SETTLE = 600.0
"""Seconds that a machine has to come up. Without hardware's help and beside other work it is slow."""
ANSWER = 60.0
"""Seconds that a machine which may be going down has to answer."""
PROBE = 10.0
"""Seconds that the hardware has to show that it helps. It needs less than one."""
EMULATED = ("-accel", "tcg,thread=multi", "-cpu", "qemu64")
OVMF = Path("/usr/share/OVMF")
"""Where Debian's package ovmf has its firmware."""
END_AT_ONCE = bytes([0xB0, 0x00, 0xE6, 0xF4, 0xF4, 0xEB, 0xFD]).ljust(510, b"\0") + b"\x55\xaa"
"""A boot sector: mov al, 0; out 0xf4, al; hlt; jmp back. With QEMU's isa-debug-exit at 0xf4 QEMU ends with 1."""


@dataclass(frozen=True)
class Firmware:
    """UEFI: the files of its code and of its variables. One that is `secure` starts only what these say is signed."""

    code: Path
    variables: Path
    secure: bool = False

    def options(self, variables: Path) -> list[str]:
        """QEMU's options for it, with a machine's own copy of the variables. Pure."""
        flash = [f"file={self.code},readonly=on", f"file={variables}"]
        # Only code in system management mode may write the variables then.
        secure = ["-machine", "smm=on", "-global", "driver=cfi.pflash01,property=secure,value=on"]
        drives = [word for file in flash for word in ("-drive", f"if=pflash,format=raw,{file}")]
        return drives + (secure if self.secure else [])


UEFI = Firmware(OVMF / "OVMF_CODE_4M.fd", OVMF / "OVMF_VARS_4M.fd")
SECURE_BOOT = Firmware(OVMF / "OVMF_CODE_4M.secboot.fd", OVMF / "OVMF_VARS_4M.ms.fd", secure=True)
"""With Microsoft's keys, as most computers have them when they are bought."""


@functools.cache
def accelerator() -> tuple[str, ...]:
    """QEMU's options for the fastest way that works. /dev/kvm may be there and not work, so it is tried."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return EMULATED
    with tempfile.NamedTemporaryFile(prefix="goldsmith-probe-") as sector:
        sector.write(END_AT_ONCE)
        sector.flush()
        argv = [
            *("qemu-system-x86_64", "-accel", "kvm", "-cpu", "host", "-m", "64", "-nodefaults", "-display", "none"),
            *("-device", "isa-debug-exit,iobase=0xf4,iosize=4", "-drive", f"file={sector.name},format=raw,if=ide"),
        ]
        try:
            works = proc.run(argv, check=False, timeout=PROBE).code == 1
        except GoldsmithError:
            works = False
    return ("-accel", "kvm", "-cpu", "host") if works else EMULATED


def free_port() -> int:
    """A port of this machine on which nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


class Machine:
    """One machine, of a disk, with a folder for all that it has. A context manager: it leaves nothing behind.

    It boots as hardware does, by its boot loader, from BIOS or the `firmware` given; or, with `kernel`, a folder with
    kernel and initrd, at once: that is for disks that have no boot loader, hosts file or resolver of their own either.
    """

    def __init__(
        self,
        name: str,
        disk: Path,
        folder: Path,
        *,
        kernel: Path | None = None,
        firmware: Firmware | None = None,
        cpus: int = 1,
        memory: int = 1024,
    ) -> None:
        self.name = name
        self.hostname = name.replace("_", "-")
        self.disk = disk
        self.kernel = kernel
        self.firmware = firmware
        self.cpus = cpus
        self.memory = memory
        self.folder = folder
        self.ssh_config = self.folder / "ssh_config"
        self.console = self.folder / "console.log"

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def environment(self) -> dict[str, str]:
        """For Ansible: the ssh_config that knows the machine."""
        return {"ANSIBLE_SSH_COMMON_ARGS": f"-F {self.ssh_config}"}

    def start(self) -> None:
        """Start it, and wait until systemd has finished starting."""
        for program in ("qemu-img", "qemu-system-x86_64", "ssh"):
            proc.require(program)
        if self.firmware and not self.firmware.variables.exists():
            raise ToolError(f"there is no {self.firmware.variables}", hint="install it: apt-get install ovmf")
        self.folder.mkdir(parents=True)
        if self.firmware:
            shutil.copyfile(self.firmware.variables, self.folder / "variables.fd")
        for key in ("id_ed25519", "host_key"):
            path = str(self.folder / key)
            proc.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"goldsmith {self.name}", "-f", path])
        layer = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(self.disk.resolve()), "-F", format_of(self.disk)]
        proc.run([*layer, str(self.folder / "disk.qcow2")])
        for last in (False, False, True):
            port = free_port()
            started = proc.run(self.argv(port), check=False)
            if started.code == 0:
                break
            # Between the question for a free port and its use somebody else may take it.
            if last or "host forwarding" not in started.error:
                raise GoldsmithError(f"QEMU does not start: {started.error}")
        self.write(port)
        self.settle()

    def argv(self, port: int) -> list[str]:
        """QEMU's command, and the files that it names."""
        key, host_key, public = (
            (self.folder / name).read_text(encoding="ascii") for name in ("id_ed25519.pub", "host_key", "host_key.pub")
        )
        # tmpfiles.d(5): f+ writes a file anew, f only where there is none; ~ takes its text in base64.
        lines = [
            ("f~", "/etc/ssh/ssh_host_ed25519_key", "0600", host_key),
            ("f~", "/etc/ssh/ssh_host_ed25519_key.pub", "0644", public),
        ]
        boot: list[str] = []
        acceleration = accelerator()
        if self.kernel:
            lines.append(("f+~", "/etc/resolv.conf", "0644", "nameserver 10.0.2.3\n"))
            lines.append(("f+~", "/etc/hosts", "0644", f"127.0.0.1 localhost\n127.0.1.1 {self.hostname}\n"))
            # An emulated processor does not speculate; what Linux does against that takes an eighth of its time.
            unprotected = " mitigations=off" if acceleration == EMULATED else ""
            arguments = f"root=/dev/vda rw console=ttyS0 systemd.hostname={self.hostname}{unprotected}"
            files = ("-kernel", str(self.kernel / "kernel"), "-initrd", str(self.kernel / "initrd"))
            boot = [*files, "-append", arguments]
        if self.firmware:
            boot = self.firmware.options(self.folder / "variables.fd")
        credentials = {
            "ssh.authorized_keys.root": key,
            "tmpfiles.extra": "".join(
                f"{kind} {path} {mode} root root - {encoded(text)}\n" for kind, path, mode, text in lines
            ),
        }
        # From files, for a host key is not for everybody's eyes, as argv is.
        for name, value in credentials.items():
            file = self.folder / name
            file.touch(mode=0o600)
            file.write_text(f"io.systemd.credential.binary:{name}={encoded(value)}", encoding="ascii")
        return [
            *("qemu-system-x86_64", "-name", f"goldsmith-vm-{self.name}", "-machine", "q35", *acceleration),
            *("-smp", str(self.cpus), "-m", str(self.memory), "-nodefaults", "-no-user-config", "-display", "none"),
            *boot,
            *("-drive", f"if=virtio,file={self.folder / 'disk.qcow2'},format=qcow2,cache=unsafe,discard=unmap"),
            *("-netdev", f"user,id=net,hostfwd=tcp:127.0.0.1:{port}-:22", "-device", "virtio-net-pci,netdev=net"),
            *("-device", "virtio-rng-pci", "-serial", f"file:{self.console}", "-daemonize"),
            *(word for name in credentials for word in ("-smbios", f"type=11,path={self.folder / name}")),
        ]

    def write(self, port: int) -> None:
        """Write ssh_config and known_hosts."""
        kind, key = (self.folder / "host_key.pub").read_text(encoding="ascii").split()[:2]
        known = self.folder / "known_hosts"
        known.write_text(f"{self.name} {kind} {key}\n", encoding="ascii")
        # A socket's path must be short.
        (self.folder / "control").symlink_to(tempfile.mkdtemp(prefix=f"goldsmith-vm-{os.getpid()}-"))
        self.ssh_config.write_text(
            f"Host {self.name}\n  HostName 127.0.0.1\n  Port {port}\n  HostKeyAlias {self.name}\n  User root\n"
            f"  IdentityFile {self.folder / 'id_ed25519'}\n  IdentitiesOnly yes\n  UserKnownHostsFile {known}\n"
            "  HostKeyAlgorithms ssh-ed25519\n  StrictHostKeyChecking yes\n  UpdateHostKeys no\n"
            f"  ControlPath {(self.folder / 'control').readlink()}/ssh\n",
            encoding="utf-8",
        )

    def ssh(self, *command: str, check: bool = True, timeout: float | None = None) -> proc.Completed:
        """Run a command as root."""
        argv = ["ssh", "-F", str(self.ssh_config), "-o", "ConnectTimeout=30", "-o", "LogLevel=ERROR", self.name]
        return proc.run([*argv, *command], check=check, timeout=timeout)

    def hold(self) -> dict[str, str]:
        """Keep one connection, and take back the key that opened it: what is seen then is the disk's own.

        Gives the environment with which Ansible takes that connection.
        """
        control = self.folder / "control"
        share = ["-o", "ControlMaster=auto", "-o", "ControlPersist=yes", "-o", f"ControlPath={control.readlink()}/ssh"]
        take_back = "rm -f /root/.ssh/authorized_keys; rmdir --ignore-fail-on-non-empty /root/.ssh"
        proc.run(["ssh", "-F", str(self.ssh_config), *share, self.name, take_back])
        return {"ANSIBLE_SSH_COMMON_ARGS": " ".join(["-F", str(self.ssh_config), *share])}

    def settle(self) -> str:
        """Wait until systemd has finished starting; its word for the state."""
        end = time.monotonic() + SETTLE
        while time.monotonic() < end and self.processes():
            state = self.ssh("systemctl", "is-system-running", "--wait", check=False).text
            if state in {"running", "degraded", "maintenance"}:
                return state
            time.sleep(0.5)
        lines = self.console.read_text(errors="replace").splitlines()[-20:] if self.console.exists() else []
        raise GoldsmithError("\n".join([f"the machine {self.name} did not come up. The end of its console:", *lines]))

    def reboot(self) -> str:
        """Boot it again, and wait; systemd's word for the state."""
        boot = "cat /proc/sys/kernel/random/boot_id"
        before = self.ssh(boot).text
        self._ask("systemctl reboot")
        end = time.monotonic() + SETTLE
        while time.monotonic() < end:
            if self._ask(boot) not in {"", before}:
                return self.settle()
            time.sleep(0.5)
        raise GoldsmithError(f"the machine {self.name} did not boot again within {SETTLE:g} s")

    def _ask(self, command: str) -> str:
        """What it says; nothing where it does not answer: one that goes down ends no connection."""
        with contextlib.suppress(GoldsmithError):
            return self.ssh(command, check=False, timeout=ANSWER).text
        return ""

    def processes(self) -> list[int]:
        """QEMU's process, if it runs."""
        return processes(self.folder)

    def stop(self) -> None:
        """Pull its plug and remove all that it had."""
        with proc.uninterrupted():
            end(self.folder)
            control = self.folder / "control"
            if control.is_symlink():
                shutil.rmtree(control.readlink(), ignore_errors=True)
            shutil.rmtree(self.folder, ignore_errors=True)


def processes(folder: Path) -> list[int]:
    """Every QEMU that has a disk in the folder."""
    disk = f"file={folder}/".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            argv = (process / "cmdline").read_bytes().split(b"\0")
            if argv[0].endswith(b"qemu-system-x86_64") and any(disk in word for word in argv):
                found.append(int(process.name))
    return found


def end(folder: Path) -> None:
    """End every QEMU that has a disk in the folder."""
    while running := processes(folder):
        for pid in running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        time.sleep(0.1)
