"""Live hosts against one reference: who is in sync, who is not and why, what would repair it, and the repair."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.lab import Lab
from goldsmith import inventory
from tests.integration.conftest import Goldsmith

SITE = """\
- name: Small
  hosts: all
  gather_facts: false
  tasks:
    - name: Greet
      ansible.builtin.copy: {content: "hello\\n", dest: /etc/goldsmith-drift, mode: "0644"}
    - name: Add the user
      ansible.builtin.user: {name: drifter, create_home: false, shell: /usr/sbin/nologin}
"""
GONE = "gone ansible_host=127.0.0.1 ansible_port=9\n"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory, base: str) -> Iterator[tuple[Goldsmith, Lab]]:
    """A small project and its two hosts, converged; what web1 is then is the reference, good.json."""
    folder = tmp_path_factory.mktemp("drift")
    (folder / "goldsmith.yml").write_text("images:\n  small:\n    playbook: site.yml\ninventory: hosts.ini\n")
    (folder / "hosts.ini").write_text(f"[web]\nweb1\nweb2\n[down]\n{GONE}")
    (folder / "site.yml").write_text(SITE)
    apart = tmp_path_factory.mktemp("lab")
    with Lab(apart, base, ["web1", "web2"]) as lab:
        sockets = {"ANSIBLE_SSH_CONTROL_PATH_DIR": str(apart / "cp")}
        goldsmith = Goldsmith(folder, {**lab.environment, **sockets})
        try:
            goldsmith("converge", "--limit", "web")
            goldsmith("collect", "ssh:web1", "--output", "good.json")
            yield goldsmith, lab
        finally:
            inventory.close(apart / "cp")


def verdicts(told: dict[str, dict[str, dict[str, str]]]) -> dict[str, str]:
    return {name: host["verdict"] for name, host in told["hosts"].items()}


def test_hosts_of_one_definition_are_in_sync(fleet: tuple[Goldsmith, Lab]) -> None:
    goldsmith, lab = fleet
    told = goldsmith.json("drift", "good.json", "--limit", "web")
    assert verdicts(told) == {"web1": "in sync", "web2": "in sync"}
    assert list((lab.folder / "cp").glob("goldsmith-*")), "no connection was kept open"


def test_a_change_by_hand_is_named_planned_and_repaired(fleet: tuple[Goldsmith, Lab]) -> None:
    goldsmith, lab = fleet
    lab.execute("web2", "echo by hand > /etc/goldsmith-drift")
    outputs = ["--junit", "drift.xml", "--textfile", "drift.prom"]
    told = goldsmith.json("drift", "good.json", "--plan", *outputs, expect=3)
    assert verdicts(told) == {"web1": "in sync", "web2": "drifted", "gone": "unreachable"}
    [planned] = told["hosts"]["web2"]["plan"]
    assert planned == {
        "cause": "file /etc/goldsmith-drift, contents",
        "repaired_by": [{"role": "", "task": "Greet"}],
    }
    assert "nothing listens" in told["hosts"]["gone"]["causes"][0]
    assert ET.parse(goldsmith.project / "drift.xml").getroot().get("failures") == "1"
    metrics = (goldsmith.project / "drift.prom").read_text()
    assert 'goldsmith_host_in_sync{host="web2"} 0\n' in metrics
    assert 'goldsmith_host_verdict{host="gone",verdict="unreachable"} 1\n' in metrics
    assert lab.execute("web2", "cat /etc/goldsmith-drift").text == "by hand"  # a plan changes nothing

    only = ["converge", "--limit", "web", "--only-drifted", "good.json"]
    rehearsed = goldsmith.json(*only, "--check", expect=3)
    assert (list(rehearsed["converge"]["hosts"]), rehearsed["after"]) == (["web2"], None)
    repaired = goldsmith.json(*only)
    assert list(repaired["converge"]["hosts"]) == ["web2"]
    assert verdicts(repaired["before"]) == {"web1": "in sync", "web2": "drifted"}
    assert verdicts(repaired["after"]) == {"web1": "in sync", "web2": "in sync"}
    assert json.loads(goldsmith(*only, "--json").stdout)["converge"] is None


def test_what_the_definition_does_not_know_needs_a_person(fleet: tuple[Goldsmith, Lab]) -> None:
    goldsmith, lab = fleet
    lab.execute("web2", "touch /etc/cron.d/foreign && userdel drifter")
    try:
        done = goldsmith("drift", "good.json", "--limit", "web", "--plan", expect=3)
        assert "file /etc/cron.d/foreign only on B: needs a person" in done.stdout
        assert "user drifter only on A: " in done.stdout
        assert 'repaired by task "Add the user"' in done.stdout
    finally:
        lab.execute("web2", "rm -f /etc/cron.d/foreign")
        goldsmith("converge", "--limit", "web2")


RECORD = "/var/lib/goldsmith.record.json"


def converged(goldsmith: Goldsmith, *arguments: str) -> str:
    """The verdict of a converge of web1."""
    told = goldsmith.json("converge", "--limit", "web1", *arguments)
    assert told["unprovable"] == []
    return str(told["hosts"]["web1"]["verdict"])


def test_a_host_on_which_nothing_changed_is_proven_in_sync(fleet: tuple[Goldsmith, Lab]) -> None:
    goldsmith, lab = fleet
    assert converged(goldsmith, "--full") == "ok"
    assert lab.execute("web1", f"stat -c '%a %U' {RECORD}").text == "600 root"
    done = goldsmith("converge", "--limit", "web1")
    assert "in sync: nothing has changed there, and nothing was run; --full does" in done.stdout
    assert "Greet" not in done.stderr
    # The record is no difference.
    assert goldsmith.json("drift", "good.json", "--limit", "web1")["exit_code"] == 0

    lab.execute("web1", "echo by hand > /etc/goldsmith-drift")
    assert converged(goldsmith) == "changed"
    assert converged(goldsmith) == "in sync"
    lab.execute("web1", "systemctl stop apt-daily.timer")  # no file tells of this
    assert converged(goldsmith) == "ok"
    lab.execute("web1", "systemctl start apt-daily.timer")
    hosts = goldsmith.project / "hosts.ini"
    before = hosts.read_text()
    hosts.write_text(f"{before}[web:vars]\ngreeting=s3cret\n")
    try:
        assert converged(goldsmith) == "ok"
        assert converged(goldsmith) == "in sync"
        assert "s3cret" not in lab.execute("web1", f"cat {RECORD}").text
    finally:
        hosts.write_text(before)
    assert converged(goldsmith) == "ok"
    lab.execute("web1", f"chmod 644 {RECORD}")
    assert converged(goldsmith) == "ok"


def test_what_is_beyond_proof_is_named_and_runs_in_full(fleet: tuple[Goldsmith, Lab]) -> None:
    goldsmith, _ = fleet
    site = goldsmith.project / "site.yml"
    before = site.read_text()
    site.write_text(before + "    - name: Ask\n      ansible.builtin.debug: {msg: \"{{ lookup('env', 'HOME') }}\"}\n")
    try:
        for _ in range(2):
            told = goldsmith.json("converge", "--limit", "web1")
            assert told["hosts"]["web1"]["verdict"] == "ok"
            [named] = told["unprovable"]
            assert named.startswith(f"{site}:{before.count(chr(10)) + 2}: lookup env: ")
    finally:
        site.write_text(before)


def test_a_host_that_cannot_be_read_is_unprovable(fleet: tuple[Goldsmith, Lab], tmp_path: Path) -> None:
    goldsmith, _ = fleet
    told = goldsmith.json(
        "drift", "good.json", "--limit", "web1", "--project", str(no_python(goldsmith, tmp_path)), expect=1
    )
    assert verdicts(told) == {"web1": "unprovable"}
    assert "Python 3.8" in told["hosts"]["web1"]["hint"]


def no_python(goldsmith: Goldsmith, folder: Path) -> Path:
    """The project with an interpreter that the host does not have."""
    for name in ("goldsmith.yml", "site.yml"):
        (folder / name).write_text((goldsmith.project / name).read_text())
    (folder / "hosts.ini").write_text("web1 ansible_python_interpreter=/opt/none/python3\n")
    return folder
