"""What no container can prove: what the roles write for a kernel is in force on a machine that has one."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from examples import vm
from tests.integration.conftest import Goldsmith
from tests.paths import ROOT
from tests.vm.conftest import PROJECT

ARTIFACTS = ROOT / ".cache" / "artifacts"
EXPECTED_SKIPS = {
    "only an image is sealed",
    "machines don't name themselves here",
}
MINIMUM = 85
"""lynis' hardening index, of 100."""


def test_assertions_hold_on_a_real_machine(hardened: vm.Machine) -> None:
    goldsmith = Goldsmith(PROJECT, hardened.environment)
    ARTIFACTS.mkdir(exist_ok=True)
    result = goldsmith.json("verify", "ssh:hardened", "--junit", str(ARTIFACTS / "verify-vm.xml"))
    assert [check for check in result["checks"] if check["outcome"] == "failed"] == []
    assert {check["message"] for check in result["checks"] if check["outcome"] == "skipped"} <= EXPECTED_SKIPS
    assert {check["role"] for check in result["checks"]} >= {"firewall", "hardening", "os", "ssh", "time", "users"}


def audited(machine: vm.Machine, label: str = "") -> Path:
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


def test_audit_finds_it_hardened_beside_a_bare_machine(hardened: vm.Machine, bare: vm.Machine) -> None:
    with ThreadPoolExecutor() as pool:
        judge(*pool.map(audited, (bare, hardened)))
