"""Ansible's part in staged builds: keeps the machine between two roles, and goes on from what was kept.

goldsmith.stages gives the orders (a file, named by the environment variable GOLDSMITH_STAGES) and reads what is written
down here. A callback is told of every task and handler before it runs, in the process that runs the play; so what is
kept is the machine between two tasks. A run from the beginning is not changed in any way.

Only the standard library and Ansible: it may be another Python's Ansible that runs this.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

from ansible.playbook.play import Play
from ansible.playbook.task import Task
from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: goldsmith_stages
type: aggregate
short_description: Keep the machine between two roles of a build, and go on from there
description: Internal to goldsmith build.
"""

WORTH_KEEPING = 10
"""A machine is kept once there was this many times as much work as keeping one takes."""
OTHER_HOSTS = ("add_host", "group_by")
"""What changes the inventory of the run. That can't be kept with the machine, so from there on nothing is."""


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """See the module."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "goldsmith_stages"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self.orders: dict[str, Any] = json.loads(Path(os.environ["GOLDSMITH_STAGES"]).read_text())
        self.resumed: dict[str, Any] | None = self.orders["from"]
        known = self.resumed or {"roles": [], "names": []}
        # What ran so far: the folders of its roles, and the variables that it made.
        self.roles: set[str] = set(known["roles"])
        self.names: set[str] = set(known["names"])
        # What tasks notified and no handler has answered yet. Ansible answers all at once.
        self.notified: set[str] = set()
        self.lost = False
        self.kept = 0
        self.since = time.monotonic()
        self.cost = 2.0  # seconds, until one was kept
        self.play = -1
        self.role = -1
        self.current: Any = None
        self.play_roles: list[Any] = []
        self.owners: dict[int, int] = {}
        self.to_notify: list[str] = []

    def v2_playbook_on_play_start(self, play: Play) -> None:
        self.play += 1
        if self.play == 0:
            # It boots while Ansible starts, and is to be what it will be before any task looks at it.
            waiting = ["docker", "exec", self._container(), "systemctl", "is-system-running", "--wait"]
            subprocess.run(waiting, check=False, capture_output=True)
        resumed = self.resumed
        if self.play and (resumed is None or self.play > resumed["play"]):
            self._boundary(self.play, 0, f"play {self.play + 1}")
        self.role = -1
        self.current = play
        self.play_roles = list(play.roles)
        # A task says of which role it is; a role that another one depends on counts as that one.
        self.owners = {
            id(part): number for number, role in enumerate(play.roles) for part in (role, *role.get_all_dependencies())
        }
        if resumed is not None and self.play <= resumed["play"]:
            self._skip(play, resumed)

    def _skip(self, play: Play, resumed: dict[str, Any]) -> None:
        """Leave out what the machine has been through. Variables of the roles stay, and facts are gathered."""
        here = self.play == resumed["play"]
        done = resumed["role"] if here else len(play.roles)
        for role in play.roles[:done]:
            role.from_include = True
        if done:
            play.pre_tasks = []
        if not here:
            play.tasks, play.post_tasks = [], []
            return
        self.role = done
        self.to_notify = list(resumed["notified"])
        self._write({"resumed": all(map(self._handlers, self.to_notify))})

    def v2_playbook_on_task_start(self, task: Task, is_conditional: bool) -> None:  # noqa: ARG002 - Ansible's form
        role = task._role
        number = self.owners.get(id(role), self.role) if role else self.role
        if number > self.role:
            if self.role >= 0:
                self._boundary(self.play, number, self.play_roles[number].get_name())
            self.role = number
        if self.to_notify and not _gathers(task):
            self._notify()
        if role:
            self.roles.add(role._role_path)
        if task.register:
            self.names.add(str(task.register))
        self.lost = self.lost or str(task.action).rpartition(".")[2] in OTHER_HOSTS

    def _notify(self) -> None:
        """What was notified before the machine was kept is notified again."""
        hosts = self.current.get_variable_manager()._inventory.get_hosts(self.current.hosts)
        for notification in self.to_notify:
            for handler in self._handlers(notification):
                for host in hosts:
                    handler.notify_host(host)
        self.notified.update(self.to_notify)
        self.to_notify = []

    def _handlers(self, notification: str) -> list[Any]:
        """The handlers that answer it, as Ansible finds them: the last of that name, and all that listen."""
        handlers = [handler for block in reversed(self.current.handlers) for handler in block.block]
        named = [
            handler
            for handler in handlers
            if notification
            in (handler.name, handler.get_name(include_role_fqcn=True), handler.get_name(include_role_fqcn=False))
        ]
        return [*named[:1], *(handler for handler in handlers if notification in handler.listen)]

    def v2_playbook_on_notify(self, handler: Any, host: Any) -> None:  # noqa: ARG002 - Ansible's form
        self.notified.clear()

    def v2_playbook_on_handler_task_start(self, task: Task) -> None:
        if task.register:
            self.names.add(str(task.register))

    def v2_runner_on_ok(self, result: Any) -> None:
        task = result._task
        if _gathers(task):  # which is done again
            return
        if result.is_changed():
            self.notified.update(map(str, task.notify or ()))
        for each in (result._result, *(result._result.get("results") or ())):
            if isinstance(each, dict):
                self.names.update(map(str, each.get("ansible_facts") or ()))

    def _boundary(self, play: int, role: int, before: str) -> None:
        """Keep the machine as it is before this role of this play, if that is worth it, and right."""
        following = self.play_roles[role]._role_path if role else ""
        now = time.monotonic()
        last = role > 0 and role == len(self.play_roles) - 1
        worth = now - self.since > WORTH_KEEPING * self.cost or last or following in self.orders["changed"]
        if not worth or not all(map(self._known, self.notified)) or self.lost or not self.roles:
            return
        self.kept += 1
        tag = f"{self.orders['tag']}-{self.kept}"
        labels = ["--change=LABEL org.goldsmith.owner=stage", "--change=LABEL org.goldsmith.build="]
        subprocess.run(["docker", "commit", *labels, self._container(), tag], check=True, capture_output=True)
        self._write(
            {
                "image": tag,
                "play": play,
                "role": role,
                "before": before,
                "roles": sorted(self.roles),
                "names": sorted(self.names),
                "notified": sorted(self.notified),
            }
        )
        self.since = time.monotonic()
        self.cost = self.since - now

    def _known(self, notification: str) -> bool:
        """Whether its handlers will be there next time, and the same ones: of the play, or of roles that have run."""
        handlers = self._handlers(notification)
        roles = [handler._role for handler in handlers if handler._role]
        return bool(handlers) and all(id(role) in self.owners and role._role_path in self.roles for role in roles)

    def _container(self) -> str:
        label = f"label=org.goldsmith.build={self.orders['build_id']}"
        listed = ["docker", "ps", "--quiet", "--filter", label]
        return subprocess.run(listed, check=True, capture_output=True, text=True).stdout.strip()

    def _write(self, line: dict[str, Any]) -> None:
        with Path(self.orders["record"]).open("a") as record:
            record.write(json.dumps(line) + "\n")


def _gathers(task: Task) -> bool:
    """Whether it is the play's own gathering of facts."""
    return task._role is None and str(task.action).rpartition(".")[2] == "gather_facts"
