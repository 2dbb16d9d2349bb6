"""Which roles a definition applies to a host, and where they lie."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from goldsmith import config
from goldsmith.errors import UsageError
from goldsmith.inventory import Inventory


def of_host(
    project: config.Project, playbook: str, hosts: Inventory, name: str, extra: dict[str, Any]
) -> dict[str, Path]:
    """Role name -> folder, in the order in which the playbook's plays apply them to the host.

    Roles of a play, and those that its tasks import or include by a literal name. A role under a condition counts if
    the condition holds by what is known without the host's facts; where that can't be told, it counts.

    Raises:
        UsageError: Ansible can't read the playbook.
    """
    from ansible.errors import AnsibleError  # noqa: PLC0415 - Ansible takes 0.3 s to import
    from ansible.playbook import Playbook  # noqa: PLC0415

    found: dict[str, Path] = {}
    try:
        path = playbook_path(project, playbook)
        loaded = Playbook.load(path, variable_manager=hosts.manager, loader=hosts.loader)
        variables = {**hosts.raw(name), **extra}
        for play in loaded.get_plays():
            if name in hosts.hosts(str(_template(play.hosts, hosts, variables))):
                for role in _applied(play, hosts, variables):
                    found[role.get_name()] = Path(role._role_path)
    except AnsibleError as error:
        raise UsageError(
            f"playbook {playbook}: {error}", hint="`ansible-playbook --syntax-check` reads it too"
        ) from error
    return found


def playbook_path(project: config.Project, playbook: str) -> str:
    """Where a playbook lies. Raises UsageError when a collection has none of that name."""
    if not config.is_collection_name(playbook):
        return str(project.root / playbook)
    from ansible.utils.collection_loader._collection_finder import _get_collection_playbook_path  # noqa: PLC0415

    resource = _get_collection_playbook_path(playbook)
    if resource is None:
        raise UsageError(f"there is no playbook {playbook}", hint="is its collection installed?")
    return str(resource[1])


def _applied(play: Any, hosts: Inventory, variables: dict[str, Any]) -> Iterator[Any]:
    for role in play.get_roles():
        if _holds(role, hosts, variables):
            yield role
    for task in _tasks([*play.pre_tasks, *play.tasks, *play.post_tasks]):
        literal = getattr(task, "_role_name", None)
        if literal and "{{" not in literal and _holds(task, hosts, variables):
            task.get_block_list(play=play, variable_manager=hosts.manager, loader=hosts.loader)
            yield play.roles[-1]


def _tasks(entries: list[Any]) -> Iterator[Any]:
    for entry in entries:
        if hasattr(entry, "block"):
            yield from _tasks([*entry.block, *entry.rescue, *entry.always])
        else:
            yield entry


def _template(value: Any, hosts: Inventory, variables: dict[str, Any]) -> Any:
    from ansible.template import Templar  # noqa: PLC0415

    found = Templar(loader=hosts.loader, variables=variables).template(value)
    return ",".join(found) if isinstance(found, list) else found


def _holds(item: Any, hosts: Inventory, variables: dict[str, Any]) -> bool:
    from ansible.errors import AnsibleError  # noqa: PLC0415
    from ansible.template import Templar  # noqa: PLC0415

    templar = Templar(loader=hosts.loader, variables=variables)
    try:
        if hasattr(templar, "evaluate_conditional"):  # since ansible-core 2.19
            return all(templar.evaluate_conditional(condition) for condition in item.when)
        return bool(item.evaluate_conditional(templar, variables))
    except AnsibleError:
        return True
