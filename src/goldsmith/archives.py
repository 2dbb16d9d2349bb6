"""Archives that may come from anywhere: unpacked within limits, and read with care for what tarfile trusts."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from goldsmith import proc
from goldsmith.errors import GoldsmithError

ALWAYS = 2**30
"""Bytes to which any archive may unpack."""
RATIO = 200
"""Times its own size to which a larger one may."""
MOST = 64 * 2**30
"""Bytes beyond which none may."""
HEADER = 16 * 2**20
"""Bytes of a member's headers, and of a text that describes an image."""
BROKEN = (tarfile.TarError, EOFError, ValueError, LookupError, TypeError, OverflowError, RecursionError,
          gzip.BadGzipFile, zlib.error)  # fmt: skip
"""What tarfile and json raise when an archive is broken, or made to break them."""
_PACKED = {
    b"\x1f\x8b": ("gzip", "-dc"),
    b"\xfd7zXZ\0": ("xz", "-dc", "--memlimit-decompress=512MiB"),
    b"\x28\xb5\x2f\xfd": ("zstd", "-dcq"),
}
_TOO_LARGE = -25  # SIGXFSZ: the limit of prlimit was met


def limit(size: int) -> int:
    """Bytes to which a compressed file of that size may unpack. Pure."""
    return max(ALWAYS, min(MOST, RATIO * size))


def packing(path: Path) -> tuple[str, ...]:
    """The command that unpacks a file from standard input to standard output; empty where it is not compressed."""
    with path.open("rb") as stream:
        head = stream.read(6)
    return next((command for sign, command in _PACKED.items() if head.startswith(sign)), ())


def unpack(path: Path, target: Path, name: str) -> None:
    """Unpack a compressed file (gzip, xz, zstd); `name` says whose it is.

    Raises:
        GoldsmithError: it is damaged or cut short, or unpacks to more than it may.
        ToolError: the program is missing.
    """
    command, most = packing(path), limit(path.stat().st_size)
    proc.require(command[0])
    script = 'limit=$1 source=$2 target=$3; shift 3; exec prlimit --fsize="$limit" "$@" <"$source" >"$target"'
    done = proc.run(["sh", "-c", script, "sh", str(most), str(path), str(target), *command], check=False)
    if done.code == _TOO_LARGE:
        raise GoldsmithError(
            f"{name} unpacks to more than {most // 2**20} MiB, which is no honest archive",
            hint=f"{RATIO} times its size is read, and at most {MOST // 2**30} GiB; unpack it yourself if it is yours",
        )
    if done.code != 0:
        last = done.error.splitlines()[-1:] or [f"{command[0]} ended with {done.code}"]
        raise GoldsmithError(f"{name} can't be unpacked: {last[0]}", hint=_hint(last[0]))


def _hint(reason: str) -> str:
    if "no space left" in reason.lower():
        return "free some space, or name a folder with more of it in TMPDIR"
    return "it is damaged, or was not copied whole: fetch it again"


class _Guarded(io.BufferedReader):
    """Reads no more at once than a member's header may have: tarfile would take any length that one claims."""

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= HEADER:
            raise tarfile.ReadError(f"a header claims to have {size} bytes")
        return super().read(size)


@contextlib.contextmanager
def opened(stream: IO[bytes]) -> Iterator[tarfile.TarFile]:
    """A tar archive, not compressed, in a stream that can seek. Read its members with `members`."""
    raw = stream if isinstance(stream, io.RawIOBase) else _Raw(stream)
    with tarfile.open(fileobj=_Guarded(raw, 2**16), mode="r:", encoding="utf-8") as archive:
        yield archive


class _Raw(io.RawIOBase):
    """A stream as what a buffer takes; it stays open."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__()
        self._stream = stream

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def members(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """All members, up to the mark of the archive's end, each once and none kept.

    tarfile takes a broken header for the end: what follows would be missed without a word. By a size below nothing it
    is led in circles.

    Raises:
        tarfile.ReadError: the archive is broken, or has no end.
    """
    at = -1
    while (member := archive.next()) is not None:
        if member.size < 0 or archive.offset <= at:
            raise tarfile.ReadError(f"a member claims to have {member.size} bytes")
        at = archive.offset
        archive.members.clear()  # type: ignore[attr-defined]
        yield member
    assert archive.fileobj is not None  # noqa: S101 - it was opened with one
    archive.fileobj.seek(archive.offset)
    if archive.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError(f"it has no end, or is broken at byte {archive.offset}")


@contextlib.contextmanager
def told(name: object, what: str) -> Iterator[None]:
    """Tell an archive that can't be read, now or when contents are asked for, as a user's error."""
    try:
        yield
    except BROKEN as error:
        reason = f"there is no {error}" if isinstance(error, KeyError) else str(error)
        raise GoldsmithError(f"{name}: not {what}, or cut short: {reason}", hint="write it again") from error
    except OSError as error:
        raise GoldsmithError(f"{name} can't be read: {error.strerror}", hint=_hint(error.strerror or "")) from error


def read(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    """The content of a file that is not sparse and has at most HEADER bytes: extractfile takes three times as long.

    Raises:
        tarfile.ReadError: the archive is cut short.
    """
    assert archive.fileobj is not None  # noqa: S101 - it was opened with one
    archive.fileobj.seek(member.offset_data)
    content = archive.fileobj.read(member.size)
    if len(content) != member.size:
        raise tarfile.ReadError("unexpected end of data")
    return content


def text(stream: IO[bytes]) -> Any:
    """JSON that describes an image."""
    data = stream.read(HEADER + 1)
    if len(data) > HEADER:
        raise tarfile.ReadError(f"a description of more than {HEADER} bytes")
    return json.loads(data)
