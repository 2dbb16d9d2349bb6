"""Real machines on this machine, for what no container can prove: QEMU, from Debian's archive alone.

    examples/vm.py start NAME [--suite trixie]     start a bare machine and wait until it is up
    examples/vm.py ssh NAME [COMMAND...]           log in as root
    examples/vm.py stop NAME... | --all            end it, and remove all that it had
    examples/vm.py base SUITE                      make what machines of SUITE start from, and say where it lies

A machine is reached over SSH with `ssh -F .cache/vm/NAME/ssh_config NAME`, and so by Ansible. Its disk is a layer
over a base that is made once and kept: the packages of packer/base-image.sh, a kernel, and DHCP. Nothing of its own
is in the base. It gets the controller's key, its own host key and its name from outside, as a cloud gives them.
The kernel is started by QEMU itself: a machine has no boot loader.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

from goldsmith import proc
from goldsmith.errors import GoldsmithError

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / ".cache" / "vm"
SUITES = ("bookworm", "trixie")
SETTLE = 600.0
"""Seconds that a machine has to come up. Without hardware's help and beside other work it is slow."""
PROBE = 10.0
"""Seconds that a kernel has to show that the hardware helps. It needs less than one."""
SIZE = "6G"
EMULATED = ["-accel", "tcg,thread=multi", "-cpu", "qemu64"]

NETWORK = """\
[Match]
Driver=virtio_net

[Network]
DHCP=ipv4
"""
# Without a journal, which would be of use only to a disk that outlives its machine.
ASSEMBLE = """
set -eu
mkdir tree
tar -x --numeric-owner --xattrs --xattrs-include='*' -f "$1" -C tree
rm -f tree/.dockerenv
cp "$(ls -v tree/boot/vmlinuz-* | tail -n 1)" kernel
cp "$(ls -v tree/boot/initrd.img-* | tail -n 1)" initrd
/sbin/mke2fs -q -t ext4 -O ^has_journal -m 0 -d tree disk.raw "$2"
rm -rf tree
chown "$3" kernel initrd disk.raw
"""


def packages() -> str:
    """What a machine has, separated by commas: what the base image has, and what a container needs not."""
    script = (ROOT / "packer" / "base-image.sh").read_text(encoding="utf-8")
    [line] = re.findall(r'^packages="(.*)"$', script, re.MULTILINE)
    return ",".join([*line.split(), "linux-image-cloud-amd64", "udev"])


def as_root() -> list[str]:
    """What is put before a command that makes files of root's."""
    return [] if os.getuid() == 0 else ["sudo"]


@contextlib.contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Wait until nobody else holds the lock."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def assemble(tree: Path, folder: Path) -> None:
    """Make folder/disk.raw, kernel and initrd of a whole system in an archive."""
    owner = f"{os.getuid()}:{os.getgid()}"
    proc.run([*as_root(), "sh", "-c", ASSEMBLE, "assemble", str(tree.resolve()), SIZE, owner], cwd=folder)


def base(suite: str) -> Path:
    """The folder with tree.tar, disk.raw, kernel and initrd of a bare machine. It is made if it is not there."""
    key = hashlib.sha256("\0".join([suite, packages(), NETWORK, ASSEMBLE]).encode()).hexdigest()[:12]
    folder = CACHE / f"base-{suite}-{key}"
    with alone(CACHE / f"base-{suite}.lock"):
        if folder.exists():
            return folder
        print(f"vm: making a base of Debian {suite} (a minute)", file=sys.stderr)
        for old in CACHE.glob(f"base-{suite}-*"):
            shutil.rmtree(old)
        making = Path(tempfile.mkdtemp(prefix=f"making-{suite}-", dir=CACHE))
        try:
            network = making / "80-dhcp.network"
            network.write_text(NETWORK, encoding="utf-8")
            proc.run(
                [
                    *as_root(),
                    "mmdebstrap",
                    "--quiet",
                    "--variant=minbase",
                    f"--include={packages()}",
                    # Fetched again only where they changed.
                    "--skip=cleanup/apt/lists",
                    f"--customize-hook=upload {network} /etc/systemd/network/80-dhcp.network",
                    '--customize-hook=systemctl --root="$1" enable systemd-networkd.service',
                    "--customize-hook=rm -f $1/etc/ssh/ssh_host_*_key* $1/var/lib/dbus/machine-id $1/etc/hostname"
                    " $1/etc/resolv.conf && : > $1/etc/machine-id",
                    suite,
                    str(making / "tree.tar"),
                ]
            )
            network.unlink()
            assemble(making / "tree.tar", making)
            making.rename(folder)
        finally:
            shutil.rmtree(making, ignore_errors=True)
    return folder


def accelerator(folder: Path) -> list[str]:
    """QEMU's options for the fastest way that works. /dev/kvm may be there and hang, so a kernel is started with it."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    known = CACHE / "accelerator"
    with alone(CACHE / "accelerator.lock"):
        if not known.exists() or known.read_text(encoding="ascii").split()[0] != boot:
            # It finds no disk, panics, and ends QEMU: all that was to be seen.
            argv = [
                *("qemu-system-x86_64", "-name", "goldsmith-vm-probe", "-accel", "kvm", "-cpu", "host", "-m", "256"),
                *("-nodefaults", "-display", "none", "-no-reboot"),
                *("-kernel", str(folder / "kernel"), "-append", "panic=-1"),
            ]
            try:
                works = proc.run(argv, check=False, timeout=PROBE).code == 0
            except GoldsmithError:
                works = False
            known.write_text(f"{boot} {'kvm' if works else 'tcg'}\n", encoding="ascii")
        if known.read_text(encoding="ascii").split()[1] == "kvm":
            return ["-accel", "kvm", "-cpu", "host"]
    return EMULATED


def free_port() -> int:
    """A port of this machine on which nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


class Machine:
    """One machine. A context manager: it leaves nothing behind."""

    def __init__(self, name: str, disk: Path, *, cpus: int = 1, memory: int = 1024) -> None:
        self.name = name
        self.hostname = name.replace("_", "-")
        self.disk = disk
        self.cpus = cpus
        self.memory = memory
        self.folder = CACHE / name
        self.ssh_config = self.folder / "ssh_config"
        self.console = self.folder / "console.log"

    def __enter__(self) -> Machine:
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
        if self.folder.exists():
            raise GoldsmithError(f"there is a machine {self.name} already", hint=f"examples/vm.py stop {self.name}")
        self.folder.mkdir(parents=True)
        for key in ("id_ed25519", "host_key"):
            path = str(self.folder / key)
            proc.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"goldsmith {self.name}", "-f", path])
        layer = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(self.disk / "disk.raw"), "-F", "raw"]
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
            ("f+~", "/etc/resolv.conf", "0644", "nameserver 10.0.2.3\n"),
            ("f+~", "/etc/hosts", "0644", f"127.0.0.1 localhost\n127.0.1.1 {self.hostname}\n"),
            ("f~", "/etc/ssh/ssh_host_ed25519_key", "0600", host_key),
            ("f~", "/etc/ssh/ssh_host_ed25519_key.pub", "0644", public),
        ]
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
        acceleration = accelerator(self.disk)
        # An emulated processor does not speculate; what Linux does against that takes an eighth of its time.
        unprotected = " mitigations=off" if acceleration == EMULATED else ""
        return [
            *("qemu-system-x86_64", "-name", f"goldsmith-vm-{self.name}", "-machine", "q35", *acceleration),
            *("-smp", str(self.cpus), "-m", str(self.memory), "-nodefaults", "-no-user-config", "-display", "none"),
            *("-kernel", str(self.disk / "kernel"), "-initrd", str(self.disk / "initrd")),
            *("-append", f"root=/dev/vda rw console=ttyS0 systemd.hostname={self.hostname}{unprotected}"),
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
        (self.folder / "control").symlink_to(tempfile.mkdtemp(prefix="goldsmith-vm-"))
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
        before = self.ssh("cat /proc/sys/kernel/random/boot_id").text
        self.ssh("systemctl reboot", check=False)
        end = time.monotonic() + SETTLE
        while time.monotonic() < end:
            now = self.ssh("cat /proc/sys/kernel/random/boot_id", check=False)
            if now.code == 0 and now.text != before:
                return self.settle()
            time.sleep(0.5)
        raise GoldsmithError(f"the machine {self.name} did not boot again within {SETTLE:g} s")

    def processes(self) -> list[int]:
        """QEMU's process, if it runs: the one with our disk."""
        disk = str(self.folder / "disk.qcow2").encode()
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                argv = (folder / "cmdline").read_bytes().split(b"\0")
                if argv[0].endswith(b"qemu-system-x86_64") and any(disk in word for word in argv):
                    found.append(int(folder.name))
        return found

    def stop(self) -> None:
        """Pull its plug and remove all that it had."""
        with proc.uninterrupted():
            while running := self.processes():
                for pid in running:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGTERM)
                time.sleep(0.1)
            control = self.folder / "control"
            if control.is_symlink():
                shutil.rmtree(control.readlink(), ignore_errors=True)
            shutil.rmtree(self.folder, ignore_errors=True)


def machines() -> list[str]:
    """The machines of this clone, running or not."""
    return sorted(path.parent.name for path in CACHE.glob("*/host_key"))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="examples/vm.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    start = commands.add_parser("start", help="start a bare machine and wait until it is up")
    start.add_argument("name")
    start.add_argument("--suite", choices=SUITES, default=SUITES[0])
    start.add_argument("--cpus", type=int, default=2)
    start.add_argument("--memory", type=int, default=1024, help="MiB")
    ssh = commands.add_parser("ssh", help="log in as root, or run a command")
    ssh.add_argument("name")
    ssh.add_argument("argv", nargs=argparse.REMAINDER)
    stop = commands.add_parser("stop", help="end machines, and remove all that they had")
    stop.add_argument("names", nargs="*")
    stop.add_argument("--all", action="store_true", help="all of this clone")
    made = commands.add_parser("base", help="make what machines start from, and say where it lies")
    made.add_argument("suite", choices=SUITES)
    given = parser.parse_args(arguments)

    if given.command == "start":
        machine = Machine(given.name, base(given.suite), cpus=given.cpus, memory=given.memory)
        try:
            machine.start()
        except BaseException:
            machine.stop()
            raise
        print(machine.ssh_config)
    elif given.command == "ssh":
        config = CACHE / given.name / "ssh_config"
        return subprocess.run(["ssh", "-F", str(config), given.name, *given.argv], check=False).returncode
    elif given.command == "stop":
        for name in machines() if given.all else given.names:
            Machine(name, CACHE).stop()
    else:
        print(base(given.suite))
    return 0


if __name__ == "__main__":
    try:
        with proc.interruptible():
            sys.exit(main())
    except proc.Interrupted as interruption:
        sys.exit(interruption.exit_code)
    except GoldsmithError as error:
        print(f"vm: {error}", file=sys.stderr)
        sys.exit(1)
