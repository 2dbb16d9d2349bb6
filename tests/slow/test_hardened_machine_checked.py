"""A machine that is made as an image and booted from a disk is what the roles want: nothing is left to do."""

from __future__ import annotations

import os
import re
import subprocess

from goldsmith.machine import Machine
from tests.vm.conftest import PROJECT, built, hardened

__all__ = ["built", "hardened"]


def test_converging_it_would_change_nothing(hardened: Machine) -> None:
    done = subprocess.run(
        ["ansible-playbook", "--check", "--diff", "--inventory=inventory", "site.yml"],
        cwd=PROJECT,
        env={**os.environ, **hardened.environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert re.search(r"changed=0\b", done.stdout), done.stdout
