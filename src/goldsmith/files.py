"""Writing files so that none is ever half there, and knowing them again."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from goldsmith import proc
from goldsmith.errors import GoldsmithError, UsageError


@contextlib.contextmanager
def writable(path: Path) -> Iterator[None]:
    """Tell a failure to write `path` as a user's error."""
    try:
        yield
    except OSError as error:
        hints = {
            errno.ENOSPC: "free some space, or write elsewhere",
            errno.EDQUOT: "free some space, or write elsewhere",
            errno.EACCES: "check the folder's owner and permissions",
            errno.EROFS: "that file system is read-only: write elsewhere",
        }
        raise GoldsmithError(
            f"cannot write {path}: {error.strerror}", hint=hints.get(error.errno or 0, "check the path")
        ) from error


def write(path: Path, data: bytes) -> None:
    """Write a file whole or not at all: beside it first, then renamed over it.

    Raises:
        GoldsmithError: it can't be written; what stood there before still does.
    """
    with writable(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            usual_mode(Path(name))
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def usual_mode(path: Path) -> None:
    """Give a file that was made for us alone the permissions that new files have here."""
    mask = os.umask(0)
    os.umask(mask)
    path.chmod(0o666 & ~mask)


def write_json(path: Path, data: Any) -> None:
    """Write JSON for people to read too: indented, keys sorted, a newline at the end."""
    write(path, json.dumps(data, indent=2, sort_keys=True).encode() + b"\n")


def source_date_epoch() -> int | None:
    """SOURCE_DATE_EPOCH: the time, in seconds since 1970, that what is made says of itself; None where it is not set.

    Raises:
        UsageError: it is no number.
    """
    given = os.environ.get("SOURCE_DATE_EPOCH", "")
    if given and not given.isdecimal():
        raise UsageError(f'SOURCE_DATE_EPOCH is "{given}"', hint="it must be seconds since 1970, or not set")
    return int(given) if given else None


def sha256(path: Path) -> str:
    """The file's SHA-256, in hexadecimal."""
    return digest(path, "sha256")


def digest(path: Path, kind: str) -> str:
    """The file's digest of that kind (hashlib's name), in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, kind).hexdigest()


@contextlib.contextmanager
def temporary_folder(what: str) -> Iterator[Path]:
    """A folder for as long as the block runs. Its name says whose it is: see `remove_abandoned`."""
    with tempfile.TemporaryDirectory(prefix=f"goldsmith-{what}-{os.getpid()}-") as name:
        yield Path(name)


def remove_abandoned() -> list[str]:
    """Remove temporary folders of processes that were killed; gives what was removed."""
    removed = []
    for folder in sorted(Path(tempfile.gettempdir()).glob("goldsmith-*/")):
        match = re.fullmatch(r"goldsmith-[a-z]+-(\d+)-\w+", folder.name)
        if match and not proc.alive(match[1]) and folder.stat().st_uid == os.getuid():
            shutil.rmtree(folder, ignore_errors=True)
            removed.append(f"folder {folder}")
    return removed
