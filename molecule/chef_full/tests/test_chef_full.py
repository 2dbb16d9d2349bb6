"""How Chef would have been called: a STAND-IN took its place and recorded it. No recipe ran."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

SCENARIO = Path(__file__).parents[1]
ROOT = SCENARIO.parents[1]
PLAYBOOK = SCENARIO.parent / "shared" / "role.yml"


@pytest.fixture(scope="module")
def role_path() -> Path:
    return ROOT / "roles" / "chef"


@pytest.fixture(scope="module")
def record(host: Any) -> dict[str, Any]:
    return dict(json.loads(host.file("/run/stand-in.json").content_string))


def test_command_line(record: dict[str, Any], variables: dict[str, Any]) -> None:
    folder = record["folder"]
    assert record["arguments"] == [
        "--local-mode",
        *("--config", f"{folder}/client.rb"),
        *("--json-attributes", f"{folder}/attributes.json"),
        *("--runlist", "recipe[example],role[base]"),
        *("--format", "doc", "--force-formatter", "--no-color"),
        *("--environment", variables["chef_environment"]),
        *("--node-name", variables["chef_node"]),
        *("--chef-license", variables["chef_license"]),
    ]


def test_check_asks_why_and_says_what_would_be_updated(host: Any) -> None:
    host.check_output("rm -f /run/stand-in-why.json /var/lib/stand-in")
    argv = ["ansible-playbook", "--check", f"--inventory={SCENARIO / 'inventory'}", str(PLAYBOOK)]
    environment = {**os.environ, "MOLECULE_SCENARIO_NAME": SCENARIO.name, "ANSIBLE_FORCE_COLOR": "0"}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    try:
        assert done.returncode == 0, done.stdout
        assert "changed=1 " in done.stdout
        assert json.loads(host.file("/run/stand-in-why.json").content_string)["arguments"][-1] == "--why-run"
        assert not host.file("/var/lib/stand-in").exists
    finally:
        host.check_output("touch /var/lib/stand-in")


def test_attributes_cookbooks_and_repository_arrive(record: dict[str, Any], variables: dict[str, Any]) -> None:
    mode, text = record["files"].pop("attributes.json")
    assert (mode, json.loads(text)) == ("0o600", variables["chef_attributes"])
    assert set(record["files"]) == {
        "client.rb",
        "cookbooks/0/example/metadata.rb",
        "cookbooks/0/example/recipes/default.rb",
        "repo/roles/base.json",
    }
    assert record["files"]["client.rb"][1] == (ROOT / "roles/chef/files/client.rb").read_text()
    assert record["environment"]["CHEF_CACHE"] == variables["chef_cache"]


def test_secret_is_in_the_attributes_alone(host: Any, record: dict[str, Any], variables: dict[str, Any]) -> None:
    secret = variables["chef_attributes"]["example"]["secret"]
    assert secret not in json.dumps([record["arguments"], record["environment"]])
    assert host.run("journalctl --output=cat | grep -F %s", secret).stdout == ""


def test_what_the_client_keeps_is_gone(host: Any, record: dict[str, Any]) -> None:
    assert record["folder"].startswith("/var/lib/goldsmith-run-")
    assert not host.file(record["folder"]).exists
