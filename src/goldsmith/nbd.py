"""A disk image in any of QEMU's formats, read in place: qemu-nbd offers it, read-only, on a socket of ours.

Nothing is converted and nothing mounted. qemu-nbd ends with this process, however that ends.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from goldsmith import proc
from goldsmith.errors import GoldsmithError

PATIENCE = 60.0
"""Seconds that an answer may take."""
_LARGEST = 2**24
_OPTION = b"IHAVEOPT"


class Disk:
    """An open disk. `size` is in bytes, as a machine sees it."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        if self._receive(16) != b"NBDMAGIC" + _OPTION:
            raise GoldsmithError("qemu-nbd speaks another protocol")
        # Flags of ours: the newer handshake, without its padding. Then the only option: take the export without a name.
        self._receive(2)
        self._send(struct.pack(">I8sII", 3, _OPTION, 1, 0))
        self.size, _flags = struct.unpack(">QH", self._receive(10))

    def read(self, offset: int, length: int) -> bytes:
        """Bytes of the disk; shorter at its end only.

        Raises:
            GoldsmithError: they can't be read.
        """
        end = min(offset + length, self.size)
        return b"".join(self._piece(at, min(_LARGEST, end - at)) for at in range(offset, end, _LARGEST))

    def _piece(self, offset: int, length: int) -> bytes:
        self._send(struct.pack(">IHHQQI", 0x25609513, 0, 0, 0, offset, length))
        magic, error, _ = struct.unpack(">IIQ", self._receive(16))
        if magic != 0x67446698 or error:
            raise GoldsmithError(f"{length} bytes at {offset} can't be read: the disk is damaged")
        return self._receive(length)

    def _send(self, data: bytes) -> None:
        try:
            self._connection.sendall(data)
        except OSError as error:
            raise GoldsmithError(f"qemu-nbd does not answer: {error}") from error

    def _receive(self, length: int) -> bytes:
        data = bytearray(length)
        view, done = memoryview(data), 0
        while done < length:
            try:
                count = self._connection.recv_into(view[done:])
            except OSError as error:
                raise GoldsmithError(f"qemu-nbd does not answer: {error}") from error
            if not count:
                raise GoldsmithError("qemu-nbd gave up reading it")
            done += count
        return bytes(data)


@contextlib.contextmanager
def opened(path: Path, driver: str, folder: Path) -> Iterator[Disk]:
    """The disk in a file of that format (QEMU's name); `folder` is for the socket.

    Raises:
        GoldsmithError: it can't be read.
        ToolError: qemu-nbd is missing.
    """
    address = folder / "nbd"
    argv = ["qemu-nbd", "--read-only", f"--format={driver}", f"--socket={address}", str(path.resolve())]
    with proc.running(argv) as server, socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(PATIENCE)
        _connect(connection, address, server)
        yield Disk(connection)


def _connect(connection: socket.socket, address: Path, server: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        ended = server.poll() is not None
        try:
            connection.connect(str(address))
        except (FileNotFoundError, ConnectionRefusedError):
            if ended:
                _, said = server.communicate()
                last = said.decode(errors="replace").splitlines()[-1:] or ["qemu-nbd ended"]
                raise GoldsmithError(last[0].removeprefix("qemu-nbd: ")) from None
            time.sleep(0.01)
        except OSError as error:
            raise GoldsmithError(f"there can be no socket {address}: {error}") from error
        else:
            return
    raise GoldsmithError(f"qemu-nbd gave no answer within {PATIENCE:g} s")
