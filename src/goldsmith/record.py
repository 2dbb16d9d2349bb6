"""The record that a converge leaves on a host: by it a later one proves the host in sync, without running anything.

It holds two numbers: what the host was made from (the inputs), and what it was then (its state). The inputs hold the
host's variables, and these may be secrets that one could guess: so their digest is keyed, with a key that is made anew
for each record and lies nowhere but in it. Only root may read it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from goldsmith import config, definition, manifest
from goldsmith.inventory import Inventory

SCHEMA = "goldsmith.record/1"
PATH = "/var/lib/goldsmith.record.json"
"""On the host. No manifest holds it: the collector's paths.py says so."""

WRITE = (
    "import os,sys;"
    f"p={PATH!r};n=p+'.new';"
    "os.path.lexists(n) and os.unlink(n);"
    "f=os.open(n,os.O_WRONLY|os.O_CREAT|os.O_EXCL|os.O_NOFOLLOW,0o600);"
    "os.fchmod(f,0o600);"
    "os.write(f,sys.stdin.buffer.read());"
    "os.fsync(f);"
    "os.rename(n,p)"
)
"""Python that writes it on the host, whole, from standard input."""


@dataclass(frozen=True)
class Record:
    """`inputs` and `state` are digests (hex), the first one keyed by `key`; `time` is in ISO 8601."""

    key: str
    inputs: str
    state: str
    time: str

    def text(self) -> str:
        """The file, in canonical JSON, with a checksum over the rest."""
        held = {"schema": SCHEMA, **asdict(self)}
        return manifest.canonical({**held, "checksum": _checksum(held)}) + "\n"

    def proves(self, inputs: bytes, state: str | None) -> bool:
        """Whether a host that was made of these inputs, and is in that state, is as the converge left it."""
        return state is not None and hmac.compare_digest(
            (self.inputs + self.state).encode(), (keyed(self.key, inputs) + state).encode()
        )


def new(inputs: bytes, state: str) -> Record:
    """The record of a host that was just converged."""
    key = secrets.token_hex(32)
    return Record(key, keyed(key, inputs), state, datetime.now(UTC).isoformat(timespec="seconds"))


def keyed(key: str, inputs: bytes) -> str:
    """HMAC-SHA-256 (hex) of the inputs."""
    return hmac.new(key.encode(), inputs, hashlib.sha256).hexdigest()


def parse(text: str | None) -> Record | None:
    """The record in a file's text; None where there is none, or it is not whole, or of another version."""
    try:
        held = json.loads(text or "")
        checksum = held.pop("checksum")
        if held.pop("schema") == SCHEMA and checksum == _checksum({"schema": SCHEMA, **held}):
            found = Record(**held)
            return found if all(isinstance(each, str) for each in asdict(found).values()) else None
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    return None


def _checksum(held: dict[str, Any]) -> str:
    return hashlib.sha256(manifest.canonical(held).encode("ascii")).hexdigest()


class Inputs:
    """What hosts are made from: the definition's contents and the tools' versions once, each host's variables."""

    def __init__(self, project: config.Project, playbooks: Iterable[Path], hosts: Inventory) -> None:
        total = hashlib.sha256()
        for label, path in sorted(definition.contents(project).items()):
            total.update(definition.digest_of(label, path))
        settings = {key: value for key, value in os.environ.items() if key.startswith("ANSIBLE_")}
        named = [Path(settings["ANSIBLE_CONFIG"])] if "ANSIBLE_CONFIG" in settings else []
        for path in (*playbooks, *named):
            total.update(definition.digest_of(path.name, path) if path.is_file() else b"")
        self._common = [total.hexdigest(), definition.converging_versions(), settings]
        self._hosts = hosts

    def of(self, name: str) -> bytes:
        """A host's inputs, in bytes for a keyed digest: they may hold secrets, and go nowhere as they are."""
        variables = self._hosts.resolved(name)
        return json.dumps([*self._common, name, variables], sort_keys=True, default=str).encode()
