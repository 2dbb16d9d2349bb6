"""One definition, an image and live hosts, and the proof that they are equal."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from examples.lab import Lab
from tests.integration.conftest import Goldsmith

TAMPERED = "/etc/nginx/conf.d/upload.conf"


def unexplained(comparison: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(d["section"], d["key"], d["kind"]) for d in comparison["differences"] if not d["explained"]]


def test_the_image_is_tagged_and_its_provenance_is_whole(image: dict[str, Any], project: Path) -> None:
    labels = json.loads(
        subprocess.run(
            ["docker", "inspect", "--format", "{{json .Config.Labels}}", image["reference"]],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    )
    assert labels["org.goldsmith.content-key"] == image["content_key"]
    provenance = json.loads((project / "artifacts/images/web/provenance.json").read_text())
    manifest = json.loads((project / "artifacts/images/web/manifest.json").read_text())
    assert provenance["manifest_digest"] == manifest["digest"]
    assert provenance["image_id"] == image["image_id"]
    assert provenance["git"]["dirty"] is False
    assert len(provenance["git"]["revision"]) == 40
    assert provenance["tools"].keys() >= {"ansible-core", "packer", "goldsmith", "docker"}
    assert provenance["definition_digest"].startswith("sha256:")
    assert provenance["base"]["image_id"].startswith("sha256:")
    assert provenance["started"] < provenance["finished"]


def test_nothing_changed_builds_nothing(goldsmith: Goldsmith, image: dict[str, Any]) -> None:
    again = goldsmith.json("build", "web")
    assert again["cached"] is True
    assert again["image_id"] == image["image_id"]
    assert "up to date" in goldsmith("build", "web").stdout


def test_a_change_of_the_definition_is_another_key(goldsmith: Goldsmith, image: dict[str, Any]) -> None:
    path = goldsmith.project / "inventory/group_vars/web.yml"
    before = path.read_text()
    try:
        path.write_text(before.replace("Hello from one definition", "Changed"))
        # No build: it is enough that the old image no longer counts as up to date.
        done = goldsmith("build", "web", expect=5, DOCKER_HOST="unix:///nonexistent")
        assert "up to date" not in done.stdout
    finally:
        path.write_text(before)


def test_first_converge_changes_hosts_and_writes_events(converged: dict[str, Any], goldsmith: Goldsmith) -> None:
    assert {name: host["verdict"] for name, host in converged["hosts"].items()} == {
        "web1": "changed",
        "web2": "changed",
    }
    events = [json.loads(line) for line in Path(converged["events"]).read_text().splitlines()]
    assert {event["host"] for event in events} == {"web1", "web2"}
    assert any(event["changed"] and event.get("role") for event in events)


def test_check_and_converge_again_change_nothing(converged: dict[str, Any], goldsmith: Goldsmith) -> None:
    for arguments in (["converge", "--check", "--diff", "--limit", "web1"], ["converge", "--full", "--limit", "web1"]):
        result = goldsmith.json(*arguments)
        assert {name: host["changed"] for name, host in result["hosts"].items()} == {"web1": 0}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("docker:{booted}", "ssh:web1"),
        ("docker:{booted}", "ssh:web2"),
        ("docker-image:goldsmith/web", "docker:{booted}"),
        ("docker-image:goldsmith/web", "ssh:web1"),
        ("ssh:web1", "ssh:web2"),
    ],
)
def test_image_and_hosts_are_equal(
    goldsmith: Goldsmith, converged: dict[str, Any], booted: str, one: str, other: str
) -> None:
    comparison = goldsmith.json("compare", one.format(booted=booted), other.format(booted=booted))
    assert unexplained(comparison) == []
    skipped = [each["section"] for each in comparison["not_compared"]]
    assert bool(skipped) == one.startswith("docker-image")  # at rest nothing runs, and that is said


def test_hosts_that_have_been_through_different_days_are_one_state(
    goldsmith: Goldsmith, converged: dict[str, Any], lab: Lab
) -> None:
    """Logs turned, daily timers, another boot's random numbers: they change nothing in the manifest."""
    lab.execute(
        "web1",
        "find /var/lib/logrotate -mindepth 1 -delete; logrotate --force /etc/logrotate.conf"
        "; rm -f /var/backups/dpkg.*; systemctl start dpkg-db-backup && test -e /var/backups/dpkg.status.0"
        " && touch /var/lib/apt/periodic/update-stamp /var/lib/systemd/timers/stamp-x.timer",
    )
    for name in lab.names:
        lab.execute(name, "head -c 32 /dev/urandom >/var/lib/systemd/random-seed")
    digests = {json.loads(goldsmith("collect", f"ssh:{name}").stdout)["digest"] for name in lab.names}
    assert len(digests) == 1


def test_every_rule_of_the_policy_is_of_use(goldsmith: Goldsmith, converged: dict[str, Any], booted: str) -> None:
    comparison = goldsmith.json("compare", f"docker:{booted}", "ssh:web1")
    assert [each for each in comparison["unused_rules"] if not each["reference"]] == []


@pytest.mark.parametrize("target", ["docker-image:goldsmith/web", "docker:{booted}", "ssh:web1", "dir:{folder}"])
def test_two_collections_are_byte_equal(
    goldsmith: Goldsmith, converged: dict[str, Any], booted: str, tmp_path: Path, target: str
) -> None:
    folder = tmp_path / "root"
    (folder / "etc").mkdir(parents=True)
    (folder / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/bash\n")
    target = target.format(booted=booted, folder=folder)
    for name in ("one", "two"):
        goldsmith("collect", target, "--output", str(tmp_path / name))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert goldsmith("collect", target).stdout.encode() == (tmp_path / "one").read_bytes()


def test_the_module_collects_the_same(
    goldsmith: Goldsmith, converged: dict[str, Any], lab: Lab, tmp_path: Path
) -> None:
    subprocess.run(
        ["ansible-playbook", "goldsmith.core.collect", "-i", "inventory", "-e", f"goldsmith_manifest_dir={tmp_path}"],
        cwd=goldsmith.project,
        env={**os.environ, **lab.environment},
        check=True,
        capture_output=True,
    )
    by_module = json.loads((tmp_path / "web1.json").read_text())
    by_command = json.loads(goldsmith("collect", "ssh:web1").stdout)
    assert by_module["digest"] == by_command["digest"]
    assert goldsmith.json("compare", str(tmp_path / "web1.json"), "ssh:web1")["differences"] == []


def test_a_change_by_hand_is_found_and_named(
    goldsmith: Goldsmith, converged: dict[str, Any], lab: Lab, booted: str
) -> None:
    lab.execute("web2", f"echo 'client_max_body_size 1g;' > {TAMPERED}")
    try:
        comparison = goldsmith.json("compare", f"docker:{booted}", "ssh:web2", expect=3)
        assert unexplained(comparison) == [("files", TAMPERED, "only_b")]
        assert TAMPERED in goldsmith("compare", f"docker:{booted}", "ssh:web2", expect=3).stdout
    finally:
        lab.execute("web2", f"rm {TAMPERED}")


def test_check_with_diff_shows_what_it_would_repair(goldsmith: Goldsmith, converged: dict[str, Any], lab: Lab) -> None:
    lab.execute(
        "web2", "sed -i 's/^PasswordAuthentication no/PasswordAuthentication yes/' /etc/ssh/sshd_config.d/*.conf"
    )
    done = goldsmith("converge", "--check", "--diff", "--limit", "web2")
    assert "-PasswordAuthentication yes" in done.stderr
    assert "+PasswordAuthentication no" in done.stderr
    goldsmith("compare", "ssh:web1", "ssh:web2", expect=3)
    assert goldsmith.json("converge", "--limit", "web2")["hosts"]["web2"]["verdict"] == "changed"
    assert unexplained(goldsmith.json("compare", "ssh:web1", "ssh:web2")) == []
