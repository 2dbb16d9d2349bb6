"""A Docker image in a file or folder: an OCI layout, or what `docker save` writes, made an archive of plain layers.

Every digest that the image itself names is checked: of its manifest, its configuration, its layers as they lie there
and as they unpack. Nothing is looked up elsewhere.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import posixpath
import re
import stat
import tarfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from goldsmith import archives
from goldsmith.errors import GoldsmithError, UsageError

Open = Callable[[str], AbstractContextManager[IO[bytes]]]
"""Opens a file of the image by its name."""
LAYERS = 500
"""Layers that an image may have; Docker itself stops at 127."""
_VERSION = "1.0.0"
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})|sha512:([0-9a-f]{128})")
_NAMED = re.compile(r"(?:.*/)?sha256/([0-9a-f]{64})|([0-9a-f]{64})\.json")
"""A file of `docker save` whose name is its digest."""
_PIECE = 2**20
_AGAIN = "fetch it again"
_ANEW = "write it anew, with `skopeo copy` or `docker save`"


@dataclass(frozen=True)
class _Blob:
    """A file of the image: its name, and its digest and size where they are known."""

    name: str
    digest: str = ""
    size: int | None = None


def of_folder(path: Path) -> Open:
    """The files of a layout in a folder. A link, or what is no file, is none."""

    @contextlib.contextmanager
    def open_file(name: str) -> Iterator[IO[bytes]]:
        try:
            handle = os.open(path / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise GoldsmithError(f"{path}: {name} can't be read: {error.strerror}", hint=_AGAIN) from error
        with os.fdopen(handle, "rb") as stream:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise GoldsmithError(f"{path}: {name} is no file", hint=_AGAIN)
            yield stream

    return open_file


def of_archive(archive: tarfile.TarFile, found: dict[str, tarfile.TarInfo]) -> Open:
    """The files in an archive; `found` are its members by their names. `docker save` may write links among them."""

    @contextlib.contextmanager
    def open_file(name: str) -> Iterator[IO[bytes]]:
        here = posixpath.normpath(name)
        for _step in range(8):
            member = found.get(here)
            if member is None or not member.issym():
                break
            here = posixpath.normpath(posixpath.join(posixpath.dirname(here), member.linkname))
        if member is None or not member.isreg() or member.issparse():
            raise GoldsmithError(f"there is no file {name} in it", hint=_AGAIN)
        stream = archive.extractfile(member)
        assert stream is not None  # noqa: S101 - it is a file
        with stream:
            yield stream

    return open_file


def of_layout(open_file: Open, target: Path, name: str) -> None:
    """Write the one image of an OCI layout as `docker save` would, its layers plain.

    Raises:
        UsageError: it is of another version, or holds more than one image.
        GoldsmithError: it is damaged, or not whole.
    """
    with archives.told(name, "an OCI image"):
        with open_file("oci-layout") as stream:
            version = archives.text(stream)["imageLayoutVersion"]
        if version != _VERSION:
            raise UsageError(f"{name} is an OCI layout of version {version}; {_VERSION} is read", hint=_ANEW)
        with open_file("index.json") as stream:
            found = archives.text(stream)
        for _step in range(4):
            if "manifests" not in found:
                break
            found = _json(open_file, _blob(_one(found["manifests"], name)), name)
        if found.get("schemaVersion") != 2 or "layers" not in found:
            version = found.get("schemaVersion")
            raise UsageError(f"{name} has a manifest of another version ({version}); 2 is read", hint=_ANEW)
        config = _blob(found["config"])
        _write(open_file, config, [_blob(layer) for layer in found["layers"]], target, name)


def of_docker(open_file: Open, target: Path, name: str) -> None:
    """Write the one image in what `docker save` wrote anew, its digests checked and its layers plain.

    Raises:
        UsageError: it holds more than one image.
        GoldsmithError: it is damaged, or not whole.
    """
    with archives.told(name, "an image archive (docker save)"):
        with open_file("manifest.json") as stream:
            images = archives.text(stream)
        if len(images) != 1:
            raise UsageError(f"{name} holds {len(images)} images", hint="save one at a time")
        _write(open_file, _named(images[0]["Config"]), [_named(layer) for layer in images[0]["Layers"]], target, name)


def _named(name: str) -> _Blob:
    match = _NAMED.fullmatch(name)
    return _Blob(name, f"sha256:{match[1] or match[2]}" if match else "")


def _blob(descriptor: dict[str, Any]) -> _Blob:
    digest = descriptor["digest"]
    if not _DIGEST.fullmatch(digest):
        raise GoldsmithError(f"{digest[:80]!r} is no digest that is known", hint=_ANEW)
    return _Blob(f"blobs/{digest.replace(':', '/')}", digest, int(descriptor["size"]))


def _one(manifests: list[dict[str, Any]], name: str) -> dict[str, Any]:
    """The image among those of an index. What says how an image was built is beside it there, and is none."""
    images = {}
    for each in manifests:
        platform = each.get("platform") or {}
        if platform.get("os") != "unknown":
            images[each["digest"]] = (each, f"{platform.get('os', '?')}/{platform.get('architecture', '?')}")
    if len(images) != 1:
        kinds = ", ".join(kind for _, kind in images.values()) or "none"
        raise UsageError(f"{name} holds {len(images)} images: {kinds}", hint="copy one of them out: skopeo copy")
    [(image, _)] = images.values()
    return image


def _json(open_file: Open, blob: _Blob, name: str) -> Any:
    with open_file(blob.name) as stream:
        data = stream.read(archives.HEADER)
    _check(blob, hashlib.new(_kind(blob), data).hexdigest(), len(data), name)
    return json.loads(data)


def _kind(blob: _Blob) -> str:
    return blob.digest.partition(":")[0] or "sha256"


def _check(blob: _Blob, found: str, size: int, name: str) -> None:
    wrong_size = blob.size is not None and size != blob.size
    if wrong_size or (blob.digest and blob.digest.partition(":")[2] != found):
        raise GoldsmithError(f"{name}: {blob.name} is damaged: it is not what its digest says", hint=_AGAIN)


def _write(open_file: Open, config: _Blob, layers: list[_Blob], target: Path, name: str) -> None:
    settings = _json(open_file, config, name)
    identities = settings["rootfs"]["diff_ids"]
    if len(layers) > LAYERS:
        raise GoldsmithError(f"{name} has {len(layers)} layers; at most {LAYERS} are read", hint=_ANEW)
    if len(identities) != len(layers):
        counts = f"its configuration knows {len(identities)} layers, its manifest {len(layers)}"
        raise GoldsmithError(f"{name}: {counts}", hint=_AGAIN)
    packed, plain = target.with_suffix(".blob"), target.with_suffix(".layer")
    left = archives.MOST
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as out:
        for number, (blob, identity) in enumerate(zip(layers, identities, strict=True)):
            _copy(open_file, blob, packed, name)
            if archives.packing(packed):
                archives.unpack(packed, plain, f"{name}: {blob.name}")
            else:
                packed.rename(plain)
            with plain.open("rb") as stream:
                if f"sha256:{hashlib.file_digest(stream, 'sha256').hexdigest()}" != identity:
                    raise GoldsmithError(
                        f"{name}: {blob.name} is not the layer that the image's configuration names",
                        hint=_AGAIN,
                    )
            left -= plain.stat().st_size
            if left < 0:
                raise GoldsmithError(
                    f"{name} unpacks to more than {archives.MOST // 2**30} GiB: that is all that is read", hint=_ANEW
                )
            out.add(plain, f"{number}/layer.tar")
            plain.unlink()
        for file, value in (
            ("config.json", settings),
            ("manifest.json", [{"Config": "config.json", "Layers": [f"{n}/layer.tar" for n in range(len(layers))]}]),
        ):
            packed.write_text(json.dumps(value))
            out.add(packed, file)
    packed.unlink()


def _copy(open_file: Open, blob: _Blob, target: Path, name: str) -> None:
    digest, size = hashlib.new(_kind(blob)), 0
    with open_file(blob.name) as stream, target.open("wb") as out:
        while piece := stream.read(_PIECE):
            digest.update(piece)
            size += len(piece)
            out.write(piece)
    _check(blob, digest.hexdigest(), size, name)
