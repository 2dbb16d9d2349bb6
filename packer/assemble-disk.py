"""Puts a disk together of the tree of a whole system: partitions, file systems, boot loader for BIOS and UEFI.

It runs in a container of the system's own base image, as root there, with the standard library and the base's tools.
It needs no mount and no loop device: everything is written into a file.

    python3 assemble-disk.py unpack ARCHIVE         the archive of a system's files becomes /tree, completed for a disk
    python3 assemble-disk.py read DISK              the root file system of such a disk becomes /tree
    python3 assemble-disk.py write DISK             /tree becomes DISK, raw and sparse

What to make is in the environment: DISK_SIZE (bytes), DISK_SEED (UUIDs are made of it), SOURCE_DATE_EPOCH (the newest
time that a file may have, and when the file systems were made).

Layout: GPT. 1 MiB: GRUB's core for BIOS; 4 MiB: EFI system partition; 68 MiB to the end: root, ext4, last so that it
can grow. A BIOS loads boot.img from the first sector, that loads the core: what grub-bios-setup writes into both, as
GRUB's manual says under "BIOS installation".
"""

from __future__ import annotations

import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

MIB = 2**20
SECTOR = 512
TREE = Path("/tree")
CORE_START, ESP_START, ROOT_START = MIB, 4 * MIB, 68 * MIB
END = MIB
"""Bytes left free at the end of the disk, for the copy of the partition table."""
BOOT_CODE = 440
"""Bytes of the first sector that are code. What follows is the partition table's."""
KERNEL_SECTOR, DRIVE_CHECK, NEXT_SECTOR = 0x5C, 0x66, 0x1F4
"""Where boot.img keeps the core's sector and its work-around for floppies; where the core keeps its second sector."""
ROOT_TYPE = "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709"
"""Of a partition that is the root file system of a machine of this architecture, whoever made the disk."""
EXT_MAGIC = 1024 + 0x38
"""Where ext2, ext3 and ext4 say that they are one."""
ATTRIBUTE = re.compile(r"  ([\w.]+) \(\d+\)")
"""A line of debugfs' list of a file's attributes: name and length."""
ENTRY = re.compile(r"/\d+/(\d+)/\d+/\d+/(.+)/\d*/$")
"""A line of its list of a folder: inode, type and mode (octal), owner, group, name, size."""

PARTITIONS = """\
label: gpt
label-id: {disk}
first-lba: 34
start={core}, size={core_size}, type=21686148-6449-6E6F-744E-656564454649, uuid={core_uuid}, name=bios
start={esp}, size={esp_size}, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, uuid={esp_uuid}, name=efi
start={root}, size={root_size}, type={root_type}, uuid={root_uuid}, name=root
"""
FSTAB = """\
UUID={root} / ext4 errors=remount-ro,x-systemd.growfs 0 1
UUID={esp} /boot/efi vfat umask=0077,nofail 0 0
"""
FIND_ROOT = """\
search.fs_uuid {root} root
set prefix=($root)/boot/grub
"""
MENU = """\
# Written when the disk was put together. update-grub replaces it.
serial --speed=115200
terminal_input console serial
terminal_output console serial
set timeout={timeout}
search --no-floppy --fs-uuid --set=root {root}
menuentry '{title}' {{
  linux /vmlinuz root=UUID={root} ro {arguments}
  initrd /initrd.img
}}
"""


def run(*argv: str, stdin: str = "", environment: dict[str, str] | None = None) -> str:
    """Run a program to its end; what it wrote. One that fails ends this one, with its reason."""
    done = subprocess.run(
        argv, input=stdin, text=True, capture_output=True, env={**os.environ, **(environment or {})}, check=False
    )
    if done.returncode != 0:
        sys.exit(f"{argv[0]}: {done.stderr.strip().removeprefix(f'{argv[0]}: ') or done.returncode}")
    return done.stdout


def identity(what: str) -> str:
    """The UUID of a part of this disk."""
    return str(uuid.uuid5(uuid.UUID(os.environ["DISK_SEED"]), what))


def volume() -> str:
    """The EFI system partition's serial number, as fstab names it."""
    number = identity("esp volume").upper()
    return f"{number[:4]}-{number[4:8]}"


def unpack(archive: str) -> None:
    """Fill /tree, and put right what a container's engine leaves in it."""
    TREE.mkdir()
    run("tar", "-x", "--numeric-owner", "--xattrs", "--xattrs-include=*", "-f", archive, "-C", str(TREE))
    (TREE / ".dockerenv").unlink(missing_ok=True)
    (TREE / "etc/fstab").write_text(FSTAB.format(root=identity("root"), esp=volume()))
    (TREE / "boot/efi").mkdir(exist_ok=True)
    # As systemd has it at the first boot.
    (TREE / "etc/mtab").unlink(missing_ok=True)
    (TREE / "etc/mtab").symlink_to("../proc/self/mounts")
    # The engine lays its own files over these three, and leaves them empty.
    (TREE / "etc/hostname").write_text("")
    (TREE / "etc/hosts").write_text("127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n")
    resolver = TREE / "etc/resolv.conf"
    resolver.unlink(missing_ok=True)
    if (TREE / "lib/systemd/systemd-resolved").exists():
        resolver.symlink_to("../run/systemd/resolve/stub-resolv.conf")
    boot_loader()


def boot_loader() -> None:
    """GRUB's modules and menu, and leave to write them anew when GRUB or a kernel is upgraded."""
    grub = TREE / "boot/grub"
    grub.mkdir(exist_ok=True)
    for platform in ("i386-pc", "x86_64-efi"):
        shutil.copytree(TREE / "usr/lib/grub" / platform, grub / platform, dirs_exist_ok=True)
    (TREE / "etc/grub.d/enable_cloud").touch()
    ask = (
        "set -a; . /etc/default/grub; for file in /etc/default/grub.d/*.cfg; do . $file; done; . /etc/os-release;"
        ' printf "%s\\n" "$PRETTY_NAME" "${GRUB_TIMEOUT:-5}" "$GRUB_CMDLINE_LINUX $GRUB_CMDLINE_LINUX_DEFAULT"'
    )
    title, timeout, arguments = run("chroot", str(TREE), "sh", "-c", ask).rstrip("\n").split("\n")
    menu = MENU.format(root=identity("root"), title=title, timeout=timeout, arguments=arguments.strip())
    (grub / "grub.cfg").write_text(menu)
    (grub / "grub.cfg").chmod(0o600)


def read(disk: str) -> None:
    """Fill /tree from a disk, without the kernel's help: names, contents, owners, modes, links, attributes."""
    TREE.mkdir()
    start = root_start(disk)
    with Path(disk).open("rb") as file:
        file.seek(start + EXT_MAGIC)
        if file.read(2) != b"\x53\xef":
            sys.exit("its root file system is not ext4")
    system = f"{disk}?offset={start}"
    # What a machine that was cut off had only written into the journal is there for whoever boots the disk. (e2fsck
    # loses the offset on its way.)
    if "needs_recovery" in run("dumpe2fs", "-h", system):
        run("debugfs", "-w", "-R", "journal_run", system)
    run("debugfs", "-R", f"rdump / {TREE}", system)
    if not (TREE / "etc").is_dir():
        sys.exit("its root file system holds no system: there is no /etc")
    shutil.rmtree(TREE / "lost+found", ignore_errors=True)
    # A script of debugfs' has one command a line, and quotes as its only marks.
    paths = [path for path in sorted(TREE.rglob("*")) if not path.is_symlink() and not set(str(path)) & set('"\n')]
    special_modes(system, (path for path in paths if path.is_dir()))
    answer = debugfs(system, (f'ea_list "/{path.relative_to(TREE)}"' for path in paths))
    path, found = Path(), []
    for line in answer.splitlines():
        if line.startswith("debugfs: ea_list "):
            path = TREE / line.split('"')[1].lstrip("/")
        elif attribute := ATTRIBUTE.match(line):
            found.append((path, attribute[1]))
    with tempfile.TemporaryDirectory() as values:
        numbered = {f"{values}/{number}": each for number, each in enumerate(found)}
        debugfs(system, (f'ea_get -f {f} "/{path.relative_to(TREE)}" {name}' for f, (path, name) in numbered.items()))
        for file, (path, name) in numbered.items():
            os.setxattr(path, name, Path(file).read_bytes())


def root_start(disk: str) -> int:
    """The byte at which the partition with the root file system begins."""
    table = json.loads(run("sfdisk", "--json", disk))["partitiontable"]
    for partition in table["partitions"]:
        if partition["type"] == ROOT_TYPE:
            return int(partition["start"]) * int(table["sectorsize"])
    sys.exit("no partition of it is a root file system (for x86-64, by its type)")


def special_modes(system: str, folders: Iterable[Path]) -> None:
    """Set what rdump loses, as it gives a file its mode before its owner: setuid, setgid."""
    folder = TREE
    for line in debugfs(system, (f'ls -p "/{folder.relative_to(TREE)}"' for folder in (TREE, *folders))).splitlines():
        if line.startswith("debugfs: ls "):
            folder = TREE / line.split('"')[1].lstrip("/")
        elif entry := ENTRY.match(line):
            mode, name = int(entry[1], 8) & 0o7777, entry[2]
            if mode & 0o6000 and name not in {".", ".."}:
                (folder / name).chmod(mode)


def debugfs(system: str, commands: Iterable[str]) -> str:
    """Let debugfs carry out many commands; what it said."""
    with tempfile.NamedTemporaryFile("w") as script:
        script.writelines(f"{command}\n" for command in commands)
        script.flush()
        return run("debugfs", "-f", script.name, system)


def write(disk: str) -> None:
    """Make the disk of /tree."""
    size, epoch = int(os.environ["DISK_SIZE"]), int(os.environ["SOURCE_DATE_EPOCH"])
    root = identity("root")
    clamp(epoch)
    with Path(disk).open("wb") as file:
        file.truncate(size)
    root_size = size - ROOT_START - END
    options = f"offset={ROOT_START},hash_seed={identity('hashes')},lazy_itable_init=0,assume_storage_prezeroed=1"
    run(
        *("mke2fs", "-q", "-t", "ext4", "-O", "^orphan_file,^metadata_csum_seed", "-U", root, "-L", "root"),
        *("-E", options, "-d", str(TREE), disk, f"{root_size // 1024}k"),
        environment={"E2FSPROGS_FAKE_TIME": str(epoch)},
    )
    table = PARTITIONS.format(
        disk=identity("disk"),
        core=CORE_START // SECTOR,
        core_size=(ESP_START - CORE_START) // SECTOR,
        core_uuid=identity("core partition"),
        esp=ESP_START // SECTOR,
        esp_size=(ROOT_START - ESP_START) // SECTOR,
        esp_uuid=identity("esp partition"),
        root=ROOT_START // SECTOR,
        root_size=root_size // SECTOR,
        root_type=ROOT_TYPE,
        root_uuid=identity("root partition"),
    )
    run("sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", disk, stdin=table)
    with Path(disk).open("r+b") as file, tempfile.TemporaryDirectory() as work:
        bios(file, root, Path(work))
        efi(file, root, epoch, Path(work))


def clamp(epoch: int) -> None:
    """No file is newer than the release that it is of."""
    for folder, folders, names in os.walk(TREE, topdown=False):
        for name in (*folders, *names):
            path = Path(folder, name)
            if path.lstat().st_mtime > epoch:
                os.utime(path, (epoch, epoch), follow_symlinks=False)


def bios(file: BinaryIO, root: str, work: Path) -> None:
    """boot.img into the first sector, the core into its partition."""
    modules = TREE / "usr/lib/grub/i386-pc"
    find, core = work / "find.cfg", work / "core.img"
    find.write_text(FIND_ROOT.format(root=root))
    run(
        *("grub-mkimage", "-O", "i386-pc", "-d", str(modules), "-p", "/boot/grub", "-c", str(find), "-o", str(core)),
        *("biosdisk", "part_gpt", "ext2", "search_fs_uuid"),
    )
    loader = bytearray((modules / "boot.img").read_bytes()[:BOOT_CODE])
    struct.pack_into("<Q", loader, KERNEL_SECTOR, CORE_START // SECTOR)
    loader[DRIVE_CHECK : DRIVE_CHECK + 2] = b"\x90\x90"
    image = bytearray(core.read_bytes())
    struct.pack_into("<Q", image, NEXT_SECTOR, CORE_START // SECTOR + 1)
    file.seek(0)
    file.write(loader)
    file.seek(CORE_START)
    file.write(image)


def efi(file: BinaryIO, root: str, epoch: int, work: Path) -> None:
    """The EFI system partition: Debian's signed shim and GRUB, where any firmware looks for a boot loader."""
    esp, find = work / "esp.img", work / "grub.cfg"
    find.write_text(FIND_ROOT.format(root=root) + "configfile $prefix/grub.cfg\n")
    shim = TREE / "usr/lib/shim"
    grub = TREE / "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed"
    placed = {
        "EFI/BOOT/BOOTX64.EFI": shim / "shimx64.efi.signed",
        "EFI/BOOT/grubx64.efi": grub,
        "EFI/debian/shimx64.efi": shim / "shimx64.efi.signed",
        "EFI/debian/grubx64.efi": grub,
        "EFI/debian/grub.cfg": find,
    }
    with esp.open("wb") as image:
        image.truncate(ROOT_START - ESP_START)
    tools = {"SOURCE_DATE_EPOCH": str(epoch), "MTOOLS_SKIP_CHECK": "1"}
    run("mformat", "-i", str(esp), "-F", "-v", "EFI", "-N", volume().replace("-", ""), "::", environment=tools)
    run("mmd", "-i", str(esp), "::EFI", "::EFI/BOOT", "::EFI/debian", environment=tools)
    for name, source in placed.items():
        os.utime(source, (epoch, epoch))
        run("mcopy", "-m", "-i", str(esp), str(source), f"::{name}", environment=tools)
    file.seek(ESP_START)
    file.write(esp.read_bytes())


if __name__ == "__main__":
    {"unpack": unpack, "read": read, "write": write}[sys.argv[1]](sys.argv[2])
