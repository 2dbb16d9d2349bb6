"""Disks of virtual machines: put together of a tree of files, or taken apart again, in a container that has the tools.

What is done there is in packer/assemble-disk.py. No mount, no loop device, no root on this machine is needed.
"""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from goldsmith import collect, docker, proc, resources
from goldsmith.errors import GoldsmithError
from goldsmith.manifest import Manifest

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

    `tools` is the image (packer/base-image.sh --disk), `folder` is where files go in and out, `build_id` marks it.
    """

    def __init__(self, tools: str, folder: Path, build_id: str, spec: Spec) -> None:
        self.name = f"goldsmith-disk-{build_id}"
        self.tools = tools
        self.folder = folder
        self.labels = [f"--label={docker.OWNER}=build", f"--label={docker.BUILD}={build_id}"]
        self.spec = spec

    def __enter__(self) -> Workshop:
        (self.folder / "assemble-disk.py").write_bytes((resources.folder("packer") / "assemble-disk.py").read_bytes())
        given = [f"--env={name}={value}" for name, value in self.spec.environment().items()]
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

    def _do(self, what: str, file: Path) -> None:
        done = proc.run(
            ["docker", "exec", self.name, "python3", "assemble-disk.py", what, f"/work/{file.name}"], check=False
        )
        if done.code != 0:
            last = (done.error or done.text).splitlines()[-1:] or [f"exit code {done.code}"]
            raise GoldsmithError(f"putting the disk together failed: {last[0]}")

    def unpack(self, archive: Path) -> None:
        """The files of an archive in the folder become the tree, completed for a disk."""
        self._do("unpack", archive)

    def read(self, disk: Path) -> None:
        """The root file system of a raw disk in the folder becomes the tree."""
        self._do("read", disk)

    def collect(self, name: str) -> Manifest:
        """The manifest of the tree, at rest."""
        return collect.of_folder_in(self.name, "/tree", name)

    def pack(self) -> Path:
        """The tree becomes an archive in the folder."""
        archive = self.folder / "tree.tar"
        proc.run(["docker", "exec", self.name, "tar", "-C", "/tree", "--numeric-owner", "-cf", "/work/tree.tar", "."])
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
    """QEMU's name for the format of a disk of ours, by its file's name. Pure."""
    return "raw" if path.suffix == ".raw" else "qcow2"


def convert(source: Path, target: Path) -> None:
    """A disk in the other format: what is empty in it takes no room."""
    formats = ["-f", format_of(source), "-O", format_of(target)]
    proc.run(["qemu-img", "convert", "-q", *formats, "-W", "-m", "4", str(source), str(target)])
