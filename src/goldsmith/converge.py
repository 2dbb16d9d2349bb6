"""Converging: ansible-runner runs the definition on live hosts, and every host gets one verdict."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import re
import shlex
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from goldsmith import ansible_output, config, files, inventory, lock, place, proc
from goldsmith.errors import GoldsmithError, UsageError
from goldsmith.progress import Progress

_ANSI = re.compile(r"\x1b\[[0-9;]*m")


@dataclass
class Host:
    """What became of one host. `verdict`: ok, changed, failed, unreachable, or in sync, if nothing was run there."""

    name: str
    ok: int = 0
    changed: int = 0
    failed: int = 0
    skipped: int = 0
    unreachable: bool = False
    in_sync: bool = False
    task: str = ""
    message: str = ""
    hint: str = ""

    @property
    def verdict(self) -> str:
        if self.unreachable:
            return "unreachable"
        if self.failed:
            return "failed"
        if self.in_sync:
            return "in sync"
        return "changed" if self.changed else "ok"


@dataclass
class Result:
    """One run over all hosts. `error` is set when Ansible stopped before any task, as for a syntax error.

    `unprovable` is what of the definition is beyond proof of sync, as file:line and why.
    """

    hosts: dict[str, Host] = field(default_factory=dict)
    events: Path | None = None
    seconds: float = 0.0
    error: ansible_output.Failure | None = None
    unprovable: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0 all done; 1 something failed; 4 nothing failed, but a host is unreachable."""
        if self.error or any(host.failed for host in self.hosts.values()):
            return 1
        return inventory.UNREACHABLE_EXIT if any(host.unreachable for host in self.hosts.values()) else 0

    def to_json(self) -> dict[str, Any]:
        """The form of `goldsmith converge --json`."""
        return {
            "hosts": {name: {**host.__dict__, "verdict": host.verdict} for name, host in self.hosts.items()},
            "events": str(self.events) if self.events else None,
            "seconds": round(self.seconds, 1),
            "error": str(self.error) if self.error else None,
            "unprovable": self.unprovable,
            "exit_code": self.exit_code,
        }


Listener = Callable[[Mapping[str, Any]], None]
"""Gets ansible-runner's events as they come."""


class Events:
    """Takes ansible-runner's events one by one: keeps counts, writes one JSON line each, holds no more.

    A line has time, event, host, role, task, and for a result: changed, seconds, message. It never has a task's
    arguments or its full result: those may hold secrets.
    """

    def __init__(
        self, result: Result, progress: Progress, stream: IO[str], *, show_diff: bool, listener: Listener | None = None
    ) -> None:
        self.result = result
        self._progress = progress
        self._stream = stream
        self._reader = ansible_output.Reader()
        self._show_diff = show_diff
        self._listener = listener

    def __call__(self, event: dict[str, Any]) -> bool:
        """One event; False tells ansible-runner not to keep it."""
        kind = event["event"]
        data = event.get("event_data") or {}
        text = _ANSI.sub("", event.get("stdout") or "").replace("\r", "")
        if self._listener:
            self._listener(event)
        if kind == "runner_on_file_diff":
            if self._show_diff and text:
                self._progress.say(f"{data.get('host')}:\n{text}")
        elif kind.startswith("runner_on_"):
            self._host(event, kind.removeprefix("runner_on_"), data)
        elif kind == "playbook_on_stats":
            self._rescued(data.get("rescued") or {})
        elif kind == "verbose" and not self.result.hosts:
            for line in text.splitlines():
                self._reader.feed(line)
            self.result.error = self._reader.failure
        return False

    def _rescued(self, counts: dict[str, int]) -> None:
        """A task that failed in a block with a rescue is no failure: only the end tells which were."""
        for name, count in counts.items():
            host = self.result.hosts[name]
            host.failed -= count
            self._progress.row(name).failed = host.failed
            if not host.failed:
                host.task = host.message = ""
                self._progress.row(name).state = "running"

    def _host(self, event: dict[str, Any], what: str, data: dict[str, Any]) -> None:
        name, task = data.get("host", "?"), data.get("task", "")
        label = f"{data['role']} : {task}" if data.get("role") else task
        if what == "start":
            self._progress.task(name, label)
            return
        result = data.get("res") or {}
        host = self.result.hosts.setdefault(name, Host(name))
        message = self._count(host, what, data, label, result)
        row = self._progress.row(name)
        row.ok, row.changed, row.failed = host.ok, host.changed, host.failed
        if host.verdict in {"failed", "unreachable"}:
            row.state = host.verdict
        line = {
            "time": event.get("created"),
            "event": what,
            "host": name,
            "role": data.get("role"),
            "task": task,
            "changed": bool(result.get("changed")),
            "seconds": round(data.get("duration") or 0.0, 3),
            "message": message,
        }
        self._stream.write(json.dumps({key: value for key, value in line.items() if value not in (None, "")}) + "\n")
        self._stream.flush()

    def _count(self, host: Host, what: str, data: dict[str, Any], label: str, result: dict[str, Any]) -> str:
        if what == "ok":
            host.ok += 1
            host.changed += bool(result.get("changed"))
        elif what == "skipped":
            host.skipped += 1
        elif what == "unreachable":
            problem = inventory.explain(str(result.get("msg", "")))
            host.unreachable, host.task, host.message, host.hint = True, label, problem.what, problem.hint
            return problem.what
        elif what == "failed":
            message = ansible_output.failure_message(result)
            if not data.get("ignore_errors"):
                host.failed += 1
                host.task, host.message = label, message
            return message
        return ""


def playbooks(project: config.Project) -> list[str]:
    """The definitions of all images, each once."""
    return list(dict.fromkeys(image.playbook for image in project.config.images.values()))


def arguments(*, check: bool, diff: bool) -> list[str]:
    """Extra arguments for ansible-playbook. Pure."""
    return [*(["--check"] if check else []), *(["--diff"] if diff else []), "--extra-vars", "goldsmith_delivery=live"]


def environment(project: config.Project, private: Path) -> dict[str, str]:
    """Environment for ansible-playbook; what the user's own says goes first.

    ansible-runner would turn host key checking off: here it stays on. SSH's control sockets lie in the run's own
    folder, so that no connection of an earlier run, made with another key, is used again.
    """
    ours = {
        **place.ansible_environment(project.root),
        "ANSIBLE_HOST_KEY_CHECKING": "True",
        "ANSIBLE_LOCAL_TEMP": str(private / "tmp"),
        "ANSIBLE_PIPELINING": "True",
        "ANSIBLE_RETRY_FILES_ENABLED": "False",
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(private / "cp"),
    }
    return {key: os.environ.get(key, value) for key, value in ours.items()}


def converge(
    project: config.Project,
    progress: Progress,
    *,
    limit: str,
    check: bool,
    diff: bool,
    locked: bool = False,
    show_diff: bool = True,
    listener: Listener | None = None,
) -> Result:
    """Run the definition on the inventory's hosts, or on those that `limit` selects. `diff` has Ansible tell what
    changes in files; `show_diff` shows it. `locked`: hold each of them to the lock of the image whose groups it is in.
    If a version can't be had on one of them, the definition runs on none.

    Raises:
        UsageError: `limit` selects no host; or with `locked`, an image has no lock, a host is of no image, or it is of
            two that don't agree.
        GoldsmithError: the events can't be written.
        Interrupted: SIGINT or SIGTERM came; ansible-playbook has ended.
    """
    proc.require("ansible-playbook")
    hosts = inventory.Inventory(project.inventory, project.root)
    selected = hosts.select(limit)
    held = _locks(project, hosts, selected) if locked else []
    now = datetime.datetime.now(datetime.UTC)
    events = project.output / "converge" / f"{now:%Y%m%dT%H%M%S}.{now.microsecond // 1000:03}Z.jsonl"
    result = Result(events=events)
    with files.writable(events):
        events.parent.mkdir(parents=True, exist_ok=True)
        stream = events.open("w")
    with stream:
        handler = Events(result, progress, stream, show_diff=diff and show_diff, listener=listener)
        for name in selected:
            progress.row(name)
        with _held(project, handler, held, limit=limit, check=check):
            for playbook in playbooks(project) if result.exit_code != 1 else []:
                _run(project, playbook, handler, limit=limit, cmdline=arguments(check=check, diff=diff))
                if result.error:
                    break
    result.seconds = progress.seconds
    return result


def _locks(project: config.Project, hosts: inventory.Inventory, selected: Sequence[str]) -> list[tuple[list[str], str]]:
    """Which of the selected hosts are held to which lock, none left out: see lock.of_hosts. An image's first target
    counts."""
    images, wanted = project.config.images, set(selected)
    members = {
        name: [host for host in hosts.hosts(":&".join(image.groups) or "all") if host in wanted]
        for name, image in images.items()
    }
    free = wanted.difference(*members.values())
    if free:
        raise UsageError(
            f"{sorted(free)[0]} is in the groups of no image, and so has no lock",
            hint="converge it without --locked, or leave it out with --limit",
        )
    return lock.of_hosts(
        members, {name: lock.load(project, name, image.targets[0]) for name, image in images.items() if members[name]}
    )


@contextlib.contextmanager
def _held(
    project: config.Project, handler: Events, held: Sequence[tuple[list[str], str]], *, limit: str, check: bool
) -> Iterator[None]:
    """Hold the hosts to their locks for as long as the block runs. In one run, so that all are asked before any is
    changed."""
    try:
        if held:
            with files.temporary_folder("lock") as folder:
                paths = {}
                for number, (hosts, text) in enumerate(held):
                    (folder / f"{number}.lock").write_text(text)
                    paths.update(dict.fromkeys(hosts, str(folder / f"{number}.lock")))
                given = {"goldsmith_locks": paths, "goldsmith_lock": "{{ goldsmith_locks[inventory_hostname] }}"}
                (folder / "given.json").write_text(json.dumps(given))
                cmdline = ["--extra-vars", shlex.quote(f"@{folder / 'given.json'}"), *(["--check"] if check else [])]
                _run(project, "goldsmith.core.lock", handler, limit=limit, cmdline=cmdline)
        yield
    finally:
        if held and not check:
            with proc.uninterrupted():
                _run(project, "goldsmith.core.unlock", handler, limit=limit, cmdline=[])


@contextlib.contextmanager
def private_folder() -> Iterator[Path]:
    """A folder for one run; at its end the SSH connections that are kept open in it are closed."""
    with files.temporary_folder("converge") as folder:
        try:
            yield folder
        finally:
            with proc.uninterrupted():
                inventory.close(folder / "cp")


def _run(project: config.Project, playbook: str, handler: Events, *, limit: str, cmdline: Sequence[str]) -> None:
    import ansible_runner  # noqa: PLC0415 - takes 0.3 s

    came: list[int] = []
    before = {number: signal.signal(number, lambda n, _: came.append(n)) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with private_folder() as private:
            run = ansible_runner.run(
                private_data_dir=str(private),
                project_dir=str(project.root),
                playbook=playbook,
                inventory=str(project.inventory),
                limit=limit or None,
                cmdline=" ".join(cmdline),
                envvars=environment(project, private),
                event_handler=handler,
                cancel_callback=lambda: bool(came),
                quiet=True,
                suppress_env_files=True,
            )
    finally:
        for number, old in before.items():
            signal.signal(number, old)
    if came:
        raise proc.Interrupted(came[0])
    result = handler.result
    if run.rc != 0 and not result.error and result.exit_code == 0:
        raise GoldsmithError(
            f"ansible-playbook {playbook} ended with {run.rc} ({run.status})", hint="run it by hand to see why"
        )
