"""Brings the collector to a machine and its manifest back, in one round trip and with nothing installed there.

The collector (the collection's module_utils/collector) goes over standard input, and the target's Python runs it from
memory.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.machinery
import importlib.util
import marshal
import shlex
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from goldsmith import at_rest, disk, docker, inventory, manifest, proc, resources
from goldsmith.errors import GoldsmithError, UsageError
from goldsmith.manifest import Manifest

if TYPE_CHECKING:
    from goldsmith import layer_store

KINDS = {
    "docker": "CONTAINER, a running container",
    "ssh": "HOST, a live host by its inventory name",
    **at_rest.KINDS,
}
"""Kinds of target, each with what stands after its colon."""

_BOOT = (
    "import marshal,os,sys;"
    "first,*rest=marshal.loads(sys.stdin.buffer.read(int(sys.stdin.buffer.readline())));"
    "exec(first,globals());"
    "install(*rest);"
    "from collector.command import look,main;"
    "done=%s;"
    "sys.stderr.flush();"
    "os._exit(done)"
)


@dataclass(frozen=True)
class Target:
    """What to collect from: `kind:name`, as in docker-image:goldsmith/web or ssh:web1.

    `cache`: may a live machine take the digests of files that did not change from its last collection?
    """

    kind: str
    name: str
    cache: bool = True

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"


def is_target(text: str) -> bool:
    """Whether the text has a target's form (else it is a manifest's path)."""
    return text.partition(":")[0] in KINDS


def parse(text: str, known: Mapping[str, str] = KINDS) -> Target:
    """A target from its text. `known` are the kinds that it may be of, each with what stands after its colon.

    Raises:
        UsageError: there is no such kind, or no name; the hint lists the kinds.
    """
    kind, _, name = text.partition(":")
    if kind not in known or not name:
        kinds = ", ".join(f"{kind}:{what}" for kind, what in known.items())
        raise UsageError(f'"{text}" is not a target', hint=f"a target is one of: {kinds}")
    return Target(kind, name)


def collect(target: Target, hosts: inventory.Inventory | None = None) -> Manifest:
    """The target's manifest. `hosts` is needed for ssh only.

    Raises:
        UsageError: no such image, container, host, folder or disk; or it is in no format that is read.
        ToolError: Docker, ssh or what a format needs is missing or does not answer.
        GoldsmithError: the machine can't be reached, the image is damaged, or the collector failed.
    """
    if target.kind in at_rest.KINDS:
        return _at_rest(target)
    collector = _container if target.kind == "docker" else _ssh
    return manifest.parse(collector(target, hosts), str(target), name=str(target))


def _at_rest(target: Target) -> Manifest:
    with at_rest.opened(target.kind, target.name) as system:
        option = {"folder": "--root", "tar": "--tar", "docker-archive": "--docker-archive"}[system.form]
        data = _local(target, option, str(system.path), "--scope", "rest")
        found = manifest.parse(data, str(target), name=str(target))
        return replace(found, warnings=sorted([*found.warnings, *system.notes]))


def of_archive(path: Path, name: str) -> Manifest:
    """Manifest of the image in a file that `docker save` wrote, or that is laid out as such a one; `name` says whose.

    Raises:
        GoldsmithError: the file is no image archive, or is cut short.
    """
    target = Target("docker-image", name)
    return manifest.parse(_local(target, "--docker-archive", str(path)), str(target), name=str(target))


@contextlib.contextmanager
def of_growing(archive: layer_store.Archive, name: str) -> Iterator[Callable[[], Manifest]]:
    """The same of an archive that has no more than the image's lower layers yet: they are read meanwhile. What comes is
    to be called when the archive is whole, and gives the manifest."""
    target = Target("docker-image", name)
    argv = collector_argv(sys.executable, "--docker-archive", str(archive.path), "--growing", str(archive.size))
    with proc.running(argv, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None  # noqa: S101 - Popen was given a pipe
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(sent())
            process.stdin.flush()

        def whole() -> Manifest:
            proc.usual_priority(process.pid)
            stdout, stderr = process.communicate(b"whole\n")
            done = proc.Completed(tuple(argv), process.returncode, stdout, stderr)
            return manifest.parse(_checked(target, done), str(target), name=str(target))

        yield whole


def _sources() -> dict[str, Path]:
    """The collector's sources, by their names below its folder's."""
    folder = resources.folder("collector")
    return {f"collector/{path.relative_to(folder)}": path for path in sorted(folder.rglob("*.py"))}


@functools.cache
def _version() -> str:
    """Stands for the collector's sources: what one has kept on a machine, only the same may take."""
    whole = hashlib.sha256()
    for name, path in _sources().items():
        whole.update(f"{name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return whole.hexdigest()


@functools.cache
def packed() -> bytes:
    """The collector as its sent.py takes it: that one's source, and all modules as byte code, and as sources for a
    Python of another version."""
    names = {name: name.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for name in _sources()}
    packages = [module for name, module in names.items() if name.endswith("/__init__.py")]
    codes = {names[name]: _byte_code(names[name], path) for name, path in _sources().items()}
    sources = {names[name]: path.read_bytes() for name, path in _sources().items()}
    first = sources.pop("collector.sent")
    packed = [zlib.compress(_marshalled(each)) for each in (codes, sources)]
    return _marshalled([first, packages, importlib.util.MAGIC_NUMBER, *packed])


def _byte_code(module: str, path: Path) -> bytes:
    code = importlib.machinery.SourceFileLoader(module, str(path)).get_code(module)
    return marshal.dumps(code)


def _marshalled(plain: Any) -> bytes:
    """What each version of Python reads, if it is plain."""
    return marshal.dumps(plain, 2)


def collector_argv(python: str, *arguments: str, call: str = "main()") -> list[str]:
    """What runs the collector from standard input, and leaves what follows it there to the collector."""
    return [python, "-I", "-S", "-c", _BOOT % call, *arguments]


def _live(target: Target) -> list[str]:
    return ["--root", "/", "--scope", "live", *(["--sources", _version()] if target.cache else ["--no-cache"])]


def of_workshop(workshop: disk.Workshop, name: str) -> Manifest:
    """Manifest of the system at rest that is a workshop's tree; `name` says whose.

    Raises:
        GoldsmithError: the collector failed there.
    """
    target = Target("disk", name)
    data = _in_container(target, workshop.name, "--root", disk.TREE, "--scope", "rest")
    return manifest.parse(data, str(target), name=name)


def _in_container(target: Target, container: str, *arguments: str) -> bytes:
    command = ["docker", "exec", "--interactive", container, *collector_argv("python3", *arguments)]
    return _checked(target, proc.run(command, stdin=sent(), check=False))


def _container(target: Target, _hosts: inventory.Inventory | None) -> bytes:
    state = proc.run(["docker", "container", "inspect", "--format", "{{.State.Running}}", target.name], check=False)
    if state.code != 0 or state.text != "true":
        docker.version()
        what = "is not running" if state.code == 0 else "does not exist"
        raise UsageError(f"the container {target.name} {what}", hint="`docker ps` lists those that run")
    return _in_container(target, target.name, *_live(target))


def _local(target: Target, *arguments: str) -> bytes:
    return _checked(target, proc.run(collector_argv(sys.executable, *arguments), stdin=sent(), check=False))


def _ssh(target: Target, hosts: inventory.Inventory | None) -> bytes:
    if hosts is None:
        raise UsageError(
            f"{target}: there is no inventory to find it in", hint="run it in a project, or name one with --project"
        )
    argv = over_ssh(hosts.ssh(target.name), target)
    return answered(target, proc.run(argv, stdin=sent(), check=False))


def over_ssh(connection: inventory.Connection, target: Target, told: Literal["", "expect", "record"] = "") -> list[str]:
    """argv that collects from a live host: all, what is not as expected, or what the last converge left there."""
    if told:
        command = collector_argv(connection.python, told, _version(), call="look(*sys.argv[1:])")
    else:
        command = collector_argv(connection.python, *_live(target))
    if connection.become:
        command = ["sudo", "-n", *command]
    return [*connection.argv, shlex.join(command)]


def sent(expected: bytes = b"") -> bytes:
    """Standard input for what runs the collector, and for a collector that is to `--expect` something
    (expect.Expectation)."""
    collector = packed()
    return b"%d\n%b%b" % (len(collector), collector, expected)


def answered(target: Target, done: proc.Completed) -> bytes:
    """What the collector printed on a host.

    Raises:
        GoldsmithError: the host could not be reached (exit code 4), or the collector failed there.
    """
    if done.code == inventory.SSH_FAILED:
        raise inventory.unreachable(target.name, done.error)
    return _checked(target, done)


def _checked(target: Target, done: proc.Completed) -> bytes:
    if done.code == 0:
        return done.stdout
    # Docker says on standard output why it could not run a command.
    last = (done.error or done.text).splitlines()[-1:] or [f"exit code {done.code}"]
    hint = ""
    if "not found" in last[0] or done.code == 127:
        hint = "the collector needs Python 3.8 or newer on the machine"
    elif "sudo:" in last[0]:
        hint = "the collector must be root: let the user run sudo without a password, or connect as root"
    raise GoldsmithError(f"collecting {target} failed: {last[0]}", hint=hint)
