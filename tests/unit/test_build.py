"""What a build is made from, and what is handed to Packer."""

import contextlib
import fcntl
import gzip
import json
import os
import re
from pathlib import Path

import pytest
from rich.console import Console

from goldsmith import build, build_disk, config, manifest, packer
from goldsmith.errors import GoldsmithError, UsageError
from goldsmith.plan import Plan
from goldsmith.progress import Progress
from tests.paths import FIXTURES, ROOT

IMAGE = config.Image(playbook="site.yml", groups=["web"])


def plan(folder: Path, target: str = "docker", engine: str = "container") -> Plan:
    return Plan("web", IMAGE, target, engine, "goldsmith/base:x", "sha256:1", "d", {}, "k" * 64, folder)


def test_variables_are_those_that_the_template_declares(tmp_path: Path) -> None:
    project = config.Project(tmp_path, config.Config(images={"web": IMAGE}))
    given = {
        **packer.variables(project, plan(tmp_path), tmp_path / "site.yml"),
        **packer.docker_variables(plan(tmp_path), "b1", "goldsmith/base:x", "key"),
    }
    declared = set(re.findall(r'^variable "(\w+)"', (ROOT / "packer/variables.pkr.hcl").read_text(), re.MULTILINE))
    assert given.keys() <= declared
    assert given["tags"] == ["building-b1"]  # a temporary name: the final one comes when it is whole
    assert given["groups"] == ["web"]
    assert given["changes"] == [f"LABEL org.goldsmith.content-key={'k' * 64}"]


UNKNOWN_ARGUMENT = """\
Error: Unsupported argument

  on /packer/sources.pkr.hcl line 66, in source "docker" "image":
  66:   comit = true

An argument named "comit" is not expected here. Did you mean
"commit"?


Error: Another

  on /packer/build.pkr.hcl line 1:

Later.


==> Wait completed after 3 microseconds
"""
SETTINGS = """\
Error: 2 error(s) occurred:

* One of iso_url or iso_urls must be specified
* ssh_private_key_file is invalid

  on /packer/sources.pkr.hcl line 122:
  (source code not available)



==> Builds finished but no artifacts were created.
"""


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            UNKNOWN_ARGUMENT,
            'Unsupported argument: An argument named "comit" is not expected here. Did you mean "commit"? '
            "(/packer/sources.pkr.hcl:66)",
        ),
        (
            SETTINGS,
            "2 error(s) occurred: * One of iso_url or iso_urls must be specified * ssh_private_key_file is invalid "
            "(/packer/sources.pkr.hcl:122)",
        ),
        ("Error: Undefined variable\n\nNo such variable.\n\n\n", "Undefined variable: No such variable."),
        ("docker.image: output will be in this color.\n\n==> docker.image: Error: no daemon\n", ""),
    ],
)
def test_an_error_in_the_template_is_told_in_one_line_with_its_place(said: str, told: str) -> None:
    assert packer.template_error(said.splitlines()) == told


def test_each_target_has_its_name(tmp_path: Path) -> None:
    assert plan(tmp_path).reference == "goldsmith/web:kkkkkkkkkkkk"
    assert plan(tmp_path, "qemu", "tree").reference == str(tmp_path / "web.qcow2")


def test_of_all_sources_of_the_template_one_is_built() -> None:
    command = packer.command("docker.image", Path("variables.json"))
    assert command[:2] == ["packer", "build"]
    assert [word for word in command if word.startswith("-only")] == ["-only=docker.image"]
    assert command[-1] == str(ROOT / "packer")


def test_an_engine_is_the_targets_first_where_none_is_named() -> None:
    assert build.chosen_engine("docker", "") == "container"
    assert build.chosen_engine("qemu", "") == "tree"
    assert build.chosen_engine("qemu", "vm") == "vm"


@pytest.mark.parametrize(
    ("target", "engine", "hint"), [("qemo", "", "qemu"), ("docker", "tree", "container"), ("qemu", "tre", "tree, vm")]
)
def test_a_wrong_target_or_engine_names_the_right_ones(target: str, engine: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        build.chosen_engine(target, engine)
    assert hint in caught.value.hint


def test_every_target_of_the_project_file_can_be_built() -> None:
    for target in config.Image.model_json_schema()["properties"]["targets"]["items"]["enum"]:
        assert build.chosen_engine(target, "")


def _disk_with_records(folder: Path) -> Plan:
    made = plan(folder, "qemu", "tree")
    recorded = gzip.decompress((FIXTURES / "manifests/image-at-rest.json.gz").read_bytes())
    record = manifest.parse(recorded, "recorded")
    manifest.save(record, folder / build.MANIFEST)
    (folder / "web.qcow2").write_bytes(b"disk")
    provenance = {
        "manifest_digest": record.digest,
        "content_key": made.content_key,
        "image_id": "sha256:2",
        "bytes": 4,
        "waived": [],
    }
    (folder / build.PROVENANCE).write_text(json.dumps(provenance))
    return made


def test_a_disk_is_up_to_date_only_as_long_as_it_is_whole(tmp_path: Path) -> None:
    made = _disk_with_records(tmp_path)
    assert build._present(made) == ("sha256:2", manifest.load(tmp_path / build.MANIFEST))
    (tmp_path / "web.qcow2").write_bytes(b"dis")
    assert build._present(made) is None
    (tmp_path / "web.qcow2").unlink()
    assert build._present(made) is None


def test_the_release_has_the_time_that_it_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = config.Project(tmp_path, config.Config(images={"web": IMAGE}))
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert build._epoch(project, "sha256:1") == 1700000000
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with pytest.raises(UsageError, match="yesterday"):
        build._epoch(project, "sha256:1")


def test_without_git_the_provenance_has_no_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert build._git(tmp_path) is None


def test_what_killed_builds_of_disks_left_is_removed_and_what_one_that_runs_has_is_not(tmp_path: Path) -> None:
    project = config.Project(tmp_path, config.Config(images={"web": IMAGE}))
    left, kept = (project.output / f"images/{name}/qemu/{build_disk.WORK}x" for name in ("db", "web"))
    for folder in (left, kept):
        folder.mkdir(parents=True)
    lock = os.open(kept.parent, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    assert build.clear(project) == [f"folder {left}"]
    assert (left.exists(), kept.exists()) == (False, True)
    os.close(lock)
    assert build.clear(project) == [f"folder {kept}"]


def _said(image: str) -> list[str]:
    return [
        "==> docker.image: Provisioning with Ansible...",
        "    docker.image: TASK [seal : Seal] ****************",
        "    docker.image: changed: [web-image]",
        "    docker.image: Committing the container",
        f"    docker.image: Image ID: sha256:{'0' * 64}",
        "==> docker.image: Committing the container",
        f"    docker.image: Image ID: sha256:{image}",
    ]


def test_the_image_is_the_one_that_packer_committed_and_not_one_that_a_task_names(tmp_path: Path) -> None:
    heard = packer.Heard(plan(tmp_path), Progress(Console(quiet=True), ""), verbose=False)
    *before, last = _said("a" * 64)
    for line in before:
        heard.line(line)
    assert heard.image_id == ""
    heard.line(last)
    assert heard.image_id == f"sha256:{'a' * 64}"
    assert heard.sealed


def test_an_error_that_says_so_is_not_called_one_twice(tmp_path: Path) -> None:
    heard = packer.Heard(plan(tmp_path), Progress(Console(quiet=True), ""), verbose=False)
    heard.line("    docker.image: error: the mirror no longer has x 1")
    with pytest.raises(GoldsmithError, match=r'^building "\w+" failed: the mirror no longer has x 1$'):
        heard.check(1)


@pytest.mark.parametrize("code", [0, 3])
def test_the_image_is_looked_at_while_packer_takes_the_container_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    go, ended = tmp_path / "go", tmp_path / "ended"
    os.mkfifo(go)
    program = tmp_path / "bin/packer"
    program.parent.mkdir()
    said = "\n".join(_said("a" * 64))
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{said}\nEND\nread -r line <{go}\necho $line >{ended}\nexit {code}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    project = config.Project(tmp_path, config.Config(images={"web": IMAGE}))
    progress = Progress(Console(quiet=True), "")
    with (
        pytest.raises(GoldsmithError, match="Packer ended with 3") if code else contextlib.nullcontext(),
        packer.running(project, plan(tmp_path), "docker.image", {}, progress, verbose=False) as heard,
    ):
        assert heard.image_id == f"sha256:{'a' * 64}"
        assert not ended.exists()
        go.write_text("on\n")
    assert ended.read_text() == "on\n"
