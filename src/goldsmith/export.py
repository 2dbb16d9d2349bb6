"""Exporting: one disk image, or one Docker image, into the formats that others read.

Every artifact is read back and compared with its source before it gets its name; all of one export get theirs together.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import tarfile
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from goldsmith import collect, compare, config, descriptors, docker, files, policy, proc
from goldsmith import disk as disks
from goldsmith.errors import GoldsmithError, UsageError, nearest
from goldsmith.progress import Progress

PARALLELS_BLOCK = 2**20
LARGEST_MEMBER = 8 * 2**30 - 1
"""Bytes that a file in an OVA may have: its kind of tar archive counts no further."""

LAID_DOWN = frozenset({"/.dockerenv", "/etc", "/etc/hosts", "/etc/mtab", "/etc/resolv.conf"})
"""What Docker puts into every container that has none: `docker export` shows it, the image does not have it."""
_ACCESS_LIST = "system.posix_acl_"
_OCI_SETTINGS = ["User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Volumes", "WorkingDir", "Labels", "StopSignal"]


@dataclass(frozen=True)
class Format:
    """A format: what its name ends in, what it is made of, and with which of QEMU's options.

    `packing`: what `--compress` does: pack the file (`outside`), choose the compression that the format itself has
    (`inside`), or nothing (`none`). `disk`: what the disk's file ends in, where it is but a part.
    """

    name: str
    suffix: str
    made_of: Literal["disk", "docker"]
    packing: Literal["outside", "inside", "none"]
    options: str = ""
    disk: str = ""

    @property
    def driver(self) -> str:
        """QEMU's name of the format that the disk has."""
        return disks.DRIVERS[self.disk or self.suffix]


_STREAM = f"subformat=streamOptimized,adapter_type=lsilogic,hwversion={descriptors.HARDWARE}"
FORMATS = {
    form.name: form
    for form in (
        Format("raw", ".raw", "disk", "outside"),
        Format("qcow2", ".qcow2", "disk", "inside"),
        Format("vmdk", ".vmdk", "disk", "none", _STREAM),
        Format("ova", ".ova", "disk", "none", _STREAM, ".vmdk"),
        Format("vdi", ".vdi", "disk", "outside"),
        Format("vhdx", ".vhdx", "disk", "outside", "subformat=dynamic"),
        # Without force_size the disk grows to what a geometry of 1990 can say, and Hyper-V sees another size than QEMU.
        Format("vhd", ".vhd", "disk", "outside", "subformat=dynamic,force_size=on"),
        Format("parallels", ".pvm", "disk", "none", f"cluster_size={PARALLELS_BLOCK}", ".hds"),
        Format("oci", ".oci.tar", "docker", "inside"),
        Format("tar", ".tar", "docker", "outside"),
    )
}
COMPRESSIONS = {"zstd": ".zst", "gzip": ".gz"}
QCOW2 = {"zstd": "compression_type=zstd,cluster_size=1M", "gzip": "compression_type=zlib"}
"""QEMU's options for a qcow2 that is compressed within: cluster by cluster, and zstd packs large ones better."""


@dataclass(frozen=True)
class Disk:
    """A disk image to export: its file, QEMU's name of its format, and the bytes that a machine sees."""

    path: Path
    driver: str
    size: int

    kind = "disk"

    def __str__(self) -> str:
        return f"the disk image {self.path}"


@dataclass(frozen=True)
class Image:
    """A Docker image to export."""

    reference: str
    inspected: dict[str, Any]

    kind = "docker"

    def __str__(self) -> str:
        return f"the Docker image {self.reference}"

    @property
    def image_id(self) -> str:
        return str(self.inspected["Id"])

    @property
    def tag(self) -> str:
        """The name that the image is to have where it is loaded; empty where it was named by its id."""
        tags = self.inspected.get("RepoTags") or []
        return next((tag for tag in (self.reference, f"{self.reference}:latest") if tag in tags), "")


@dataclass(frozen=True)
class Artifact:
    """What came out. `sha256` is the file's; where it is a folder, that of its list of checksums."""

    format: str
    path: Path
    bytes: int
    sha256: str
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """The form of `goldsmith export --json`, in a list."""
        return {**self.__dict__, "path": str(self.path)}


# Names, sources and command lines


def file_name(text: str) -> str:
    """A name for artifacts that no shell, descriptor or file system stumbles over. Pure."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.") or "image"


def formats(names: Sequence[str], compress: str) -> list[Format]:
    """The formats by these names, each once.

    Raises:
        UsageError: there is no such format or compression; the hint names the nearest.
    """
    for name in names:
        if name not in FORMATS:
            raise UsageError(f'there is no format "{name}"', hint=nearest(name, list(FORMATS)))
    if compress and compress not in COMPRESSIONS:
        raise UsageError(f'there is no compression "{compress}"', hint=nearest(compress, list(COMPRESSIONS)))
    return [FORMATS[name] for name in dict.fromkeys(names)]


def names(name: str, form: Format, compress: str) -> list[str]:
    """What an export lays down: the artifact, its checksums, and what belongs beside it. Pure."""
    main = f"{name}{form.suffix}"
    if compress and form.packing == "outside":
        main += COMPRESSIONS[compress]
    return [main, f"{main}.sha256", *([f"{name}.vmx"] if form.name == "vmdk" else [])]


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


def skopeo_argv(saved: str, target: str, tag: str, compress: str) -> list[str]:
    """Turn what `docker save` wrote into an OCI archive; both names without a colon. Pure."""
    packing = ["--dest-compress-format", compress] if compress else []
    # The policy says whose signatures an image from elsewhere needs; this one comes from this machine's own Docker.
    argv = ["skopeo", "--insecure-policy", "--tmpdir", ".", "copy", "--quiet", *packing]
    return [*argv, f"docker-archive:{saved}", f"oci-archive:{target}" + (f":{tag}" if tag else "")]


def pack_argv(path: Path, compress: str) -> list[str]:
    """Compress a file, and remove it. Pure."""
    return {"zstd": ["zstd", "--quiet", "--threads=0", "--rm"], "gzip": ["gzip", "--no-name"]}[compress] + [str(path)]


def _need(chosen: Sequence[Format], compress: str) -> Iterator[str]:
    for form in chosen:
        yield "qemu-img" if form.made_of == "disk" else "docker"
        if form.name == "oci":
            yield "skopeo"
        if compress and (form.packing == "outside" or form.name == "oci"):
            yield compress


def disk(path: Path) -> Disk:
    """The disk image in this file.

    Raises:
        UsageError: it is no raw or qcow2 image, or stands on another file.
        ToolError: qemu-img is missing.
    """
    driver, size = disks.whole(path)
    if driver not in {"raw", "qcow2"}:
        raise UsageError(
            f"{path} is in the format {driver}; disks are exported from raw or qcow2",
            hint=f"convert it first: qemu-img convert -O qcow2 {path} {path.stem}.qcow2",
        )
    if size == 0 or path.stat().st_size == 0 or (driver == "raw" and path.stat().st_size % 512):
        raise UsageError(f"{path} is no disk image: it is not made of whole sectors", hint="name a raw or qcow2 image")
    return Disk(path.resolve(), driver, size)


def source(text: str, project: Path) -> tuple[Disk | Image, str, Path]:
    """What to export, the name of its artifacts, and the folder that they go to by default.

    `docker-image:NAME`, a file (a disk image), or the name of an image in goldsmith.yml.

    Raises:
        UsageError: there is no such file or image.
    """
    folder = Path("artifacts") / "export"
    if collect.is_target(text):
        target = collect.parse(text)
        if target.kind != "docker-image":
            raise UsageError(f"{target} can't be exported", hint="name a disk image, or docker-image:NAME")
        return _image(target.name, "`docker images` lists them"), file_name(target.name), folder
    if Path(text).is_file():
        return disk(Path(text)), file_name(Path(text).stem), folder
    loaded = config.load(project) if project.is_file() or (project / config.FILE_NAME).exists() else None
    if loaded is None or text not in loaded.config.images:
        near = f"{nearest(text, sorted(loaded.config.images))} " if loaded else ""
        raise UsageError(
            f'there is no file {text}, and no image "{text}" in a {config.FILE_NAME}',
            hint=f"{near}SOURCE is a disk image, an image of {config.FILE_NAME}, or docker-image:NAME",
        )
    return _image(f"goldsmith/{text}", f"`goldsmith build {text}` makes it"), text, loaded.output / "export"


def _image(reference: str, hint: str) -> Image:
    found = docker.inspect_image(reference)
    if found is None:
        raise UsageError(f"there is no Docker image {reference} here", hint=hint)
    return Image(reference, found)


# The work


def export(
    what: Disk | Image, name: str, chosen: Sequence[Format], folder: Path, progress: Progress, *, compress: str = ""
) -> list[Artifact]:
    """Write the source in these formats as `folder`/`name`.SUFFIX, each with a .sha256 file.

    Raises:
        UsageError: a format is not made of such a source, or its name is taken by something that it may not replace.
        ToolError: a program is missing.
        GoldsmithError: it can't be written, or what was written is not the source. Nothing is left of the export then,
            and what earlier ones left still stands.
    """
    for form in chosen:
        if form.made_of != what.kind:
            fit = [each.name for each in FORMATS.values() if each.made_of == what.kind]
            raise UsageError(f"{what} can't become {form.name}", hint=f"it can become: {', '.join(fit)}")
        for taken in names(name, form, compress):
            _check_free(what, form, folder / taken)
    for program in _need(chosen, compress):
        proc.require(program)
    made = []
    with _workplace(folder) as work:
        for form in chosen:
            started = time.monotonic()
            parts = work / form.name
            parts.mkdir()
            target = parts / f"{name}{form.suffix}"
            if isinstance(what, Disk):
                _export_disk(what, form, target, progress, compress)
            else:
                _export_image(what, form, target, progress, compress)
            if compress and form.packing == "outside":
                target = _pack(target, form, compress, progress)
            digest = _write_checksums(parts, target)
            size = sum(path.stat().st_size for path in _files(target))
            seconds = round(time.monotonic() - started, 3)
            made.append(Artifact(form.name, folder / target.name, size, digest, seconds))
            progress.row(form.name).ok += 1
        with proc.uninterrupted():
            for form in chosen:
                _publish(work / form.name, folder, work)
    return made


@contextlib.contextmanager
def _workplace(folder: Path) -> Iterator[Path]:
    """A folder beside the artifacts-to-be, gone at the end; and `folder` too, if it was made for nothing."""
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        with files.writable(folder):
            folder.mkdir(parents=True, exist_ok=True)
            work = Path(tempfile.mkdtemp(prefix=".goldsmith-export-", dir=folder))
            try:
                yield work.resolve()
            finally:
                with proc.uninterrupted():
                    shutil.rmtree(work, ignore_errors=True)
    except BaseException as error:
        for path in new:
            with contextlib.suppress(OSError):
                path.rmdir()
        if isinstance(error, GoldsmithError) and "no space left" in error.message.lower() and not error.hint:
            error.hint = "free some space, or write elsewhere with --output"
        raise


def _check_free(what: Disk | Image, form: Format, target: Path) -> None:
    """An artifact may replace an artifact, and nothing else."""
    if isinstance(what, Disk) and target.exists() and target.samefile(what.path):
        raise UsageError(f"{target} is the source itself", hint="write elsewhere with --output")
    ours = form.name == "parallels" and (target / "config.pvs").exists()
    if target.is_dir() and not ours:
        raise UsageError(f"{target} is a folder", hint="move it away, or write elsewhere with --output")


def _publish(parts: Path, folder: Path, work: Path) -> None:
    for path in sorted(parts.iterdir()):
        target = folder / path.name
        if target.is_dir():  # no folder can be renamed over another
            target.rename(work / f"old-{path.name}")
        path.replace(target)


def _files(path: Path) -> list[Path]:
    """The file, or all files in the folder."""
    return [path] if path.is_file() else sorted(each for each in path.rglob("*") if each.is_file())


def _write_checksums(parts: Path, target: Path) -> str:
    """As `sha256sum --check` reads them; gives the artifact's own. What they name is on the disk then."""
    digests = {}
    for path in _files(parts):
        files.usual_mode(path)
        with path.open("rb") as stream:
            os.fsync(stream.fileno())
        digests[path] = files.sha256(path)
    sums = target.with_name(f"{target.name}.sha256")
    lines = [f"{digest}  {path.relative_to(parts)}\n" for path, digest in digests.items()]
    files.write(sums, "".join(lines).encode())
    return digests.get(target) or files.sha256(sums)


def _refused(form: Format, why: str) -> GoldsmithError:
    return GoldsmithError(
        f"{form.name}: what was written is not the source: {why}",
        hint="nothing was kept; check this machine's disk and memory, and export again",
    )


def _pack(path: Path, form: Format, compress: str, progress: Progress) -> Path:
    progress.task(form.name, f"{form.name}: compress with {compress}")
    digest = files.sha256(path)
    proc.run(pack_argv(path, compress))
    packed = path.with_name(path.name + COMPRESSIONS[compress])
    if _unpacked_digest(packed, compress) != digest:
        raise _refused(form, f"{packed.name} unpacks to something else")
    return packed


def _unpacked_digest(path: Path, compress: str) -> str:
    """Of what a compressed file holds, without laying it down. One that is damaged has another digest, or none."""
    script = '"$1" --decompress --stdout <"$2" | sha256sum'
    return proc.run(["sh", "-c", script, "sh", compress, str(path)]).text.partition(" ")[0]


# Disks


def _export_disk(what: Disk, form: Format, target: Path, progress: Progress, compress: str) -> None:
    progress.task(form.name, f"{form.name}: convert")
    machine = descriptors.Machine(target.stem, f"{target.stem}.vmdk", what.size)
    if form.name == "ova":
        _ova(what, form, target, machine, progress)
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
        raise _refused(form, said[0] if answer.code == 0 else said[-1])


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
    """Who made an archive on this machine is nobody's business."""
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    member.mode = 0o644
    return member


def _check_ova(what: Disk, form: Format, target: Path, machine: descriptors.Machine) -> None:
    parts = target.parent.parent / "ova-unpacked"
    parts.mkdir()
    names = [f"{machine.name}.ovf", f"{machine.name}.mf", machine.disk]
    with tarfile.open(target, "r:") as archive:
        if archive.getnames() != names:
            raise _refused(form, f"it holds {', '.join(archive.getnames())}")
        for name in names:
            _extract(archive, name, parts / name)
    said = descriptors.read_checksums((parts / names[1]).read_text())
    if said != {name: files.sha256(parts / name) for name in (names[0], names[2])}:
        raise _refused(form, "its own checksums do not hold")
    _check_disk(what, form, parts / machine.disk)
    shutil.rmtree(parts)


def _extract(archive: tarfile.TarFile, name: str, target: Path) -> None:
    member = archive.extractfile(name)
    if member is None:
        raise GoldsmithError(f"{archive.name!r}: {name} is no file")
    with member, target.open("wb") as stream:
        shutil.copyfileobj(member, stream, 2**20)


# Docker images


def _export_image(what: Image, form: Format, target: Path, progress: Progress, compress: str) -> None:
    work = target.parent.parent
    saved = work / "saved.tar"
    if not saved.exists():  # both formats need it
        progress.task(form.name, f"{form.name}: docker save")
        proc.run(["docker", "save", "--output", str(saved), what.image_id])
    if form.name == "oci":
        progress.task(form.name, f"{form.name}: convert")
        proc.run(skopeo_argv(saved.name, f"{form.name}/{target.name}", what.tag, compress), cwd=work)
        progress.task(form.name, f"{form.name}: read back")
        _check_oci(what, form, target)
    else:
        progress.task(form.name, f"{form.name}: docker export")
        _export_files(what, target)
        progress.task(form.name, f"{form.name}: read back")
        _check_tar(what, form, target, saved)


def _export_files(what: Image, target: Path) -> None:
    container = f"goldsmith-export-{secrets.token_hex(4)}"
    create = ["docker", "create", f"--name={container}", f"--label={docker.OWNER}=export"]
    try:
        # It is never started; an image that names no command needs one all the same.
        proc.run([*create, what.image_id, "true"])
        proc.run(["docker", "export", "--output", str(target), container])
    finally:
        with proc.uninterrupted():
            proc.run(["docker", "rm", "--force", "--volumes", container], check=False)


def _check_oci(what: Image, form: Format, target: Path) -> None:
    """Each blob is what its name says, each layer unpacks to the image's own, and it is to be run in the same way."""
    parts = target.parent.parent / "oci-unpacked"
    with tarfile.open(target, "r:") as archive:

        def blob(digest: str) -> Path:
            path = parts / digest.replace(":", "-")
            _extract(archive, f"blobs/{digest.replace(':', '/')}", path)
            if f"sha256:{files.sha256(path)}" != digest:
                raise _refused(form, f"the blob {digest} is damaged")
            return path

        parts.mkdir()
        _extract(archive, "index.json", parts / "index.json")
        index = json.loads((parts / "index.json").read_text())
        manifest = json.loads(blob(index["manifests"][0]["digest"]).read_text())
        settings = json.loads(blob(manifest["config"]["digest"]).read_text())
        layers = []
        for layer in manifest["layers"]:
            path = blob(layer["digest"])
            compression = "zstd" if layer["mediaType"].endswith("zstd") else "gzip"
            layers.append(f"sha256:{_unpacked_digest(path, compression)}")
            path.unlink()
    if not layers == settings["rootfs"]["diff_ids"] == what.inspected["RootFS"]["Layers"]:
        raise _refused(form, "its layers are not the image's")
    for key in _OCI_SETTINGS:
        if (settings["config"].get(key) or None) != (what.inspected["Config"].get(key) or None):
            raise _refused(form, f"its setting {key} is not the image's")
    shutil.rmtree(parts)


def _check_tar(what: Image, form: Format, target: Path, saved: Path) -> None:
    """Its manifest is the image's. For the collector, a file system is an image of one layer."""
    wrapped = target.parent.parent / "tar-as-image.tar"
    layout = target.parent.parent / "manifest.json"
    layout.write_text(json.dumps([{"Layers": [target.name]}]))
    with tarfile.open(wrapped, "w") as archive:
        archive.add(layout, layout.name)
        archive.add(target, target.name)
    one, other = (collect.of_archive(path, what.reference) for path in (saved, wrapped))
    wrapped.unlink()
    found = compare.compare(one, other, policy.Policy()).differences
    wrong = sorted({each.key for each in found if each.kind != "equal" and not dockers_own(each)})
    if wrong:
        raise _refused(form, f"{wrong[0]} differs, and {len(wrong) - 1} more" if wrong[1:] else f"{wrong[0]} differs")


def dockers_own(each: compare.Difference) -> bool:
    """Whether `docker export` does this to every image (a) on its way to a tar (b). Pure."""
    if each.section != "files":
        return False
    if each.kind == "only_b":
        return each.key in LAID_DOWN
    if each.key == "/etc/mtab":
        return (each.attribute, each.b) == ("target", "/proc/mounts")
    if each.attribute != "xattrs":
        return False
    # It carries no access lists; what else there is, as a program's capabilities, must have come through.
    kept = {name: value for name, value in (each.a or {}).items() if not name.startswith(_ACCESS_LIST)}
    return kept == (each.b or {})
