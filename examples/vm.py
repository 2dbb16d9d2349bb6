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
import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from goldsmith import machine, proc
from goldsmith.errors import GoldsmithError

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / ".cache" / "vm"
SUITES = ("bookworm", "trixie")
SIZE = "6G"

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


class Machine(machine.Machine):
    """A machine of this clone, of such a base."""

    def __init__(self, name: str, disk: Path, *, cpus: int = 1, memory: int = 1024) -> None:
        super().__init__(name, disk / "disk.raw", CACHE / name, kernel=disk, cpus=cpus, memory=memory)

    def start(self) -> None:
        if self.folder.exists():
            raise GoldsmithError(f"there is a machine {self.name} already", hint=f"examples/vm.py stop {self.name}")
        super().start()


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
