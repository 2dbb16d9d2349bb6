"""The definition's digest: whatever can reach the image changes it, and nothing else does."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible import constants

from goldsmith import config, definition


@pytest.fixture
def project(tmp_path: Path) -> config.Project:
    for name in (
        "site.yml",
        "inventory/hosts.yml",
        "inventory/group_vars/web.yml",
        "app/app.py",
        "roles/x/tasks/main.yml",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("---\n")
    (tmp_path / "goldsmith.yml").write_text("images:\n  web:\n    playbook: site.yml\npolicy: policy.yml\n")
    (tmp_path / "policy.yml").write_text("rules: []\n")
    (tmp_path / "app/current").symlink_to("app.py")
    return config.load(tmp_path)


def point_elsewhere(root: Path) -> None:
    (root / "app/current").unlink()
    (root / "app/current").symlink_to("other.py")


def digest(project: config.Project) -> str:
    return definition.digest(project, project.image("web"))


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "roles/x/tasks/main.yml").write_text("- x\n"),
        lambda root: (root / "inventory/group_vars/web.yml").write_text("a: 1\n"),
        lambda root: (root / "app/app.py").chmod(0o755),
        lambda root: (root / "app/new.py").write_text(""),
        lambda root: (root / "app/app.py").unlink(),
        lambda root: (root / "app/app.py").rename(root / "app/main.py"),
        point_elsewhere,
    ],
)
def test_changes_with_the_content(project: config.Project, change: Callable[[Path], object]) -> None:
    before = digest(project)
    change(project.root)
    assert digest(project) != before


@pytest.mark.parametrize("name", ["artifacts/images/web/manifest.json", ".git/HEAD", "README.md", "policy.yml"])
def test_stays_with_what_cannot_reach_the_image(project: config.Project, name: str) -> None:
    before = digest(project)
    (project.root / name).parent.mkdir(parents=True, exist_ok=True)
    (project.root / name).write_text("other\n")
    assert digest(project) == before


def test_what_is_no_file_is_left_out(project: config.Project) -> None:
    before = digest(project)
    os.mkfifo(project.root / "app/fifo")
    assert digest(project) == before


def test_a_collection_outside_counts(
    project: config.Project, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = tmp_path_factory.mktemp("collections")
    role = outside / "ansible_collections/some/where/roles/y/tasks/main.yml"
    role.parent.mkdir(parents=True)
    role.write_text("---\n")
    monkeypatch.setattr(constants, "COLLECTIONS_PATHS", [str(outside)])
    before = digest(project)
    role.write_text("- x\n")
    developing = digest(project)
    assert developing != before
    manifest = outside / "ansible_collections/some/where/MANIFEST.json"
    manifest.write_text("{}")
    installed = digest(project)
    manifest.write_text('{"version": 2}')
    assert len({before, developing, installed, digest(project)}) == 4


def test_of_two_collections_of_one_name_the_first_counts(
    project: config.Project, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [tmp_path_factory.mktemp(name) for name in ("first", "second")]
    manifests = [folder / "ansible_collections/some/where/MANIFEST.json" for folder in folders]
    for path in manifests:
        path.parent.mkdir(parents=True)
        path.write_text("{}")
    monkeypatch.setattr(constants, "COLLECTIONS_PATHS", [str(folder) for folder in folders])
    before = digest(project)
    manifests[1].write_text('{"version": 2}')
    assert digest(project) == before
    manifests[0].write_text('{"version": 2}')
    assert digest(project) != before


def test_content_key_depends_on_each_input(tmp_path: Path) -> None:
    template = tmp_path / "build.pkr.hcl"
    template.write_text("a")
    keys = {
        definition.content_key("d", "base", {"packer": "1"}, [template]),
        definition.content_key("e", "base", {"packer": "1"}, [template]),
        definition.content_key("d", "other", {"packer": "1"}, [template]),
        definition.content_key("d", "base", {"packer": "2"}, [template]),
    }
    template.write_text("b")
    keys.add(definition.content_key("d", "base", {"packer": "1"}, [template]))
    assert len(keys) == 5
