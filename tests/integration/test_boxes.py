"""Vagrant boxes for real, but without Vagrant: what is in them, the catalogue, and what goes wrong leaves nothing."""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
from pathlib import Path

import pytest

from goldsmith import proc, vagrant
from goldsmith.formats import FORMATS
from tests.integration.conftest import Goldsmith, error
from tests.integration.test_export import disk, left, same, there, wrapper

__all__ = ["disk", "there"]
BOXES = {form.provider: form for form in FORMATS.values() if form.provider}
BUILT = 1764171201
"""2025-11-26 15:33:21 UTC."""


@pytest.fixture
def built(disk: Path, tmp_path: Path) -> Path:
    """A disk that was written at a certain time."""
    path = tmp_path / "web.qcow2"
    proc.run(["qemu-img", "convert", "-O", "qcow2", str(disk), str(path)])
    os.utime(path, (BUILT, BUILT))
    return path


@pytest.mark.parametrize("provider", BOXES)
def test_a_box_holds_the_disk_and_what_the_provider_wants(
    there: Goldsmith, built: Path, disk: Path, tmp_path: Path, provider: str
) -> None:
    (made,) = there.json("export", built.name, "-f", f"box-{provider}", "-o", "out")
    path = there.project / made["path"]
    assert path.name == f"web-20251126.153321.0.{provider}.box"
    with tarfile.open(path, "r:gz") as archive:
        names = archive.getnames()
        assert {(member.uid, member.mtime, member.isfile()) for member in archive} == {(0, 0, True)}
        archive.extractall(tmp_path / "unpacked")  # noqa: S202 - we made it
    unpacked = tmp_path / "unpacked"
    assert {"metadata.json", "Vagrantfile", vagrant.DISKS[provider]} <= set(names)
    assert names[-1] == vagrant.DISKS[provider]
    assert json.loads((unpacked / "metadata.json").read_text())["provider"] == provider
    same(disk, unpacked / vagrant.DISKS[provider], BOXES[provider].driver)
    # What describes the machine finds the disk by the name that it has in the box.
    describe = {
        "virtualbox": ("box.ovf", 'href="box-disk001.vmdk"'),
        "vmware_desktop": ("box.vmx", 'fileName = "box.vmdk"'),
        "parallels": ("box.pvm/box.hdd/DiskDescriptor.xml", f"<File>{Path(vagrant.DISKS['parallels']).name}</File>"),
        "hyperv": ("Virtual Machines/box.xml", ">box.vhdx<"),
    }
    name, words = describe.get(provider, ("metadata.json", '"virtual_size": 1'))
    assert words in (unpacked / name).read_text()


def test_the_same_disk_makes_the_same_box_and_the_catalogue_keeps_older_ones(there: Goldsmith, built: Path) -> None:
    export_it = ("export", built.name, "-f", "box-libvirt", "-o", "out")
    first = there.json(*export_it)[0]
    assert there.json(*export_it)[0]["sha256"] == first["sha256"]
    os.utime(built, (BUILT + 3600, BUILT + 3600))
    there.json(*export_it, "-f", "box-hyperv")
    folder = there.project / "out"
    catalogue = json.loads((folder / "web.metadata.json").read_text())
    found = {(each["version"], entry["name"]): entry for each in catalogue["versions"] for entry in each["providers"]}
    old, new = "20251126.153321.0", "20251126.163321.0"
    assert list(found) == [(old, "libvirt"), (new, "libvirt"), (new, "hyperv")]
    for (version, provider), entry in found.items():
        box = folder / f"web-{version}.{provider}.box"
        assert entry["url"] == box.as_uri()
        assert entry["checksum"] == hashlib.sha256(box.read_bytes()).hexdigest()
    assert found[old, "libvirt"]["checksum"] == first["sha256"]


def test_what_is_no_catalogue_is_left_alone_and_nothing_is_made(there: Goldsmith, built: Path) -> None:
    (there.project / "out").mkdir()
    (there.project / "out/web.metadata.json").write_text('{"name": "shop/web", "versions": []}')
    message, hint = error(there("export", built.name, "-f", "box-libvirt", "-o", "out", expect=2))
    assert "is the catalogue of shop/web" in message
    assert "--output" in hint
    assert left(there.project / "out") == ["web.metadata.json"]


def test_a_box_whose_disk_was_damaged_on_its_way_is_refused(there: Goldsmith, built: Path, tmp_path: Path) -> None:
    flips = """
"$REAL" "$@" || exit
for last; do :; done
case "$1" in convert) printf X | dd of="$last" bs=1 seek=3000000 conv=notrunc status=none ;; esac"""
    path = wrapper(tmp_path / "bin", "qemu-img", flips)
    message, _hint = error(there("export", built.name, "-f", "box-libvirt", "-o", "out", expect=1, **path))
    assert message.startswith("box-libvirt: what was written is not the source: ")
    assert not (there.project / "out").exists()


def test_an_image_by_its_name_is_its_disk(there: Goldsmith, built: Path) -> None:
    (there.project / "goldsmith.yml").write_text("images:\n  shop:\n    playbook: site.yml\n")
    (there.project / "site.yml").write_text("[]\n")
    (there.project / "inventory").mkdir()
    message, hint = error(there("export", "shop", "-f", "box-libvirt", expect=2))
    assert message == 'there is no disk of "shop"'
    assert "goldsmith build shop --target qemu" in hint
    folder = there.project / "artifacts/images/shop/qemu"
    folder.mkdir(parents=True)
    built.rename(folder / "shop.qcow2")
    size = (folder / "shop.qcow2").stat().st_size
    record = {"reference": str(folder / "shop.qcow2"), "finished": "2026-11-26T15:33:21Z", "bytes": size}
    (folder / "provenance.json").write_text(json.dumps(record))
    (made,) = there.json("export", "shop", "-f", "box-libvirt")
    assert Path(made["path"]).name == "shop-20261126.153321.0.libvirt.box"
    [version] = json.loads((there.project / "artifacts/export/shop.metadata.json").read_text())["versions"]
    assert version["providers"][0]["architecture"] == "amd64"
