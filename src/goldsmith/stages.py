"""Stages of a build: what was kept of the last one between two roles, and from which of it the next may go on.

A stage is a Docker image of the machine, made by callback_plugins/goldsmith_stages.py at a moment when no task ran. It
holds for a build in which nothing that could have had a part in it has changed: the base, the tools, the playbook, the
variables, and every role that had run. Of roles that had not, tasks, handlers, templates and files may be others: they
are not read before their role begins. (A role that reads another role's files by their path is not foreseen.)

What a run knows and a machine does not is lost when a build goes on from a stage. So the stage says which variables
tasks had made, and it does not hold where one of their names occurs in what is still to run.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from goldsmith import definition, files, proc

FILE = "stages.jsonl"
"""In the image's folder: the first line says what the last build was made from, each other one is a stage."""
REPOSITORY = "goldsmith/stage"
"""Of the images: goldsmith/stage:BUILD-N."""
ANY_TIME = ("tasks", "handlers", "templates", "files", "molecule", "tests", "README.md")
"""What of a role is read only once it runs, or never."""
_IN_ROLE = re.compile(r"^(?P<role>(?:.*/)?roles/[^/]+)/(?P<rest>.+)$")
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Inputs:
    """What a build is made from, as digests: all that counts from the beginning, and by role (its label in
    definition.contents) what counts once it runs."""

    common: str
    roles: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Stage:
    """The machine before role number `role` of play number `play` (both from 0), which is named `before`.

    `roles` are the folders of all that had run, `names` the variables that their tasks made, `notified` the handlers
    that were to run later.
    """

    image: str
    play: int
    role: int
    before: str
    roles: tuple[str, ...]
    names: tuple[str, ...]
    notified: tuple[str, ...]


def inputs(contents: Mapping[str, Path], other: str) -> Inputs:
    """What a build is made from: files by label (definition.contents), and `other`, whatever else counts."""
    common = hashlib.sha256(other.encode())
    roles: dict[str, Any] = {}
    for label, path in sorted(contents.items()):
        role, rest = in_role(label)
        late = role and rest.split("/")[0] in ANY_TIME
        into = roles.setdefault(role, hashlib.sha256()) if late else common
        into.update(definition.digest_of(label, path))
    return Inputs(common.hexdigest(), {role: total.hexdigest() for role, total in roles.items()})


def in_role(label: str) -> tuple[str, str]:
    """The label of the role that a file belongs to, and its path there; empty where it belongs to none. Pure."""
    match = _IN_ROLE.match(label)
    return (match["role"], match["rest"]) if match else ("", label)


def load(file: Path) -> tuple[Inputs, list[Stage]]:
    """What is written in an image's folder. Nothing, or what can't be read, is no stage at all. A last line that was
    cut short is left out."""
    try:
        lines = file.read_text().splitlines()
        first = json.loads(lines[0])
        before = Inputs(first["common"], first["roles"])
    except (OSError, ValueError, LookupError, TypeError):
        return Inputs(""), []
    found = []
    for line in lines[1:]:
        try:
            data = json.loads(line)
            if "image" in data:
                found.append(Stage(**{**data, **{name: tuple(data[name]) for name in ("roles", "names", "notified")}}))
        except (ValueError, LookupError, TypeError):
            break
    return before, found


def changed(before: Inputs, now: Inputs) -> set[str]:
    """Labels of roles whose tasks, handlers, templates or files are others than they were; none, where there was no
    build before. Pure."""
    if not before.common:
        return set()
    return {role for role in before.roles.keys() | now.roles.keys() if before.roles.get(role) != now.roles.get(role)}


def usable(stages: list[Stage], before: Inputs, now: Inputs, contents: Mapping[str, Path]) -> list[Stage]:
    """The stages, in their order, that hold for a build of `now`."""
    if before.common != now.common:
        return []
    others = changed(before, now)
    folders = role_folders(contents)
    found = []
    for stage in stages:
        ran = {label for label, folder in folders.items() if str(folder) in stage.roles}
        if ran & others:
            break
        if not _mentioned(stage.names, contents, ran):
            found.append(stage)
    return found


def role_folders(contents: Mapping[str, Path]) -> dict[str, Path]:
    """Label of each role -> its folder."""
    found = {}
    for label, path in contents.items():
        role, rest = in_role(label)
        if role:
            found[role] = path.parents[rest.count("/")]
    return found


def _mentioned(names: tuple[str, ...], contents: Mapping[str, Path], ran: set[str]) -> bool:
    """Whether one of these words occurs in a playbook, or in a role that is not one of `ran`."""
    wanted = set(names)
    if not wanted:
        return False
    for label, path in contents.items():
        role, _ = in_role(label)
        text = path.suffix in {".yml", ".yaml", ".j2", ".json"}
        if role not in ran and text and path.is_file() and wanted & set(_WORD.findall(path.read_text(errors="ignore"))):
            return True
    return False


def begin(file: Path, now: Inputs, kept: list[Stage]) -> None:
    """Write down what a build is made from, and what it goes on from; the callback adds what it keeps."""
    lines = [asdict(now), *map(asdict, kept)]
    files.write(file, "".join(json.dumps(line) + "\n" for line in lines).encode())


def orders(
    record: Path, build_id: str, start: Stage | None, changed_roles: set[str], contents: Mapping[str, Path]
) -> dict[str, Any]:
    """What the callback is told (as JSON). Pure."""
    folders = role_folders(contents)
    return {
        "record": str(record),
        "build_id": build_id,
        "tag": f"{REPOSITORY}:{build_id}",
        "from": None if start is None else asdict(start),
        "changed": sorted(str(folders[role]) for role in changed_roles if role in folders),
    }


def resumed(file: Path) -> bool:
    """Whether the run that was to go on from a stage did so."""
    return '{"resumed": true}' in file.read_text().splitlines()


def forget(gone: Iterable[Stage]) -> None:
    """Remove the images of stages."""
    names = [stage.image for stage in gone]
    if names:
        proc.run(["docker", "rmi", "--no-prune", *names], check=False)
