"""A locked build and a locked converge give what the lock says, or change nothing and name what the mirror lacks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.lab import Lab
from goldsmith import bom_diff, docker, manifest, proc
from tests.integration.conftest import SEAL, Goldsmith, error

NAME = "locked"
PLAYBOOK = """\
- name: Locked
  hosts: all
  gather_facts: false
  tasks:
    - name: Install
      goldsmith.core.packages:
        name: [{package}]
    - name: Seal
      {seal}
      when: goldsmith_delivery == 'image'
"""
# A mirror with two packages, both in two versions; of one the newer is installed, since another one needed it.
MIRROR = """\
set -e
mkdir -p /srv/repo /srv/made/DEBIAN
for name in probe other; do
  for version in 1.0 2.0; do
    file=${name}_$version.deb
    printf '%s\\n' "Package: $name" "Version: $version" "Architecture: all" "Maintainer: a <a@example.org>" \\
      "Description: a" >/srv/made/DEBIAN/control
    dpkg-deb --build /srv/made /srv/repo/$file
    cat /srv/made/DEBIAN/control - >>/srv/repo/Packages <<END
Filename: ./$file
Size: $(stat -c %s /srv/repo/$file)
SHA256: $(sha256sum /srv/repo/$file | cut -d' ' -f1)

END
  done
done
rm -rf /etc/apt/sources.list /etc/apt/sources.list.d/*
echo 'deb [trusted=yes] file:/srv/repo ./' >/etc/apt/sources.list
dpkg --install /srv/repo/probe_2.0.deb
apt-mark auto probe
"""
PINS = "/etc/apt/preferences.d/goldsmith-lock"


def project(folder: Path, package: str) -> Path:
    folder.mkdir()
    (folder / "site.yml").write_text(PLAYBOOK.format(package=package, seal=SEAL))
    (folder / "inventory").write_text("lock1\n")
    (folder / "goldsmith.yml").write_text(f"images:\n  {NAME}: {{playbook: site.yml}}\n")
    return folder


@pytest.fixture
def builds(tmp_path: Path, base: str) -> Iterator[Goldsmith]:
    yield Goldsmith(project(tmp_path / "project", "hello"))
    made = proc.run(["docker", "images", "--quiet", "--filter", f"reference=goldsmith/{NAME}"]).text.split()
    proc.run(["docker", "rmi", "--force", *set(made)], check=False)


def test_build(builds: Goldsmith) -> None:
    _, hint = error(builds("build", NAME, "--locked", expect=2))
    assert "without --locked" in hint

    built = builds.json("build", NAME)
    first = manifest.load(Path(built["manifest"]))
    lock = Path(built["lock"])
    content = lock.read_text()
    assert f"deb hello {first.sections['packages']['hello']['version']} amd64\n" in content

    # What the mirror has not is named, and the last image stays.
    lock.write_text(re.sub(r"(?m)^deb hello .*", "deb hello 0.0.1-1 amd64", content))
    message, _ = error(builds("build", NAME, "--locked", expect=1))
    assert "the mirror no longer has hello:amd64 0.0.1-1" in message
    assert docker.image(f"goldsmith/{NAME}:latest")["Id"] == built["image_id"]

    # The same from the lock, with nothing left of it.
    lock.write_text(content)
    again = builds.json("build", NAME, "--locked")
    assert not again["cached"]
    assert manifest.load(Path(again["manifest"])).digest == first.digest
    assert json.loads(Path(again["provenance"]).read_text())["locked"]
    assert lock.read_text() == content
    assert builds.json("build", NAME, "--locked")["cached"]

    # A bill of materials lies beside it, and is the image's.
    assert bom_diff.compare(bom_diff.read(Path(again["bom"])), bom_diff.of_manifest(first)).changes == ()


def test_converge(tmp_path: Path, base: str) -> None:
    with Lab(tmp_path / "lab", base, ["lock1"]) as lab:
        goldsmith = Goldsmith(project(tmp_path / "project", "other"), lab.environment)
        lab.execute("lock1", MIRROR)
        lock = goldsmith.project / "locks" / f"{NAME}.docker.lock"
        lock.parent.mkdir()

        def state() -> str:
            return lab.execute(
                "lock1",
                "dpkg-query --show --showformat '${Package} ${Version}, ' probe other 2>/dev/null; "
                f"apt-mark showauto probe; ls {PINS} 2>/dev/null; :",
            ).text

        # What the mirror has not is named before anything is changed.
        lock.write_text("deb probe 1.0 all\ndeb other 0.9 all\n")
        done = goldsmith("converge", "--locked", expect=1)
        assert "the mirror no longer has other 0.9" in done.stderr
        assert state() == "probe 2.0, probe"

        # What is there is moved, down too, and as automatic as it was; what is installed is of the locked version.
        lock.write_text("deb probe 1.0 all\ndeb other 1.0 all\n")
        assert goldsmith.json("converge", "--locked", "--check")["hosts"]["lock1"]["verdict"] == "changed"
        assert state() == "probe 2.0, probe"
        assert goldsmith.json("converge", "--locked")["hosts"]["lock1"]["verdict"] == "changed"
        assert state() == "other 1.0, probe 1.0, probe"
        assert goldsmith.json("converge", "--locked")["hosts"]["lock1"]["verdict"] == "ok"

        # The pins go too when the definition fails.
        site = goldsmith.project / "site.yml"
        site.write_text(site.read_text().replace("[other]", "[nowhere]"))
        goldsmith("converge", "--locked", expect=1)
        assert state() == "other 1.0, probe 1.0, probe"
