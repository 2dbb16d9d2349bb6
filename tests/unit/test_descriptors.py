"""Descriptors of machines and disks, read as the programs read them that they are for."""

from __future__ import annotations

import hashlib
import re
import xml.etree.ElementTree as ET

import pytest

from goldsmith import descriptors
from goldsmith.errors import GoldsmithError

MACHINE = descriptors.Machine("web", "web.vmdk", 64 * 2**20)
UID = "8c5b1c3e-6a1f-4b0e-9d43-0a1c2e3f4a5b"
OVF = "{http://schemas.dmtf.org/ovf/envelope/1}"
RASD = "{http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData}"


def items(envelope: ET.Element) -> list[dict[str, str]]:
    found = envelope.iter(f"{OVF}Item")
    return [{element.tag.removeprefix(RASD): element.text or "" for element in item} for item in found]


def test_ovf_has_what_the_schema_demands_in_its_order() -> None:
    envelope = ET.fromstring(descriptors.ovf(MACHINE, 1234))
    sections = ["References", "DiskSection", "NetworkSection", "VirtualSystem"]
    assert [element.tag for element in envelope] == [OVF + name for name in sections]
    system = envelope.find(f"{OVF}VirtualSystem")
    assert system is not None
    inside = ["Info", "Name", "OperatingSystemSection", "VirtualHardwareSection"]
    assert [element.tag for element in system] == [OVF + name for name in inside]
    for item in items(envelope):
        assert list(item) == sorted(item)
        assert {"ElementName", "InstanceID", "ResourceType"} <= set(item)


def test_ovf_references_lead_somewhere() -> None:
    envelope = ET.fromstring(descriptors.ovf(MACHINE, 1234))
    file, disk = envelope.find(f".//{OVF}File"), envelope.find(f".//{OVF}Disk")
    network = envelope.find(f".//{OVF}Network")
    assert file is not None
    assert disk is not None
    assert network is not None
    assert (file.get(f"{OVF}href"), file.get(f"{OVF}size")) == ("web.vmdk", "1234")
    assert disk.get(f"{OVF}fileRef") == file.get(f"{OVF}id")
    assert (disk.get(f"{OVF}capacity"), disk.get(f"{OVF}capacityAllocationUnits")) == ("67108864", "byte")
    by_type = {item["ResourceType"]: item for item in items(envelope)}
    assert by_type["17"]["HostResource"] == f"ovf:/disk/{disk.get(f'{OVF}diskId')}"
    assert by_type["17"]["Parent"] == by_type["20"]["InstanceID"]
    assert by_type["10"]["Connection"] == network.get(f"{OVF}name")
    numbers = [item["InstanceID"] for item in items(envelope)]
    assert len(set(numbers)) == len(numbers)


def test_vmx_is_the_same_machine() -> None:
    lines = descriptors.vmx(MACHINE).splitlines()
    assert all(re.fullmatch(r'[.\w:]+ = "[^"]*"', line) for line in lines)
    said = dict(line.split(" = ") for line in lines)
    assert said["sata0:0.fileName"] == '"web.vmdk"'
    assert said["memsize"] == f'"{MACHINE.memory}"'
    assert said["virtualHW.version"] == f'"{descriptors.HARDWARE}"'


def test_parallels_descriptor_holds_to_its_rules() -> None:
    root = ET.fromstring(descriptors.parallels("web.hds", 64 * 2**20, 2**20, UID))
    said = {element.tag: element.text or "" for element in root.iter()}
    assert int(said["Disk_size"]) == int(said["Cylinders"]) * int(said["Heads"]) * int(said["Sectors"])
    assert said["End"] == said["Disk_size"] == str(64 * 2**20 // 512)
    assert (said["Blocksize"], said["File"]) == ("2048", "web.hds")
    assert {element.text for element in root.iter("GUID")} == {descriptors.PARALLELS_DISK}
    assert said["ParentGUID"] == "{00000000-0000-0000-0000-000000000000}"
    assert said["UID"] == f"{{{UID}}}"


def test_parallels_bundle_is_the_same_machine() -> None:
    root = ET.fromstring(descriptors.pvs(descriptors.Machine("web", "web.hdd", 64 * 2**20), 5 * 2**20, UID))
    assert [element.tag for element in root] == ["Identification", "Settings", "Hardware"]
    assert root.findtext("Identification/VmName") == "web"
    assert root.findtext("Identification/VmUuid") == f"{{{UID}}}"
    assert root.findtext("Hardware/Cpu/Number") == str(MACHINE.cpus)
    assert root.findtext("Hardware/Memory/RAM") == str(MACHINE.memory)
    assert root.findtext("Hardware/Hdd/SystemName") == "web.hdd"
    assert (root.findtext("Hardware/Hdd/Size"), root.findtext("Hardware/Hdd/SizeOnDisk")) == ("64", "5")
    # No card has an address from here: two machines of one bundle would have the same.
    assert not root.findtext("Hardware/NetworkAdapter/MAC")
    for lists in (root.find("Hardware"), root.find("Settings/Startup/BootingOrder")):
        assert lists is not None
        words = lists.get("dyn_lists", "").split()
        for name, count in zip(words[::2], words[1::2], strict=True):
            assert len(lists.findall(name)) == int(count)


def test_parallels_has_whole_cylinders_only() -> None:
    with pytest.raises(GoldsmithError, match="multiple of 256 KiB") as caught:
        descriptors.parallels("web.hds", 64 * 2**20 + 512, 2**20, UID)
    assert "qemu-img resize" in caught.value.hint


def test_checksums_are_read_as_they_were_written() -> None:
    digests = {name: hashlib.sha256(name.encode()).hexdigest() for name in ("web.ovf", "web.vmdk")}
    text = descriptors.checksums(digests)
    assert text.startswith(f"SHA256(web.ovf)= {digests['web.ovf']}\n")
    assert descriptors.read_checksums(text) == digests
    assert descriptors.read_checksums(text.replace("= ", "= x")) == {}
