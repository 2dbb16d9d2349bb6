"""Converging with proof of sync: hosts whose record proves that nothing has changed are left out, and the others get
a record afterwards. What lies beyond proof (unprovable.py) runs in full.
"""

from __future__ import annotations

import contextlib
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from goldsmith import collect, config, converge, inventory, proc, record, roles, unprovable
from goldsmith.drift import AT_ONCE, PATIENCE
from goldsmith.errors import UsageError
from goldsmith.progress import Progress
from goldsmith.unprovable import Finding

_IMPORTED = re.compile(r"^\s*(?:- )?\s*(?:ansible\.builtin\.)?import_playbook:\s*['\"]?([^'\"\s#]+)", re.MULTILINE)


_STOPS_ALL = re.compile(r"^\s*(?:- )?\s*(?:any_errors_fatal|max_fail_percentage|serial)\s*:", re.MULTILINE)
"""What has a host that fails, or can't be reached, stop others."""


def run(project: config.Project, progress: Progress, *, limit: str, diff: bool, full: bool) -> converge.Result:
    """Converge the hosts that `limit` selects, as `converge.converge` does, but for those that are proven in sync; with
    `full` those too. The result names them, and what of the definition is beyond proof.

    Raises:
        UsageError: `limit` selects no host.
        Interrupted: SIGINT or SIGTERM came.
    """
    hosts = inventory.Inventory(project.inventory, project.root)
    names = hosts.select(limit)
    paths = playbook_files(project, converge.playbooks(project))
    findings = beyond_proof(project, hosts, names, paths)
    connections = _over_ssh(hosts, [name for name in names if not findings[name]])
    made = record.Inputs(project, paths, hosts) if connections else None
    inputs = {name: made.of(name) for name in connections} if made else {}
    proven: list[str] = [] if full else _proven(connections, inputs, progress)
    left = [name for name in names if name not in proven]
    if left:
        narrowed = limit if left == names else ",".join(left)
        result = converge.converge(project, progress, limit=narrowed, check=False, diff=diff)
    else:
        result = converge.Result(seconds=progress.seconds)
    if whole(result, paths):
        done = [name for name, host in result.hosts.items() if host.verdict in ("ok", "changed") and name in inputs]
        _leave_records(connections, {name: inputs[name] for name in done}, progress)
    listed = sorted({str(found) for each in findings.values() for found in each})
    ran = {**{name: converge.Host(name, in_sync=True) for name in proven}, **result.hosts}
    in_order = {name: ran[name] for name in (*names, *ran) if name in ran}
    return replace(result, hosts=in_order, unprovable=listed, seconds=progress.seconds)


def whole(result: converge.Result, paths: Sequence[Path]) -> bool:
    """Whether every host that did well has run to the end: one that did not may have stopped the others."""
    if result.exit_code == inventory.UNREACHABLE_EXIT:
        return not any(_STOPS_ALL.search(path.read_text(errors="replace")) for path in paths)
    return result.exit_code == 0


def _over_ssh(hosts: inventory.Inventory, names: Sequence[str]) -> dict[str, inventory.Connection]:
    """How hosts are reached; one that Ansible reaches in another way gets no record."""
    found = {}
    for name in names:
        with contextlib.suppress(UsageError):
            found[name] = hosts.ssh(name)
    return found


def playbook_files(project: config.Project, playbooks: Sequence[str]) -> list[Path]:
    """The files of playbooks and of those that they import.

    Raises:
        UsageError: there is no such playbook.
    """
    found: list[Path] = []
    waiting = [Path(roles.playbook_path(project, name)) for name in playbooks]
    while waiting:
        path = waiting.pop()
        if path in found or not path.is_file():
            continue
        found.append(path)
        for name in _IMPORTED.findall(path.read_text(errors="replace")):
            known = config.is_collection_name(name)
            waiting.append(Path(roles.playbook_path(project, name)) if known else path.parent / name)
    return found


def beyond_proof(
    project: config.Project, hosts: inventory.Inventory, names: Sequence[str], paths: Sequence[Path]
) -> dict[str, list[Finding]]:
    """Host -> what of the definition, as it applies to that host, is beyond proof."""
    common = [found for path in paths for found in unprovable.of_file(path)]
    common += unprovable.of_project(project.root, project.output)
    of_role: dict[Path, list[Finding]] = {}
    found: dict[str, list[Finding]] = {}
    for name in names:
        found[name] = unprovable.on_host(common, hosts.resolved(name))
        try:
            folders = _roles(project, hosts, name)
        except UsageError:  # ansible-playbook will say it better
            found[name].append(Finding(paths[0] if paths else project.root, 1, "can't be read"))
            continue
        for folder in folders:
            if folder not in of_role:
                of_role[folder] = unprovable.of_role(folder)
            if of_role[folder]:
                found[name] += unprovable.on_host(of_role[folder], hosts.role_variables(name, folder))
    return found


def _roles(project: config.Project, hosts: inventory.Inventory, name: str) -> set[Path]:
    given = {"goldsmith_delivery": "live"}
    applied = [roles.of_host(project, playbook, hosts, name, given) for playbook in converge.playbooks(project)]
    return {folder for each in applied for folder in each.values()}


def _states(
    connections: Mapping[str, inventory.Connection],
) -> dict[str, tuple[str | None, record.Record | None]]:
    """Host -> what it is now, and its record. A host that gives no answer is left out."""
    names = list(connections)
    commands = [collect.over_ssh(connections[name], collect.Target("ssh", name), "record") for name in names]
    found = {}
    answers = proc.run_together(commands, AT_ONCE, stdin=lambda: [collect.sent()] * len(names), timeout=PATIENCE)
    with contextlib.closing(answers):
        for number, done in answers:
            with contextlib.suppress(ValueError, KeyError):
                told = json.loads(done.stdout) if done.code == 0 else {}
                found[names[number]] = (told["state"], record.parse(told["record"]))
    return found


def _proven(
    connections: Mapping[str, inventory.Connection], inputs: Mapping[str, bytes], progress: Progress
) -> list[str]:
    for name in connections:
        progress.row(name).task = "asked for its record"
    proven = set()
    for name, (state, left) in _states(connections).items():
        if left and left.proves(inputs[name], state):
            proven.add(name)
            progress.row(name).task = "in sync: nothing has changed"
    return [name for name in connections if name in proven]


def _leave_records(
    connections: Mapping[str, inventory.Connection], inputs: Mapping[str, bytes], progress: Progress
) -> None:
    """Write the hosts' records. A host that gets none runs in full the next time, and that is said."""
    states = _states({name: connections[name] for name in inputs})
    texts = {
        name: record.new(inputs[name], state).text().encode()
        for name, (state, _) in states.items()
        if state is not None
    }
    names = list(texts)
    commands = []
    for name in names:
        command = [*(["sudo", "-n"] if connections[name].become else []), connections[name].python, "-c", record.WRITE]
        commands.append([*connections[name].argv, shlex.join(command)])
    failed = inputs.keys() - texts.keys()
    answers = proc.run_together(commands, AT_ONCE, stdin=lambda: list(texts.values()), timeout=PATIENCE)
    with contextlib.closing(answers):
        failed |= {names[number] for number, done in answers if done.code != 0}
    if failed:
        progress.say(f"no record, so they run in full the next time: {', '.join(sorted(failed))}")


def lines(result: converge.Result) -> list[str]:
    """What people are told of it."""
    in_sync = any(host.in_sync for host in result.hosts.values())
    told = ["in sync: nothing has changed there, and nothing was run; --full does"] if in_sync else []
    if result.unprovable:
        told.append("beyond proof of sync, so it runs in full each time:")
        told += [f"  {each}" for each in result.unprovable]
    return told
