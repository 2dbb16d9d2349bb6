"""The formats that an export can have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from goldsmith.descriptors import HARDWARE

PARALLELS_BLOCK = 2**20
_STREAM = f"subformat=streamOptimized,adapter_type=lsilogic,hwversion={HARDWARE}"
_WRITABLE = f"subformat=monolithicSparse,adapter_type=lsilogic,hwversion={HARDWARE}"
_PARALLELS = f"cluster_size={PARALLELS_BLOCK}"


@dataclass(frozen=True)
class Format:
    """A format: what its name ends in, what it is made of, and how QEMU calls it.

    `packing`: what `--compress` does: pack the file (`outside`), choose the compression that the format itself has
    (`inside`), or nothing (`none`).
    """

    name: str
    suffix: str
    made_of: Literal["disk", "docker"]
    packing: Literal["outside", "inside", "none"]
    driver: str = ""
    options: str = ""

    @property
    def provider(self) -> str:
        """Vagrant's provider, of a box; else empty."""
        return self.name.removeprefix("box-") if self.name.startswith("box-") else ""


FORMATS = {
    form.name: form
    for form in (
        Format("raw", ".raw", "disk", "outside", "raw"),
        Format("qcow2", ".qcow2", "disk", "inside", "qcow2"),
        Format("vmdk", ".vmdk", "disk", "none", "vmdk", _STREAM),
        Format("ova", ".ova", "disk", "none", "vmdk", _STREAM),
        Format("vdi", ".vdi", "disk", "outside", "vdi"),
        Format("vhdx", ".vhdx", "disk", "outside", "vhdx", "subformat=dynamic"),
        # Without force_size the disk grows to what a geometry of 1990 can say, and Hyper-V sees another size than QEMU.
        Format("vhd", ".vhd", "disk", "outside", "vpc", "subformat=dynamic,force_size=on"),
        Format("parallels", ".pvm", "disk", "none", "parallels", _PARALLELS),
        Format("box-libvirt", ".libvirt.box", "disk", "none", "qcow2"),
        Format("box-virtualbox", ".virtualbox.box", "disk", "none", "vmdk", _STREAM),
        # It is run as it is, and VMware writes to no streamOptimized disk.
        Format("box-vmware_desktop", ".vmware_desktop.box", "disk", "none", "vmdk", _WRITABLE),
        Format("box-parallels", ".parallels.box", "disk", "none", "parallels", _PARALLELS),
        Format("box-hyperv", ".hyperv.box", "disk", "none", "vhdx", "subformat=dynamic"),
        Format("oci", ".oci.tar", "docker", "inside"),
        Format("tar", ".tar", "docker", "outside"),
    )
}
COMPRESSIONS = {"zstd": ".zst", "gzip": ".gz"}
