"""What a converge would do about each cause of drift: repair it, by a task that has a name; or nothing, and then a
person is needed.

The definition runs in check mode on the hosts that have drifted. What a task says it would change there names paths,
packages, units, users and groups; a cause that is about one of them is repaired by that task. A task that says nothing
in check mode, as commands do, repairs nothing that is told here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from goldsmith.causes import Cause

Name = tuple[str, str]
"""What a task is about: (kind, name). Kinds: path, tree (a path and all below it), package, unit, user, group."""

_APT_SAYS = re.compile(r"^(?:Inst|Remv|Purg) (\S+)", re.MULTILINE)
_PACKAGES = ("apt", "package", "packages", "dnf", "yum")
_UNITS = ("service", "systemd", "systemd_service")
_TREES = ("copy", "file", "git", "pip", "python_bundle", "synchronize", "unarchive")
_PATH_ARGUMENTS = ("path", "dest", "keyfile", "sysctl_file", "filename", "name", "virtualenv")
_UNIT = re.compile(r".+\.(service|socket|timer|target|mount|automount|path|slice|swap)")
_LINK_OF_UNIT = re.compile(r"/etc/systemd/(?:system|user)/[^/]+\.(?:wants|requires|upholds)/(?P<unit>[^/]+)")
_KINDS = {"packages": "package", "units": "unit", "runtime.units": "unit", "users": "user", "groups": "group"}
"""Section -> what a task is about that repairs a thing of it. Of other sections, but files, a thing follows."""
_FOLLOWS = {"records": ("package",), "accounts": ("user", "group")}
"""Causes that are no more than what others leave in files of records."""


@dataclass(frozen=True)
class Step:
    """A task that would change something on a host."""

    role: str
    task: str

    def __str__(self) -> str:
        return f'role {self.role}, task "{self.task}"' if self.role else f'task "{self.task}"'


@dataclass(frozen=True)
class Remedy:
    """A cause, and the steps that would repair all of it; none where a person is needed."""

    cause: Cause
    steps: tuple[Step, ...]

    def __str__(self) -> str:
        return f"repaired by {' and '.join(map(str, self.steps))}" if self.steps else "needs a person"


class Rehearsal:
    """Takes ansible-runner's events of a run in check mode with diffs: host -> what each step is about."""

    def __init__(self) -> None:
        self.steps: dict[str, dict[Step, set[Name]]] = {}

    def __call__(self, event: Mapping[str, Any]) -> None:
        """One event. Of a task's arguments and results only names are kept, never contents: they may be secret."""
        data = event.get("event_data") or {}
        result = data.get("res") or {}
        if event.get("event") == "runner_on_ok" and result.get("changed"):
            step = Step(data.get("role") or "", data.get("task") or "")
            module = str(data.get("resolved_action") or data.get("task_action") or "").rpartition(".")[2]
            about = self.steps.setdefault(data["host"], {}).setdefault(step, set())
            for each in result.get("results") or [result]:
                if isinstance(each, dict) and each.get("changed"):
                    about.update(names(module, each))


def names(module: str, result: Mapping[str, Any]) -> Iterator[Name]:
    """What a task's result in check mode says that it would change. Pure."""
    arguments = (result.get("invocation") or {}).get("module_args") or {}
    name = arguments.get("name")
    if module in _PACKAGES:
        said = _APT_SAYS.findall(str(result.get("stdout") or ""))
        for each in said or _listed(name):
            yield "package", each.partition("=")[0].partition(":")[0]
    elif module in _UNITS and name:
        yield "unit", str(name) if _UNIT.fullmatch(str(name)) else f"{name}.service"
    elif module in ("user", "group") and name:
        yield module, str(name)
    for path in _paths(arguments, result):
        yield "path", path
        if module in _TREES and (module != "file" or arguments.get("recurse")):
            yield "tree", path


def _paths(arguments: Mapping[str, Any], result: Mapping[str, Any]) -> Iterator[str]:
    diffs = result.get("diff") or []
    for diff in [diffs] if isinstance(diffs, dict) else diffs:
        for side in ("before", "after"):
            yield from _absolute(str(diff.get(f"{side}_header") or "").partition(" (")[0])
            if isinstance(diff.get(side), dict):
                yield from _absolute(diff[side].get("path"))
    for source in (arguments, result):
        for key in _PATH_ARGUMENTS:
            yield from _absolute(source.get(key))
    if isinstance(arguments.get("cron_file"), str):
        yield from _absolute("/etc/cron.d/" + arguments["cron_file"].removeprefix("/etc/cron.d/"))


def _absolute(value: Any) -> Iterator[str]:
    if isinstance(value, str) and value.startswith("/"):
        yield value.rstrip("/") or "/"


def _listed(value: Any) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list) else [str(value)] if value else []


def join(found: Iterable[Cause], steps: Mapping[Step, set[Name]]) -> tuple[Remedy, ...]:
    """Each cause with the steps that would repair it. Pure.

    A cause is repaired by the first step that is about it; one that is made of several things only where each of them
    is. What records hold of packages and accounts is repaired where all those are.
    """
    remedies: list[Remedy] = []
    followers: list[Cause] = []
    for cause in found:
        if cause.kind in _FOLLOWS:
            followers.append(cause)
        else:
            remedies.append(Remedy(cause, tuple(dict.fromkeys(_repairs(cause, steps)))))
    for cause in followers:
        led = [each for each in remedies if each.cause.kind in _FOLLOWS[cause.kind]]
        whole = bool(led) and all(each.steps for each in led)
        remedies.append(
            Remedy(cause, tuple(dict.fromkeys(step for each in led for step in each.steps)) if whole else ())
        )
    return tuple(remedies)


def _repairs(cause: Cause, steps: Mapping[Step, set[Name]]) -> list[Step]:
    """A package, a user and a group bring all that is theirs; a unit's files are repaired one by one."""
    own = _first(steps, [(cause.kind, cause.name)])
    things = dict.fromkeys((each.section, each.key) for each in cause.differences)
    apart = [(section, key) for section, key in things if section == "files" or section in _KINDS]
    if cause.kind in ("package", "user", "group") or not apart:
        return [own] if own else []
    found = [_first(steps, _about(section, key)) for section, key in apart]
    return [step for step in found if step] if all(found) else []


def _about(section: str, key: str) -> list[Name]:
    """By which names a step may be about a thing of the manifest."""
    if section in _KINDS:
        return [(_KINDS[section], key)]
    link = _LINK_OF_UNIT.fullmatch(key)
    parts = key.split("/")
    above = ["/".join(parts[:count]) for count in range(len(parts), 1, -1)]
    return [("path", key), *(("tree", path) for path in above), *([("unit", link["unit"])] if link else [])]


def _first(steps: Mapping[Step, set[Name]], wanted: Iterable[Name]) -> Step | None:
    any_of = set(wanted)
    return next((step for step, about in steps.items() if about & any_of), None)
