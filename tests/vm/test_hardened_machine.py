"""What no container can prove: what the roles write for a kernel is in force on a machine that has one."""

from __future__ import annotations

import shutil
import subprocess
import xml.etree.ElementTree as ET
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from examples import vm
from goldsmith.machine import Machine
from tests.paths import ROOT

ARTIFACTS = ROOT / ".cache" / "artifacts"
EXPECTED_SKIPS = {"machines don't name themselves here"}
MINIMUM = 85
"""lynis' hardening index, of 100."""


def test_assertions_held_before_the_disk_got_its_name(built: Path) -> None:
    report = built / "verify.xml"
    ARTIFACTS.mkdir(exist_ok=True)
    shutil.copy(report, ARTIFACTS / "verify-vm.xml")
    cases = list(ET.parse(report).getroot().iter("testcase"))
    assert [case.get("name") for case in cases if case.find("failure") is not None] == []
    skipped = {str(found.get("message")) for case in cases if (found := case.find("skipped")) is not None}
    assert {message.removeprefix("Skipped: ") for message in skipped} <= EXPECTED_SKIPS
    roles = {Path(case.get("file", "")).parents[1].name for case in cases}
    assert roles >= {"firewall", "hardening", "os", "seal", "ssh", "time", "users"}


def test_nothing_of_the_build_is_beside_the_disk(built: Path) -> None:
    names = sorted(path.name for path in built.iterdir())
    records = ["manifest.json", "provenance.json", "stages.jsonl", "verify.xml"]
    assert names == sorted([*records, "bom.cdx.json", "bom.spdx.json", "hardened.qcow2"])


def audited(machine: Machine, label: str = "") -> Path:
    """lynis' report of a machine, kept for people to read."""
    machine.ssh(
        "apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends lynis"
    )
    machine.ssh("lynis audit system --no-colors --quick >/dev/null 2>&1; test -s /var/log/lynis-report.dat")
    ARTIFACTS.mkdir(exist_ok=True)
    report = ARTIFACTS / f"lynis-{label or machine.name}.dat"
    report.write_bytes(machine.ssh("cat /var/log/lynis-report.dat").stdout)
    return report


def judge(bare: Path, hardened: Path) -> None:
    """Every warning is waived with a reason in tests/lynis/waivers.yml, and the index is high enough."""
    argv = ["python", "scripts/lynis.py", "--minimum", str(MINIMUM), "--bare", str(bare), str(hardened)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr


def test_audit_finds_it_hardened_beside_a_bare_machine(hardened: Machine, bare: vm.Machine) -> None:
    with ThreadPoolExecutor() as pool:
        judge(*pool.map(audited, (bare, hardened)))
