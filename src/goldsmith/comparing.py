"""`goldsmith compare`: two machines, a fleet against a reference, or one path's contents."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from goldsmith import collect, config, fleet_report, inventory, manifests, report, reports, show
from goldsmith.compare import Groups, compare
from goldsmith.errors import UsageError
from goldsmith.manifest import Manifest
from goldsmith.policy import Policy

OK, BROKEN, UNEXPLAINED = 0, 1, 3

Hosts = Callable[[], inventory.Inventory]
"""Reads the project's inventory; raises UsageError where there is none."""


def machines(
    reference: str,
    others: Sequence[str],
    policy: Policy,
    load: Callable[[str], Manifest],
    groups: Groups,
    out: Console,
    wanted: reports.Reports,
    *,
    files: bool,
    as_json: bool,
) -> int:
    """Compare one machine with another, or with many; say it; write the reports that are wanted; give the exit code.
    `load` makes a manifest of an argument."""
    if len(others) == 1 and not Path(others[0]).is_dir():
        found = compare(load(reference), load(others[0]), policy, groups)
        wanted.write(reports.of_two(found))
        if as_json:
            _print_json(report.to_json(found))
        else:
            report.render(found, out, files=files)
        return OK if found.ok else UNEXPLAINED
    paths = manifests.files(Path(each) for each in others if not collect.is_target(each))
    targets = (load(each) for each in others if collect.is_target(each))
    fleet = manifests.judge(load(reference), paths, policy, groups, targets)
    wanted.write(fleet)
    if as_json:
        _print_json(fleet_report.to_json(fleet))
    else:
        fleet_report.render(fleet, out, files=files)
    return BROKEN if fleet.unread else OK if fleet.ok else UNEXPLAINED


def contents(a: str, b: str, paths: Sequence[str], hosts: Hosts, *, as_json: bool) -> int:
    """Show what differs within files; give the exit code."""
    needed = any(side.startswith("ssh:") for side in (a, b))
    found = {path: show.show(a, b, path, hosts() if needed else None) for path in paths}
    if as_json:
        _print_json([{"path": path, "equal": each.equal, "text": each.text} for path, each in found.items()])
    else:
        sys.stdout.write("".join(each.text for each in found.values()))
    return OK if all(each.equal for each in found.values()) else UNEXPLAINED


def groups(policy: Policy, project: config.Project | None) -> Groups:
    """The inventory's groups of each host, where a rule of the policy asks for one.

    Raises:
        UsageError: a rule does, and there is no inventory.
    """
    if not any(rule.group for rule in (*policy.rules, *policy.expired)):
        return {}
    if project is None:
        raise UsageError(
            f"{policy.name} has rules for groups, and there is no inventory to know them by",
            hint="run it in a project, or name one with --project",
        )
    return inventory.Inventory(project.inventory, project.root).groups_of_hosts()


def _print_json(data: object) -> None:
    sys.stdout.write(json.dumps(data, indent=2, sort_keys=True) + "\n")
