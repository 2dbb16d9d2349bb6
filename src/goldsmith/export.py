"""Exporting: one disk image, or one Docker image, into the formats that others read.

Every artifact is read back and compared with its source before it gets its name; all of one export get theirs together.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import secrets
import shutil
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goldsmith import collect, compare, config, docker, export_disk, files, place, policy, proc, vagrant
from goldsmith import disk as disks
from goldsmith.errors import GoldsmithError, UsageError, nearest
from goldsmith.export_disk import Disk, extract, refused
from goldsmith.formats import COMPRESSIONS, FORMATS, Format
from goldsmith.progress import Progress

LAID_DOWN = frozenset({"/.dockerenv", "/etc", "/etc/hosts", "/etc/mtab", "/etc/resolv.conf"})
"""What Docker puts into every container that has none: `docker export` shows it, the image does not have it."""
_OCI_SETTINGS = ["User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Volumes", "WorkingDir", "Labels", "StopSignal"]


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


def source(text: str, project: Path, made_of: str) -> tuple[Disk | Image, str, Path]:
    """What to export, the name of its artifacts, and the folder that they go to by default.

    `docker-image:NAME`, a file (a disk image), or the name of an image in goldsmith.yml: its disk, where the formats
    are made of a disk (`made_of`), else its Docker image.

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
    loaded = config.load(project) if project.is_file() or (project / place.FILE_NAME).exists() else None
    if loaded is None or text not in loaded.config.images:
        near = f"{nearest(text, sorted(loaded.config.images))} " if loaded else ""
        raise UsageError(
            f'there is no file {text}, and no image "{text}" in a {place.FILE_NAME}',
            hint=f"{near}SOURCE is a disk image, an image of {place.FILE_NAME}, or docker-image:NAME",
        )
    if made_of == "disk":
        path = loaded.output / "images" / text / "qemu" / f"{text}.qcow2"
        if not path.is_file():
            raise UsageError(f'there is no disk of "{text}"', hint=f"`goldsmith build {text} --target qemu` makes it")
        return disk(path), text, loaded.output / "export"
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

    A box has its version in its name too, and is entered into the catalogue beside it, where older ones stay.

    Raises:
        UsageError: a format is not made of such a source, or its name is taken by something that it may not replace.
        ToolError: a program is missing.
        GoldsmithError: it can't be written, or what was written is not the source. Nothing is left of the export then,
            and what earlier ones left still stands.
    """
    boxes = any(form.provider for form in chosen)
    release = export_disk.release_of(what.path, name) if boxes and isinstance(what, Disk) else None
    stems = {form.name: f"{name}-{release.version}" if release and form.provider else name for form in chosen}
    for form in chosen:
        _check_form(what, form, [folder / each for each in names(stems[form.name], form, compress)])
    if release:
        read_catalogue(folder, release)
    for program in _need(chosen, compress):
        proc.require(program)
    made = []
    with _workplace(folder) as work:
        for form in chosen:
            started = time.monotonic()
            parts = work / form.name
            parts.mkdir()
            target = parts / f"{stems[form.name]}{form.suffix}"
            if isinstance(what, Disk):
                export_disk.write(what, form, target, progress, compress=compress, release=release)
            else:
                _export_image(what, form, target, progress, compress)
            if compress and form.packing == "outside":
                target = _pack(target, form, compress, progress)
            digest = _write_checksums(parts, target)
            size = sum(path.stat().st_size for path in _files(target))
            seconds = round(time.monotonic() - started, 3)
            made.append(Artifact(form.name, folder / target.name, size, digest, seconds))
            progress.row(form.name).ok += 1
        with proc.uninterrupted(), _alone(folder):
            if release:
                _write_catalogue(work, folder, release, [each for each in made if FORMATS[each.format].provider])
            # The catalogue last: it names what is there.
            for part in (*(form.name for form in chosen), *(["catalogue"] if release else [])):
                _publish(work / part, folder, work)
    return made


def catalogue(folder: Path, name: str) -> Path:
    """Where the catalogue of an artifact's boxes is, in this folder: what Vagrant takes as `config.vm.box_url`."""
    return folder / f"{name}.metadata.json"


def read_catalogue(folder: Path, release: vagrant.Release) -> dict[str, Any]:
    """The catalogue of these boxes that is there; empty where there is none.

    Raises:
        UsageError: what has its name is something else.
    """
    path = catalogue(folder, release.name.rpartition("/")[2])
    return vagrant.read_catalogue(path.read_text(), path, release.name) if path.exists() else {}


def _write_catalogue(work: Path, folder: Path, release: vagrant.Release, boxes: Sequence[Artifact]) -> None:
    made = {FORMATS[box.format].provider: (box.path.resolve().as_uri(), box.sha256) for box in boxes}
    found = vagrant.catalogue(read_catalogue(folder, release), release, made)
    files.write_json(catalogue(work / "catalogue", release.name.rpartition("/")[2]), found)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """No other export publishes into this folder meanwhile. The folder itself is the lock."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


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


def _check_form(what: Disk | Image, form: Format, targets: Sequence[Path]) -> None:
    """The format is made of such a source, and an artifact replaces an artifact and nothing else."""
    if form.made_of != what.kind:
        fit = [each.name for each in FORMATS.values() if each.made_of == what.kind]
        raise UsageError(f"{what} can't become {form.name}", hint=f"it can become: {', '.join(fit)}")
    for target in targets:
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


def _pack(path: Path, form: Format, compress: str, progress: Progress) -> Path:
    progress.task(form.name, f"{form.name}: compress with {compress}")
    digest = files.sha256(path)
    proc.run(pack_argv(path, compress))
    packed = path.with_name(path.name + COMPRESSIONS[compress])
    if _unpacked_digest(packed, compress) != digest:
        raise refused(form, f"{packed.name} unpacks to something else")
    return packed


def _unpacked_digest(path: Path, compress: str) -> str:
    """Of what a compressed file holds, without laying it down. One that is damaged has another digest, or none."""
    script = '"$1" --decompress --stdout <"$2" | sha256sum'
    return proc.run(["sh", "-c", script, "sh", compress, str(path)]).text.partition(" ")[0]


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
    create = ["docker", "create", f"--name={container}", *docker.labels("export")]
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
            extract(archive, f"blobs/{digest.replace(':', '/')}", path)
            if f"sha256:{files.sha256(path)}" != digest:
                raise refused(form, f"the blob {digest} is damaged")
            return path

        parts.mkdir()
        extract(archive, "index.json", parts / "index.json")
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
        raise refused(form, "its layers are not the image's")
    for key in _OCI_SETTINGS:
        if (settings["config"].get(key) or None) != (what.inspected["Config"].get(key) or None):
            raise refused(form, f"its setting {key} is not the image's")
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
        raise refused(form, f"{wrong[0]} differs, and {len(wrong) - 1} more" if wrong[1:] else f"{wrong[0]} differs")


def dockers_own(each: compare.Difference) -> bool:
    """Whether `docker export` does this to every image (a) on its way to a tar (b). Pure."""
    if each.section != "files":
        return False
    if each.kind == "only_b":
        return each.key in LAID_DOWN
    if each.key == "/etc/mtab":
        return (each.attribute, each.b) == ("target", "/proc/mounts")
    # It carries no access lists. What else there is, as a program's capabilities, must have come through.
    return each.attribute in ("acl", "default_acl") and each.b is None
