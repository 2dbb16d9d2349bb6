"""Building a virtual machine's disk: by tree, in a container and without a hypervisor, or by booting a machine."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

from goldsmith import config, disk, hygiene, machine, packer, proc, tree, verify
from goldsmith.errors import GoldsmithError
from goldsmith.manifest import Manifest
from goldsmith.plan import Plan
from goldsmith.progress import Progress

WORK = ".building-"
"""What the name of a folder begins with in which a disk is being made."""


@dataclass(frozen=True)
class Made:
    """A disk (qcow2) that has no name yet, the manifest of what is in it, and what was found that must not be there."""

    path: Path
    manifest: Manifest
    verdict: hygiene.Verdict


def make(
    project: config.Project,
    plan: Plan,
    build_id: str,
    spec: disk.Spec,
    work: Path,
    progress: Progress,
    *,
    verbose: bool,
) -> Made:
    """Make the disk in the folder `work`.

    Raises:
        GoldsmithError: a task failed (it is named), or the disk can't be put together.
        hygiene.UncleanError: it holds what it must not.
    """
    how = _by_tree if plan.engine == "tree" else _by_machine
    return how(project, plan, build_id, spec, work, progress, verbose=verbose)


def _by_tree(
    project: config.Project,
    plan: Plan,
    build_id: str,
    spec: disk.Spec,
    work: Path,
    progress: Progress,
    *,
    verbose: bool,
) -> Made:
    """The definition runs in a container of the machine's base; its files become the disk."""
    building = f"{plan.repository}:building-{build_id}"
    archive = work / "tree.tar"
    given = packer.docker_variables(plan, build_id)
    sealed = packer.run(project, plan, "docker.image", given, work, progress, verbose=verbose)
    try:
        disk.export(building, archive, build_id)
    finally:
        with proc.uninterrupted():
            proc.run(["docker", "rmi", building], check=False)
    with tree.of_tar(archive) as system:
        verdict = hygiene.look(system, plan, progress, sealed=sealed)
    path, collected = _assembled(plan, archive, build_id, spec, work, progress)
    return Made(path, collected, verdict)


def _assembled(
    plan: Plan, archive: Path, build_id: str, spec: disk.Spec, work: Path, progress: Progress
) -> tuple[Path, Manifest]:
    raw, made = work / "disk.raw", work / f"{plan.name}.qcow2"
    progress.say("  putting the disk together")
    with disk.Workshop(f"{plan.base}-tools", work, build_id, spec) as workshop:
        workshop.unpack(archive)
        archive.unlink()
        collected = workshop.collect(plan.name)
        workshop.write(raw)
    disk.convert(raw, made)
    raw.unlink()
    return made, collected


def _by_machine(
    project: config.Project,
    plan: Plan,
    build_id: str,
    spec: disk.Spec,
    work: Path,
    progress: Progress,
    *,
    verbose: bool,
) -> Made:
    """The definition runs over SSH in a machine that Packer boots from the base's disk."""
    base = _base(plan, build_id, spec.epoch, work, progress)
    key, out = work / "id_ed25519", work / "packer"
    proc.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"goldsmith {build_id}", "-f", str(key)])
    with base.open("rb") as file:
        checksum = hashlib.file_digest(file, "sha256").hexdigest()
    given = {
        "disk_url": str(base.resolve()),
        "disk_checksum": f"sha256:{checksum}",
        "disk_size": spec.size // 2**20,
        "output_directory": str(out),
        "qemu_accelerator": "tcg" if machine.accelerator() == machine.EMULATED else "kvm",
        "ssh_private_key_file": str(key),
        "build_id": build_id,
    }
    progress.say("  booting a machine")
    sealed = packer.run(project, plan, "qemu.disk", given, work, progress, verbose=verbose)
    raw, made = work / "disk.raw", work / f"{plan.name}.qcow2"
    built = out / f"{plan.name}-qemu" / f"{plan.name}.qcow2"
    proc.run(["qemu-img", "convert", "-q", "-O", "raw", str(built), str(raw)])
    with disk.Workshop(f"{plan.base}-tools", work, build_id, spec) as workshop:
        workshop.read(raw)
        collected = workshop.collect(plan.name)
        archive = workshop.pack()
    with tree.of_tar(archive) as system:
        verdict = hygiene.look(system, plan, progress, sealed=sealed)
    archive.unlink()
    disk.convert(raw, made)
    raw.unlink()
    return Made(made, collected, verdict)


def _base(plan: Plan, build_id: str, epoch: int, work: Path, progress: Progress) -> Path:
    """The disk of the base alone. It is made once, and kept beside the image."""
    kept = plan.folder / f".base-{plan.base_id.removeprefix('sha256:')[:12]}.qcow2"
    if not kept.exists():
        for old in plan.folder.glob(".base-*.qcow2"):
            old.unlink()
        archive = work / "tree.tar"
        disk.export(plan.base, archive, build_id)
        made, _ = _assembled(plan, archive, build_id, disk.Spec.of(plan.base_id, epoch), work, progress)
        made.rename(kept)
    return kept


def check(project: config.Project, plan: Plan, made: Path, work: Path, progress: Progress) -> None:
    """Boot the disk, and run the assertions of the definition's roles there. It is not written to.

    Raises:
        GoldsmithError: it does not boot, or an assertion does not hold.
    """
    progress.say("  booting it, and running the roles' assertions")
    report = plan.folder / "verify.xml"
    result = verify.of_disk(project, plan.name, made, work, progress, junit=report)
    failed = [check for check in result.checks if check.outcome == "failed"]
    if failed:
        first = failed[0]
        more = f", and {len(failed) - 1} more" if len(failed) > 1 else ""
        raise GoldsmithError(
            f"the image boots, but an assertion of {first.role} does not hold: {first.name}{more}",
            hint=f"all are in {report}; the image was thrown away",
        )


def clear(folder: Path) -> list[str]:
    """End and remove what builds that were killed left in an image's folder; gives what it was."""
    removed = []
    for left in sorted(folder.glob(f"{WORK}*")):
        machine.end(left)
        shutil.rmtree(left, ignore_errors=True)
        removed.append(f"folder {left}")
    return removed
