"""Disk images in the formats that hypervisors read, and in the boxes that Vagrant reads; each is read back.

What belongs beside a disk is in descriptors.py, what Vagrant wants of a box in vagrant.py.
"""

from __future__ import annotations

import contextlib
import datetime
import gzip
import json
import shutil
import tarfile
import uuid
from dataclasses import dataclass
from pathlib import Path

from goldsmith import descriptors, files, proc, vagrant
from goldsmith.errors import GoldsmithError
from goldsmith.formats import PARALLELS_BLOCK, Format
from goldsmith.progress import Progress

QCOW2 = {"zstd": "compression_type=zstd,cluster_size=1M", "gzip": "compression_type=zlib"}
"""QEMU's options for a qcow2 that is compressed within: cluster by cluster, and zstd packs large ones better."""
LARGEST_MEMBER = 8 * 2**30 - 1
"""Bytes that a file in an OVA may have: its kind of tar archive counts no further."""


@dataclass(frozen=True)
class Disk:
    """A disk image to export: its file, QEMU's name of its format, and the bytes that a machine sees."""

    path: Path
    driver: str
    size: int

    kind = "disk"

    def __str__(self) -> str:
        return f"the disk image {self.path}"


def convert_argv(disk: Disk, form: Format, target: Path, compress: str) -> list[str]:
    """Write the disk in another format. Pure."""
    argv = ["qemu-img", "convert", "-f", disk.driver, "-O", form.driver]
    if form.options:
        argv += ["-o", form.options]
    if compress and form.name == "qcow2":
        argv += ["-c", "-o", QCOW2[compress]]
    return [*argv, str(disk.path), str(target)]


def compare_argv(disk: Disk, form: Format, target: Path) -> list[str]:
    """Does a machine see the same in both? Pure."""
    return ["qemu-img", "compare", "-f", disk.driver, "-F", form.driver, str(disk.path), str(target)]


def refused(form: Format, why: str) -> GoldsmithError:
    """The error for an artifact that is not its source."""
    return GoldsmithError(
        f"{form.name}: what was written is not the source: {why}",
        hint="nothing was kept; check this machine's disk and memory, and export again",
    )


def write(
    what: Disk, form: Format, target: Path, progress: Progress, *, compress: str, release: vagrant.Release | None
) -> None:
    """Write the disk as `target`, and what belongs beside it; its folder holds nothing else.

    `release` says of which build a box is.

    Raises:
        GoldsmithError: it can't be written, or what was written is not the source.
    """
    progress.task(form.name, f"{form.name}: convert")
    machine = descriptors.Machine(target.stem, f"{target.stem}.vmdk", what.size)
    if form.name == "ova":
        _ova(what, form, target, machine, progress)
        return
    if release and form.provider:
        _box(what, form, target, release, progress)
        return
    if form.name == "parallels":
        image = _parallels(what, form, target)
    else:
        image = target
        proc.run(convert_argv(what, form, image, compress))
    if form.name == "vmdk":
        target.with_suffix(".vmx").write_text(descriptors.vmx(machine))
    progress.task(form.name, f"{form.name}: read back")
    _check_disk(what, form, image)


def _parallels(what: Disk, form: Format, target: Path) -> Path:
    """A bundle: a folder with the machine's description, and a folder for its disk; gives the disk's file."""
    folder = target / f"{target.stem}.hdd"
    folder.mkdir(parents=True)
    image = folder / f"{folder.name}.0.{descriptors.PARALLELS_DISK}.hds"
    uid = str(uuid.uuid4())
    # First, for not every size can be.
    descriptor = descriptors.parallels(image.name, what.size, PARALLELS_BLOCK, uid)
    (folder / "DiskDescriptor.xml").write_text(descriptor)
    proc.run(convert_argv(what, form, image, ""))
    machine = descriptors.Machine(target.stem, folder.name, what.size)
    (target / "config.pvs").write_text(descriptors.pvs(machine, image.stat().st_size, uid))
    return image


def _check_disk(what: Disk, form: Format, image: Path) -> None:
    answer = proc.run(compare_argv(what, form, image), check=False)
    said = (answer.text or answer.error).splitlines() or [f"exit code {answer.code}"]
    # Of two sizes it only warns, if nothing but zeros is in the longer end; a partition table's copy lies at the end.
    if answer.code != 0 or len(said) > 1:
        raise refused(form, said[0] if answer.code == 0 else said[-1])


def _ova(what: Disk, form: Format, target: Path, machine: descriptors.Machine, progress: Progress) -> None:
    """An archive of descriptor, checksums and disk, in the order in which they are read from a stream."""
    parts = target.parent.parent / "ova-parts"
    parts.mkdir()
    image = parts / machine.disk
    proc.run(convert_argv(what, form, image, ""))
    size = image.stat().st_size
    if size > LARGEST_MEMBER:
        raise GoldsmithError("an OVA holds no disk file of more than 8 GiB", hint="export vmdk instead")
    descriptor = parts / f"{machine.name}.ovf"
    descriptor.write_text(descriptors.ovf(machine, size))
    sums = parts / f"{machine.name}.mf"
    sums.write_text(descriptors.checksums({path.name: files.sha256(path) for path in (descriptor, image)}))
    with tarfile.open(target, "w", format=tarfile.USTAR_FORMAT) as archive:
        for path in (descriptor, sums, image):
            archive.add(path, path.name, filter=_anonymous)
    shutil.rmtree(parts)
    progress.task(form.name, f"{form.name}: read back")
    _check_ova(what, form, target, machine)


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Who made an archive on this machine, and when, is nobody's business."""
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = "root"
    member.mode = 0o644
    return member


def _check_ova(what: Disk, form: Format, target: Path, machine: descriptors.Machine) -> None:
    parts = target.parent.parent / "ova-unpacked"
    parts.mkdir()
    names = [f"{machine.name}.ovf", f"{machine.name}.mf", machine.disk]
    with tarfile.open(target, "r:") as archive:
        if archive.getnames() != names:
            raise refused(form, f"it holds {', '.join(archive.getnames())}")
        for name in names:
            extract(archive, name, parts / name)
    said = descriptors.read_checksums((parts / names[1]).read_text())
    if said != {name: files.sha256(parts / name) for name in (names[0], names[2])}:
        raise refused(form, "its own checksums do not hold")
    _check_disk(what, form, parts / machine.disk)
    shutil.rmtree(parts)


def release_of(path: Path, name: str) -> vagrant.Release:
    """Of which build this disk is: of the one whose records lie beside it, else of the time that the file has."""
    size, changed = path.stat().st_size, path.stat().st_mtime
    when, architecture = datetime.datetime.fromtimestamp(changed, datetime.UTC), ""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        record = json.loads((path.parent / "provenance.json").read_text())
        if (Path(record["reference"]).name, record["bytes"]) == (path.name, size):
            when, architecture = datetime.datetime.fromisoformat(record["finished"]), "amd64"
    return vagrant.Release(f"goldsmith/{name}", vagrant.version(when), architecture)


def _box(what: Disk, form: Format, target: Path, release: vagrant.Release, progress: Progress) -> None:
    """A compressed archive, as `vagrant package` makes one: what the provider reads first, the disk last."""
    parts = target.parent.parent / f"{form.name}-parts"
    place = vagrant.DISKS[form.provider]
    image = parts / place
    image.parent.mkdir(parents=True)
    if form.provider == "parallels":
        descriptor = descriptors.parallels(image.name, what.size, PARALLELS_BLOCK, vagrant.uid(release))
        (image.parent / "DiskDescriptor.xml").write_text(descriptor)
    proc.run(convert_argv(what, form, image, ""))
    machine = descriptors.Machine(release.name.rpartition("/")[2], Path(place).name, what.size)
    for name, text in vagrant.texts(form.provider, machine, release, image.stat().st_size).items():
        (parts / name).parent.mkdir(exist_ok=True)
        (parts / name).write_text(text)
    digests = {str(path.relative_to(parts)): files.sha256(path) for path in parts.rglob("*") if path.is_file()}
    progress.task(form.name, f"{form.name}: pack")
    # Without a name and a time of its own, the same disk makes the same box.
    with (
        target.open("wb") as file,
        gzip.GzipFile("", "wb", 6, file, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as archive,
    ):
        for name in sorted(digests, key=lambda name: (name == place, name)):
            archive.add(parts / name, name, filter=_anonymous)
    shutil.rmtree(parts)
    progress.task(form.name, f"{form.name}: read back")
    _check_box(what, form, target, digests)


def _check_box(what: Disk, form: Format, target: Path, digests: dict[str, str]) -> None:
    parts = target.parent.parent / f"{form.name}-unpacked"
    parts.mkdir()
    with tarfile.open(target, "r:gz") as archive:
        for number, name in enumerate(archive.getnames()):
            extract(archive, name, parts / str(number))
            if digests.pop(name, "") != files.sha256(parts / str(number)):
                raise refused(form, f"{name} is damaged in it")
            if name == vagrant.DISKS[form.provider]:
                _check_disk(what, form, parts / str(number))
    if digests:
        raise refused(form, f"it misses {', '.join(digests)}")
    shutil.rmtree(parts)


def extract(archive: tarfile.TarFile, name: str, target: Path) -> None:
    """Lay down one file of an archive."""
    member = archive.extractfile(name)
    if member is None:
        raise GoldsmithError(f"{archive.name!r}: {name} is no file")
    with member, target.open("wb") as stream:
        shutil.copyfileobj(member, stream, 2**20)
