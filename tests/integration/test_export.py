"""Every format for real, checked by the tools that people have; and what goes wrong leaves nothing."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import tarfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from goldsmith import descriptors, docker, proc
from goldsmith.formats import COMPRESSIONS, FORMATS
from tests.integration.conftest import Goldsmith, error

SIZE = 64 * 2**20
DISKS = [form for form in FORMATS.values() if form.made_of == "disk" and not form.provider]
OVF = "{http://schemas.dmtf.org/ovf/envelope/1}"
TINY = "goldsmith-test/export:tiny"


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small disk: a file system with files, a hole, and what no compression makes smaller."""
    folder = tmp_path_factory.mktemp("disk")
    (folder / "tree").mkdir()
    (folder / "tree/random").write_bytes(os.urandom(4 * 2**20))
    (folder / "tree/zeros").write_bytes(bytes(2**20))
    path = folder / "small.raw"
    proc.run(["mke2fs", "-q", "-t", "ext4", "-d", str(folder / "tree"), str(path), f"{SIZE // 1024}k"])
    return path


@pytest.fixture
def there(tmp_path: Path) -> Goldsmith:
    """The command line, in an empty folder."""
    return Goldsmith(tmp_path)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Docker image of one file."""
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "words").write_text("original\n")
    archive = proc.run(["tar", "--create", "--directory", str(folder), "words"]).stdout
    proc.run(["docker", "import", "--change", f"LABEL {docker.OWNER}=lab", "-", TINY], stdin=archive)
    yield TINY
    proc.run(["docker", "rmi", "--force", TINY])


def of(made: list[dict[str, Any]]) -> dict[str, Path]:
    return {each["format"]: Path(each["path"]) for each in made}


def same(source: Path, path: Path, driver: str) -> None:
    assert "identical" in proc.run(["qemu-img", "compare", "-F", driver, "-f", "raw", str(source), str(path)]).text


def left(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def containers() -> list[str]:
    return proc.run(["docker", "ps", "-aq", "--filter", f"label={docker.OWNER}=export"]).text.split()


def wrapper(folder: Path, program: str, script: str) -> dict[str, str]:
    """PATH with a program before the real one, which `$REAL` names in the script."""
    folder.mkdir()
    path = folder / program
    path.write_text(f"#!/bin/sh\nREAL={shutil.which(program)}\n{script}\n")
    path.chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


def test_every_disk_format(there: Goldsmith, disk: Path) -> None:
    wanted = [word for form in DISKS for word in ("--format", form.name)]
    made = there.json("export", str(disk), *wanted)
    assert [each["format"] for each in made] == [form.name for form in DISKS]
    folder = there.project / "artifacts/export"
    proc.run(["sh", "-c", "sha256sum --check --strict *.sha256"], cwd=folder)
    for each in made:
        path = there.project / each["path"]
        if path.is_file():
            assert each["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
            assert each["bytes"] == path.stat().st_size
    paths = {name: there.project / path for name, path in of(made).items()}
    for form in DISKS:
        if form.name not in {"ova", "parallels"}:
            same(disk, paths[form.name], form.driver)
    assert paths["raw"].stat().st_blocks * 512 < SIZE / 2
    assert 'fileName = "small.vmdk"' in (folder / "small.vmx").read_text()
    assert not [name for name in left(folder) if name.startswith(".")]

    machine = ET.parse(paths["parallels"] / "config.pvs").getroot()
    parallels = paths["parallels"] / (machine.findtext(".//Hdd/SystemName") or "")
    said = ET.parse(parallels / "DiskDescriptor.xml").getroot()
    same(disk, parallels / (said.findtext(".//File") or ""), "parallels")
    assert said.findtext(".//Disk_size") == str(SIZE // 512)


def test_ova_is_whole_in_order_and_says_what_it_holds(there: Goldsmith, disk: Path, tmp_path: Path) -> None:
    (made,) = there.json("export", str(disk), "--format", "ova", "--output", "out")
    with tarfile.open(there.project / made["path"]) as archive:
        assert archive.getnames() == ["small.ovf", "small.mf", "small.vmdk"]
        assert {(member.uname, member.mode) for member in archive} == {("root", 0o644)}
        archive.extractall(tmp_path / "unpacked")  # noqa: S202 - we made it
    unpacked = tmp_path / "unpacked"
    sums = descriptors.read_checksums((unpacked / "small.mf").read_text())
    assert sums == {
        name: hashlib.sha256((unpacked / name).read_bytes()).hexdigest() for name in ("small.ovf", "small.vmdk")
    }
    envelope = ET.parse(unpacked / "small.ovf").getroot()
    file, virtual = envelope.find(f".//{OVF}File"), envelope.find(f".//{OVF}Disk")
    assert file is not None
    assert virtual is not None
    assert file.get(f"{OVF}size") == str((unpacked / "small.vmdk").stat().st_size)
    assert virtual.get(f"{OVF}capacity") == str(SIZE)
    same(disk, unpacked / "small.vmdk", "vmdk")


@pytest.mark.parametrize("compress", ["zstd", "gzip"])
def test_compressed(there: Goldsmith, disk: Path, tmp_path: Path, compress: str) -> None:
    suffix = COMPRESSIONS[compress]
    source = tmp_path / "web.qcow2"
    proc.run(["qemu-img", "convert", "-O", "qcow2", str(disk), str(source)])
    made = there.json("export", "web.qcow2", "-f", "raw", "-f", "qcow2", "--compress", compress, "-o", "out")
    assert {name: path.name for name, path in of(made).items()} == {"raw": f"web.raw{suffix}", "qcow2": "web.qcow2"}
    proc.run(["sh", "-c", f"sha256sum -c *.sha256 && {compress} -d web.raw{suffix}"], cwd=there.project / "out")
    same(disk, there.project / "out/web.raw", "raw")
    same(disk, there.project / "out/web.qcow2", "qcow2")
    info = json.loads(proc.run(["qemu-img", "info", "--output=json", str(there.project / "out/web.qcow2")]).stdout)
    expected = "zstd" if compress == "zstd" else "zlib"
    assert info["format-specific"]["data"]["compression-type"] == expected


def test_again_replaces_what_was_there(there: Goldsmith, disk: Path) -> None:
    arguments = ("export", str(disk), "-f", "parallels", "-f", "vmdk", "-o", "out")
    there(*arguments)
    before = left(there.project)
    (there.project / "out/small.vmdk").write_text("damaged")
    (there.project / "out/small.pvm/config.pvs").write_text("damaged")
    there(*arguments)
    assert left(there.project) == before
    proc.run(["sh", "-c", "sha256sum --check *.sha256"], cwd=there.project / "out")


def test_docker_image(there: Goldsmith, base: str) -> None:
    made = there.json("export", f"docker-image:{base}", "-f", "oci", "-f", "tar", "--compress", "zstd", "-o", "out")
    assert containers() == []
    proc.run(["sh", "-c", "sha256sum --check --strict *.sha256"], cwd=there.project / "out")
    paths = {name: there.project / path for name, path in of(made).items()}
    seen = json.loads(proc.run(["skopeo", "inspect", "--config", f"oci-archive:{paths['oci']}"]).stdout)
    image = docker.inspect_image(base)
    assert image is not None
    assert seen["rootfs"]["diff_ids"] == image["RootFS"]["Layers"]
    assert seen["config"]["StopSignal"] == image["Config"]["StopSignal"]
    listed = proc.run(["tar", "--list", "--file", str(paths["tar"]), "--zstd"]).text.splitlines()
    assert {"etc/passwd", "usr/bin/python3"} <= set(listed)


def test_a_disk_that_was_damaged_on_its_way_is_refused(there: Goldsmith, disk: Path, tmp_path: Path) -> None:
    flips = """
"$REAL" "$@" || exit
for last; do :; done
case "$* " in convert*" -O vdi "*) printf X | dd of="$last" bs=1 seek=3000000 conv=notrunc status=none ;; esac"""
    path = wrapper(tmp_path / "bin", "qemu-img", flips)
    message, hint = error(
        there("export", str(disk), "-f", "raw", "-f", "vdi", "-f", "ova", "-o", "new/out", expect=1, **path)
    )
    assert message.startswith("vdi: what was written is not the source: Content mismatch")
    assert "nothing was kept" in hint
    assert not (there.project / "new").exists()


def test_an_image_that_was_damaged_on_its_way_is_refused(there: Goldsmith, tiny: str, tmp_path: Path) -> None:
    flips = """
"$REAL" "$@" || exit
[ "$1" != export ] || sed -i s/original/tampered/ "$3" """
    path = wrapper(tmp_path / "bin", "docker", flips)
    (there.project / "out").mkdir()
    message, _hint = error(there("export", f"docker-image:{tiny}", "-f", "tar", "-o", "out", expect=1, **path))
    assert message == "tar: what was written is not the source: /words differs"
    assert left(there.project / "out") == []
    assert containers() == []


def test_an_oci_archive_of_another_image_is_refused(there: Goldsmith, tiny: str, tmp_path: Path) -> None:
    # The real thing, but of a layer that says something else.
    changes = """
set -e
mkdir other && tar -xf saved.tar -C other && cd other
before=$(cat */layer.tar | sha256sum) && sed -i s/original/tampered/ */layer.tar && after=$(cat */layer.tar | sha256sum)
sed -i "s/${before%% *}/${after%% *}/" *.json
cd .. && tar -cf saved.tar -C other . && exec "$REAL" "$@" """
    path = wrapper(tmp_path / "bin", "skopeo", changes)
    message, _hint = error(there("export", f"docker-image:{tiny}", "-f", "oci", expect=1, **path))
    assert "its layers are not the image's" in message
    assert not (there.project / "artifacts").exists()


def test_interrupted(there: Goldsmith, disk: Path, tmp_path: Path) -> None:
    path = wrapper(
        tmp_path / "bin", "qemu-img", 'case "$1" in convert) touch "$BEGUN"; sleep 60 ;; esac; exec "$REAL" "$@"'
    )
    begun = tmp_path / "begun"
    process = subprocess.Popen(
        ["goldsmith", "export", str(disk), "-f", "raw", "-o", "out"],
        cwd=there.project,
        env={**os.environ, **path, "BEGUN": str(begun)},
        stderr=subprocess.PIPE,
    )
    end = time.monotonic() + 20
    while not begun.exists() and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) == 143
    assert not (there.project / "out").exists()


def test_full_disk(there: Goldsmith, disk: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    folder = there.project / "out"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "goldsmith-test", folder], check=True)
    try:
        message, hint = error(there("export", str(disk), "-f", "qcow2", "-o", "out", expect=1))
        assert "No space left" in message
        assert "--output" in hint
        assert left(folder) == []
    finally:
        subprocess.run(["umount", folder], check=True)


def test_an_image_that_stands_on_another_is_refused(there: Goldsmith, disk: Path) -> None:
    proc.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(disk), "-F", "raw", "top.qcow2"], cwd=there.project)
    message, hint = error(there("export", "top.qcow2", "-f", "raw", expect=2))
    assert "stands on another file" in message
    assert "qemu-img convert" in hint


def test_wrong_sources_and_formats(there: Goldsmith, tiny: str) -> None:
    for arguments, said in (
        ((f"docker-image:{tiny}", "-f", "ova"), "it can become: oci, tar"),
        (("nothing.qcow2", "-f", "raw"), "docker-image:NAME"),
        (("docker-image:goldsmith-test/none", "-f", "tar"), "docker images"),
    ):
        _message, hint = error(there("export", *arguments, expect=2))
        assert said in hint
    assert left(there.project) == []
