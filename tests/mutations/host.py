"""The live host that mutations are tried on: the example's definition, with a firewall, converged over SSH."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from rich.console import Console

from examples.lab import Lab
from goldsmith import config, inventory, manifest, policy, proc
from goldsmith.drift import Host, Watcher
from goldsmith.expect import Expectation
from goldsmith.progress import Progress
from tests.mutations import PRELUDE

NAME = "web1"
HOSTS = """\
web:
  hosts:
    web1:
      ansible_user: root
      os_packages: [PACKAGES]
      firewall_allow: [{name: web, ports: [80]}]
"""
PACKAGES = ("acl", "attr", "ca-certificates", "cron", "less", "libcap2-bin", "tzdata")
"""What the definition installs beside the services, for mutations to work with."""
FIREWALL = """\
- name: Firewall
  hosts: all
  become: true
  gather_facts: false
  roles: [goldsmith.core.firewall]
"""


@dataclass
class Mutated:
    """The host, and the look at it that `goldsmith drift` takes; its reference is what it was when it was ready.

    `spoilt`: the mutation that was not undone.
    """

    lab: Lab
    project: Path
    watcher: Watcher
    spoilt: str = ""

    def run(self, script: str, *, privileged: bool = False) -> None:
        """Run a mutation's script on the host; if need be with all rights of this machine's root."""
        if privileged:
            process = proc.run(["docker", "inspect", "--format", "{{.State.Pid}}", self.lab.container(NAME)]).text
            proc.run(["nsenter", f"--target={process}", "--mount", "--root", "sh", "-c", PRELUDE + script])
        else:
            self.lab.execute(NAME, PRELUDE + script)

    def look(self) -> Host:
        """Look once."""
        return self.watcher.look(Progress(Console(quiet=True), "look")).hosts[NAME]


@contextmanager
def ready(folder: Path, lab: Lab, packages: Sequence[str] = ()) -> Iterator[Mutated]:
    """The host of a lab that stands, converged, with more packages if wanted. Connections to it are closed at the
    end."""
    project, sockets = folder / "web", folder / "cp"
    with mock.patch.dict(os.environ, {**lab.environment, "ANSIBLE_SSH_CONTROL_PATH_DIR": str(sockets)}):
        try:
            make(project, packages)
            yield Mutated(lab, project, watcher(project))
        finally:
            inventory.close(sockets)


def make(project: Path, packages: Sequence[str]) -> None:
    """Converge the host, and collect the reference, good.json."""
    goldsmith("init", str(project), folder=project.parent)
    (project / "inventory/hosts.yml").write_text(HOSTS.replace("PACKAGES", ", ".join((*PACKAGES, *packages))))
    # The example's own policy explains root's authorized keys.
    (project / "policy.yml").write_text("extends: debian\n")
    with (project / "site.yml").open("a") as site:
        site.write(FIREWALL)
    goldsmith("converge", folder=project)
    goldsmith("collect", f"ssh:{NAME}", "--output", "artifacts/good.json", folder=project)


def watcher(project: Path) -> Watcher:
    """What `goldsmith drift artifacts/good.json` looks with."""
    loaded = config.load(project)
    hosts = inventory.reached(loaded.inventory, loaded.root, NAME)
    reference = manifest.later(project / "artifacts/good.json")
    return Watcher(hosts, lambda: Expectation(reference()), policy.of_project(loaded))


def goldsmith(*arguments: str, folder: Path) -> None:
    """Run the command line; AssertionError with what it said where it fails."""
    done = subprocess.run(["goldsmith", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"goldsmith {' '.join(arguments)} ended with {done.returncode}\n{done.stderr}"
