"""scripts/lynis.py, on a recorded report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts import lynis
from tests.paths import ROOT

REPORT = """\
# Lynis Report
report_version_major=1
hostname=web1
warning[]=NETW-2705|Couldn't find 2 responsive nameservers|-|-|
warning[]=FIRE-4512|iptables module(s) loaded, but no rules active|-|-|
suggestion[]=BOOT-5264|Consider hardening system services|Run '/usr/bin/systemd-analyze security SERVICE'|-|
suggestion[]=SSH-7408|Consider hardening SSH configuration|Port (set 22 to )|-|
suggestion[]=SSH-7408|Consider hardening SSH configuration|TCPKeepAlive (set YES to NO)|-|
hardening_index=87
finish=true
"""
BOTH = [{"test": "NETW-2705", "reason": "one will do"}, {"test": "FIRE-4512", "reason": "nftables"}]


@pytest.fixture
def judged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    def run(waivers: Any, *arguments: str, report: str = REPORT) -> tuple[int, str]:
        (tmp_path / "report.dat").write_text(report)
        (tmp_path / "waivers.yml").write_text(yaml.safe_dump(waivers))
        status = lynis.main([*arguments, "--waivers", str(tmp_path / "waivers.yml"), str(tmp_path / "report.dat")])
        return status, capsys.readouterr().out

    return run


def test_waived_warnings_are_shown_with_their_reasons(judged: Any) -> None:
    status, out = judged({"warnings": BOTH, "suggestions": [{"test": "SSH-7408", "reason": "22 is\nwhere"}]})
    assert status == 0
    assert "hardening index: 87\n" in out
    assert "warning NETW-2705: Couldn't find 2 responsive nameservers\n  waived: one will do\n" in out
    assert (
        "suggestion SSH-7408: Consider hardening SSH configuration (Port (set 22 to ))\n  not followed: 22 is where"
        in out
    )
    assert "suggestion BOOT-5264" in out


def test_warning_that_is_not_waived_fails(judged: Any) -> None:
    status, out = judged({"warnings": BOTH[:1]})
    assert status == 1
    assert out.endswith("lynis: warning FIRE-4512 is not waived: iptables module(s) loaded, but no rules active\n")


def test_waiver_that_matches_nothing_fails(judged: Any) -> None:
    status, out = judged({"warnings": [*BOTH, {"test": "PKGS-7392", "reason": "old"}]})
    assert status == 1
    assert out.endswith("lynis: the waiver of warning PKGS-7392 matches nothing\n")


@pytest.mark.parametrize(("minimum", "status"), [("87", 0), ("88", 1)])
def test_index_must_reach_the_minimum(judged: Any, minimum: str, status: int) -> None:
    assert judged({"warnings": BOTH}, "--minimum", minimum)[0] == status


def test_bare_machine_is_shown_beside_it(judged: Any, tmp_path: Path) -> None:
    (tmp_path / "bare.dat").write_text("hardening_index=61\n")
    assert "bare: 61\n" in judged({"warnings": BOTH}, "--bare", str(tmp_path / "bare.dat"))[1]


def test_report_that_lynis_did_not_finish_is_refused(judged: Any) -> None:
    with pytest.raises(SystemExit, match="did lynis finish"):
        judged({}, report="report_version_major=1\n")


@pytest.mark.parametrize(
    "waivers",
    [
        {"warnings": [{"test": "NETW-2705"}]},
        {"warnings": [{"test": "NETW-2705", "reason": " "}]},
        {"warnings": [BOTH[0], BOTH[0]]},
        {"waivers": []},
    ],
    ids=["no reason", "empty reason", "twice", "another word"],
)
def test_waivers_need_reasons(judged: Any, waivers: Any) -> None:
    with pytest.raises(SystemExit):
        judged(waivers)


def test_our_own_waivers_can_be_read() -> None:
    assert set(lynis.reasons(ROOT / "tests" / "lynis" / "waivers.yml")) == {"warnings", "suggestions"}
