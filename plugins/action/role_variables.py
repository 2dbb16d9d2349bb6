# Copyright: the Goldsmith authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Refuse variables that carry a role's prefix and that the role does not know."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import yaml
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase


def unknown_variables(role: str, known: set[str], present: list[str], other_roles: list[str]) -> list[str]:
    """The names in `present` that carry the role's prefix, are not known, and belong to no other role."""
    longer = tuple(f"{other}_" for other in other_roles if other.startswith(f"{role}_"))
    return sorted(
        name
        for name in present
        if name.startswith(f"{role}_") and name not in known and not (longer and name.startswith(longer))
    )


def complaint(role: str, unknown: list[str], known: set[str], moved: dict[str, str]) -> str:
    """What to tell the user, with what took its place, or the nearest name that exists."""
    parts = []
    for name in unknown:
        if name in moved:
            parts.append(f"{name} (use {moved[name]})")
            continue
        near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.6)
        parts.append(f"{name} (did you mean {near[0]}?)" if near else name)
    return (
        f"The role {role} has no variable {', '.join(parts)}. It knows: {', '.join(sorted(known)) or 'none'}. "
        f"If the name means something else, list it in goldsmith_ignored_variables."
    )


class ActionModule(ActionBase):
    """Runs on the controller only."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Compare the variables in sight with the role's argument specification."""
        result = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        _result, arguments = self.validate_argument_spec(
            argument_spec={
                "ignore": {"type": "list", "elements": "str", "default": []},
                "moved": {"type": "dict", "default": {}},
            }
        )
        role = self._task._role
        if role is None:
            raise AnsibleActionFail("role_variables looks at the role that it is in: use it in a role's tasks")
        name = role.get_name().rsplit(".", 1)[-1]
        specs = Path(role._role_path, "meta", "argument_specs.yml")
        try:
            spec = yaml.safe_load(specs.read_text(encoding="utf-8"))["argument_specs"]
            known = {option for entry in spec.values() for option in entry.get("options", {})}
        except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
            raise AnsibleActionFail(f"cannot read the arguments of the role {name} from {specs}: {error}") from error
        others = [str(other).rsplit(".", 1)[-1] for other in task_vars.get("ansible_play_role_names", [])]
        unknown = unknown_variables(name, known | set(arguments["ignore"]), list(task_vars), others)
        result["known"] = sorted(known)
        if unknown:
            raise AnsibleActionFail(complaint(name, unknown, known, arguments["moved"]))
        result["changed"] = False
        return result
