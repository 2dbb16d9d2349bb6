"""A host that went through the upgrade is the same as one that this release made alone, and served all the while."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from goldsmith import collect, compare, manifest, policy

WORK = Path(os.environ.get("MOLECULE_EPHEMERAL_DIRECTORY", "."))


@pytest.fixture(scope="module")
def before() -> manifest.Manifest:
    return manifest.load(WORK / "before.json")


@pytest.fixture(scope="module")
def upgraded(host: Any) -> manifest.Manifest:
    return collect.collect(collect.Target("docker", "goldsmith-molecule-upgrade"))


@pytest.fixture(scope="module")
def fresh() -> manifest.Manifest:
    return collect.collect(collect.Target("docker", "goldsmith-molecule-upgrade-fresh"))


def test_upgraded_host_and_new_host_are_equal(upgraded: manifest.Manifest, fresh: manifest.Manifest) -> None:
    found = compare.compare(upgraded, fresh, policy.load(Path(__file__).parent / "policy.yml"))
    assert [str(difference) for difference in found.unexplained] == []


def test_what_only_the_old_release_made_is_gone(
    before: manifest.Manifest, upgraded: manifest.Manifest, fresh: manifest.Manifest
) -> None:
    old, now, new = (set(each.sections["files"]) for each in (before, upgraded, fresh))
    made_by_old_only = {path for path in old - new if path.startswith(("/etc/", "/usr/local/"))}
    # The other assertion is worth something only if there was something to remove.
    assert made_by_old_only
    assert made_by_old_only & now == set()


def test_no_service_was_lost(host: Any, before: manifest.Manifest, fresh: manifest.Manifest) -> None:
    was_active = {name for name, unit in before.runtime["units"].items() if unit["active"] == "active"}
    still_wanted = was_active & set(fresh.runtime["units"])
    assert {"nginx.service", "ssh.service"} <= still_wanted
    assert [name for name in sorted(still_wanted) if not host.service(name).is_running] == []
    assert host.run("systemctl --failed --quiet --no-legend").stdout == ""


def test_servers_were_not_restarted(host: Any) -> None:
    now = host.run("systemctl show --property=MainPID --value nginx.service ssh.service").stdout.split()
    assert now == json.loads((WORK / "pids.json").read_text(encoding="utf-8"))


def test_application_answered_all_the_while(host: Any) -> None:
    counts = json.loads(host.file("/run/asked.json").content_string)
    assert set(counts) == {"200"}
    assert counts["200"] > 100
