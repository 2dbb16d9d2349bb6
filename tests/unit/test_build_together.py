"""Which builds are run side by side, and what becomes of them together."""

from __future__ import annotations

from pathlib import Path

import pytest

from goldsmith import build_together, config
from goldsmith.build_together import Outcome
from goldsmith.errors import UsageError


@pytest.fixture
def project(tmp_path: Path) -> config.Project:
    for name in ("site.yml", "hosts"):
        (tmp_path / name).write_text("")
    image = "{playbook: site.yml, targets: [%s]}"
    text = f"inventory: hosts\nimages:\n  web: {image % 'docker'}\n  db: {image % 'qemu, docker'}\n"
    (tmp_path / "goldsmith.yml").write_text(text)
    return config.load(tmp_path)


def test_each_image_has_its_own_first_target_or_all_that_are_named(project: config.Project) -> None:
    assert build_together.jobs(project, ["web", "db"], []) == [("web", "docker"), ("db", "qemu")]
    assert build_together.jobs(project, ["web"], ["docker", "qemu"]) == [("web", "docker"), ("web", "qemu")]


@pytest.mark.parametrize(
    ("images", "targets"),
    [(["web", "web"], []), (["web"], ["qemu", "qemu"]), (["wbe"], []), (["web", "db"], ["quemu"])],
)
def test_wrong_names_are_refused_before_anything_runs(
    project: config.Project, images: list[str], targets: list[str]
) -> None:
    with pytest.raises(UsageError) as caught:
        build_together.jobs(project, images, targets)
    assert caught.value.hint


@pytest.mark.parametrize(("codes", "code"), [((0, 0), 0), ((0, 3), 3), ((3, 3), 3), ((1, 3), 1), ((5, 0), 5)])
def test_one_exit_code_stands_for_all(codes: tuple[int, ...], code: int) -> None:
    assert build_together.exit_code([Outcome("web", "docker", each, None) for each in codes]) == code
