"""A Docker image's archive, put together from where Docker keeps the layers: less than half the work of `docker save`.

Docker (with its driver overlay2) has a layer's files in a folder, and apart from them what else its tar archive was
made of (tar-split). Layers and configuration are known by their digests: so what is read here is right, or is refused.
"""

from __future__ import annotations

import base64
import functools
import gzip
import hashlib
import itertools
import json
import os
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

PIECE = 2**20
_UNREADABLE = (OSError, EOFError, ValueError, LookupError, TypeError)


class Archive:
    """An archive in the making: the layers below an image can be in it before the image is made. They are in its first
    `size` bytes, which stay as they are."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._layers: list[str] = []
        self.size = 0

    def add_layers(self, image: dict[str, Any]) -> bool:
        """Write the layers of an image (docker.inspect_image) that are not in it yet, upon those that are.

        False, whatever is in it then, where they can't be had: Docker keeps its images otherwise or on another machine,
        we are not root, or one is not what its digest says.
        """
        try:
            with self._end() as out:
                layers = [_hex(layer) for layer in image["RootFS"]["Layers"]]
                there = len(self._layers)
                if layers[:there] != self._layers:
                    return False
                for layer, chain in list(zip(layers, chain_ids(layers), strict=True))[there:]:
                    if add_member(out, f"{layer}/layer.tar", _layer(_root(image), chain)) != layer:
                        return False
                    self._layers.append(layer)
                    self.size = out.tell()
        except _UNREADABLE:
            return False
        return True

    def finish(self, image: dict[str, Any]) -> bool:
        """Make it the image's: as `docker save` would, but for the names in it. False: as above."""
        if not self.add_layers(image):
            return False
        digest = _hex(image["Id"])
        config, layers = f"{digest}.json", [f"{layer}/layer.tar" for layer in self._layers]
        try:
            content = (_root(image) / "image/overlay2/imagedb/content/sha256" / digest).read_bytes()
            with self._end() as out:
                if add_member(out, config, [content]) != digest:
                    return False
                described = [{"Config": config, "RepoTags": None, "Layers": layers}]
                add_member(out, "manifest.json", [json.dumps(described).encode()])
                out.write(bytes(2 * tarfile.BLOCKSIZE))
        except _UNREADABLE:
            return False
        return True

    def leave(self) -> None:
        """Another program writes the archive."""
        self.path.unlink(missing_ok=True)
        self._layers, self.size = [], 0

    def _end(self) -> IO[bytes]:
        """What is written to, after the last whole layer."""
        out = self.path.open("r+b" if self._layers else "wb")
        out.seek(self.size)
        out.truncate()
        return out


def _root(image: dict[str, Any]) -> Path:
    """Docker's folder, of that of the last layer's files: ROOT/overlay2/NAME/diff."""
    return Path(image["GraphDriver"]["Data"]["UpperDir"]).parents[2]


def chain_ids(layers: Iterable[str]) -> list[str]:
    """What Docker knows each layer by as one that lies upon others. All are SHA-256 in hexadecimal, the lowest layer
    first. Pure."""
    return list(
        itertools.accumulate(
            layers, lambda below, layer: hashlib.sha256(f"sha256:{below} sha256:{layer}".encode()).hexdigest()
        )
    )


def _hex(digest: str) -> str:
    return digest.partition(":")[2]


def add_member(out: IO[bytes], name: str, pieces: Iterable[bytes]) -> str:
    """Add a file to an archive; gives the SHA-256 of what is in it."""
    member = tarfile.TarInfo(name)
    total = hashlib.sha256()
    start = out.tell()
    out.seek(tarfile.BLOCKSIZE, os.SEEK_CUR)
    for piece in pieces:
        total.update(piece)
        out.write(piece)
    end = out.tell()
    member.size = end - start - tarfile.BLOCKSIZE
    out.write(bytes(-end % tarfile.BLOCKSIZE))
    out.seek(start)
    out.write(member.tobuf(tarfile.GNU_FORMAT))
    out.seek(0, os.SEEK_END)
    return total.hexdigest()


def _layer(root: Path, chain: str) -> Iterator[bytes]:
    """A layer's archive: by turns what tar-split has kept, and the contents of files."""
    known = root / "image/overlay2/layerdb/sha256" / chain
    folder = bytes(root / "overlay2" / (known / "cache-id").read_text() / "diff")
    with gzip.open(known / "tar-split.json.gz") as parts:
        for line in parts:
            part = json.loads(line)
            if part["type"] == 2:
                yield base64.b64decode(part["payload"])
            elif part.get("size"):
                name = base64.b64decode(part["name_raw"]) if "name_raw" in part else part["name"].encode()
                yield from _content(folder + b"/" + name, part["size"])


def _content(path: bytes, size: int) -> Iterator[bytes]:
    """A file's content. It is what it should be or an error, and no wait: a layer may come from anywhere, and lead
    elsewhere."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
        if os.fstat(file.fileno()).st_size != size:
            raise ValueError(path)
        yield from iter(functools.partial(file.read, PIECE), b"")
