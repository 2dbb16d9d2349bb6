"""The layers of a Docker image: those above a base made one.

What a build deletes at its end must not lie in a lower layer of what it gives. Docker itself can't merge layers; so it
is done in the archive that `docker save` writes, member by member: contents, owners, extended attributes, hard links
and whiteouts stay what they are.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import hashlib
import json
import posixpath
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from goldsmith.errors import GoldsmithError
from goldsmith.layer_store import PIECE, add_member
from goldsmith.tree import OPAQUE, WHITEOUT, content_of

_MERGED = "merged/layer.tar"


@dataclass(eq=False)
class _Entry:
    """A member, and the layer that its content lies in."""

    member: tarfile.TarInfo
    layer: tarfile.TarFile

    def content(self) -> IO[bytes] | None:
        return self.layer.extractfile(self.member) if self.member.isreg() else None


def squash(archive: Path, merged: Path, below: int, tag: str) -> str:
    """Make one layer of those above the lowest `below` of the image in an archive (docker save).

    `merged` becomes an archive of the new image without the layers below, which Docker has already; when it loads the
    image, that gets the name `tag`. Gives the digest of the new layer (sha256:...).

    Raises:
        GoldsmithError: the archive can't be read.
    """
    try:
        with tarfile.open(archive) as source, merged.open("wb") as out, contextlib.ExitStack() as opened:
            [described] = json.load(content_of(source, "manifest.json"))
            config = json.load(content_of(source, described["Config"]))
            names = described["Layers"]
            above = [opened.enter_context(tarfile.open(fileobj=content_of(source, name))) for name in names[below:]]
            identity = add_member(out, _MERGED, _pieces(merge(above)))
            _change(config, below, identity)
            image = json.dumps(config, sort_keys=True).encode()
            name = f"{hashlib.sha256(image).hexdigest()}.json"
            add_member(out, name, [image])
            new = [{"Config": name, "RepoTags": [tag], "Layers": [*names[:below], _MERGED]}]
            add_member(out, "manifest.json", [json.dumps(new).encode()])
            out.write(bytes(2 * tarfile.BLOCKSIZE))
        return f"sha256:{identity}"
    except (tarfile.TarError, OSError, ValueError, KeyError, TypeError) as error:
        raise GoldsmithError(f"{archive}: its layers can't be merged: {error}", hint="build with --force") from error


def lengthen(archive: Path, merged: Path) -> None:
    """Make an archive that of the image that `squash` made: of each name in it the last counts."""
    with tarfile.open(merged) as source, tarfile.open(archive, "a", format=tarfile.PAX_FORMAT) as out:
        for member in source:
            out.addfile(member, source.extractfile(member))


def alone(archive: Path, target: Path) -> None:
    """Write the image that an archive (docker save) describes, without whatever else lies in it."""
    with tarfile.open(archive) as source, tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as out:
        [described] = json.load(content_of(source, "manifest.json"))
        for name in [*described["Layers"], described["Config"], "manifest.json"]:
            out.addfile(source.getmember(name), source.extractfile(name))


def _change(config: dict[str, Any], below: int, identity: str) -> None:
    """The image's configuration, for its new layers. Of the history of those that were merged the last step stays."""
    config["rootfs"]["diff_ids"] = [*config["rootfs"]["diff_ids"][:below], f"sha256:{identity}"]
    steps = config.get("history") or []
    full = [number for number, step in enumerate(steps) if not step.get("empty_layer")]
    config["history"] = steps[: full[below - 1] + 1] + steps[-1:]


def merge(layers: Iterable[tarfile.TarFile]) -> list[_Entry]:
    """Members that have the effect of these layers, the lowest first. Folders come before what is in them, and a hard
    link after what it leads to."""
    found: dict[str, _Entry] = {}
    for layer in layers:
        links = []
        for member in layer:
            path = member.name = _clean(member.name)
            folder, name = posixpath.split(path)
            if name == OPAQUE:
                _drop_below(found, folder)
            elif name.startswith(WHITEOUT):
                gone = posixpath.join(folder, name.removeprefix(WHITEOUT))
                found.pop(gone, None)
                _drop_below(found, gone)
            else:
                _replace(found, path, member, layer)
            if member.islnk():
                links.append(path)
            found[path] = _Entry(member, layer)
        for path in links:
            found[path].member.linkname = _clean(found[path].member.linkname)
    _lead_on(found)
    return sorted(found.values(), key=lambda entry: (entry.member.islnk(), entry.member.name.split("/")))


def _clean(name: str) -> str:
    return posixpath.normpath("/" + name).lstrip("/")


def _drop_below(found: dict[str, _Entry], folder: str) -> None:
    for path in [path for path in found if path.startswith(f"{folder}/")]:
        del found[path]


def _replace(found: dict[str, _Entry], path: str, member: tarfile.TarInfo, layer: tarfile.TarFile) -> None:
    """A member comes to a place where something was, or had been deleted."""
    folder, name = posixpath.split(path)
    deleted = found.pop(posixpath.join(folder, WHITEOUT + name), None)
    before = found.get(path)
    if not member.isdir():
        if before and before.member.isdir():
            _drop_below(found, path)
    elif deleted or (before and not before.member.isdir()):
        # What the base has in a folder of this name must not show through.
        marker = tarfile.TarInfo(posixpath.join(path, OPAQUE))
        found[marker.name] = _Entry(marker, layer)


def _lead_on(found: dict[str, _Entry]) -> None:
    """A hard link whose file a later layer replaced or deleted: the first link of them becomes the file."""
    heirs: dict[tuple[int, str], str] = {}
    for path, entry in sorted(found.items()):
        if not entry.member.islnk():
            continue
        target = entry.member.linkname
        there = found.get(target)
        if there and there.layer is entry.layer:
            continue
        heir = heirs.setdefault((id(entry.layer), target), path)
        if heir != path:
            entry.member.linkname = heir
            continue
        original = entry.layer.getmember(target) if target in entry.layer.getnames() else None
        if original is None:
            raise tarfile.ReadError(f"hard link {path} leads nowhere")
        file = copy.copy(original)
        file.name = path
        found[path] = _Entry(file, entry.layer)


def _pieces(entries: Iterable[_Entry]) -> Iterator[bytes]:
    """A layer's archive."""
    for entry in entries:
        yield entry.member.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
        content = entry.content()
        if content:
            yield from iter(functools.partial(content.read, PIECE), b"")
            yield bytes(-entry.member.size % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)
