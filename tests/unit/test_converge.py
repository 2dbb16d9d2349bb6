"""What is made of ansible-runner's events, and what is asked of ansible-playbook."""

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from goldsmith import converge, proc
from goldsmith.config import Config, Project, load
from goldsmith.errors import UsageError
from goldsmith.progress import Progress


def event(what: str, host: str = "web1", **data: Any) -> dict[str, Any]:
    return {"event": f"runner_on_{what}", "created": "2026-01-01T00:00:00Z", "event_data": {"host": host, **data}}


def run(*events: dict[str, Any]) -> tuple[converge.Result, list[dict[str, Any]]]:
    result, stream = converge.Result(), io.StringIO()
    handler = converge.Events(result, Progress(Console(file=io.StringIO()), "x"), stream, show_diff=False)
    for each in events:
        assert handler(each) is False  # ansible-runner must keep nothing
    return result, [json.loads(line) for line in stream.getvalue().splitlines()]


def test_counts_and_verdicts() -> None:
    result, lines = run(
        event("ok", task="a", res={"changed": False}),
        event("ok", task="b", role="nginx", res={"changed": True}, duration=0.25),
        event("ok", host="web2", task="a", res={}),
    )
    assert {name: host.verdict for name, host in result.hosts.items()} == {"web1": "changed", "web2": "ok"}
    assert result.exit_code == 0
    assert lines[1] == {
        "time": "2026-01-01T00:00:00Z", "event": "ok", "host": "web1", "role": "nginx", "task": "b",
        "changed": True, "seconds": 0.25,
    }  # fmt: skip


def test_a_failure_is_named_and_hides_no_other_host() -> None:
    result, _ = run(
        event("failed", task="a", role="os", res={"msg": "no space"}),
        event("unreachable", host="web2", task="a", res={"msg": "ssh: Connection timed out"}),
        event("ok", host="web3", task="a", res={}),
    )
    assert (result.hosts["web1"].task, result.hosts["web1"].message) == ("os : a", "no space")
    assert result.hosts["web2"].verdict == "unreachable"
    assert result.hosts["web3"].verdict == "ok"
    assert result.exit_code == 1


def test_only_unreachable_has_an_exit_code_of_its_own() -> None:
    result, _ = run(event("unreachable", res={"msg": "Permission denied (publickey)"}), event("ok", host="web2"))
    assert result.exit_code == 4
    assert "refuses our key" in result.hosts["web1"].message


def test_an_ignored_failure_is_no_failure() -> None:
    result, _ = run(event("failed", task="a", res={"msg": "x"}, ignore_errors=True))
    assert result.exit_code == 0


def test_a_rescued_failure_is_no_failure() -> None:
    stats = {"event": "playbook_on_stats", "event_data": {"rescued": {"web1": 1}, "failures": {"web2": 1}}}
    result, _ = run(
        event("failed", task="a", res={"msg": "x"}),
        event("failed", host="web2", task="a", res={"msg": "y"}),
        event("ok", task="b", res={"changed": True}),
        stats,
    )
    assert {name: host.verdict for name, host in result.hosts.items()} == {"web1": "changed", "web2": "failed"}
    assert (result.hosts["web1"].message, result.hosts["web2"].message) == ("", "y")


@pytest.mark.parametrize("asked", [True, False])
def test_diffs_are_shown_if_asked_for_and_count_for_nothing(asked: bool) -> None:
    diff = event("file_diff", task="a") | {
        "stdout": "\x1b[0;31m--- before\x1b[0m\r\n\x1b[0;32m+PermitRootLogin no\x1b[0m"
    }
    shown = io.StringIO()
    result = converge.Result()
    converge.Events(result, Progress(Console(file=shown), "x"), io.StringIO(), show_diff=asked)(diff)
    assert result.hosts == {}
    assert shown.getvalue() == ("web1:\n--- before\n+PermitRootLogin no\n" if asked else "")


def test_an_error_before_the_first_task_is_told() -> None:
    said = "\x1b[0;31m[ERROR]: the role 'x' was not found in /roles\x1b[0m"
    result, _ = run({"event": "verbose", "stdout": said}, {"event": "verbose", "stdout": "Origin: /p/site.yml:2:11"})
    assert str(result.error) == "before the first task (/p/site.yml:2): the role 'x' was not found in /roles"
    assert result.exit_code == 1


def test_events_hold_no_arguments_and_no_results() -> None:
    _, lines = run(
        event("ok", task="a", res={"stdout": "s3cret", "invocation": {"module_args": {"password": "s3cret"}}})
    )
    assert "s3cret" not in json.dumps(lines)


@pytest.mark.parametrize(("check", "diff", "first"), [(True, True, ["--check", "--diff"]), (False, False, [])])
def test_arguments(check: bool, diff: bool, first: list[str]) -> None:
    assert converge.arguments(check=check, diff=diff) == [*first, "--extra-vars", "goldsmith_delivery=live"]


def test_host_keys_are_checked_unless_the_user_says_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = Project(tmp_path, Config.model_validate({"images": {"web": {"playbook": "a.b.c"}}}))
    monkeypatch.delenv("ANSIBLE_HOST_KEY_CHECKING", raising=False)
    assert converge.environment(project, tmp_path)["ANSIBLE_HOST_KEY_CHECKING"] == "True"
    monkeypatch.setenv("ANSIBLE_HOST_KEY_CHECKING", "False")
    assert converge.environment(project, tmp_path)["ANSIBLE_HOST_KEY_CHECKING"] == "False"


@pytest.fixture
def locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[tuple[str, str, Any]]]:
    """Converges a project of two images with locks, without Ansible; gives what would run: (playbook, hosts, lock)."""
    images = "  web: {playbook: site.yml, groups: [web]}\n  db: {playbook: site.yml, groups: [db]}\n"
    (tmp_path / "goldsmith.yml").write_text(f"images:\n{images}inventory: hosts.ini\n")
    (tmp_path / "site.yml").write_text("")
    (tmp_path / "hosts.ini").write_text("free\n[web]\nw1\nboth\n[db]\nd1\nboth\n")
    (tmp_path / "locks").mkdir()
    for name in ("web", "db"):
        (tmp_path / f"locks/{name}.docker.lock").write_text(f"deb {name} 1 all\n")
    monkeypatch.setattr(proc, "require", lambda _: None)

    def converged(lacking: bool = False, **options: Any) -> list[tuple[str, str, Any]]:
        ran: list[tuple[str, str, Any]] = []

        def run(_: Project, playbook: str, handler: converge.Events, *, limit: str, cmdline: Sequence[str]) -> None:
            locks: Any = " ".join(cmdline)
            if playbook == "goldsmith.core.lock":
                given = json.loads(Path(cmdline[1].removeprefix("@")).read_text())
                assert given["goldsmith_lock"] == "{{ goldsmith_locks[inventory_hostname] }}"
                locks = {host: Path(path).read_text() for host, path in given["goldsmith_locks"].items()}
            ran.append((playbook, limit, locks))
            if lacking and playbook == "goldsmith.core.lock":
                handler(event("failed", task="Go on", res={"msg": "the mirror no longer has x 1"}))

        monkeypatch.setattr(converge, "_run", run)
        given = {"limit": "", "check": False, "diff": False, "locked": True, **options}
        converge.converge(load(tmp_path), Progress(Console(quiet=True), "x"), **given)
        return ran

    return converged


DEFINITION = "--extra-vars goldsmith_delivery=live"


def test_hosts_are_held_to_their_locks_while_the_definition_runs(locked: Callable[..., Any]) -> None:
    assert locked(limit="web,db") == [
        (
            "goldsmith.core.lock",
            "web,db",
            {"w1": "deb web 1 all\n", "both": "deb db 1 all\ndeb web 1 all\n", "d1": "deb db 1 all\n"},
        ),
        ("site.yml", "web,db", DEFINITION),
        ("goldsmith.core.unlock", "web,db", ""),
    ]
    assert locked(locked=False) == [("site.yml", "", DEFINITION)]


def test_the_definition_does_not_run_where_a_locked_version_is_lacking(locked: Callable[..., Any]) -> None:
    assert [playbook for playbook, *_ in locked(lacking=True, limit="w1")] == [
        "goldsmith.core.lock",
        "goldsmith.core.unlock",
    ]


def test_a_check_pins_nothing(locked: Callable[..., Any]) -> None:
    ran = locked(check=True, limit="w1")
    assert [playbook for playbook, *_ in ran] == ["goldsmith.core.lock", "site.yml"]


def test_a_host_of_no_image_has_no_lock(locked: Callable[..., Any]) -> None:
    with pytest.raises(UsageError, match="free is in the groups of no image"):
        locked()
