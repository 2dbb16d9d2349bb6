"""Which task of the definition would repair a cause of drift, by what it says in check mode."""

from __future__ import annotations

from typing import Any

import pytest

from goldsmith import causes, remedies
from goldsmith.compare import Difference
from goldsmith.remedies import Rehearsal, Remedy, Step

FILE = {"type": "file", "mode": "0644", "owner": "root"}


def lost(section: str, key: str) -> Difference:
    return Difference(section, key, None, "only_a", FILE if section == "files" else {"name": key}, None)


def alien(section: str, key: str) -> Difference:
    return Difference(section, key, None, "only_b", None, FILE if section == "files" else {"name": key})


def changed(section: str, key: str, attribute: str) -> Difference:
    return Difference(section, key, attribute, "changed", "a", "b")


def ok(action: str, res: dict[str, Any], task: str = "t", role: str | None = "r", **more: Any) -> dict[str, Any]:
    data = {"host": "web1", "role": role, "task": task, "resolved_action": action, "res": {"changed": True, **res}}
    return {"event": "runner_on_ok", "event_data": {**data, **more}}


def arguments(**given: Any) -> dict[str, Any]:
    return {"invocation": {"module_args": given}}


# As ansible-core 2.19 and ansible-runner 2.4 say it, shortened.
COPY = {"diff": [{"before_header": "/etc/motd", "before": "old\n", "after_header": "/etc/motd", "after": "new\n"}]}
MODE = {"diff": {"before": {"path": "/etc/motd", "mode": "0644"}, "after": {"path": "/etc/motd", "mode": "0600"}}}
LINE = {"diff": [{"before_header": "/etc/hosts (content)"}, {"before_header": "/etc/hosts (file attributes)"}]}
APT = {
    "stdout": "The following NEW packages will be installed:\n  cowsay libtext\nInst libtext (0.04 Debian:12 [amd64])\n"
    "Inst cowsay:amd64 (3.03 Debian:12 [all])\nConf cowsay (3.03 Debian:12 [all])\n",
    **arguments(name=["nginx", "cowsay"]),
}


@pytest.mark.parametrize(
    ("module", "result", "about"),
    [
        ("copy", COPY, {("path", "/etc/motd"), ("tree", "/etc/motd")}),
        ("file", MODE, {("path", "/etc/motd")}),
        ("lineinfile", LINE, {("path", "/etc/hosts")}),
        ("file", arguments(path="/srv/x/", recurse=True), {("path", "/srv/x"), ("tree", "/srv/x")}),
        ("template", arguments(dest="/etc/a.conf", src="a.conf.j2"), {("path", "/etc/a.conf")}),
        ("apt", APT, {("package", "libtext"), ("package", "cowsay")}),
        ("package", arguments(name="vim=2:9.0"), {("package", "vim")}),
        ("systemd_service", arguments(name="nginx"), {("unit", "nginx.service")}),
        ("service", arguments(name="apt-daily.timer"), {("unit", "apt-daily.timer")}),
        ("user", arguments(name="ops", home="/home/ops"), {("user", "ops")}),
        ("group", arguments(name="ops"), {("group", "ops")}),
        ("cron", arguments(name="x", cron_file="backup"), {("path", "/etc/cron.d/backup")}),
        ("authorized_key", {"keyfile": "/root/.ssh/authorized_keys"}, {("path", "/root/.ssh/authorized_keys")}),
        ("command", {"stdout": "/etc/motd", **arguments(name=None)}, set()),
        ("copy", {"censored": "the output has been hidden"}, set()),
    ],
)
def test_what_a_task_is_about(module: str, result: dict[str, Any], about: set[remedies.Name]) -> None:
    assert set(remedies.names(module, result)) == about


def test_a_rehearsal_keeps_names_of_what_would_change_and_no_contents() -> None:
    seen = Rehearsal()
    loop = {"results": [{"changed": True, **MODE}, {"changed": False, **LINE}]}
    seen(ok("ansible.builtin.file", loop, task="Modes"))
    seen(ok("ansible.builtin.copy", {"changed": False, **COPY}))
    seen({"event": "runner_on_failed", "event_data": {"host": "web1", "res": {"changed": True, **COPY}}})
    seen({"event": "playbook_on_stats", "event_data": {}})
    seen(ok("ansible.builtin.copy", COPY, task="Greet", role=None))
    assert seen.steps == {
        "web1": {
            Step("r", "Modes"): {("path", "/etc/motd")},
            Step("", "Greet"): {("path", "/etc/motd"), ("tree", "/etc/motd")},
        }
    }
    assert [str(step) for step in seen.steps["web1"]] == ['role r, task "Modes"', 'task "Greet"']


A, B = Step("r", "A"), Step("r", "B")


def plan(differences: list[Difference], steps: dict[Step, set[remedies.Name]]) -> dict[str, tuple[Step, ...]]:
    found: tuple[Remedy, ...] = remedies.join(causes.group(differences), steps)
    return {f"{each.cause.kind} {each.cause.name}".strip(): each.steps for each in found}


def test_files_are_repaired_by_path_or_by_what_is_above() -> None:
    differences = [changed("files", "/etc/motd", "sha256"), lost("files", "/srv/app/x.py"), alien("files", "/etc/evil")]
    steps = {A: {("path", "/etc/motd")}, B: {("path", "/srv/app"), ("tree", "/srv/app")}}
    assert plan(differences, steps) == {"file /etc/motd": (A,), "file /srv/app/x.py": (B,), "file /etc/evil": ()}


def test_a_name_that_only_begins_alike_is_another() -> None:
    assert plan([lost("files", "/srv/app2")], {A: {("tree", "/srv/app")}}) == {"file /srv/app2": ()}


def test_a_package_brings_its_files_and_the_records_of_it() -> None:
    differences = [lost("packages", "nginx"), lost("files", "/var/lib/dpkg/info/nginx.list")]
    assert plan(differences, {A: {("package", "nginx")}}) == {"package nginx": (A,)}
    assert plan(differences, {A: {("package", "nginx-common")}}) == {"package nginx": ()}
    two = [lost("packages", "nginx"), alien("packages", "nmap"), changed("files", "/var/lib/dpkg/status", "sha256")]
    assert plan(two, {A: {("package", "nginx")}}) == {"package nginx": (A,), "package nmap": (), "records": ()}
    assert plan(two, {A: {("package", "nginx")}, B: {("package", "nmap")}})["records"] == (A, B)


def test_a_stopped_unit_is_started_but_a_foreign_drop_in_stays() -> None:
    stopped = [lost("runtime.units", "nginx.service")]
    link = lost("files", "/etc/systemd/system/multi-user.target.wants/nginx.service")
    drop_in = alien("files", "/etc/systemd/system/nginx.service.d/evil.conf")
    steps = {A: {("unit", "nginx.service")}}
    assert plan(stopped, steps) == {"unit nginx.service": (A,)}
    assert plan([*stopped, link, changed("units", "nginx.service", "state")], steps) == {"unit nginx.service": (A,)}
    assert plan([*stopped, drop_in], steps) == {"unit nginx.service": ()}


def test_users() -> None:
    assert plan([lost("users", "ops")], {A: {("user", "ops")}}) == {"user ops": (A,)}
    assert plan([alien("users", "eve")], {A: {("user", "ops")}}) == {"user eve": ()}


def test_an_identity_needs_a_person() -> None:
    clone = Difference("identity", "machine_id", "sha256", "equal", "a", "a")
    assert set(plan([clone], {A: {("path", "/etc/machine-id")}}).values()) == {()}
