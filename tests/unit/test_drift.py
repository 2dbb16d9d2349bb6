"""Every host gets one verdict: by comparison, and from end to end over an `ssh` that answers as hosts did."""

from __future__ import annotations

import contextlib
import copy
import gzip
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from goldsmith import drift, drift_report, fleet, inventory, manifest, policy
from goldsmith.drift import Host, Problem, Result
from goldsmith.expect import Expectation
from goldsmith.progress import Progress
from tests.paths import FIXTURES, ROOT

Document = dict[str, Any]


def recorded(name: str) -> Document:
    found: Document = json.loads(gzip.decompress((FIXTURES / f"manifests/{name}.json.gz").read_bytes()))
    return found


def other(name: str, change: Callable[[Document], None] = lambda _: None) -> Document:
    """Another host that is as the recorded one, but for its identity and a change."""
    found = copy.deepcopy(recorded("host"))
    for fact in found["identity"].values():
        if "sha256" in fact:
            fact["sha256"] = f"{name} {fact['sha256']}"
    change(found)
    found["digest"] = manifest.digest(found["sections"])
    return found


def judged(*machines: tuple[str, Document], reference: Document | None = None) -> dict[str, Host]:
    wanted = manifest.from_document(reference or recorded("host"), "x", name="release")
    found = [manifest.from_document(document, name, name=name) for name, document in machines]
    return drift.verdicts([name for name, _ in machines], fleet.judge(wanted, found, policy.reference()), {})


def motd(found: Document) -> None:
    found["sections"]["files"]["/etc/motd"]["sha256"] = "0" * 64


def unreadable(found: Document) -> None:
    found["sections"]["files"]["/etc/fstab"].pop("sha256")
    found["sections"]["files"]["/etc/fstab"]["unreadable"] = True


def stopped(found: Document) -> None:
    del found["runtime"]["units"]["ssh.service"]


@pytest.mark.parametrize(
    ("change", "verdict", "named"),
    [
        (lambda _: None, "in sync", ""),
        (motd, "drifted", "file /etc/motd, contents"),
        (stopped, "drifted", "unit ssh.service, active only on A"),
        (unreadable, "unprovable", "file /etc/fstab"),
        (lambda found: (unreadable(found), motd(found)), "drifted", "file /etc/motd"),
        (lambda found: found["sections"].pop("units"), "unprovable", "units: not compared: B has no such section"),
    ],
)
def test_verdicts(change: Callable[[Document], None], verdict: str, named: str) -> None:
    host = judged(("web1", other("web1", change)))["web1"]
    assert host.verdict == verdict
    assert named in "\n".join(drift_report.why(host))


def test_against_an_image_at_rest_what_runs_is_said_not_to_be_compared() -> None:
    result = seen(judged(("web1", other("web1"))), reference=recorded("image-at-rest"))
    host = judged(("web1", other("web1")), reference=recorded("image-at-rest"))["web1"]
    assert host.verdict == "in sync"
    assert "Not compared: runtime.units: A at rest: nothing runs" in drift_report.notes(seen({"web1": host}))
    assert drift_report.notes(result) == []


def test_two_hosts_that_share_an_identity_have_both_drifted() -> None:
    hosts = judged(("web1", other("one")), ("web2", other("one")), ("web3", other("three")))
    assert {name: host.verdict for name, host in hosts.items()} == {
        "web1": "drifted",
        "web2": "drifted",
        "web3": "in sync",
    }
    assert "identity machine_id: the same as on web2; no two machines may share it" in drift_report.why(hosts["web1"])


def seen(hosts: dict[str, Host], reference: Document | None = None) -> Result:
    together = fleet.Fleet("release", (), ())
    return Result("release", hosts, datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC), 1.25, together)


IN_SYNC, DRIFTED = Host("a", "in sync"), Host("b", "drifted")
UNPROVABLE = Host("c", "unprovable", problem=Problem(True, "sudo: a password is required", "let it"))
UNREACHABLE = Host("d", "unreachable", problem=Problem(False, "d is unreachable: no answer", "is it up?"))


@pytest.mark.parametrize(
    ("hosts", "code"),
    [
        ([IN_SYNC], 0),
        ([IN_SYNC, UNREACHABLE], 4),
        ([IN_SYNC, UNREACHABLE, UNPROVABLE], 1),
        ([UNREACHABLE, UNPROVABLE, DRIFTED], 3),
    ],
)
def test_exit_codes(hosts: list[Host], code: int) -> None:
    assert seen({host.name: host for host in hosts}).exit_code == code


def test_junit_holds_a_test_for_each_host() -> None:
    hosts = judged(("web1", other("web1", motd)), ("web2", other("web2")))
    suite = ET.fromstring(drift_report.to_junit(seen({**hosts, "d": UNREACHABLE}))).find("testsuite")
    assert suite is not None
    assert {name: suite.get(name) for name in ("tests", "failures", "errors")} == {
        "tests": "3",
        "failures": "1",
        "errors": "1",
    }
    assert [[child.tag for child in case] for case in suite] == [["failure"], [], ["error"]]
    assert "/etc/motd" in str(suite[0][0].text)


METRIC = re.compile(
    r'(?P<name>[a-z_]+)\{(?:[a-z]+="(?:[^"\\\n]|\\["\\n])*",?)+\} (?P<value>-?[0-9]+(\.[0-9]+)?(e[+-]?[0-9]+)?)'
)


def test_metrics_are_in_prometheus_format() -> None:
    odd = 'we"b\\1\n'
    hosts = judged((odd, other("web1", motd)), ("web2", other("web2")))
    text = drift_report.to_metrics(seen({**hosts, "d": UNREACHABLE}))
    described = dict(re.findall(r"^# HELP (\w+) (.+)$", text, re.MULTILINE))
    assert re.findall(r"^# TYPE (\w+) gauge$", text, re.MULTILINE) == list(described)
    samples = [line for line in text.removesuffix("\n").split("\n") if not line.startswith("#")]
    for line in samples:
        found = METRIC.fullmatch(line)
        assert found, line
        assert found["name"] in described
    assert 'goldsmith_host_in_sync{host="we\\"b\\\\1\\n"} 0' in samples
    assert 'goldsmith_host_in_sync{host="web2"} 1' in samples
    assert 'goldsmith_host_in_sync{host="d"} 0' in samples
    assert 'goldsmith_host_verdict{host="d",verdict="unreachable"} 1' in samples
    assert 'goldsmith_host_differences{host="web2"} 0' in samples
    assert not [line for line in samples if line.startswith('goldsmith_host_differences{host="d"')]
    assert 'goldsmith_drift_last_run_timestamp_seconds{reference="release"} 1767323045.678' in samples


def test_changes_between_two_looks() -> None:
    before = seen(judged(("web1", other("web1")), ("web2", other("web2"))))
    now = seen(judged(("web1", other("web1", motd)), ("web2", other("web2"))))
    assert drift_report.changes(before, before) == []
    [line] = drift_report.changes(before, now)
    assert line.startswith("2026-01-02T03:04:05Z web1: in sync -> drifted\n  file /etc/motd")
    assert drift_report.changes(now, replace(before, hosts=before.hosts)) == [
        "2026-01-02T03:04:05Z web1: drifted -> in sync"
    ]


# From end to end.

SSH = """\
#!{python}
import json, marshal, sys, time
from pathlib import Path
host, document = sys.argv[-2], "{folder}/" + sys.argv[-2] + ".json"
Path("{folder}/asked").touch()
size, said = int(sys.stdin.buffer.readline() or 0), sys.stdin.buffer.read()
if host == "gone":
    sys.exit(sys.stderr.write("ssh: connect to host gone port 22: Connection refused") and 255)
if host == "locked":
    sys.exit(sys.stderr.write("sudo: a password is required") and 1)
[kept] = [Path(word.partition("=")[2]) for word in sys.argv if word.startswith("ControlPath=")]
if kept.exists() and (kept.parent.parent / "booted").exists():
    sys.exit(sys.stderr.write("mux_client_request_session: read from master failed: Broken pipe") and 255)
kept.touch()
if host == "hangs":
    open("{folder}/hangs", "w").close()
    time.sleep(60)
first, *rest = marshal.loads(said[:size])
exec(first)
install(*rest)
from collector import document as form, expect
answer = form.canonical(expect.answer(json.load(open(document)), json.loads(said[size:])))
open(document + ".answer", "w").write(answer)
print(answer)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose hosts answer as recorded ones did; web2 has drifted."""
    (tmp_path / "goldsmith.yml").write_text("images:\n  web:\n    playbook: site.yml\ninventory: hosts.ini\n")
    (tmp_path / "site.yml").write_text("- hosts: all\n  tasks: []\n")
    (tmp_path / "hosts.ini").write_text("[web]\nweb1\nweb2\nweb3\n[bad]\ngone\nlocked\n[slow]\nhangs\n")
    ssh = tmp_path / "ssh"
    ssh.write_text(SSH.format(python=sys.executable, folder=tmp_path))
    ssh.chmod(0o755)
    (tmp_path / "ansible.cfg").write_text(f"[ssh_connection]\nssh_executable = {ssh}\n")
    for name in ("web1", "web2", "web3"):
        (tmp_path / f"{name}.json").write_text(json.dumps(other(name, motd if name == "web2" else lambda _: None)))
    (tmp_path / "release").write_text(json.dumps(recorded("image-booted")))
    return tmp_path


def command(project: Path, *arguments: str) -> tuple[list[str], dict[str, Any]]:
    environment = {**os.environ, "COLUMNS": "200", "PYTHONPATH": str(ROOT / "src")}
    environment["ANSIBLE_SSH_CONTROL_PATH_DIR"] = str(project / "cp")
    environment.pop("ANSIBLE_CONFIG", None)
    return [sys.executable, "-m", "goldsmith", "drift", *arguments], {"cwd": project, "env": environment, "text": True}


def run(project: Path, *arguments: str, expect: int) -> subprocess.CompletedProcess[str]:
    argv, settings = command(project, *arguments)
    done = subprocess.run(argv, **settings, capture_output=True, check=False)
    assert done.returncode == expect, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def test_a_fleet_from_end_to_end(project: Path) -> None:
    files = ["--junit", "drift.xml", "--textfile", "drift.prom", "--sarif", "drift.sarif", "--html", "drift.html"]
    told = json.loads(run(project, "release", "--limit", "web:bad", "--json", *files, expect=3).stdout)
    assert {name: host["verdict"] for name, host in told["hosts"].items()} == {
        "web1": "in sync",
        "web2": "drifted",
        "web3": "in sync",
        "gone": "unreachable",
        "locked": "unprovable",
    }
    assert told["hosts"]["web2"]["causes"] == ["file /etc/motd, contents"]
    assert "nothing listens" in told["hosts"]["gone"]["causes"][0]
    assert "without a password" in told["hosts"]["locked"]["hint"]
    assert ET.parse(project / "drift.xml").getroot().get("failures") == "1"
    assert 'goldsmith_host_in_sync{host="web1"} 1\n' in (project / "drift.prom").read_text()
    [found] = json.loads((project / "drift.sarif").read_text())["runs"][0]["results"]
    assert "/etc/motd" in json.dumps(found)
    page = (project / "drift.html").read_text()
    assert all(name in page for name in ("web1", "web2", "web3", "gone", "locked"))
    assert (project / "web1.json.answer").stat().st_size < 10_000  # of 95,000


def test_a_host_that_has_booted_again_is_asked_anew(project: Path) -> None:
    run(project, "release", "--limit", "web1", expect=0)
    assert list((project / "cp").iterdir())
    (project / "booted").touch()
    run(project, "release", "--limit", "web1", expect=0)


def test_what_people_read(project: Path) -> None:
    done = run(project, "release", "--limit", "web1:gone", expect=4)
    assert "gone unreachable:\n  gone is unreachable: nothing listens on its SSH port\n  hint: is sshd" in done.stdout
    assert "1 in sync, 1 unreachable; against release" in done.stdout


def test_hosts_are_asked_before_the_reference_is_read(project: Path) -> None:
    argv = (f"{project}/ssh", "-o", f"ControlPath={project}/kept", "web1")
    hosts = inventory.Reached({"web1": inventory.Connection(argv, "python3", False)}, {"web1": ["web"]})

    def expectation() -> Expectation:
        end = time.monotonic() + 30
        while not (project / "asked").exists():
            assert time.monotonic() < end
            time.sleep(0.05)
        return Expectation(manifest.load(project / "release"))

    watcher = drift.Watcher(hosts, expectation, policy.reference())
    with Progress(Console(stderr=True), "drift") as progress:
        assert watcher.look(progress).names("in sync") == ["web1"]


def test_for_a_reference_that_is_not_there_no_host_is_asked(project: Path) -> None:
    assert "no such manifest" in run(project, "none.json", "--limit", "web1", expect=1).stderr
    assert not (project / "asked").exists()


def test_a_reference_that_is_damaged_leaves_no_ssh_behind(project: Path) -> None:
    (project / "release").write_text((project / "release").read_text().replace('"root"', '"toor"'))
    assert "edited or damaged" in run(project, "release", "--limit", "web", expect=1).stderr
    assert ssh_of(project) == ""


def test_watching_tells_what_changes_until_it_is_interrupted(project: Path) -> None:
    argv, settings = command(project, "release", "--limit", "web1", "--watch", "1")
    with (
        subprocess.Popen(argv, **settings, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process,
        contextlib.ExitStack() as last,
    ):
        last.callback(process.kill)
        assert process.stdout
        assert "1 in sync" in next(line for line in process.stdout if "against release" in line)
        fresh = project / "fresh"
        fresh.write_text(json.dumps(other("web1", motd)))
        fresh.rename(project / "web1.json")
        assert "web1: in sync -> drifted" in process.stdout.readline()
        assert "/etc/motd" in process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 143
    assert "Traceback" not in said


def test_an_interrupted_look_leaves_no_ssh_behind(project: Path) -> None:
    argv, settings = command(project, "release", "--limit", "slow")
    with subprocess.Popen(argv, **settings, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        while not (project / "hangs").exists():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == 130
    assert ssh_of(project) == ""


def ssh_of(project: Path) -> str:
    """Processes of ssh that run."""
    return subprocess.run(["pgrep", "-f", str(project / "ssh")], capture_output=True, text=True, check=False).stdout


def test_connections_stay_open_as_ansibles_do(tmp_path: Path) -> None:
    found = inventory.Connection(("ssh", "-o", "ControlPersist=60s", "-i", "a", "web1"), "python3", False)
    other_key = replace(found, argv=("ssh", "-o", "ControlPersist=60s", "-i", "b", "web1"))
    kept = inventory.kept_open(found, tmp_path)
    assert kept.argv[-1] == "web1"
    assert kept.argv[-2].startswith(f"ControlPath={tmp_path}/goldsmith-")
    assert kept.argv[-2] != inventory.kept_open(other_key, tmp_path).argv[-2]
    for given in (("ssh", "web1"), ("ssh", "-o", "ControlPersist=60s", "-o", "ControlPath=/x", "web1")):
        assert inventory.kept_open(replace(found, argv=given), tmp_path).argv == given


def test_connections_that_are_kept_open_can_be_ended(tmp_path: Path) -> None:
    """ssh asks what keeps a connection to end it, and does not refuse the words that it was told."""
    with socket.socket(socket.AF_UNIX) as master, ThreadPoolExecutor() as pool:
        master.bind(str(tmp_path / "kept"))
        master.listen()
        master.settimeout(10)

        def hear() -> None:
            master.accept()[0].close()

        asked = pool.submit(hear)
        inventory.close(tmp_path)
        asked.result()
