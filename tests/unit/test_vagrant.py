"""What Vagrant is given to read, and the catalogue that keeps older boxes."""

from __future__ import annotations

import datetime
import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from goldsmith import export, export_disk, vagrant
from goldsmith.descriptors import Machine
from goldsmith.errors import UsageError

MACHINE = Machine("web", "box.vmdk", 5 * 2**29)
RELEASE = vagrant.Release("goldsmith/web", "20261126.153321.0", "amd64")
UP = vagrant.Up(
    image="web",
    machine="web-vagrant",
    home="1a2b3c4d",
    release=RELEASE,
    catalogue=Path("/shop's/web.metadata.json"),
    key=Path("/shop's/id_ed25519"),
    programs=Path("/opt/bin"),
    playbook=Path("/shop's/site.yml"),
    groups=["web", "all_web"],
    inventory=Path("/shop's/hosts.yml"),
    config_file=None,
    emulated=False,
)


def test_a_version_is_the_time_in_utc_and_grows_with_it() -> None:
    zone = datetime.timezone(datetime.timedelta(hours=2))
    early = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=zone)
    assert vagrant.version(early) == "20260102.10405.0"
    midnight = datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)
    assert vagrant.version(midnight) == "20260102.0.0"

    def number(when: datetime.datetime) -> list[int]:
        return [int(part) for part in vagrant.version(when).split(".")]

    assert number(midnight) < number(early) < number(early.replace(hour=13)) < number(early.replace(day=3))


@pytest.mark.parametrize("provider", vagrant.DISKS)
def test_a_box_says_its_provider_and_lets_nobody_in_but_root_with_a_key(provider: str) -> None:
    found = vagrant.texts(provider, MACHINE, RELEASE, 1234)
    about = json.loads(found["metadata.json"])
    assert (about["provider"], about["architecture"]) == (provider, "amd64")
    assert "insert_key = false" in found["Vagrantfile"]
    assert "PRIVATE KEY" not in found["Vagrantfile"]
    assert vagrant.DISKS[provider] not in found
    beside = {"virtualbox": "box.ovf", "vmware_desktop": "box.vmx", "parallels": "box.pvm/config.pvs"}
    beside["hyperv"] = "Virtual Machines/box.xml"
    assert sorted(found) == sorted({"metadata.json", "Vagrantfile", beside.get(provider, "Vagrantfile")})


def test_libvirt_is_told_whole_gigabytes_and_no_fewer() -> None:
    def size(capacity: int) -> int:
        about = json.loads(vagrant.texts("libvirt", replace(MACHINE, capacity=capacity), RELEASE, 0)["metadata.json"])
        return int(about["virtual_size"])

    assert [size(8 * 2**30), size(8 * 2**30 + 512), size(2**20)] == [8, 9, 1]


def test_only_what_is_known_of_an_architecture_is_said() -> None:
    unknown = replace(RELEASE, architecture="")
    assert "architecture" not in json.loads(vagrant.texts("hyperv", MACHINE, unknown, 0)["metadata.json"])
    [version] = vagrant.catalogue({}, unknown, {"hyperv": ("file:///a", "1")})["versions"]
    assert "architecture" not in version["providers"][0]


def test_hyperv_finds_what_vagrants_script_reads() -> None:
    root = ET.fromstring(vagrant.texts("hyperv", MACHINE, RELEASE, 0)["Virtual Machines/box.xml"])
    read = ["properties/subtype", "properties/name", "settings/processors/count", "settings/memory/bank/size"]
    read += ["boot/device0", "ide/controller0/drive0/pathname", "ide/controller0/drive0/type"]
    texts = []
    for path in read:
        element = root.find(path)
        assert element is not None
        assert element.attrib, f"PowerShell does not see the text of {path} without an attribute"
        texts.append(element.text)
    assert texts == ["0", "web", "2", "2048", "HardDrive", "box.vmdk", "VHD"]


def test_parallels_machine_has_the_disk_beside_it() -> None:
    root = ET.fromstring(vagrant.texts("parallels", MACHINE, RELEASE, 0)["box.pvm/config.pvs"])
    assert root.findtext("Hardware/Hdd/SystemName") == "box.hdd"
    assert root.findtext("Hardware/Hdd/Size") == str(5 * 2**29 // 2**20)


def test_the_catalogue_keeps_older_versions_and_other_providers() -> None:
    older = replace(RELEASE, version="20251126.1.0")
    found = vagrant.catalogue({}, older, {"libvirt": ("file:///old", "1")})
    found = vagrant.catalogue({**found, "description": "Ours"}, RELEASE, {"libvirt": ("file:///a", "2")})
    found = vagrant.catalogue(found, RELEASE, {"hyperv": ("file:///b", "3")})
    found = vagrant.catalogue(found, RELEASE, {"libvirt": ("file:///a", "4")})
    assert (found["name"], found["description"]) == ("goldsmith/web", "Ours")
    sums = {
        each["version"]: {entry["name"]: entry["checksum"] for entry in each["providers"]} for each in found["versions"]
    }
    assert sums == {older.version: {"libvirt": "1"}, RELEASE.version: {"hyperv": "3", "libvirt": "4"}}
    assert {entry["checksum_type"] for each in found["versions"] for entry in each["providers"]} == {"sha256"}
    path = Path("web.metadata.json")
    assert vagrant.read_catalogue(json.dumps(found), path, "goldsmith/web") == found
    assert vagrant.has(found, older, "libvirt") == "file:///old"
    assert vagrant.has(found, older, "hyperv") is None


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("{", "no catalogue of boxes"),
        ("[]", "no catalogue of boxes"),
        ("{}", "no catalogue of boxes"),
        ({"name": "goldsmith/web", "versions": [{"version": 1, "providers": []}]}, "the catalogue of goldsmith/web"),
        ({"name": "goldsmith/web", "versions": [{"version": "1"}]}, "no catalogue of boxes"),
        ({"name": "goldsmith/web", "versions": 1}, "no catalogue of boxes"),
        ({"name": "goldsmith/db", "versions": []}, "the catalogue of goldsmith/db"),
    ],
)
def test_what_is_no_catalogue_of_this_box_is_not_overwritten(document: Any, message: str, tmp_path: Path) -> None:
    text = document if isinstance(document, str) else json.dumps(document)
    path = export.catalogue(tmp_path, "web")
    path.write_text(text)
    with pytest.raises(UsageError, match=message):
        export.read_catalogue(tmp_path, RELEASE)
    assert path.read_text() == text


def test_a_box_is_of_the_build_whose_records_lie_beside_the_disk(tmp_path: Path) -> None:
    disk = tmp_path / "web.qcow2"
    disk.write_bytes(b"disk")
    record = {"reference": "/elsewhere/web.qcow2", "bytes": 4, "finished": "2026-11-26T15:33:21Z"}
    provenance = tmp_path / "provenance.json"
    provenance.write_text(json.dumps(record))
    assert export_disk.release_of(disk, "web") == RELEASE
    for other in ({**record, "bytes": 5}, {**record, "reference": "/db.qcow2"}, [], {"reference": 1}):
        provenance.write_text(json.dumps(other))
        found = export_disk.release_of(disk, "web")
        assert found.architecture == ""
        assert found.version == vagrant.version(datetime.datetime.fromtimestamp(disk.stat().st_mtime, datetime.UTC))


def test_a_vagrantfile_runs_the_definition_as_on_a_live_host() -> None:
    text = vagrant.vagrantfile(UP)
    for line in (
        r"""ENV["GOLDSMITH_KEY"] = '/shop\'s/id_ed25519'""",
        "config.vm.define 'web-vagrant'",
        "config.vm.box = 'goldsmith/web'",
        "config.vm.box_version = '20261126.153321.0'",
        "config.vm.box_url = 'file:///shop%27s/web.metadata.json'",
        r"ansible.playbook = '/shop\'s/site.yml'",
        "ansible.groups = {'web' => ['web-vagrant'], 'all_web' => ['web-vagrant']}",
        'ansible.extra_vars = {"goldsmith_delivery" => "live"}',
        r"ansible.raw_arguments = ['--inventory=/shop\'s/hosts.yml']",
    ):
        assert f"{line}\n" in text
    assert r"'inventory_dir' => '/shop\'s'" in text
    assert "config_file" not in text
    assert "driver" not in text


def test_a_vagrantfile_without_hardwares_help() -> None:
    text = vagrant.vagrantfile(replace(UP, emulated=True, config_file=Path("/shop/ansible.cfg")))
    assert 'libvirt.driver = "qemu"\n' in text
    assert "ansible.config_file = '/shop/ansible.cfg'\n" in text
