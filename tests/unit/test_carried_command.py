"""Commands with files of the controller: on this very machine, in folders of its own."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.goldsmith.core.plugins.action import carried_command as action
from ansible_collections.goldsmith.core.plugins.modules import carried_command as module

ROOT = Path(__file__).parents[2]
SECRET = "not-for-everybody"  # noqa: S105


def arguments(**given: Any) -> dict[str, Any]:
    options: Any = module.ARGUMENTS
    defaults = {name: option.get("default") for name, option in options.items()}
    return {**defaults, "argv": ["true"], **given}


def play(tmp_path: Path, task: dict[str, Any], *options: str) -> tuple[int, str]:
    """One task on this machine: how it ended, and what Ansible said."""
    book = tmp_path / "play.yml"
    plays = {"hosts": "localhost", "connection": "local", "gather_facts": False}
    book.write_text(yaml.safe_dump([{**plays, "tasks": [{"goldsmith.core.carried_command": task}]}]), encoding="utf-8")
    env = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_FORCE_COLOR": "0"}
    argv = ["ansible-playbook", str(book), *options]
    done = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


# What may be asked


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "nothing says whether it has to run"),
        ({"always": True}, "must tell whether it changed something"),
        ({"always": True, "changed_output": "x", "creates": "/x"}, "choose one"),
        ({"creates": "/x", "files": {"../x": "x"}}, "is no name"),
        ({"creates": "/x", "contents": {"/x": "x"}}, "is no name"),
        ({"creates": "/x"}, ""),
        ({"unless": "true", "changed_exit_codes": [3]}, ""),
        ({"always": True, "changed_exit_codes": [3]}, ""),
    ],
)
def test_command_without_guard_must_tell_what_it_changed(given: dict[str, Any], words: str) -> None:
    complaint = action.complaint(arguments(**given))
    assert (words in complaint) if words else complaint == ""


# What is carried


def test_bundle_holds_files_by_their_names_and_secrets_for_one_reader(tmp_path: Path) -> None:
    (tmp_path / "modules" / "a").mkdir(parents=True)
    (tmp_path / "modules" / "a" / "fact.sh").write_text("#!/bin/sh\n", encoding="utf-8")
    (tmp_path / "modules" / "a" / "fact.sh").chmod(0o755)
    files = {"modules/0": tmp_path / "modules", "run": tmp_path / "modules" / "a" / "fact.sh"}
    packed = action.bundle(files, {"x.json": "{}"}, {"A": True, "B": 1})
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        modes = {member.name: oct(member.mode) for member in tar if member.isfile()}
        variables = tar.extractfile("environment.json")
        assert variables
        assert json.load(variables) == {"A": "true", "B": "1"}
    assert modes == {
        "files/modules/0/a/fact.sh": "0o755",
        "files/run": "0o755",
        "files/x.json": "0o600",
        "environment.json": "0o600",
    }


# How it is judged


@pytest.mark.parametrize(
    ("given", "done", "changed", "reason"),
    [
        ({"creates": "/x"}, {"rc": 0}, True, ""),
        ({"creates": "/x"}, {"rc": 0, "needed": True}, True, "still says that it has to run: creates (/x)"),
        ({"creates": "/x"}, {"rc": 3}, False, "failed with exit code 3"),
        ({"creates": "/x", "exit_codes": [0, 3]}, {"rc": 3}, True, ""),
        ({"creates": "/x", "timeout": 5}, {"rc": 124}, False, "did not end within 5 s"),
        ({"creates": "/x"}, {"rc": 124}, False, "failed with exit code 124"),
        ({"always": True, "changed_exit_codes": [2]}, {"rc": 0, "needed": True}, False, ""),
        ({"always": True, "changed_exit_codes": [2]}, {"rc": 2, "needed": True}, True, ""),
        ({"always": True, "changed_exit_codes": [2]}, {"rc": 6, "needed": True}, False, "failed with exit code 6"),
        ({"always": True, "changed_output": "^made"}, {"rc": 0, "stdout": "a\nmade b"}, True, ""),
        ({"always": True, "changed_output": "^made"}, {"rc": 0, "stdout": "not made"}, False, ""),
    ],
)
def test_exit_code_output_and_guards_say_how_it_ended(
    given: dict[str, Any], done: dict[str, Any], changed: bool, reason: str
) -> None:
    done = {"stdout": "", "stderr": "", "needed": False, **done}
    was_changed, why = action.judge(arguments(**given), done, check=False)
    assert reason in why
    assert bool(why) == bool(reason)
    assert was_changed == changed or why


def chef_pattern() -> str:
    tasks = yaml.safe_load((ROOT / "roles" / "chef" / "tasks" / "main.yml").read_text(encoding="utf-8"))
    (run,) = (task["goldsmith.core.carried_command"] for task in tasks if "goldsmith.core.carried_command" in task)
    return str(run["changed_output"])


@pytest.mark.parametrize(
    ("line", "changed"),
    [
        ("Chef Client finished, 1/3 resources updated in 02 seconds", True),
        ("Chef Infra Client finished, 0/3 resources updated in 02 seconds", False),
        ("Chef Infra Client finished, 14/14 resources would have been updated", True),
        ("Infra Phase complete, 2/4 resources would have been updated", True),
        ("Infra Phase complete, 0/4 resources would have been updated", False),
        ("Infra Phase complete, 10/40 resources updated in 01 minutes 02 seconds", True),
    ],
)
def test_last_line_of_each_chef_says_whether_it_changed_something(line: str, changed: bool) -> None:
    given = arguments(always=True, changed_output=chef_pattern())
    done = {"rc": 0, "stdout": f"Converging\n{line}\n", "stderr": "", "needed": True}
    assert action.judge(given, done, check=False) == (changed, "")


def test_long_output_is_shown_from_its_end() -> None:
    done = {"stdout": "\n".join(map(str, range(100))), "stderr": "no such file"}
    shown = action.message("setup.sh", "failed with exit code 1", done, shown=True).splitlines()
    assert shown[:2] == ["setup.sh failed with exit code 1; it said:", "..."]
    assert (len(shown), shown[-1]) == (62, "no such file")


# On the host


@pytest.mark.parametrize(
    ("text", "begin"),
    [
        ("#!/bin/bash -eu\n", ["/bin/bash", "-eu"]),
        ("#!/usr/bin/env -S python3 -I\n", ["/usr/bin/env", "-S python3 -I"]),
        ("echo\n", ["/bin/sh"]),
    ],
)
def test_script_needs_no_right_to_be_executed(tmp_path: Path, text: str, begin: list[str]) -> None:
    script = tmp_path / "x"
    script.write_text(text, encoding="utf-8")
    assert module.with_interpreter([str(script), "a"], str(tmp_path)) == [*begin, str(script), "a"]
    assert module.with_interpreter(["/bin/true"], str(tmp_path)) == ["/bin/true"]


def test_script_runs_once_and_leaves_nothing_but_its_work(tmp_path: Path) -> None:
    (tmp_path / "setup.sh").write_text('pwd >"$1"; ls -A >>"$1"; echo "$TOKEN"\n', encoding="utf-8")
    task = {
        "files": {"setup.sh": str(tmp_path / "setup.sh")},
        "argv": ["{folder}/setup.sh", str(tmp_path / "made")],
        "environment": {"TOKEN": SECRET},
        "creates": str(tmp_path / "made"),
    }
    code, said = play(tmp_path, task, "--check", "--diff")
    assert (code, "changed=1" in said, "would run" in said) == (0, True, True), said
    assert not (tmp_path / "made").exists()
    code, said = play(tmp_path, {**task, "show_output": False}, "-vvv")
    assert (code, "changed=1" in said, SECRET in said) == (0, True, False), said
    folder, *inside = (tmp_path / "made").read_text(encoding="utf-8").splitlines()
    assert (Path(folder).exists(), inside) == (False, ["setup.sh"])
    code, said = play(tmp_path, task)
    assert (code, "changed=0" in said) == (0, True), said


def test_environment_of_the_play_and_of_the_task_is_all_that_comes_from_outside(tmp_path: Path) -> None:
    made, book = tmp_path / "made", tmp_path / "play.yml"
    task = {"argv": ["sh", "-c", f"env >{made}"], "environment": {"A": "task", "B": True}, "creates": str(made)}
    plays = {"hosts": "localhost", "connection": "local", "gather_facts": False}
    plays |= {
        "environment": {"SOURCE_DATE_EPOCH": "0", "A": "play"},
        "tasks": [{"goldsmith.core.carried_command": task}],
    }
    book.write_text(yaml.safe_dump([plays]), encoding="utf-8")
    env = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "STRAY": "x"}
    subprocess.run(["ansible-playbook", str(book)], cwd=ROOT, env=env, capture_output=True, check=True)
    got = dict(line.split("=", 1) for line in made.read_text(encoding="utf-8").splitlines())
    assert (got["A"], got["B"], got["SOURCE_DATE_EPOCH"]) == ("task", "true", "0")
    outside = set(got) - {"A", "B", "SOURCE_DATE_EPOCH", "_", "PWD", "SHLVL", "OLDPWD"}
    assert {name for name in outside if not name.lower().endswith("_proxy")} == {
        *("HOME", "LANG", "LOGNAME", "PATH", "SHELL", "USER"),
    }


def test_failing_script_is_named_and_heard(tmp_path: Path) -> None:
    (tmp_path / "setup.sh").write_text('echo "it is broken $TOKEN" >&2; exit 4\n', encoding="utf-8")
    task = {
        "label": "scripts/setup.sh",
        "files": {"setup.sh": str(tmp_path / "setup.sh")},
        "argv": ["{folder}/setup.sh"],
        "environment": {"TOKEN": SECRET},
        "unless": "false",
    }
    code, said = play(tmp_path, task)
    assert code == 2
    assert "scripts/setup.sh failed with exit code 4; it said:" in said
    assert f"it is broken {SECRET}" in said
    code, said = play(tmp_path, {**task, "show_output": False})
    assert (code, SECRET in said) == (2, False)
    assert "scripts/setup.sh failed with exit code 4" in said


def test_what_takes_too_long_is_stopped(tmp_path: Path) -> None:
    code, said = play(tmp_path, {"argv": ["sleep", "60"], "timeout": 1, "unless": "false"})
    assert (code, "sleep did not end within 1 s" in said) == (2, True), said


def test_missing_program_is_named_with_what_to_do_and_only_foretold_by_a_check(tmp_path: Path) -> None:
    task = {"argv": ["no-such-client"], "check_argv": ["no-such-client"], "hint": "Install it.", "unless": "false"}
    code, said = play(tmp_path, task)
    assert (code, "no-such-client: there is no program no-such-client on the host. Install it." in said) == (2, True)
    code, said = play(tmp_path, task, "--check")
    assert (code, "changed=1" in said, "[WARNING]" in said) == (0, True, True), said


def test_file_that_the_controller_has_not_is_named(tmp_path: Path) -> None:
    code, said = play(tmp_path, {"argv": ["{folder}/x"], "files": {"x": "no/such.sh"}, "unless": "false"}, "--check")
    assert (code, "there is no no/such.sh on the controller" in said) == (2, True), said


# The roles, as far as they can be told without a machine


def role(tmp_path: Path, name: str, variables: dict[str, Any], *options: str) -> tuple[int, str]:
    book = tmp_path / "play.yml"
    plays = {"hosts": "localhost", "connection": "local", "gather_facts": False, "roles": [f"goldsmith.core.{name}"]}
    book.write_text(yaml.safe_dump([plays]), encoding="utf-8")
    env = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_FORCE_COLOR": "0"}
    argv = ["ansible-playbook", str(book), "--extra-vars", json.dumps(variables), *options]
    done = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_script_without_guard_is_refused(tmp_path: Path) -> None:
    (tmp_path / "setup.sh").write_text("exit 1\n", encoding="utf-8")
    scripts = [{"name": "set up", "source": str(tmp_path / "setup.sh")}]
    code, said = role(tmp_path, "scripts", {"scripts_run": scripts})
    assert (code, "nothing says whether it has to run: give it creates or unless, or say always" in said) == (2, True)


def test_without_a_client_chef_says_what_to_install(tmp_path: Path) -> None:
    variables = {"chef_run_list": ["recipe[x]"], "chef_client": "no-such-client"}
    code, said = role(tmp_path, "chef", variables)
    assert code == 2
    assert "there is no program no-such-client on the host. Install Chef Infra Client or Cinc Client" in said
    code, said = role(tmp_path, "chef", variables, "--check")
    assert (code, "there is no program no-such-client" in said) == (0, True), said
