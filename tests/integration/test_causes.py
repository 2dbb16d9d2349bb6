"""What differs in a real machine is told by cause, and a file's contents are fetched from where it lies."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from goldsmith import proc
from tests.integration.conftest import Goldsmith

CHANGE = """\
echo changed >> /etc/sysctl.conf
rm /etc/init.d/procps
useradd --create-home ops
mkdir /opt/tool && touch /opt/tool/a /opt/tool/b
printf 'token=old\\nx=1\\n' > /etc/motd
"""


@pytest.fixture
def changed(base: str) -> Iterator[str]:
    """A container of the base in which a person did this and that."""
    name = f"goldsmith-test-{os.getpid()}-causes"
    try:
        proc.run(["docker", "run", "--detach", "--init", f"--name={name}", base, "sleep", "infinity"])
        proc.run(["docker", "exec", name, "sh", "-ec", CHANGE])
        yield name
    finally:
        proc.run(["docker", "rm", "--force", "--volumes", name], check=False)


def test_a_changed_container_beside_its_image(base: str, changed: str, tmp_path: Path) -> None:
    goldsmith = Goldsmith(tmp_path)
    image, container = f"docker-image:{base}", f"docker:{changed}"
    found = goldsmith.json("compare", image, container, expect=3)
    causes = {cause["what"]: cause for cause in found["causes"]}
    procps = causes["package procps is the same on both, its files are not"]
    assert procps["files"] == ["/etc/init.d/procps", "/etc/sysctl.conf"]
    ops = causes["user ops only on B"]
    assert {"/home/ops", "/home/ops/.bashrc", "/etc/passwd"} <= set(ops["files"])
    assert "1 group" in ops["brings"]
    assert causes["folder /opt/tool only on B"]["brings"] == "2 files"
    assert sum(cause["differences"] for cause in causes.values()) == found["unexplained"]

    shown = goldsmith("compare", image, container, "--show", "/etc/motd", expect=3).stdout.splitlines()
    assert shown[:2] == [f"--- {image} /etc/motd", f"+++ {container} /etc/motd"]
    assert shown[-2:] == ["+token=[masked 1]", "+x=1"]
    assert goldsmith.json("compare", image, container, "--show", "/etc/passwd-", expect=3)
    goldsmith("compare", container, image, "--show", "/etc/debian_version")
