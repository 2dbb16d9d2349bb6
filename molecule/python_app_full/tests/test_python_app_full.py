"""The role python_app with an application whose answers are known."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

SCENARIO = Path(__file__).parents[1]
PROJECT = SCENARIO.parents[1]


def converge(*options: str, **variables: Any) -> subprocess.CompletedProcess[str]:
    """The role once more, with other variables."""
    argv = [
        "ansible-playbook",
        *options,
        "--inventory",
        str(SCENARIO / "inventory"),
        "--extra-vars",
        json.dumps(variables),
    ]
    env = {
        **os.environ,
        "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"),
        "MOLECULE_SCENARIO_NAME": SCENARIO.name,
        "ANSIBLE_FORCE_COLOR": "0",
    }
    playbook = PROJECT / "molecule" / "shared" / "role.yml"
    return subprocess.run([*argv, str(playbook)], cwd=PROJECT, env=env, capture_output=True, text=True, check=False)


def test_it_works_with_its_library_its_secret_and_its_place(host: Any, fetch: Any) -> None:
    first, second = (fetch("http://127.0.0.1:9000/")[2].partition(".")[0] for _ in range(2))
    assert int(second) == int(first) + 1
    assert host.file("/var/lib/counter/count").user == "counter"


def test_nothing_of_the_earlier_release_runs(host: Any) -> None:
    assert not host.socket("tcp://127.0.0.1:8000").is_listening


def test_what_may_be_run_may_be_run(host: Any) -> None:
    assert host.file("/srv/counter/current/app/show-count").mode == 0o755


def test_a_list_in_the_unit_is_several_lines_and_others_win(host: Any) -> None:
    unit = host.file("/etc/systemd/system/counter.service").content_string.splitlines()
    assert {"PrivateDevices=no", "Restart=always", "MemoryMax=512M", "StateDirectory=counter"} <= set(unit)


def test_an_application_that_is_not_healthy_stops_the_run(host: Any) -> None:
    done = converge(python_app_health_url="http://127.0.0.1:1/", python_app_health_timeout=1)
    assert done.returncode == 2, done.stdout
    assert "Wait until the application is healthy" in done.stdout


def test_files_that_were_changed_by_hand_are_put_right(host: Any) -> None:
    path = "/srv/counter/current/app/counter.py"
    host.check_output("echo 'raise SystemExit(1)' >>%s", path)
    done = converge()
    assert done.returncode == 0, done.stdout
    assert host.file(path).content_string == (SCENARIO / "app" / "counter.py").read_text(encoding="utf-8")
    assert host.service("counter").is_running


def test_a_check_says_that_an_old_release_would_go(host: Any) -> None:
    host.check_output("mkdir /srv/counter/releases/old")
    assert "changed=1 " in converge("--check").stdout
    assert "changed=1 " in converge().stdout
    assert not host.file("/srv/counter/releases/old").exists


def test_a_line_that_systemd_would_ignore_is_refused(host: Any) -> None:
    done = converge(python_app_service={"MemoryMaxx": "512M"})
    assert done.returncode == 2, done.stdout
    assert "Unknown key" in done.stdout
    assert "MemoryMaxx" not in host.file("/etc/systemd/system/counter.service").content_string
