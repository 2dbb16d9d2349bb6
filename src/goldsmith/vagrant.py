"""What Vagrant reads: the texts in a box, the catalogue of boxes, and the Vagrantfile of `goldsmith up`. Pure.

A sealed image has no user and no key that anybody knows. So the Vagrantfile in each box names the developer's own key,
and hands its public half to the machine at its first boot; what is in the box is the image, and no more.
"""

from __future__ import annotations

import datetime
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from goldsmith import descriptors
from goldsmith.descriptors import Machine
from goldsmith.errors import UsageError

DISKS = {
    "libvirt": "box.img",
    "virtualbox": "box-disk001.vmdk",
    "vmware_desktop": "box.vmdk",
    "parallels": f"box.pvm/box.hdd/box.hdd.0.{descriptors.PARALLELS_DISK}.hds",
    "hyperv": "Virtual Hard Disks/box.vhdx",
}
"""Provider -> where its boxes have the disk."""
KEY = "GOLDSMITH_KEY"
"""Environment variable that names the developer's private key, for the Vagrantfile in a box."""
GIB = 2**30

_BOX = """\
# The machine in this box has no user and no key of its own. It lets root in with the key that {key} names, or with
# ~/.ssh/id_ed25519: its public half, in a file .pub beside it, is handed over at the first boot.
key = File.expand_path(ENV.fetch("{key}", "~/.ssh/id_ed25519"))
known = File.file?("#{{key}}.pub")
warn "goldsmith: there is no #{{key}}.pub; {key} names a key without which nobody gets into this machine" unless known
Vagrant.configure("2") do |config|
  config.ssh.username = "root"
  config.ssh.insert_key = false
  config.ssh.private_key_path = key if known
  # Both would change the machine: a folder that is shared, and what Vagrant writes into /etc/fstab even without one.
  config.vm.synced_folder ".", "/vagrant", disabled: true
  config.vm.allow_fstab_modification = false
{hand_over}end
"""
# systemd reads credentials from the firmware's OEM strings (SMBIOS type 11).
_BY_FIRMWARE = """\
  if known
    config.vm.provider :libvirt do |libvirt|
      given = [File.read("#{key}.pub")].pack("m0")
      libvirt.sysinfo = {"oem strings" => ["io.systemd.credential.binary:ssh.authorized_keys.root=#{given}"]}
    end
  end
"""
# Vagrant makes a disc for cloud-init of this, where VAGRANT_EXPERIMENTAL has "cloud_init,disks".
_BY_CLOUD_INIT = """\
  if known
    root = {"name" => "root", "ssh_authorized_keys" => [File.read("#{key}.pub").strip]}
    given = {"disable_root" => false, "users" => [root]}
    config.vm.cloud_init content_type: "text/cloud-config", inline: "#cloud-config\\n#{JSON.generate(given)}\\n"
  end
"""
_HAND_OVER = {"libvirt": _BY_FIRMWARE, "virtualbox": _BY_CLOUD_INIT}

_UP = """\
# Written by `goldsmith up {image}`, and written anew by the next: change the definition, not this file.
ENV["{key}"] = {key_file}
ENV["PATH"] = {programs} + File::PATH_SEPARATOR + ENV["PATH"]

Vagrant.configure("2") do |config|
  config.vm.define {machine}
  config.vm.box = {box}
  config.vm.box_url = {url}
  config.vm.box_version = {version}
  config.vm.box_check_update = false
  config.vm.boot_timeout = {boot_timeout}
  config.vm.provider :libvirt do |libvirt|
    libvirt.default_prefix = {prefix}
    libvirt.cpus = {cpus}
    libvirt.memory = {memory}
{emulated}  end

  # `vagrant provision`: the definition that the image was built from, as on a live host.
  config.vm.provision "ansible" do |ansible|
    ansible.compatibility_mode = "2.0"
{config_file}    ansible.playbook = {playbook}
    ansible.groups = {groups}
    ansible.host_vars = {host_vars}
    ansible.extra_vars = {{"goldsmith_delivery" => "live"}}
    # The whole inventory is there for its variables; Vagrant's limit keeps the run off every host in it.
    ansible.raw_arguments = [{inventory}]
  end
end
"""
# Without hardware's help.
_EMULATED = """\
    libvirt.driver = "qemu"
    libvirt.cpu_mode = "custom"
    libvirt.cpu_model = "qemu64"
"""


@dataclass(frozen=True)
class Release:
    """Of which build a box is: the box's name in Vagrant, its version, and the architecture, where that is known."""

    name: str
    version: str
    architecture: str = ""


@dataclass(frozen=True)
class Up:
    """A developer's machine: of which image, in which groups of the inventory, by which definition.

    `home`: digits that tell two projects on this computer apart; `programs`: the folder with ansible-playbook;
    `emulated`: without hardware's help.
    """

    image: str
    machine: str
    home: str
    release: Release
    catalogue: Path
    key: Path
    programs: Path
    playbook: Path
    groups: Sequence[str]
    inventory: Path
    config_file: Path | None
    emulated: bool


def version(when: datetime.datetime) -> str:
    """A box's version: the day and the time (UTC) at which its image was built, as in 20261126.153321.0."""
    utc = when.astimezone(datetime.UTC)
    return f"{utc:%Y%m%d}.{int(f'{utc:%H%M%S}')}.0"


def texts(provider: str, machine: Machine, release: Release, size: int) -> dict[str, str]:
    """What a box has beside its disk, by path; `size` is the disk file's own."""
    found = {
        "metadata.json": json.dumps(_metadata(provider, machine, release), indent=2) + "\n",
        "Vagrantfile": _BOX.format(key=KEY, hand_over=_HAND_OVER.get(provider, "")),
    }
    if provider == "virtualbox":
        found["box.ovf"] = descriptors.ovf(machine, size)
    elif provider == "vmware_desktop":
        found["box.vmx"] = descriptors.vmx(machine)
    elif provider == "parallels":
        found["box.pvm/config.pvs"] = descriptors.pvs(replace(machine, disk="box.hdd"), size, uid(release))
    elif provider == "hyperv":
        found["Virtual Machines/box.xml"] = descriptors.hyperv(machine)
    return found


def uid(release: Release) -> str:
    """A UUID that every box of the release has. Pure."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{release.name} {release.version}"))


def _metadata(provider: str, machine: Machine, release: Release) -> dict[str, Any]:
    found: dict[str, Any] = {"provider": provider}
    if release.architecture:
        found["architecture"] = release.architecture
    if provider == "libvirt":
        found |= {"format": "qcow2", "virtual_size": -(-machine.capacity // GIB)}
    return found


def read_catalogue(text: str, path: Path, name: str) -> dict[str, Any]:
    """A catalogue that is there already.

    Raises:
        UsageError: it is none, or another box's.
    """
    try:
        found = json.loads(text)
        theirs = found["name"]
        known = {each["version"]: [entry["name"] for entry in each["providers"]] for each in found["versions"]}
    except (ValueError, KeyError, TypeError):
        theirs, known = None, {}
    if theirs != name or not all(isinstance(each, str) for each in known):
        what = f"the catalogue of {theirs}" if isinstance(theirs, str) else "no catalogue of boxes"
        raise UsageError(f"{path} is {what}", hint="move it away, or write elsewhere with --output")
    return dict(found)


def catalogue(before: Mapping[str, Any], release: Release, made: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    """The catalogue with these boxes (provider -> URL, SHA-256) under the release's version; all older ones stay."""
    entries = []
    for provider, (url, sha256) in made.items():
        entry: dict[str, Any] = {"name": provider, "url": url, "checksum_type": "sha256", "checksum": sha256}
        if release.architecture:
            entry |= {"architecture": release.architecture, "default_architecture": True}
        entries.append(entry)
    versions = [dict(each) for each in before.get("versions", [])]
    ours = next((each for each in versions if each["version"] == release.version), None)
    if ours is None:
        versions.append({"version": release.version, "status": "active", "providers": entries})
    else:
        ours["providers"] = [each for each in ours["providers"] if each["name"] not in made] + entries
    return {
        "description": f"Golden images of {release.name.rpartition('/')[2]}, made by Goldsmith",
        **before,
        "name": release.name,
        "versions": versions,
    }


def has(found: Mapping[str, Any], release: Release, provider: str) -> str | None:
    """The URL that a catalogue has of this version for this provider."""
    for each in found["versions"]:
        for entry in each["providers"]:
            if (each["version"], entry["name"]) == (release.version, provider):
                return str(entry["url"])
    return None


def vagrantfile(up: Up) -> str:
    """The Vagrantfile of a developer's machine."""
    folder = up.inventory if up.inventory.is_dir() else up.inventory.parent
    variables = {"ansible_python_interpreter": "/usr/bin/python3", "inventory_dir": str(folder)}
    return _UP.format(
        image=up.image,
        key=KEY,
        key_file=_ruby(up.key),
        programs=_ruby(up.programs),
        machine=_ruby(up.machine),
        box=_ruby(up.release.name),
        url=_ruby(up.catalogue.as_uri()),
        version=_ruby(up.release.version),
        boot_timeout=1200 if up.emulated else 300,
        prefix=_ruby(f"goldsmith-{up.home}-"),
        cpus=Machine.cpus,
        memory=Machine.memory,
        emulated=_EMULATED if up.emulated else "",
        config_file=f"    ansible.config_file = {_ruby(up.config_file)}\n" if up.config_file else "",
        playbook=_ruby(up.playbook),
        groups=_hash({group: f"[{_ruby(up.machine)}]" for group in up.groups}),
        host_vars=_hash({up.machine: _hash({key: _ruby(value) for key, value in variables.items()})}),
        inventory=_ruby(f"--inventory={up.inventory}"),
    )


def _ruby(value: object) -> str:
    """Ruby's literal of a text, in which nothing is replaced."""
    escaped = str(value).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _hash(values: Mapping[str, str]) -> str:
    """Ruby's literal of a hash whose values are literals already."""
    return "{" + ", ".join(f"{_ruby(key)} => {value}" for key, value in values.items()) + "}"
