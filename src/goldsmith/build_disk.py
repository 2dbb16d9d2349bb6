"""Building a virtual machine's disk: by tree, in a container and without a hypervisor, or by booting a machine."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from goldsmith import build_container, collect, config, disk, files, hygiene, machine, packer, proc, tree, verify
from goldsmith.errors import GoldsmithError
from goldsmith.manifest import Manifest
from goldsmith.plan import Plan
from goldsmith.progress import Progress

WORK = ".building-"
"""What the name of a folder begins with in which a disk is being made."""


@dataclass(frozen=True)
class Job:
    """One disk to be made: of what, to which numbers, in which folder, marked by what, and how it is told."""

    project: config.Project
    plan: Plan
    spec: disk.Spec
    work: Path
    build_id: str
    progress: Progress
    verbose: bool


@dataclass(frozen=True)
class Made:
    """A disk (qcow2) that has no name yet, the manifest of what is in it, and what was found that must not be there."""

    path: Path
    manifest: Manifest
    verdict: hygiene.Verdict


def make(job: Job) -> Made:
    """Make the disk, in the job's folder.

    Raises:
        GoldsmithError: a task failed (it is named), or the disk can't be put together.
        hygiene.UncleanError: it holds what it must not.
    """
    return (_by_tree if job.plan.engine == "tree" else _by_machine)(job)


def _by_tree(job: Job) -> Made:
    """The definition runs in a container of the machine's base; its files become the disk."""
    plan = job.plan
    building = f"{plan.repository}:building-{job.build_id}"
    archive = job.work / "tree.tar"
    with build_container.running(job.project, plan, job.build_id, job.progress, verbose=job.verbose) as made:
        sealed = made.sealed
    try:
        disk.export(building, archive, job.build_id)
    finally:
        with proc.uninterrupted():
            proc.run(["docker", "rmi", building], check=False)
    with tree.of_tar(archive) as system:
        verdict = hygiene.look(system, plan, job.progress, sealed=sealed)
    job.progress.say("  putting the disk together")
    with _workshop(job) as workshop:
        workshop.unpack(archive)
        collected = collect.of_workshop(workshop, plan.name)
        return Made(_written(job, workshop, archive), collected, verdict)


def _workshop(job: Job) -> disk.Workshop:
    return disk.Workshop(f"{job.plan.base}-tools", job.work, job.build_id, job.spec)


def _written(job: Job, workshop: disk.Workshop, archive: Path) -> Path:
    """The disk of the workshop's tree. The archive that it came from is removed, to make room."""
    raw, made = job.work / "disk.raw", job.work / f"{job.plan.name}.qcow2"
    archive.unlink()
    workshop.write(raw)
    disk.convert(raw, made)
    raw.unlink()
    return made


def _by_machine(job: Job) -> Made:
    """The definition runs over SSH in a machine that Packer boots from the base's disk."""
    plan, work = job.plan, job.work
    archive = work / "tree.tar"
    disk.export(plan.base, archive, job.build_id)
    job.progress.say("  putting the disk together")
    with _workshop(job) as workshop:
        workshop.unpack(archive)
        base = _written(job, workshop, archive).rename(work / "base.qcow2")
    key, out = work / "id_ed25519", work / "packer"
    proc.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"goldsmith {job.build_id}", "-f", str(key)])
    given = {
        "disk_url": str(base.resolve()),
        "disk_checksum": f"sha256:{files.sha256(base)}",
        "disk_size": job.spec.size // 2**20,
        "output_directory": str(out),
        "qemu_accelerator": "tcg" if machine.accelerator() == machine.EMULATED else "kvm",
        "ssh_private_key_file": str(key),
        "build_id": job.build_id,
    }
    job.progress.say("  booting a machine")
    sealed = packer.run(job.project, plan, "qemu.disk", given, job.progress, verbose=job.verbose)
    raw, made = work / "disk.raw", work / f"{plan.name}.qcow2"
    built = out / f"{plan.name}-qemu" / f"{plan.name}.qcow2"
    disk.convert(built, raw)
    with _workshop(job) as workshop:
        workshop.read(raw)
        collected = collect.of_workshop(workshop, plan.name)
        archive = workshop.pack()
    with tree.of_tar(archive) as system:
        verdict = hygiene.look(system, plan, job.progress, sealed=sealed)
    archive.unlink()
    disk.convert(raw, made)
    raw.unlink()
    return Made(made, collected, verdict)


def check(job: Job, made: Path) -> None:
    """Boot the disk, and run the assertions of the definition's roles there. It is not written to.

    Raises:
        GoldsmithError: it does not boot, or an assertion does not hold.
    """
    job.progress.say("  booting it, and running the roles' assertions")
    report = job.plan.folder / "verify.xml"
    result = verify.of_disk(job.project, job.plan.name, made, job.work, job.progress, junit=report)
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
