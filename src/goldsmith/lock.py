"""The lock: exactly which versions are in an image, in a file that a project keeps, and holding builds and hosts to it.

A line is `TYPE NAME VERSION [ARCHITECTURE]`, as in `deb openssl 3.0.15-1~deb12u1 amd64`. Debian packages are pinned by
what runs on the machine (the collection's module_utils/package_lock.py); the other lines are checked when an image is
whole.
"""

from __future__ import annotations

import itertools
import urllib.parse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from goldsmith import bom_diff, config, files, resources
from goldsmith.bom_diff import Item
from goldsmith.errors import GoldsmithError, UsageError
from goldsmith.manifest import Manifest

_HEAD = (
    "# goldsmith.lock/1 {image} {target}: what is in this image. Written by goldsmith build; --locked holds to it.\n"
)
_PINS = "/etc/apt/preferences.d/goldsmith-lock"


def text(manifest: Manifest, image: str, target: str) -> str:
    """The lock of an image, from its manifest. Pure."""
    items = sorted(item for item in bom_diff.of_manifest(manifest) if item.type != "os")
    return _HEAD.format(image=image, target=target) + _lines(items)


def _lines(items: Iterable[Item]) -> str:
    words = ((item.type, _word(item.name), _word(item.version), item.arch) for item in items)
    return "".join(" ".join(filter(None, each)) + "\n" for each in words)


def _word(value: str) -> str:
    """Without spaces; a thing without a version has a hyphen."""
    return urllib.parse.quote(value, safe="/@+~:_.-!*") or "-"


def parse(content: str, source: str) -> list[Item]:
    """The lines of a lock; `source` names it in messages. Pure.

    Raises:
        UsageError: a line is none.
    """
    found = []
    for number, line in enumerate(content.splitlines(), 1):
        words = line.split()
        if not words or line.startswith("#"):
            continue
        if len(words) != (4 if words[0] == "deb" else 3):
            raise UsageError(f"{source}:{number}: not a line of a lock: {line}", hint="goldsmith build writes it anew")
        kind, name, version, *arch = words
        found.append(Item(kind, urllib.parse.unquote(name), "" if version == "-" else version, *arch))
    return found


def save(project: config.Project, manifest: Manifest, image: str, target: str) -> None:
    """Write the image's lock, if it says something else.

    Raises:
        GoldsmithError: it can't be written.
    """
    path, new = project.lock(image, target), text(manifest, image, target).encode()
    if not path.exists() or path.read_bytes() != new:
        files.write(path, new)


def load(project: config.Project, image: str, target: str) -> str:
    """The text of the image's lock.

    Raises:
        UsageError: there is none, or it is none.
    """
    path = project.lock(image, target)
    try:
        content = path.read_text()
    except (OSError, ValueError):
        raise UsageError(
            f"there is no lock {path}", hint=f"`goldsmith build {image} --target {target}` without --locked writes it"
        ) from None
    parse(content, str(path))
    return content


def check(content: str, manifest: Manifest) -> None:
    """Whether an image holds exactly what its lock says. Pure.

    Raises:
        GoldsmithError: it does not; up to five differences are named.
    """
    made = [item for item in bom_diff.of_manifest(manifest) if item.type != "os"]
    changes = bom_diff.compare(parse(content, "lock"), parse(_lines(made), "image")).changes
    if changes:
        named = [f"{each.name}: {each.a or 'not'} in the lock, {each.b or 'not'} in the image" for each in changes[:5]]
        more = f", and {len(changes) - 5} more" if len(changes) > 5 else ""
        raise GoldsmithError(
            f"the image is not what its lock says: {'; '.join(named)}{more}",
            hint="build without --locked, and look at what changes in the lock",
        )


def scripts(content: str, folder: Path) -> dict[str, list[str]]:
    """Values for Packer's variables, with scripts in `folder` that hold the machine to the lock and let it go again."""
    before, after = folder / "lock.py", folder / "unlock.sh"
    program = (resources.folder("package_lock") / "package_lock.py").read_text()
    before.write_text(f"#!/usr/bin/python3\n{program}\n\nsys.exit(main({content!r}))\n")
    after.write_text(f"#!/bin/sh\nrm {_PINS}\n")
    return {"scripts_before": [str(before)], "scripts_after": [str(after)]}


def of_hosts(members: Mapping[str, Sequence[str]], locks: Mapping[str, str]) -> list[tuple[list[str], str]]:
    """Which hosts are held to which lock: [(hosts, text)]. Pure.

    `members`: image -> the hosts that are in all of its groups; `locks`: image -> the text of its lock.

    Raises:
        UsageError: a host is of several images, and their locks don't agree.
    """
    images: dict[str, list[str]] = {}
    for image, hosts in members.items():
        for host in hosts:
            images.setdefault(host, []).append(image)
    kinds: dict[tuple[str, ...], list[str]] = {}
    for host, its in images.items():
        kinds.setdefault(tuple(its), []).append(host)
    return [(hosts, _merged({image: locks[image] for image in its}, hosts[0])) for its, hosts in kinds.items()]


def _merged(locks: Mapping[str, str], host: str) -> str:
    """One lock of several, which hold the same versions of what they share."""
    items = {image: {item for item in parse(each, image) if item.type == "deb"} for image, each in locks.items()}
    for one, other in itertools.combinations(items, 2):
        versions = {(item.name, item.arch): item.version for item in items[one]}
        for item in sorted(items[other]):
            known = versions.get((item.name, item.arch), item.version)
            if known != item.version:
                raise UsageError(
                    f"the locks of {one} and {other} don't agree, and {host} is of both: {item.name} is {known} in "
                    f"one and {item.version} in the other",
                    hint="build both images again, without --locked",
                )
    return _lines(sorted(set().union(*items.values())))
