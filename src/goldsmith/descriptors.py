"""What hypervisors want to read beside a disk: OVF with its checksums, VMX, Parallels' two, and Hyper-V's machine as
Vagrant reads it. Pure.

None of them knows what runs in the disk, so all describe one plain machine, which importing may change. Names are
the export's own (see export.file_name): letters, digits, dot, dash and underscore, so that nothing needs quoting.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from goldsmith.errors import GoldsmithError

HARDWARE = 10
"""VMware's hardware version: the oldest with SATA, so that every product since vSphere 5.5 takes it."""
PARALLELS_DISK = "{5fbaabe3-6958-40ff-92a7-860e329aab41}"
"""The name that Parallels has for the state which a machine writes to."""

_SECTOR = 512
_HEADS, _SECTORS = 16, 32
_CHECKSUM = re.compile(r"SHA256\((.+)\)= ([0-9a-f]{64})")

# SATA and E1000 are what VirtualBox and VMware both have. The order of elements is the schema's: alphabetical in Item.
_OVF = """\
<?xml version="1.0" encoding="UTF-8"?>
<Envelope ovf:version="1.0" xml:lang="en-US"
  xmlns="http://schemas.dmtf.org/ovf/envelope/1"
  xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"
  xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"
  xmlns:vmw="http://www.vmware.com/schema/ovf"
  xmlns:vssd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData">
  <References>
    <File ovf:href="{disk}" ovf:id="file1" ovf:size="{size}"/>
  </References>
  <DiskSection>
    <Info>Virtual disks</Info>
    <Disk ovf:capacity="{capacity}" ovf:capacityAllocationUnits="byte" ovf:diskId="disk1" ovf:fileRef="file1"
      ovf:format="http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"/>
  </DiskSection>
  <NetworkSection>
    <Info>Networks</Info>
    <Network ovf:name="NAT">
      <Description>The network that the machine is in</Description>
    </Network>
  </NetworkSection>
  <VirtualSystem ovf:id="{name}">
    <Info>A virtual machine</Info>
    <Name>{name}</Name>
    <OperatingSystemSection ovf:id="101" vmw:osType="otherLinux64Guest">
      <Info>The operating system</Info>
      <Description>Linux 64-Bit</Description>
    </OperatingSystemSection>
    <VirtualHardwareSection>
      <Info>Virtual hardware</Info>
      <System>
        <vssd:ElementName>Virtual Hardware Family</vssd:ElementName>
        <vssd:InstanceID>0</vssd:InstanceID>
        <vssd:VirtualSystemIdentifier>{name}</vssd:VirtualSystemIdentifier>
        <vssd:VirtualSystemType>vmx-{hardware}</vssd:VirtualSystemType>
      </System>
      <Item>
        <rasd:AllocationUnits>hertz * 10^6</rasd:AllocationUnits>
        <rasd:ElementName>{cpus} virtual CPUs</rasd:ElementName>
        <rasd:InstanceID>1</rasd:InstanceID>
        <rasd:ResourceType>3</rasd:ResourceType>
        <rasd:VirtualQuantity>{cpus}</rasd:VirtualQuantity>
      </Item>
      <Item>
        <rasd:AllocationUnits>byte * 2^20</rasd:AllocationUnits>
        <rasd:ElementName>{memory} MiB of memory</rasd:ElementName>
        <rasd:InstanceID>2</rasd:InstanceID>
        <rasd:ResourceType>4</rasd:ResourceType>
        <rasd:VirtualQuantity>{memory}</rasd:VirtualQuantity>
      </Item>
      <Item>
        <rasd:Address>0</rasd:Address>
        <rasd:ElementName>SATA controller</rasd:ElementName>
        <rasd:InstanceID>3</rasd:InstanceID>
        <rasd:ResourceSubType>vmware.sata.ahci</rasd:ResourceSubType>
        <rasd:ResourceType>20</rasd:ResourceType>
      </Item>
      <Item>
        <rasd:AddressOnParent>0</rasd:AddressOnParent>
        <rasd:ElementName>Disk</rasd:ElementName>
        <rasd:HostResource>ovf:/disk/disk1</rasd:HostResource>
        <rasd:InstanceID>4</rasd:InstanceID>
        <rasd:Parent>3</rasd:Parent>
        <rasd:ResourceType>17</rasd:ResourceType>
      </Item>
      <Item>
        <rasd:AutomaticAllocation>true</rasd:AutomaticAllocation>
        <rasd:Connection>NAT</rasd:Connection>
        <rasd:ElementName>Network adapter</rasd:ElementName>
        <rasd:InstanceID>5</rasd:InstanceID>
        <rasd:ResourceSubType>E1000</rasd:ResourceSubType>
        <rasd:ResourceType>10</rasd:ResourceType>
      </Item>
    </VirtualHardwareSection>
  </VirtualSystem>
</Envelope>
"""

_VMX = """\
.encoding = "UTF-8"
config.version = "8"
virtualHW.version = "{hardware}"
displayName = "{name}"
guestOS = "otherlinux-64"
numvcpus = "{cpus}"
memsize = "{memory}"
pciBridge0.present = "TRUE"
sata0.present = "TRUE"
sata0:0.present = "TRUE"
sata0:0.fileName = "{disk}"
ethernet0.present = "TRUE"
ethernet0.addressType = "generated"
ethernet0.connectionType = "nat"
ethernet0.virtualDev = "e1000"
"""

# What Parallels' own reader has defaults for is left out. Types: 9 Linux, 2309 with a kernel of 2.6 or newer; to boot
# from, 6 a hard disk; a disk in a file (1) that expands (1), on SATA (2); a shared network (1) by virtio (3).
_PVS = """\
<?xml version="1.0" encoding="UTF-8"?>
<ParallelsVirtualMachine schemaVersion="1.0" dyn_lists="VirtualAppliance 0">
  <Identification>
    <VmUuid>{{{uid}}}</VmUuid>
    <VmName>{name}</VmName>
    <ServerUuid></ServerUuid>
    <ServerHost></ServerHost>
  </Identification>
  <Settings>
    <General dyn_lists="PrevOsNumber">
      <OsType>9</OsType>
      <OsNumber>2309</OsNumber>
      <IsTemplate>0</IsTemplate>
    </General>
    <Startup>
      <BootingOrder dyn_lists="BootDevice 1">
        <BootDevice id="0">
          <Index>0</Index>
          <Type>6</Type>
          <BootingNumber>1</BootingNumber>
          <InUse>1</InUse>
        </BootDevice>
      </BootingOrder>
      <Bios>
        <EfiEnabled>0</EfiEnabled>
      </Bios>
    </Startup>
  </Settings>
  <Hardware dyn_lists="Hdd 1 NetworkAdapter 1">
    <Cpu>
      <Number>{cpus}</Number>
    </Cpu>
    <Memory>
      <RAM>{memory}</RAM>
    </Memory>
    <Hdd id="0" dyn_lists="Partition 0">
      <Uuid>{{{uid}}}</Uuid>
      <Index>0</Index>
      <Enabled>1</Enabled>
      <Connected>1</Connected>
      <EmulatedType>1</EmulatedType>
      <SystemName>{disk}</SystemName>
      <UserFriendlyName>{disk}</UserFriendlyName>
      <Remote>0</Remote>
      <InterfaceType>2</InterfaceType>
      <StackIndex>0</StackIndex>
      <DiskType>1</DiskType>
      <Size>{mebibytes}</Size>
      <SizeOnDisk>{on_disk}</SizeOnDisk>
      <Passthrough>0</Passthrough>
      <Splitted>0</Splitted>
      <DiskVersion>2</DiskVersion>
      <CompatLevel>level2</CompatLevel>
    </Hdd>
    <NetworkAdapter id="0" dyn_lists="NetAddress DnsIPAddress SearchDomain">
      <Index>0</Index>
      <Enabled>1</Enabled>
      <Connected>1</Connected>
      <EmulatedType>1</EmulatedType>
      <SystemName>eth0</SystemName>
      <UserFriendlyName>eth0</UserFriendlyName>
      <Remote>0</Remote>
      <AdapterNumber>-1</AdapterNumber>
      <AdapterName>Default Adapter</AdapterName>
      <MAC></MAC>
      <AdapterType>3</AdapterType>
    </NetworkAdapter>
  </Hardware>
</ParallelsVirtualMachine>
"""

_PARALLELS = """\
<?xml version="1.0" encoding="UTF-8"?>
<Parallels_disk_image Version="1.0">
  <Disk_Parameters>
    <Disk_size>{size}</Disk_size>
    <Cylinders>{cylinders}</Cylinders>
    <Heads>{heads}</Heads>
    <Sectors>{sectors}</Sectors>
    <Padding>0</Padding>
    <UID>{{{uid}}}</UID>
    <Miscellaneous>
      <CompatLevel>level2</CompatLevel>
    </Miscellaneous>
  </Disk_Parameters>
  <StorageData>
    <Storage>
      <Start>0</Start>
      <End>{size}</End>
      <Blocksize>{block}</Blocksize>
      <Image>
        <GUID>{guid}</GUID>
        <Type>Compressed</Type>
        <File>{disk}</File>
      </Image>
    </Storage>
  </StorageData>
  <Snapshots>
    <Shot>
      <GUID>{guid}</GUID>
      <ParentGUID>{{00000000-0000-0000-0000-000000000000}}</ParentGUID>
    </Shot>
  </Snapshots>
</Parallels_disk_image>
"""

# No export of Hyper-V's own, which is binary today: Vagrant reads these elements and makes a new machine by them. The
# attributes must be there, or PowerShell does not see the texts. Subtype 0 is generation 1: BIOS, with the disk on IDE.
_HYPERV = """\
<?xml version="1.0" encoding="UTF-8"?>
<configuration>
  <properties>
    <name type="string">{name}</name>
    <subtype type="integer">0</subtype>
  </properties>
  <settings>
    <processors>
      <count type="integer">{cpus}</count>
    </processors>
    <memory>
      <bank>
        <dynamic_memory_enabled type="bool">False</dynamic_memory_enabled>
        <limit type="integer">{memory}</limit>
        <reservation type="integer">{memory}</reservation>
        <size type="integer">{memory}</size>
      </bank>
    </memory>
  </settings>
  <boot>
    <device0 type="string">HardDrive</device0>
  </boot>
  <ide>
    <controller0>
      <drive0>
        <pathname type="string">{disk}</pathname>
        <type type="string">VHD</type>
      </drive0>
    </controller0>
  </ide>
</configuration>
"""


@dataclass(frozen=True)
class Machine:
    """A machine with one disk. `capacity`: bytes that it has in the machine; memory in MiB."""

    name: str
    disk: str
    capacity: int
    cpus: int = 2
    memory: int = 2048


def ovf(machine: Machine, size: int) -> str:
    """An OVF 1.0 descriptor that VirtualBox and VMware know; `size` is the disk file's own."""
    return _OVF.format(**machine.__dict__, size=size, hardware=HARDWARE)


def vmx(machine: Machine) -> str:
    """VMware's own description of the same machine."""
    return _VMX.format(**machine.__dict__, hardware=HARDWARE)


def pvs(machine: Machine, size: int, uid: str) -> str:
    """Parallels' own description of the same machine, config.pvs, with a UUID; `size` is the disk file's own."""
    given = {**machine.__dict__, "mebibytes": machine.capacity // 2**20, "on_disk": size // 2**20}
    return _PVS.format(**given, uid=uid)


def hyperv(machine: Machine) -> str:
    """The same machine for Vagrant's import into Hyper-V."""
    return _HYPERV.format(**machine.__dict__)


def parallels(disk: str, capacity: int, block: int, uid: str) -> str:
    """DiskDescriptor.xml of an expanding disk, with a UUID, that QEMU wrote in blocks of `block` bytes.

    Raises:
        GoldsmithError: a disk of this size has no whole cylinders, which Parallels demands.
    """
    cylinders, rest = divmod(capacity, _HEADS * _SECTORS * _SECTOR)
    if rest:
        raise GoldsmithError(
            f"a Parallels disk of {capacity} bytes can't be: it must be a multiple of 256 KiB",
            hint="enlarge the source: qemu-img resize",
        )
    return _PARALLELS.format(
        size=capacity // _SECTOR,
        cylinders=cylinders,
        heads=_HEADS,
        sectors=_SECTORS,
        block=block // _SECTOR,
        guid=PARALLELS_DISK,
        uid=uid,
        disk=disk,
    )


def checksums(digests: Mapping[str, str]) -> str:
    """An OVA's .mf: the SHA-256 of each file, by name."""
    return "".join(f"SHA256({name})= {digest}\n" for name, digest in digests.items())


def read_checksums(text: str) -> dict[str, str]:
    """What `checksums` wrote."""
    return {found[1]: found[2] for line in text.splitlines() if (found := _CHECKSUM.fullmatch(line))}
