# Copyright: the Goldsmith authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Carry files of the controller to the host, run a command with them, and judge how it ended."""

from __future__ import annotations

import io
import json
import re
import shlex
import tarfile
import tempfile
from pathlib import Path, PurePosixPath
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.goldsmith.core.plugins.action.python_bundle import MTIME, pack, source_files
from ansible_collections.goldsmith.core.plugins.modules.carried_command import ARGUMENTS, ENVIRONMENT, FILES

# A message shows the end of a long output; the result holds all of it.
SHOWN_LINES = 60


def complaint(arguments: dict[str, Any]) -> str:
    """What is wrong with the arguments; empty if nothing is."""
    guarded = bool(arguments["creates"] or arguments["unless"])
    tells = bool(arguments["changed_exit_codes"] or arguments["changed_output"])
    if guarded and arguments["always"]:
        return "it has guards (creates, unless) and is to run always: choose one"
    if not guarded and not arguments["always"]:
        return "nothing says whether it has to run: give it creates or unless, or say always"
    if arguments["always"] and not tells:
        return "it runs always, so changed_exit_codes or changed_output must tell whether it changed something"
    for name in [*arguments["files"], *arguments["contents"]]:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or not PurePosixPath(name).parts:
            return f"{name!r} is no name in the folder on the host"
    return ""


def members(files: dict[str, Path]) -> list[tuple[str, Path]]:
    """Every file that is carried, by its name in the bundle."""
    found: list[tuple[str, Path]] = []
    for name, path in sorted(files.items()):
        if path.is_dir():
            found += [(f"{FILES}/{name}/{file.relative_to(path).as_posix()}", file) for file in source_files(path)]
        else:
            found.append((f"{FILES}/{name}", path))
    return found


def bundle(files: dict[str, Path], contents: dict[str, Any], environment: dict[str, Any]) -> bytes:
    """All of it in one tar file. Texts and variables are for one reader."""
    buffer = io.BytesIO(pack(members(files)))
    texts = {f"{FILES}/{name}": str(text) for name, text in contents.items()}
    texts[ENVIRONMENT] = json.dumps({name: word(value) for name, value in environment.items()})
    with tarfile.open(fileobj=buffer, mode="a") as tar:
        for name, text in sorted(texts.items()):
            entry, content = tarfile.TarInfo(name), text.encode()
            entry.size, entry.mode, entry.mtime = len(content), 0o600, MTIME
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def word(value: Any) -> str:
    """A value as a variable of the environment: true and not True."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def judge(arguments: dict[str, Any], done: dict[str, Any], *, check: bool) -> tuple[bool, str]:
    """Whether something was changed, and why it failed (empty if it did not)."""
    code = done["rc"]
    if code not in arguments["exit_codes"] + arguments["changed_exit_codes"]:
        late = arguments["timeout"] and code in {124, 137}
        return False, f"did not end within {arguments['timeout']} s" if late else f"failed with exit code {code}"
    if not check and not arguments["always"] and done["needed"]:
        guards = [f"creates ({arguments['creates']})"] if arguments["creates"] else []
        guards += [f"unless ({arguments['unless']})"] if arguments["unless"] else []
        return False, f"ended well, but its guard still says that it has to run: {' and '.join(guards)}"
    if not (arguments["changed_exit_codes"] or arguments["changed_output"]):
        return True, ""
    changed = code in arguments["changed_exit_codes"]
    if arguments["changed_output"]:
        changed = changed or bool(re.search(arguments["changed_output"], done["stdout"], re.MULTILINE))
    return changed, ""


def message(label: str, reason: str, done: dict[str, Any], *, shown: bool) -> str:
    """The reason, and what the command said."""
    if not shown:
        return f"{label} {reason}; its output is not shown, as show_output says"
    lines = f"{done['stdout'].rstrip()}\n{done['stderr'].rstrip()}".strip().splitlines()
    rest = ["..."] if len(lines) > SHOWN_LINES else []
    return "\n".join([f"{label} {reason}" + ("; it said:" if lines else ""), *rest, *lines[-SHOWN_LINES:]])


class ActionModule(ActionBase):
    """One round trip when the guards say that nothing is to be done."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask the guards, carry, run, judge."""
        result = super().run(tmp, task_vars)
        _result, arguments = self.validate_argument_spec(argument_spec=ARGUMENTS)
        label = arguments["label"] or arguments["argv"][0]
        wrong = complaint(arguments)
        if wrong:
            raise AnsibleActionFail(f"{label}: {wrong}")
        files = {name: self._source(label, path) for name, path in arguments["files"].items()}
        result.update(changed=False, failed=False, ran=False)

        check = bool(self._task.check_mode)
        if not arguments["always"]:
            asked = self._ask(arguments, task_vars, argv=arguments["argv"])
            if asked.get("failed") or not asked["needed"]:
                return {**result, **asked}
        argv = arguments["check_argv"] if check else arguments["argv"]
        if not argv:
            result["changed"] = not arguments["always"]
            return {**result, "diff": {"prepared": f"would run {label}\n"}} if result["changed"] else result

        variables: dict[str, Any] = {}
        self._compute_environment_string(variables)
        variables.update(arguments["environment"])
        self._make_tmp_path()
        remote = self._connection._shell.join_path(self._connection._shell.tmpdir, "bundle.tar")
        with tempfile.NamedTemporaryFile() as local:
            local.write(bundle(files, arguments["contents"], variables))
            local.flush()
            self._transfer_file(local.name, remote)
        self._fixup_perms2((self._connection._shell.tmpdir, remote), execute=False)
        done = self._ask(arguments, task_vars, argv=argv, bundle=remote)
        if done.get("failed"):
            return {**result, **done, "msg": f"{label}: {done.get('msg', 'the module broke off')}"}
        if done.get("missing"):
            return {**result, "changed": True, "warnings": [f"{label}: {done['missing']}"]}
        changed, reason = judge(arguments, done, check=check)
        result.update(ran=True, changed=changed, rc=done["rc"], read=done["read"])
        if arguments["show_output"]:
            result.update(stdout=done["stdout"], stderr=done["stderr"], stdout_lines=done["stdout"].splitlines())
            if self._task.diff:
                result["diff"] = {"prepared": f"{shlex.join([label])}:\n{done['stdout']}"}
        if reason:
            result.update(failed=True, msg=message(label, reason, done, shown=arguments["show_output"]))
        return result

    def _source(self, label: str, path: Any) -> Path:
        """A file or folder of the controller, sought where the module copy seeks it; out of its vault."""
        try:
            found = Path(self._find_needle("files", str(path)))
        except Exception as error:
            raise AnsibleActionFail(f"{label}: there is no {path} on the controller") from error
        return found if found.is_dir() else Path(self._loader.get_real_file(str(found)))

    def _ask(self, arguments: dict[str, Any], task_vars: dict[str, Any] | None, **more: Any) -> dict[str, Any]:
        """What is secret is not among the arguments of the module: it goes by the bundle."""
        names = ("chdir", "user", "timeout", "creates", "unless", "read", "hint")
        wanted = {name: arguments[name] for name in names if arguments[name] not in (None, "")}
        done = self._execute_module(
            module_name="goldsmith.core.carried_command", module_args={**wanted, **more}, task_vars=task_vars
        )
        if done.get("failed"):
            return dict(done)
        return {name: value for name, value in done.items() if name not in ("invocation", "changed")}
