# Copyright: the Goldsmith authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run a command with what was carried to the host, and leave none of it behind."""

# ruff: noqa: E402 - Ansible wants the documentation before everything else

from __future__ import annotations

DOCUMENTATION = r"""
module: carried_command
short_description: Run a command with files of the controller, and leave none of them behind
description:
  - Packs files and folders of the controller, carries them to the host in one piece, unpacks them in a folder that only
    the user who runs the command can enter, runs the command, and removes the folder, however the command ended.
  - The command runs if its guards say so. Where it has guards and they still say so after it ran, it has failed.
  - It gets the same small environment on every machine, those variables of proxies that are set, and what Ansible's
    keyword C(environment) says. What I(environment) and I(contents) hold is never on a command line, in a log, or in
    Ansible's results.
version_added: 0.1.0
author: The Goldsmith authors (!UNKNOWN)
options:
  argv:
    description:
      - The command, word by word. C({folder}) stands for the folder on the host. A command that lies in it is run by
        the interpreter that its first line names, and otherwise by C(/bin/sh), so that it needs no right to be
        executed.
    type: list
    elements: str
    required: true
  check_argv:
    description:
      - The command that is run in check mode instead, and changes nothing. Without it, nothing is run in check mode.
    type: list
    elements: str
  label:
    description: What the command is called in messages. By default its first word.
    type: str
  files:
    description: Files and folders of the controller, by the names that they get in the folder on the host.
    type: dict
    default: {}
  contents:
    description: Texts that become files, readable by nobody else, by the names that they get in the folder on the host.
    type: dict
    default: {}
  environment:
    description: Variables for the command.
    type: dict
    default: {}
  chdir:
    description: Where the command runs. By default in the folder on the host.
    type: path
  user:
    description: Who runs the command. By default who runs the task.
    type: str
  timeout:
    description: After how many seconds the command is stopped and has failed. 0 means never.
    type: int
    default: 0
  creates:
    description: A path or pattern. The command does not run if it is there.
    type: path
  unless:
    description: A shell command that changes nothing. The command does not run if this succeeds.
    type: str
  always:
    description:
      - The command has no guards and runs every time. Then I(changed_exit_codes) or I(changed_output) must tell
        whether it changed something. In check mode, without I(check_argv), it counts as not having changed anything.
    type: bool
    default: false
  exit_codes:
    description: The exit codes of success.
    type: list
    elements: int
    default: [0]
  changed_exit_codes:
    description: Exit codes that mean success, and that something was changed.
    type: list
    elements: int
    default: []
  changed_output:
    description: A regular expression. If it is found in the output, something was changed.
    type: str
  read:
    description: Files of the folder on the host whose text is returned after the command.
    type: list
    elements: str
    default: []
  show_output:
    description: Whether the output is returned, and shown when the command fails.
    type: bool
    default: true
  hint:
    description:
      - What to tell where the host has no such program. In check mode that is a warning, since something may be about
        to install it.
    type: str
    default: ""
  bundle:
    description: Set by the action plugin.
    type: path
attributes:
  check_mode:
    description: Says by the guards, or by I(check_argv), whether something would change.
    support: full
  diff_mode:
    description: Shows the output of a command that changed something, or what would be run.
    support: full
"""

EXAMPLES = r"""
- name: Install a program as its makers do
  goldsmith.core.carried_command:
    label: install.sh
    files:
      install.sh: files/install.sh
    argv: ["{folder}/install.sh", --prefix=/usr/local]
    environment:
      LICENSE_KEY: "{{ license_key }}"
    creates: /usr/local/bin/program

- name: Migrate a database; the program prints what it did
  goldsmith.core.carried_command:
    argv: [/usr/local/bin/migrate]
    check_argv: [/usr/local/bin/migrate, --dry-run]
    always: true
    changed_output: ^applied
"""

RETURN = r"""
ran:
  description: Whether the command, or the one for check mode, was run.
  returned: always
  type: bool
  sample: true
rc:
  description: The exit code.
  returned: if it was run
  type: int
  sample: 0
stdout:
  description: The output.
  returned: if it was run, and I(show_output) is true
  type: str
  sample: applied 0042
stderr:
  description: What it wrote to standard error.
  returned: if it was run, and I(show_output) is true
  type: str
  sample: ""
read:
  description: The text of each file of I(read) that is there.
  returned: if it was run
  type: dict
  sample: {}
"""

import glob
import json
import os
import pwd
import shutil
import signal
import tarfile
import tempfile

from ansible.module_utils.basic import AnsibleModule

ARGUMENTS = {
    "argv": {"type": "list", "elements": "str", "required": True},
    "check_argv": {"type": "list", "elements": "str"},
    "label": {"type": "str"},
    "files": {"type": "dict", "default": {}},
    "contents": {"type": "dict", "default": {}},
    "environment": {"type": "dict", "default": {}},
    "chdir": {"type": "path"},
    "user": {"type": "str"},
    "timeout": {"type": "int", "default": 0},
    "creates": {"type": "path"},
    "unless": {"type": "str"},
    "always": {"type": "bool", "default": False},
    "exit_codes": {"type": "list", "elements": "int", "default": [0]},
    "changed_exit_codes": {"type": "list", "elements": "int", "default": []},
    "changed_output": {"type": "str"},
    "read": {"type": "list", "elements": "str", "default": []},
    "show_output": {"type": "bool", "default": True},
    "hint": {"type": "str", "default": ""},
    "bundle": {"type": "path"},
}
FILES = "files"
ENVIRONMENT = "environment.json"
PLACEHOLDER = "{folder}"
# dpkg runs the scripts of packages from below it, so programs can be executed there. Users cannot list it.
PARENT = "/var/lib"
PREFIX = "goldsmith-run-"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def environment_of(account, present):
    """What every command gets, whoever connected and however: nothing else reaches it."""
    proxies = {name: value for name, value in present.items() if name.lower().endswith("_proxy")}
    own = {"HOME": account.pw_dir, "USER": account.pw_name, "LOGNAME": account.pw_name, "SHELL": "/bin/sh"}
    return {"PATH": PATH, "LANG": "C.UTF-8", **proxies, **own}


def with_interpreter(argv, folder):
    """A command of the folder, begun by what its first line names."""
    if not argv[0].startswith(folder + "/"):
        return argv
    with open(argv[0], "rb") as file:
        first = file.readline()
    if not first.startswith(b"#!"):
        return ["/bin/sh", *argv]
    return [*first[2:].decode(errors="replace").strip().split(None, 1), *argv]


def wrapped(argv, user, timeout):
    """Nothing to read, as another user, for a limited time."""
    argv = ["/bin/sh", "-c", 'exec "$@" </dev/null', "sh", *argv]
    account = pwd.getpwnam(user) if user else None
    if account and account.pw_uid != os.getuid():
        argv = ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--init-groups", "--", *argv]
    if timeout:
        argv = ["timeout", "--kill-after=10", str(timeout), *argv]
    return argv


def has_to_run(module, environment):
    """What the guards say. Without guards: yes."""
    creates, unless, user = (module.params[name] for name in ("creates", "unless", "user"))
    if creates and glob.glob(creates):
        return False
    if not unless:
        return True
    try:
        argv = wrapped(["/bin/sh", "-c", unless], user, module.params["timeout"])
    except KeyError:
        return True
    folder = module.params["chdir"]
    where = folder if folder and os.path.isdir(folder) else "/"
    return module.run_command(argv, environ_update=environment, cwd=where, umask=0o022, expand_user_and_vars=False)[0]


def unpack(bundle, folder, account):
    """Lay down what was carried; the variables that came with it."""
    with tarfile.open(bundle) as tar:
        tar.extraction_filter = getattr(tarfile, "fully_trusted_filter", None)
        tar.extractall(folder)  # noqa: S202 - our own action plugin packed it
    variables = os.path.join(folder, ENVIRONMENT)
    with open(variables, encoding="utf-8") as file:
        environment = json.load(file)
    os.unlink(variables)
    for parent, folders, names in os.walk(folder):
        for path in [parent, *(os.path.join(parent, name) for name in folders + names)]:
            os.chown(path, account.pw_uid, account.pw_gid, follow_symlinks=False)
    return environment


def texts(folder, names):
    """Those of the named files that are there."""
    found = {}
    for name in names:
        path = os.path.join(folder, name)
        if os.path.isfile(path):
            with open(path, encoding="utf-8", errors="replace") as file:
                found[name] = file.read()
    return found


def run(module, base, account, environment):
    """Unpack, run, and say how it ended."""
    given = unpack(module.params["bundle"], base, account)
    folder = os.path.join(base, FILES)
    os.makedirs(folder, exist_ok=True)
    argv = [word.replace(PLACEHOLDER, folder) for word in module.params["argv"]]
    where = (module.params["chdir"] or folder).replace(PLACEHOLDER, folder)
    if not os.path.isdir(where):
        module.fail_json(msg=f"there is no folder {where} on the host")
    environment = {**environment, **given}
    if not shutil.which(argv[0], mode=os.F_OK, path=environment["PATH"]):
        missing = f"there is no program {argv[0]} on the host. {module.params['hint']}".strip()
        if module.check_mode:
            return {"missing": missing}
        module.fail_json(msg=missing)
    argv = wrapped(with_interpreter(argv, folder), module.params["user"], module.params["timeout"])
    code, out, err = module.run_command(
        argv, environ_update=environment, cwd=where, umask=0o022, expand_user_and_vars=False, errors="replace"
    )
    return {"rc": code, "stdout": out, "stderr": err, "read": texts(folder, module.params["read"])}


def stop(_number, _frame):
    """The way out by which the folder goes."""
    raise SystemExit(1)


def main():
    """Without a bundle: only what the guards say."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    user = module.params["user"]
    try:
        account = pwd.getpwnam(user) if user else pwd.getpwuid(os.getuid())
    except KeyError:
        # Whom another task makes, check mode does not meet yet.
        if not module.check_mode:
            module.fail_json(msg=f"there is no user {user} on the host")
        module.exit_json(changed=False, needed=not (module.params["creates"] and glob.glob(module.params["creates"])))
    environment = environment_of(account, os.environ)
    os.environ.clear()
    os.environ.update(environment)
    if not module.params["bundle"]:
        module.exit_json(changed=False, needed=bool(has_to_run(module, environment)))
    # Whoever stops this stops it in order, so that the folder goes.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    base = tempfile.mkdtemp(prefix=PREFIX, dir=PARENT if os.access(PARENT, os.W_OK) else None)
    try:
        result = run(module, base, account, environment)
        result["needed"] = bool(has_to_run(module, environment))
    finally:
        shutil.rmtree(base, ignore_errors=True)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
