"""Reads ansible-playbook's output as Packer prints it: which task runs, and which one failed.

Pure, and tested on recorded output. The build sets Ansible's `default` callback with JSON results, so that the
form does not depend on the user's ansible.cfg.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

_PREFIX = re.compile(r"^(?:==>|   ) +(?:[\w.-]*docker\.image|qemu\.disk): ?")
_TASK = re.compile(r"^(?:TASK|RUNNING HANDLER) \[(?P<name>.*)\] \**$")
_ORIGIN = re.compile(r"^Origin: (?P<where>.+:\d+):\d+$")
_ERROR = re.compile(r"^(?:\[ERROR\]|ERROR!):? (?P<message>.+)$")
_DONE = re.compile(r"^(?P<how>ok|changed): \[[^\]]+\](?: => |$)")
_CLOSED = re.compile(r"^Shared connection to \S+ closed\.$")
_FATAL = re.compile(
    r"^(?:fatal|failed): \[(?P<host>[^\]]+)\]:? (?:FAILED! |UNREACHABLE! |\(item=.*?\) )=> (?P<result>\{.*)$"
)


def unprefixed(line: str) -> str:
    """A line without the builder's name that Packer puts before it."""
    return _PREFIX.sub("", line)


@dataclass(frozen=True)
class Failure:
    """What stopped a run. `task` is empty when no task had begun: a syntax error, an unknown role."""

    task: str
    where: str
    message: str

    def __str__(self) -> str:
        task = f'task "{self.task}"' if self.task else "before the first task"
        where = f" ({self.where})" if self.where else ""
        return f"{task}{where}: {self.message}"


class Reader:
    """Takes lines one by one; knows the task that runs, how many went well (a loop's items count each), and the last
    failure that was not ignored."""

    def __init__(self) -> None:
        self.task = ""
        self.failure: Failure | None = None
        self.ok = 0
        self.changed = 0
        self._where = ""
        self._before: Failure | None = None
        self._said = ""
        self._more = False

    def feed(self, line: str) -> str | None:
        """Take one line of Packer's output. Gives the name of the task that it starts, else None."""
        text = unprefixed(line)
        if match := _TASK.match(text):
            self.task, self._where, self._said = match["name"], "", ""
            return self.task
        if match := _DONE.match(text):
            self.ok += 1
            self.changed += match["how"] == "changed"
        elif match := _ORIGIN.match(text):
            self._where = match["where"]
            if self.failure and not self.failure.where and self.failure.task == self.task:
                self.failure = Failure(self.task, self._where, self.failure.message)
        elif match := _ERROR.match(text):
            self._said = match["message"]
            if not self.task:
                self.failure = Failure("", "", self._said)
                self._more = True
                return None
        elif match := _FATAL.match(text):
            self._before = self.failure
            self.failure = Failure(self.task, self._where, _message(match["result"]) or self._said)
        elif text.strip() == "...ignoring":
            self.failure = self._before
        elif self._more and self.failure and text.strip():
            # Before the first task the cause often stands on the second line.
            self.failure = Failure("", "", f"{self.failure.message} {text.strip()}")
        self._more = False
        return None


def _message(result: str) -> str:
    """The part of a task's result that a person wants to read first."""
    try:
        data = json.loads(result)
    except json.JSONDecodeError:
        return result
    return failure_message(data) if isinstance(data, dict) else result


def failure_message(result: dict[str, object]) -> str:
    """One line from a failed task's result: its message, and the end of what the program itself said."""
    message = str(result.get("msg") or "").strip()
    said = _said(result, "stderr", "module_stderr") or _said(result, "stdout")
    items = result.get("results")
    if isinstance(items, list):
        failed = [item for item in items if isinstance(item, dict) and item.get("failed")]
        if failed:
            return failure_message(failed[0])
    first = message.splitlines()[0] if message else "failed"
    if said and said[-1] not in message:
        first = f"{first}: {said[-1]}"
    return first


def _said(result: dict[str, object], *streams: str) -> list[str]:
    """What the program wrote. On a terminal all of it is output, and SSH has the last word."""
    text = next((str(result[stream]) for stream in streams if result.get(stream)), "")
    return [line for line in text.strip().splitlines() if not _CLOSED.match(line)]
