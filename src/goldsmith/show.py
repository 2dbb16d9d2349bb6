"""The contents of one path on two machines, fetched from both and compared as text, with secrets masked."""

from __future__ import annotations

import base64
import difflib
import hashlib
import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from goldsmith import at_rest, collect, inventory, proc, tree
from goldsmith.collect import Target
from goldsmith.errors import GoldsmithError, UsageError
from goldsmith.masking import WHOLE, Masks
from goldsmith.words import short, visible

LIMIT = 1 << 20
"""Bytes of the largest file that is shown."""

_READ = """\
import base64, errno, json, os, stat, sys
root, path, limit = sys.argv[1], sys.argv[2], int(sys.argv[3])
def look():
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    *parts, name = [part for part in path.split("/") if part] or ["."]
    for part in parts:
        folder = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
    info = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if stat.S_ISLNK(info.st_mode):
        return {"kind": "link", "target": os.readlink(name, dir_fd=folder)}
    if not stat.S_ISREG(info.st_mode):
        return {"kind": "folder" if stat.S_ISDIR(info.st_mode) else "other"}
    with os.fdopen(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder), "rb") as source:
        data = source.read(limit + 1)
    return {"kind": "file", "data": base64.b64encode(data).decode()}
try:
    found = look()
except OSError as error:
    gone = error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
    found = {"kind": "absent"} if gone else {"kind": "unreadable", "why": error.strerror}
print(json.dumps(found))
"""
"""Prints what lies at a path below a root, as JSON. No link in the path is followed: it would lead out of the root."""


@dataclass(frozen=True)
class Content:
    """What lies at a path: `kind` is file, link, folder, other, absent or unreadable; `data` is a file's bytes, the
    first LIMIT + 1 of them, a link's target, or why it can't be read."""

    kind: str
    data: bytes = b""

    @property
    def known(self) -> bool:
        """Is this all that can be said of the path?"""
        return (self.kind == "file" and len(self.data) <= LIMIT) or (self.kind == "link" and bool(self.data))


@dataclass(frozen=True)
class Shown:
    """Two contents compared: equal, or a diff in `text`, which can be shown to people."""

    equal: bool
    text: str


def show(a: str, b: str, path: str, hosts: inventory.Inventory | None = None) -> Shown:
    """Fetch what lies at a path on two targets and compare it.

    Raises:
        UsageError: a side is a manifest, which has no contents; neither has the path; it is no absolute path.
        GoldsmithError: a machine can't be reached, or read.
    """
    for side in (a, b):
        if not collect.is_target(side):
            raise UsageError(
                f"{side} is only a manifest: it has digests, and no contents",
                hint="name the machines themselves, as in docker:web, ssh:web1 or disk:web.qcow2",
            )
    if not path.startswith("/") or "\ufffd" in path or "\0" in path:
        raise UsageError(f"{visible(path)} can't be fetched", hint="name an absolute path, of UTF-8 text")
    here, there = (fetch(collect.parse(side), path, hosts) for side in (a, b))
    if here.kind == there.kind == "absent":
        raise UsageError(f"neither {a} nor {b} has {visible(path)}", hint="`goldsmith compare --files` lists paths")
    if here.kind == there.kind and here.kind in ("folder", "other"):
        raise UsageError(
            f"{visible(path)} is no file", hint="`goldsmith compare --files` lists what differs in a folder"
        )
    return difference(path, (a, here), (b, there))


def difference(path: str, a: tuple[str, Content], b: tuple[str, Content]) -> Shown:
    """Compare two contents, each with its machine's name. Pure."""
    (name_a, here), (name_b, there) = a, b
    if here.known and here == there:
        return Shown(True, f"{visible(path)}: the same on both\n")
    masks = Masks()
    one, other = (_text(path, each, masks) for each in (here, there))
    if one is None or other is None:
        sides = (f"  {side}: {_describe(path, each)}\n" for side, each in ((name_a, here), (name_b, there)))
        return Shown(False, f"{visible(path)}\n" + "".join(sides))
    lines = difflib.unified_diff(
        one.splitlines(),
        other.splitlines(),
        fromfile=f"{name_a} {path}" if here.kind != "absent" else "/dev/null",
        tofile=f"{name_b} {path}" if there.kind != "absent" else "/dev/null",
        lineterm="",
    )
    told = "".join(f"{_line(line)}\n" for line in lines)
    return Shown(False, told or f"{visible(path)}: only the ends of lines differ\n")


def _line(text: str) -> str:
    return "\t".join(visible(each) for each in text.split("\t"))


def _text(path: str, content: Content, masks: Masks) -> str | None:
    """The content as text that can be shown; None where it is no text, or must not be shown."""
    if content.kind == "absent":
        return ""
    if content.kind == "link" and content.data:
        return f"a link to {content.data.decode(errors='replace')}\n"
    if content.kind != "file" or len(content.data) > LIMIT or WHOLE.fullmatch(path) or b"\0" in content.data:
        return None
    try:
        return masks.text(content.data.decode())
    except UnicodeDecodeError:
        return None


def _describe(path: str, content: Content) -> str:
    if content.kind == "unreadable":
        return f"can't be read: {content.data.decode()}"
    if content.kind != "file":
        return {"absent": "not there", "link": "a link", "folder": "a folder"}.get(content.kind, "no file")
    if len(content.data) > LIMIT:
        return f"larger than {LIMIT >> 20} MiB, which is too large to be shown"
    if WHOLE.fullmatch(path):
        return "secrets, which are not shown"
    digest = hashlib.sha256(content.data).hexdigest()
    kind = "empty" if not content.data else f"binary, {len(content.data):,} bytes, sha256 {short(digest)}"
    return kind if b"\0" in content.data or not _is_text(content.data) else f"text, {len(content.data):,} bytes"


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def fetch(target: Target, path: str, hosts: inventory.Inventory | None = None) -> Content:
    """What lies at a path on a target. `hosts` is needed for ssh only. Raises GoldsmithError as `show` does."""
    if target.kind in at_rest.KINDS:
        with at_rest.opened(target.kind, target.name) as system:
            if system.form == "folder":
                return _ran(target, _command(sys.executable, str(system.path), path))
            opened = tree.of_tar if system.form == "tar" else tree.of_docker_archive
            with opened(system.path) as found:
                return _at_rest(found, path)
    if target.kind == "docker":
        return _ran(target, ["docker", "exec", target.name, *_command("python3", "/", path)])
    if target.kind == "ssh" and hosts is not None:
        connection = hosts.ssh(target.name)
        command = [*(["sudo", "-n"] if connection.become else []), *_command(connection.python, "/", path)]
        return _ran(target, [*connection.argv, shlex.join(command)])
    raise UsageError(f"{target}: contents can't be fetched from it", hint="run it in a project, for ssh:HOST")


def _command(python: str, root: str, path: str) -> list[str]:
    return [python, "-c", _READ, root, path, str(LIMIT)]


def _ran(target: Target, command: Sequence[str]) -> Content:
    done = proc.run(command, check=False)
    if target.kind == "ssh" and done.code == inventory.SSH_FAILED:
        raise inventory.unreachable(target.name, done.error)
    if done.code != 0:
        last = (done.error or done.text).splitlines()[-1:] or [f"exit code {done.code}"]
        raise GoldsmithError(f"{target} can't be read: {last[0]}", hint="it needs Python 3.8 or newer there, as root")
    answer: dict[str, Any] = json.loads(done.stdout)
    data = base64.b64decode(answer.get("data", ""))
    return Content(answer["kind"], data or (answer.get("target") or answer.get("why") or "").encode(errors="replace"))


def _at_rest(found: tree.Tree, path: str) -> Content:
    file = found.files.get(path)
    if file is None:
        return Content("absent")
    if file.kind != "file":
        return Content({"directory": "folder"}.get(file.kind, file.kind))
    return Content("file", b"\0" * (LIMIT + 1) if file.size > LIMIT else file.read())
