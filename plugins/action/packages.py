# Copyright: the Goldsmith authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Have Debian packages installed or purged, and ask apt only if something is to be done."""

from __future__ import annotations

import shlex
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

# Says "lists" if package lists are there and were fetched within the hour.
FRESH = (
    "ls /var/lib/apt/lists/*_Packages* >/dev/null 2>&1"
    ' && [ -n "$(find /var/lib/apt/lists -maxdepth 0 -mmin -60)" ] && echo lists'
)


def question(names: list[str]) -> str:
    """One command for the host: the state of the packages, and whether package lists are there."""
    query = "dpkg-query --show --showformat '${binary:Package} ${Package} ${db:Status-Status}\\n' --"
    return f"{query} {shlex.join(names)} 2>/dev/null; {FRESH}; :"


def to_do(names: list[str], state: str, answer: str) -> list[str]:
    """The packages that are not as wanted. A name that dpkg does not know is left to apt, if it should be there."""
    seen: dict[str, str] = {}
    for line in answer.splitlines():
        words = line.split()
        if len(words) == 3:
            full, short, status = words
            seen[full] = status
            # Of a package with several architectures, one that is installed counts.
            if seen.get(short) != "installed":
                seen[short] = status
    if state == "present":
        return [name for name in names if seen.get(name) != "installed"]
    return [name for name in names if seen.get(name, "not-installed") != "not-installed"]


class ActionModule(ActionBase):
    """One round trip when nothing is to be done."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask dpkg, then let apt do what is left."""
        result = super().run(tmp, task_vars)
        _result, arguments = self.validate_argument_spec(
            argument_spec={
                "name": {"type": "list", "elements": "str", "required": True},
                "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            }
        )
        names, state = list(dict.fromkeys(arguments["name"])), arguments["state"]
        if not names:
            return {**result, "changed": False, "todo": []}
        answer = self._low_level_execute_command(question(names))
        if answer["rc"]:
            raise AnsibleActionFail(f"cannot ask dpkg: {answer.get('stderr', '').strip()}")
        todo = to_do(names, state, answer["stdout"])
        if not todo:
            return {**result, "changed": False, "todo": []}
        check = self._task.check_mode
        fetch = state == "present" and "lists" not in answer["stdout"].splitlines()
        if fetch and check:
            fetched = self._apt({"update_cache": True}, task_vars, check=False)
            if fetched.get("failed"):
                return {**result, **fetched, "todo": todo}
        wanted = {"name": todo, "state": state, "install_recommends": False}
        if state == "absent":
            wanted.update(purge=True, autoremove=True)
        elif fetch and not check:
            wanted["update_cache"] = True
        return {**result, **self._apt(wanted, task_vars, check=check), "todo": todo}

    def _apt(self, arguments: dict[str, Any], task_vars: dict[str, Any] | None, *, check: bool) -> dict[str, Any]:
        before = self._task.check_mode
        self._task.check_mode = check
        try:
            return dict(
                self._execute_module(module_name="ansible.builtin.apt", module_args=arguments, task_vars=task_vars)
            )
        finally:
            self._task.check_mode = before
