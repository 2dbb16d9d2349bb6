"""Both artefacts of the repository, installed where nothing else is, outside the repository."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest
import yaml

import goldsmith as package
from goldsmith import proc
from tests.integration.conftest import Goldsmith
from tests.paths import ROOT

ALLOWED = re.compile(
    r"(README\.md|CHANGELOG\.md|CONTRIBUTING\.md|docs/[\w-]+\.md|docs/schema/\w+\.schema\.json|LICENSE|LICENSES/[\w.-]+|MANIFEST\.json|FILES\.json|meta/runtime\.yml"
    r"|playbooks/\w+\.yml|plugins/(\w+/)+\w+\.py"
    r"|roles/\w+/(README\.md|(defaults|handlers|meta|tasks|vars)/\w+\.yml|(files|templates)/[\w.-]+|tests/test_\w+\.py))"
)
"""What may be in the collection's tarball."""


@pytest.fixture(scope="module")
def artefacts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The wheel and the collection's tarball, built from the files that git knows."""
    source, dist = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    names = subprocess.run(
        ["git", "ls-files", "-z", "-co", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True
    )
    for name in names.stdout.decode().strip("\0").split("\0"):
        if (ROOT / name).is_symlink() or not (ROOT / name).exists():
            continue
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, source / name)
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", dist, source], check=True, capture_output=True
    )
    subprocess.run(
        ["ansible-galaxy", "collection", "build", source, "--output-path", dist], check=True, capture_output=True
    )
    return next(dist.glob("*.whl")), next(dist.glob("goldsmith-core-*.tar.gz"))


def test_tarball_holds_what_is_allowed_and_all_of_it(artefacts: tuple[Path, Path]) -> None:
    with tarfile.open(artefacts[1]) as archive:
        files = {member.name for member in archive if member.isfile()}
    assert [name for name in sorted(files) if not ALLOWED.fullmatch(name)] == []
    wanted = subprocess.run(
        ["git", "ls-files", "roles", "playbooks", "plugins", "meta", "LICENSES"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    assert set(wanted.stdout.decode().split()) - files == set()
    linked = re.findall(r"\]\(([^)#:]+)[)#]", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert linked
    assert [path for path in linked if path not in files] == []


def test_both_have_the_same_version(artefacts: tuple[Path, Path]) -> None:
    collection = yaml.safe_load((ROOT / "galaxy.yml").read_text())["version"]
    assert collection == package.__version__
    assert artefacts[0].name.startswith(f"goldsmith-{collection}-")
    assert artefacts[1].name == f"goldsmith-core-{collection}.tar.gz"


def test_wheel_holds_what_the_harness_needs(artefacts: tuple[Path, Path]) -> None:
    names = zipfile.ZipFile(artefacts[0]).namelist()
    for name in (
        "collector/tree.py",
        "packer/build.pkr.hcl",
        "packer/base-image.sh",
        "packer/http/debian.preseed",
        "packer/targets/debian-13-arm64.pkrvars.hcl",
        "example/goldsmith.yml",
        "policy/debian.yml",
    ):
        assert f"goldsmith/data/{name}" in names
    assert not [name for name in names if name.startswith("tests") or "artifacts" in name]


def test_build_collect_and_compare_from_an_empty_environment(
    artefacts: tuple[Path, Path], base: str, tmp_path: Path
) -> None:
    """A virtual environment and a collections folder with nothing of the clone in them."""
    wheel, tarball = artefacts
    venv.create(tmp_path / "venv", with_pip=True)
    bin_folder = tmp_path / "venv/bin"
    install = [bin_folder / "pip", "install", "--quiet", "--disable-pip-version-check"]
    lock = tmp_path / "constraints.txt"
    lock.write_text(re.sub(r" \\\n(?:    --hash=\S+(?: \\)?\n)+", "\n", (ROOT / "requirements.lock").read_text()))
    subprocess.run([*install, "--constraint", lock, wheel], check=True)
    collections = tmp_path / "collections"
    environment = {"PATH": f"{bin_folder}:{os.environ['PATH']}", "ANSIBLE_COLLECTIONS_PATH": str(collections)}
    subprocess.run(
        ["ansible-galaxy", "collection", "install", "--no-deps", "--offline", tarball, "-p", collections],
        env={**os.environ, **environment},
        check=True,
        capture_output=True,
    )
    run = Goldsmith(tmp_path, environment)
    run("init", "web")
    run.project = tmp_path / "web"
    built = run.json("build", "web")
    try:
        run("collect", "docker-image:goldsmith/web", "--output", "web.json")
        assert run.json("compare", "web.json", built["manifest"])["differences"] == []
    finally:
        proc.run(["docker", "rmi", "--force", built["image_id"]], check=False)
