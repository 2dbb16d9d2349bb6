"""Disks of virtual machines: put together of a tree of files, or taken apart again, in a container that has the tools.

What is done there is in packer/assemble-disk.py. No mount, no loop device, no root on this machine is needed.
"""

from __future__ import annotations

import json
import os
import uuid
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from goldsmith import docker, proc, resources
from goldsmith.errors import GoldsmithError, UsageError

DRIVERS = {
    ".raw": "raw",
    ".qcow2": "qcow2",
    ".vmdk": "vmdk",
    ".vdi": "vdi",
    ".vhdx": "vhdx",
    ".vhd": "vpc",
    ".hds": "parallels",
}
"""QEMU's names of the formats that a disk may have, by its file's suffix. What a disk says of itself may be a lie."""
TREE = "/tree"
"""Where the tree lies in a workshop."""
SIZE = 8 * 2**30
"""Bytes of a disk. A file only takes what is in it, and the root file system grows with the disk that it is put on."""


@dataclass(frozen=True)
class Spec:
    """What a disk is made to: its size in bytes, and two numbers of which all that would be random or of the moment is
    made: `seed` (a UUID) and `epoch` (seconds; the newest time that a file may have)."""

    size: int
    seed: str
    epoch: int

    @classmethod
    def of(cls, key: str, epoch: int) -> Spec:
        """The spec of a content key. Pure."""
        return cls(SIZE, str(uuid.uuid5(uuid.NAMESPACE_OID, key)), epoch)

    def environment(self) -> dict[str, str]:
        return {"DISK_SIZE": str(self.size), "DISK_SEED": self.seed, "SOURCE_DATE_EPOCH": str(self.epoch)}


class Workshop:
    """A container in which a disk is put together or taken apart. A context manager: it leaves nothing behind.

    `tools` is the image (packer/base-image.sh --disk), `folder` is where files go in and out, `build_id` marks it. Only
    reading needs no `spec`.
    """

    def __init__(self, tools: str, folder: Path, build_id: str, spec: Spec | None = None) -> None:
        self.name = f"goldsmith-disk-{build_id}"
        self.tools = tools
        self.folder = folder
        self.labels = [f"--label={docker.OWNER}=build", f"--label={docker.BUILD}={build_id}"]
        self.spec = spec

    def __enter__(self) -> Workshop:
        (self.folder / "assemble-disk.py").write_bytes((resources.folder("packer") / "assemble-disk.py").read_bytes())
        environment = self.spec.environment() if self.spec else {}
        given = [f"--env={name}={value}" for name, value in environment.items()]
        where = ["--network=none", f"--volume={self.folder.resolve()}:/work", "--workdir=/work"]
        argv = ["docker", "run", "--detach", "--init", f"--name={self.name}", *self.labels, *where, *given]
        try:
            proc.run([*argv, self.tools, "sleep", "infinity"])
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    def _remove(self) -> None:
        with proc.uninterrupted():
            proc.run(["docker", "rm", "--force", "--volumes", self.name], check=False)

    def _do(self, what: str, file: Path, failed: str = "putting the disk together failed", hint: str = "") -> None:
        done = proc.run(
            ["docker", "exec", self.name, "python3", "assemble-disk.py", what, f"/work/{file.name}"], check=False
        )
        if done.code != 0:
            last = (done.error or done.text).splitlines()[-1:] or [f"exit code {done.code}"]
            raise GoldsmithError(f"{failed}: {last[0]}", hint=hint)

    def unpack(self, archive: Path) -> None:
        """The files of an archive in the folder become the tree, completed for a disk."""
        self._do("unpack", archive)

    def read(self, disk: Path) -> None:
        """The root file system of a raw disk in the folder, as this module makes one, becomes the tree."""
        hint = "it must be a whole disk: with a partition table, and a root file system (ext4) of that type"
        self._do("read", disk, "the disk can't be read", hint)

    def pack(self) -> Path:
        """The tree becomes an archive in the folder."""
        archive = self.folder / "tree.tar"
        proc.run(["docker", "exec", self.name, "tar", "-C", TREE, "--numeric-owner", "-cf", "/work/tree.tar", "."])
        self._give(archive)
        return archive

    def write(self, disk: Path) -> None:
        """The tree becomes a raw disk in the folder, which belongs to whoever asked."""
        self._do("write", disk)
        self._give(disk)

    def _give(self, file: Path) -> None:
        """Give a file in the folder, which is root's, to whoever asked."""
        owner = f"{os.getuid()}:{os.getgid()}"
        proc.run(["docker", "exec", self.name, "chown", owner, f"/work/{file.name}"])


def export(image: str, archive: Path, build_id: str) -> None:
    """Write the files of a Docker image into an archive, without running it."""
    label = f"--label={docker.BUILD}={build_id}"
    created = proc.run(["docker", "create", label, f"--label={docker.OWNER}=build", image]).text
    try:
        proc.run(["docker", "export", "--output", str(archive), created])
    finally:
        with proc.uninterrupted():
            proc.run(["docker", "rm", "--volumes", created], check=False)


def format_of(path: Path) -> str:
    """QEMU's name for the format of a disk, by its file's name. Pure.

    Raises:
        UsageError: the name tells no format.
    """
    if path.suffix not in DRIVERS:
        raise UsageError(
            f"{path} has no name that tells a disk's format", hint=f"name it with one of: {', '.join(DRIVERS)}"
        )
    return DRIVERS[path.suffix]


def whole(path: Path, driver: str = "") -> tuple[str, int]:
    """The format (`driver`; without it, what the disk says of itself) of a disk, and the bytes that a machine sees.

    Raises:
        UsageError: it stands on another file.
        GoldsmithError: it is no disk of that format.
        ToolError: qemu-img is missing.
    """
    form = ["-f", driver] if driver else []
    answer = proc.run(["qemu-img", "info", "--output=json", *form, str(path.resolve())], check=False)
    if answer.code != 0:
        raise GoldsmithError(
            f"{path} can't be read: {answer.error.splitlines()[-1]}", hint="is a machine running on it? Shut it down"
        )
    found = json.loads(answer.stdout)
    special = found.get("format-specific", {}).get("data", {})
    extents = {extent["filename"] for extent in special.get("extents", [])} - {str(path.resolve())}
    # A guest that may write its own first sectors could name any file of this machine there.
    if found.get("backing-filename") or special.get("data-file") or extents:
        raise UsageError(
            f"{path} is not whole: it stands on another file",
            hint=f"make it one file first: qemu-img convert -O qcow2 {path} whole.qcow2",
        )
    return found["format"], found["virtual-size"]


def convert(source: Path, target: Path) -> None:
    """A disk in the format of another name: what is empty in it takes no room."""
    formats = ["-f", format_of(source), "-O", format_of(target)]
    proc.run(["qemu-img", "convert", "-q", *formats, "-W", "-m", "4", str(source), str(target)])
