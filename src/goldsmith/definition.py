"""The definition's digest: everything that goes into an image, as one number.

Too much in it costs a build that was not needed; too little gives a stale image. So every file of the project
counts, except what can't reach a machine: Goldsmith's own output, version control, dot files and Markdown at
the top. Judged elsewhere, and so left out too: the policy, locks, and goldsmith.yml beyond the image's own entry.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import os
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

from goldsmith import config, place, proc

SKIPPED_FOLDERS = frozenset({"__pycache__", "node_modules"})


def contents(project: config.Project) -> dict[str, Path]:
    """Every file that counts, by a label that does not depend on where it lies: the project's files, and the roles and
    collections outside it."""
    found = _project(project)
    for label, path in _outside(project.root):
        found.setdefault(label, path)  # of two collections or roles of one name Ansible takes the first
    return found


def digest(project: config.Project, image: config.Image) -> str:
    """SHA-256 (hex) over the image's entry and the contents."""
    total = hashlib.sha256()
    total.update(json.dumps(image.model_dump(), sort_keys=True).encode())
    for label, path in sorted(contents(project).items()):
        total.update(digest_of(label, path))
    return total.hexdigest()


def digest_of(label: str, path: Path) -> bytes:
    """What counts of one file, in bytes for a digest."""
    return f"\0{label}\0{_mode(path)}\0".encode(errors="surrogateescape") + _content(path)


def content_key(definition: str, base: str, tools: dict[str, str], templates: Iterable[Path], lock: str = "") -> str:
    """SHA-256 (hex) over all that an image is made of: definition, base image, tools, Packer's templates, and the text
    of the lock that it is held to."""
    parts = [definition, base, tools, *([lock] if lock else [])]
    total = hashlib.sha256(json.dumps(parts, sort_keys=True).encode())
    for path in sorted(templates):
        total.update(path.name.encode() + b"\0" + path.read_bytes())
    return total.hexdigest()


def tool_versions() -> dict[str, str]:
    """Versions of what builds and converges. Those of Python packages are read, not asked for: a cached
    build has less than a second."""
    versions = converging_versions()
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        versions["mitogen"] = importlib.metadata.version("mitogen")
    packer = proc.run(["packer", "version"], env={"CHECKPOINT_DISABLE": "1"}).text.splitlines()
    versions["packer"] = packer[0].removeprefix("Packer v")
    return versions


def converging_versions() -> dict[str, str]:
    """Versions of what converges."""
    return {name: importlib.metadata.version(name) for name in ("ansible", "ansible-core", "goldsmith")}


def _project(project: config.Project) -> dict[str, Path]:
    ignored = {project.output.resolve(), (project.root / project.config.policy).resolve()}
    ignored.add(project.root / place.FILE_NAME)
    ignored.update((project.root / "locks").glob("*.lock"))
    found = {}
    for path in _files(project.root, ignored):
        name = str(path.relative_to(project.root))
        if "/" in name or not name.endswith(".md"):
            found[f"project/{name}"] = path
    return found


def _outside(root: Path) -> Iterator[tuple[str, Path]]:
    """Roles and collections that Ansible would find outside the project.

    A collection that was installed is known by its MANIFEST.json, which holds a checksum of each file; one
    in development by its files.
    """
    os.environ.update(place.ansible_environment(root))
    from ansible import constants  # noqa: PLC0415 - reads the configuration, and takes 0.2 s

    for folder in map(Path, constants.DEFAULT_ROLES_PATH):
        if folder.is_dir() and not folder.is_relative_to(root):
            for path in _files(folder, set()):
                yield f"roles/{path.relative_to(folder)}", path
    for folder in collection_folders(constants.COLLECTIONS_PATHS):
        for collection in sorted(folder.glob("ansible_collections/*/*")):
            label = f"collections/{collection.parent.name}.{collection.name}"
            if (collection / "MANIFEST.json").is_file():
                yield label, collection / "MANIFEST.json"
                continue
            for part in ("playbooks", "plugins", "roles"):
                for path in _files(collection / part, set()):
                    yield f"{label}/{path.relative_to(collection)}", path


def collection_folders(configured: Iterable[str]) -> list[Path]:
    """Where Ansible looks for collections: the configured folders first, then beside the `ansible` package."""
    return [*map(Path, configured), Path(sysconfig.get_path("purelib"))]


def _files(folder: Path, ignored: set[Path]) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        here = Path(parent)
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and name not in SKIPPED_FOLDERS and here / name not in ignored
        )
        paths = (here / name for name in sorted(names) if not name.startswith("."))
        # A socket or a FIFO reaches no machine, and can't be read.
        yield from (path for path in paths if path not in ignored and (path.is_symlink() or path.is_file()))


def _mode(path: Path) -> str:
    """Kind and permissions, as far as they reach a machine: a link, or an executable or plain file."""
    if path.is_symlink():
        return "link"
    return "x" if path.stat().st_mode & 0o100 else "-"


def _content(path: Path) -> bytes:
    if path.is_symlink():
        return os.fsencode(path.readlink())
    return hashlib.sha256(path.read_bytes()).digest()
