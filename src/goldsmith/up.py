"""The developer's machine, started from the built image: with Vagrant from a disk, with Compose from a Docker image.

All that is written lies in the output folder, in up/IMAGE, so that no Vagrantfile or compose file of the user's is
touched. Vagrant's and Compose's own commands work there afterwards.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from goldsmith import build, config, docker, export, export_disk, files, inventory, machine, packer, proc, vagrant
from goldsmith.errors import GoldsmithError, ToolError, UsageError
from goldsmith.formats import FORMATS
from goldsmith.progress import Progress

FORMAT = "box-libvirt"
PROVIDER = "libvirt"
PLUGIN = "vagrant-libvirt"
COMPOSE_FILE = "compose.yml"
CLEARED = "\x1b[K"
"""What Vagrant writes to take back what is on the line so far."""
UNBUILT = "0"
"""What a dry run says for the version of an image that is not built."""


@dataclass(frozen=True)
class Started:
    """A developer's machine. `file` is what Vagrant or Compose reads, `text` what is in it; `enter` and `stop` are
    commands for the user; `note` says what else there is to know."""

    image: str
    target: str
    file: Path
    text: str
    enter: str
    stop: str
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """The form of `goldsmith up --json`."""
        return {**self.__dict__, "file": str(self.file)}


def up(
    project: config.Project, name: str, progress: Progress, *, target: str = "", dry_run: bool, verbose: bool
) -> Started:
    """Build the image if it is not there, and start a machine from it.

    `name` may be empty where there is one image; `target` is docker or qemu (empty: the image's first). A dry run
    builds, writes and starts nothing.

    Raises:
        UsageError: no such image or target, or what is built is refused.
        ToolError: Vagrant, its plugin, Compose or Docker is missing.
        GoldsmithError: the machine does not start. What was started for it is gone then.
    """
    name = name or _only(project)
    image = project.image(name)
    target = target or image.targets[0]
    build.chosen_engine(target, "")
    folder = project.output / "up" / name
    tool = _compose() if target == "docker" else _vagrant()
    if not dry_run:
        built = build.build(project, name, progress, target=target, force=False, pull=False, verbose=verbose)
        progress.say(f"  {built.reference} is there")
    if target == "docker":
        return _start_container(project, name, folder, tool, progress, dry_run=dry_run)
    return _start_machine(project, name, folder, progress, dry_run=dry_run)


def _only(project: config.Project) -> str:
    names = sorted(project.config.images)
    if len(names) > 1:
        raise UsageError("which image?", hint=f"say one of: {', '.join(names)}")
    return names[0]


def home(project: config.Project) -> str:
    """Digits that tell this project from another one, or another clone, on this computer. Pure."""
    return hashlib.sha256(str(project.root).encode()).hexdigest()[:8]


# A disk, with Vagrant


def _vagrant() -> list[str]:
    proc.require("vagrant")
    plugins = proc.run(["vagrant", "plugin", "list"], check=False).text
    if PLUGIN not in plugins:
        raise ToolError(f"Vagrant has no plugin {PLUGIN}", hint=f"install it: apt-get install {PLUGIN}")
    return ["vagrant"]


def _start_machine(project: config.Project, name: str, folder: Path, progress: Progress, *, dry_run: bool) -> Started:
    disk = project.output / "images" / name / "qemu" / f"{name}.qcow2"
    boxes = project.output / "export"
    unbuilt = vagrant.Release(f"goldsmith/{name}", UNBUILT)
    release = export_disk.release_of(disk, name) if disk.is_file() else unbuilt
    text = vagrant.vagrantfile(_machine(project, name, folder, release, export.catalogue(boxes, name)))
    file = folder / "Vagrantfile"
    started = Started(name, "qemu", file, text, f"cd {folder} && vagrant ssh", f"cd {folder} && vagrant destroy")
    if dry_run:
        return started
    _make_box(disk, name, boxes, release, progress)
    with files.writable(folder):
        folder.mkdir(parents=True, exist_ok=True)
    key = folder / "id_ed25519"
    if not key.exists():
        proc.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"goldsmith up {name}", "-f", str(key)])
    if config.is_collection_name(project.image(name).playbook):
        files.write(folder / "site.yml", packer.imported(project.image(name).playbook).encode())
    files.write(file, text.encode())
    before = running(folder)
    start_vagrant(folder, progress)
    if before in {None, release.version}:
        return started
    anew = f"`vagrant destroy`, and goldsmith up again, makes it anew of {release.version}"
    return replace(started, note=f"this machine was made of {before}; {anew}")


def _machine(project: config.Project, name: str, folder: Path, release: vagrant.Release, catalogue: Path) -> vagrant.Up:
    image = project.image(name)
    hosts = inventory.Inventory(project.inventory, project.root)
    label = f"{name}-vagrant"
    if label in hosts.hosts():
        raise UsageError(
            f'the inventory {project.inventory} has a host "{label}"',
            hint="that is the name of the developer's machine: give the host another one",
        )
    settings = project.root / "ansible.cfg"
    imported = config.is_collection_name(image.playbook)
    return vagrant.Up(
        image=name,
        machine=label,
        home=home(project),
        release=release,
        catalogue=catalogue,
        key=folder / "id_ed25519",
        programs=Path(proc.require("ansible-playbook")).parent,
        playbook=folder / "site.yml" if imported else project.root / image.playbook,
        groups=image.groups,
        inventory=project.inventory,
        config_file=settings if settings.exists() else None,
        emulated=machine.accelerator() == machine.EMULATED,
    )


def _make_box(disk: Path, name: str, boxes: Path, release: vagrant.Release, progress: Progress) -> None:
    """Make the disk's box, if its catalogue does not have it, or its file is gone."""
    form = FORMATS[FORMAT]
    box = boxes / f"{name}-{release.version}{form.suffix}"
    found = export.read_catalogue(boxes, release)
    if found and vagrant.has(found, release, PROVIDER) == box.resolve().as_uri() and box.is_file():
        return
    progress.say("  making its box")
    export.export(export.disk(disk), name, [form], boxes, progress)


def _data(folder: Path) -> list[Path]:
    """Vagrant's own folders of the machines that it made from this Vagrantfile."""
    return [path.parent for path in folder.glob(f".vagrant/machines/*/{PROVIDER}/id")]


def running(folder: Path) -> str | None:
    """The version of the box that the machine there was made of; None where there is no machine."""
    for data in _data(folder):
        record = data / "box_meta"
        return str(json.loads(record.read_text())["version"]) if record.is_file() else ""
    return None


def start_vagrant(folder: Path, progress: Progress) -> None:
    """Start the machine; one that was made for it is destroyed if it does not come up."""
    # The image is the definition's already: `vagrant provision` is for later.
    argv = ["vagrant", "up", f"--provider={PROVIDER}", "--no-provision", "--no-color"]
    env = {"VAGRANT_CWD": str(folder), "VAGRANT_CHECKPOINT_DISABLE": "1"}
    new = not _data(folder)
    said: list[str] = []

    def line(text: str) -> None:
        text = text.rpartition(CLEARED)[2].rstrip()
        if text:
            said.append(text.strip())
            progress.say(f"  {text}")

    try:
        code = proc.run(argv, cwd=folder, env=env, check=False, on_line=line).code
        if code != 0:
            reason = said[-1] if said else f"exit code {code}"
            raise GoldsmithError(
                f"vagrant up failed: {reason}", hint=f"all that Vagrant says: cd {folder} && vagrant up --debug"
            )
    except BaseException:
        if new and _data(folder):
            with proc.uninterrupted():
                proc.run(["vagrant", "destroy", "--force"], cwd=folder, env=env, check=False)
        raise


# A Docker image, with Compose


def _compose() -> list[str]:
    """Compose's command: the plugin of Docker's client, or the program that Debian has."""
    docker.version()
    if proc.run(["docker", "compose", "version"], check=False).code == 0:
        return ["docker", "compose"]
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    raise ToolError("Docker Compose is not installed", hint="install it: apt-get install docker-compose")


_WRITABLE = "mount -o remount,rw /sys/fs/cgroup"


def _own_cgroups() -> bool:
    """Whether a container gets cgroups (v2) of its own: then it has a namespace, and no other cgroups in it."""
    told = proc.run(["docker", "info", "--format", "{{.CgroupVersion}} {{.SecurityOptions}}"], check=False).text
    return told.startswith("2 ") and "name=cgroupns" in told


def compose(name: str, reference: str, ports: Sequence[str], container: str, *, own_cgroups: bool) -> str:
    """The compose file of a developer's container, with systemd as PID 1.

    `ports` are the image's, as in 80/tcp; each gets a free port of this machine, on loopback only. `own_cgroups`: the
    container has a cgroup namespace. Debian's Compose can't ask for none; and systemd is to work below its own cgroup,
    which Docker shows it read-only, and not in the machine's. Pure.
    """
    options = [option.removeprefix("--").partition("=")[::2] for option in docker.BOOT]
    service: dict[str, Any] = {
        "image": reference,
        "container_name": container,
        "hostname": name.replace("_", "-"),
        "command": ["sh", "-c", f"{_WRITABLE} && exec {docker.SYSTEMD}"] if own_cgroups else [docker.SYSTEMD],
        "labels": {docker.OWNER: "up"},
        "cap_add": [value for option, value in options if option == "cap-add"],
        "security_opt": [value.replace("=", ":", 1) for option, value in options if option == "security-opt"],
        "volumes": [value for option, value in options if option == "volume" and not own_cgroups],
        "tmpfs": [value for option, value in options if option == "tmpfs"],
        "environment": [value for option, value in options if option == "env"],
        "ports": [f"127.0.0.1::{port}" for port in ports],
    }
    text = yaml.safe_dump({"services": {"machine": {k: v for k, v in service.items() if v}}}, sort_keys=False)
    return f"# Written by `goldsmith up {name}`, and written anew by the next.\n{text}"


def _start_container(
    project: config.Project, name: str, folder: Path, tool: list[str], progress: Progress, *, dry_run: bool
) -> Started:
    reference = f"goldsmith/{name}"
    container = f"goldsmith-up-{home(project)}-{name}"
    found = docker.inspect_image(reference)
    ports = sorted((found or {"Config": {}})["Config"].get("ExposedPorts") or {})
    file = folder / COMPOSE_FILE
    text = compose(name, str(found["Id"]) if found else reference, ports, container, own_cgroups=_own_cgroups())
    argv = [*tool, "--project-name", container, "--file", str(file)]
    enter, stop = f"docker exec -it {container} bash -l", f"{' '.join(argv)} down"
    started = Started(name, "docker", file, text, enter, stop)
    if dry_run:
        return started
    files.write(file, text.encode())
    before = proc.run(["docker", "container", "inspect", container], check=False).code == 0
    try:
        done = proc.run([*argv, "up", "--detach"], check=False)
        if done.code != 0:
            last = (done.error or done.text).splitlines()[-1:] or [f"exit code {done.code}"]
            raise GoldsmithError(f"{' '.join(tool)} up failed: {last[0]}", hint=f"see {file}")
        state = docker.settle(container)
        progress.say(f"  {container}: systemd says {state}")
    except BaseException:
        if not before:
            with proc.uninterrupted():
                proc.run([*argv, "down"], check=False)
        raise
    where = proc.run(["docker", "port", container], check=False).text.splitlines()
    return replace(started, note="; ".join(where))
