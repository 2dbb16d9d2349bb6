"""A live host that the roles converged passes the audit that the image passes, with the same waivers."""

from __future__ import annotations

import os
import subprocess

from examples import vm
from tests.vm.conftest import PROJECT
from tests.vm.test_hardened_machine import audited, judge


def test_audit_finds_a_converged_host_hardened() -> None:
    with vm.Machine("converged", vm.base("bookworm")) as machine:
        bare = audited(machine, "converged-before")
        # The folder is there for its variables; the limit keeps the run off its host.
        argv = ["ansible-playbook", "--inventory=converged,", "--inventory=inventory", "--limit=converged", "site.yml"]
        subprocess.run(argv, cwd=PROJECT, env={**os.environ, **machine.environment}, check=True)
        judge(bare, audited(machine))
