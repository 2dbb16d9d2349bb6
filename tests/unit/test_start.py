"""What a command imports before it does its work: each module is time that the user waits."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2] / "examples/web"
PROBE = """
import json, sys
from goldsmith.cli import main
try:
    main(sys.argv[1:])
finally:
    sys.stdout.write("\\n" + json.dumps(sorted(sys.modules)))
"""
OF_OTHER_COMMANDS = {
    *(f"goldsmith.{name}" for name in ("build", "converge", "export", "lock", "machine", "packer", "sync", "up")),
    *(f"goldsmith.{name}" for name in ("report_html", "reports", "show", "verify")),
    "ansible_runner",
    "cyclonedx",
    "packageurl",
}
HEAVY = {"ansible", "jinja2", "pydantic", "yaml"}


def imported(*words: str) -> set[str]:
    argv = [sys.executable, "-c", PROBE, *words]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=PROJECT)
    assert done.returncode in (0, 1), done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_what_only_says_something_imports_no_more(option: str) -> None:
    assert not imported(option) & (OF_OTHER_COMMANDS | HEAVY)


def test_drift_imports_nothing_of_other_commands(tmp_path: Path) -> None:
    found = imported("drift", str(tmp_path / "none.json"))
    assert "goldsmith.drift" in found
    # Which a copy of this process imports, at the same time.
    assert "ansible" not in found
    assert not found & OF_OTHER_COMMANDS
