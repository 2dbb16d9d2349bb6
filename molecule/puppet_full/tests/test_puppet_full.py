"""What the manifest of this scenario did, and what a check says when somebody undid a part of it."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SCENARIO = Path(__file__).parents[1]
CONFIG = "/etc/example/greeting.conf"
KEPT = "/var/cache/puppet /var/lib/puppet /var/log/puppet /etc/puppet/ssl /root/.puppet /root/.puppetlabs"


@pytest.fixture(scope="module")
def role_path() -> Path:
    return SCENARIO.parents[1] / "roles" / "puppet"


def test_hiera_environment_node_and_modules_reach_the_manifest(host: Any, variables: dict[str, Any]) -> None:
    assert host.file(CONFIG).content_string.splitlines() == [
        "greeting = of staging",
        f"environment = {variables['puppet_environment']}",
        "module = directory",
        "fact = of-the-module",
        f"node = {variables['puppet_node']}",
    ]


def test_facts_reach_the_manifest_and_secrets_stay_in_it(host: Any, variables: dict[str, Any]) -> None:
    secret = variables["puppet_facts"]["example"]["secret"]
    assert host.file("/etc/example/secret.digest").content_string.strip() == hashlib.sha256(secret.encode()).hexdigest()
    assert host.run("journalctl --output=cat | grep -F %s", secret).stdout == ""


def test_user_file_and_service_are_there(host: Any) -> None:
    assert host.user("example").shell == "/usr/sbin/nologin"
    assert (host.file(CONFIG).group, host.file(CONFIG).mode) == ("example", 0o640)
    assert host.check_output("systemctl is-active example.service") == "active"
    assert host.check_output("systemctl is-enabled example.service") == "enabled"


def test_puppet_keeps_no_keys_states_or_reports(host: Any) -> None:
    assert host.check_output(f"find {KEPT} -type f 2>/dev/null || :") == ""


@pytest.fixture
def undone(host: Any) -> Iterator[None]:
    """A file as somebody's hand changed it."""
    host.check_output("cp -a %s /root/greeting.kept && echo by hand >%s", CONFIG, CONFIG)
    yield
    host.check_output("cp -a /root/greeting.kept %s && rm /root/greeting.kept", CONFIG)


def test_check_says_what_a_converge_would_change(host: Any, undone: None) -> None:
    playbook = SCENARIO.parent / "shared" / "role.yml"
    argv = ["ansible-playbook", "--check", "--diff", f"--inventory={SCENARIO / 'inventory'}", str(playbook)]
    environment = {**os.environ, "MOLECULE_SCENARIO_NAME": SCENARIO.name, "ANSIBLE_FORCE_COLOR": "0"}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "changed=1 " in done.stdout
    assert "-by hand" in done.stdout
    assert "+greeting = of staging" in done.stdout
    assert host.file(CONFIG).content_string == "by hand\n"
