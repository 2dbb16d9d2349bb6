"""Building: Packer runs the definition in a machine; what comes out is named final only when it is whole."""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import importlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goldsmith import (
    bom,
    build_container,
    build_disk,
    collect,
    config,
    definition,
    disk,
    docker,
    files,
    hygiene,
    layer_store,
    lock,
    manifest,
    policy,
    proc,
    resources,
    tree,
)
from goldsmith.errors import GoldsmithError, UsageError, nearest
from goldsmith.inventory import Inventory
from goldsmith.manifest import Manifest
from goldsmith.plan import Plan
from goldsmith.progress import Progress

MANIFEST = "manifest.json"
PROVENANCE = "provenance.json"
NEEDED_SPACE = {"docker": 64 * 2**20, "qemu": 4 * 2**30}
"""Bytes that must be free in the output folder before a build begins: manifest and provenance, several times; and
where disks are made, the tree's archive, the disk as it is written, and the one that is kept."""
ENGINES = {"docker": ("container",), "qemu": ("tree", "vm")}
"""Target -> how it can be made; the first is the default."""


@dataclass(frozen=True)
class Built:
    """An image, and where its records are."""

    name: str
    target: str
    engine: str
    reference: str
    image_id: str
    content_key: str
    manifest: Path
    provenance: Path
    bom: Path
    lock: Path
    cached: bool
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """The form of `goldsmith build --json`."""
        return {
            **self.__dict__,
            **{name: str(getattr(self, name)) for name in ("manifest", "provenance", "bom", "lock")},
        }


def build(
    project: config.Project,
    name: str,
    progress: Progress,
    *,
    target: str = "",
    engine: str = "",
    force: bool,
    pull: bool,
    locked: bool = False,
    verbose: bool,
) -> Built:
    """Build the image, or find that the image of the same content key is there.

    `target` is the kind of image (empty: the first that goldsmith.yml names), `engine` how it is made (empty: the first
    of ENGINES); `force` builds all the same; `pull` looks for a newer base first; `locked` holds it to its lock,
    which is written otherwise; `verbose` shows all that Packer says.

    Raises:
        UsageError: no such image, target, engine or lock, a group that the inventory does not have, or an invalid
            policy.
        ToolError: Packer, Ansible or Docker is missing or does not answer.
        GoldsmithError: the base or a locked version can't be had, a task failed (it is named), another build of this
            image runs, or the output folder is full. Nothing is left of the build then.
        hygiene.UncleanError: the image holds what it must not. Nothing is left of the build then, either.
    """
    image = project.image(name)
    target = target or image.targets[0]
    engine = chosen_engine(target, engine)
    for program in ("packer", "ansible-playbook", "docker"):
        proc.require(program)
    started = time.time()
    folder = project.output / "images" / name
    if target != "docker":
        folder = folder / target
    with _locked(folder, name):
        plan = _plan(project, name, image, target, engine, folder, progress, pull=pull, anew=force, locked=locked)
        present = None if force else _present(plan)
        if present is None:
            _check_groups(project, image)
            _check_space(folder, NEEDED_SPACE[target])
            make = _docker if target == "docker" else _disk
            image_id, recorded = make(project, plan, progress, started, verbose=verbose)
        else:
            image_id, recorded = present
        if target == "docker":
            proc.run(["docker", "tag", image_id, f"{plan.repository}:latest"])
        if not locked:
            lock.save(project, recorded, name, target)
    return Built(
        name,
        target,
        engine,
        plan.reference,
        image_id,
        plan.content_key,
        folder / MANIFEST,
        folder / PROVENANCE,
        folder / bom.FILES["cyclonedx"],
        project.lock(name, target),
        present is not None,
        round(time.time() - started, 3),
    )


def chosen_engine(target: str, engine: str) -> str:
    """The engine that was asked for, or the target's first. Pure.

    Raises:
        UsageError: there is no such target, or it can't be made so.
    """
    if target not in ENGINES:
        raise UsageError(f'there is no target "{target}"', hint=nearest(target, sorted(ENGINES)))
    if engine and engine not in ENGINES[target]:
        raise UsageError(
            f'the target {target} can\'t be made with the engine "{engine}"',
            hint=f"its engines: {', '.join(ENGINES[target])}",
        )
    return engine or ENGINES[target][0]


class BusyError(GoldsmithError):
    """Another build of the same image runs."""


def clear(project: config.Project) -> list[str]:
    """Remove what builds of disks that were killed left in the project's output; gives what it was. One that runs keeps
    what it has."""
    removed = []
    for folder in sorted(project.output.glob("images/*/*/")):
        with contextlib.suppress(BusyError), _locked(folder, folder.parent.name):
            removed += build_disk.clear(folder)
    return removed


@contextlib.contextmanager
def _locked(folder: Path, name: str) -> Iterator[None]:
    """One build of an image at a time. The folder itself is the lock, so that no file is left."""
    with files.writable(folder):
        folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyError(
                f'another build of "{name}" is running in {folder}',
                hint="wait until it ends; builds of other images may run side by side",
            ) from None
        yield
    finally:
        os.close(handle)


def _plan(
    project: config.Project,
    name: str,
    image: config.Image,
    target: str,
    engine: str,
    folder: Path,
    progress: Progress,
    *,
    pull: bool,
    anew: bool,
    locked: bool,
) -> Plan:
    held_to = lock.load(project, name, target) if locked else ""
    with futures.ThreadPoolExecutor(1) as beside:
        versions = beside.submit(definition.tool_versions)
        base, found = prepared_base(image, target, progress, pull=pull)
        digest = definition.digest(project, image)
        tools = versions.result()
    template = resources.folder("packer")
    made_with = [*template.glob("*.pkr.hcl"), *(template.glob("*.py") if target != "docker" else [])]
    key = definition.content_key(digest, found["Id"], tools, made_with, held_to)
    waivers = policy.of_project(project).waivers
    return Plan(name, image, target, engine, base, found["Id"], digest, tools, key, folder, waivers, anew, held_to)


def prepared_base(image: config.Image, target: str, progress: Progress, *, pull: bool) -> tuple[str, dict[str, Any]]:
    """The name of what a machine starts from, and what Docker says of it; it is made if it is not there.

    Raises:
        GoldsmithError: it can't be had.
    """
    label = re.sub(r"[^A-Za-z0-9_.-]+", "-", image.base)
    base = f"goldsmith/base:{label}"
    found = None if pull else docker.inspect_image(base)
    found = found or _make_base(base, [*(["--pull"] if pull else []), image.base], progress)
    if target != "docker":
        # Made of that one, and so made again with it.
        parent, base = found, f"goldsmith/disk:{label}"
        found = docker.inspect_image(base)
        if found and found["RootFS"]["Layers"][:-1] != parent["RootFS"]["Layers"]:
            proc.run(["docker", "rmi", "--force", base, f"{base}-tools"])
            found = None
        found = found or _make_base(base, ["--disk", f"goldsmith/base:{label}"], progress)
    return base, found


def _make_base(tag: str, arguments: list[str], progress: Progress) -> dict[str, Any]:
    """Make the base of that tag with packer/base-image.sh; what Docker says of it."""
    docker.version()
    said: list[str] = []

    def line(text: str) -> None:
        said.append(text.removeprefix("base-image: "))
        progress.say(f"  {said[-1]}")

    script = resources.folder("packer") / "base-image.sh"
    done = proc.run(["sh", str(script), *arguments, tag], on_line=line, check=False)
    if done.code != 0:
        reason = said[-1] if said else f"exit code {done.code}"
        raise GoldsmithError(
            f"the base image {arguments[-1]} can't be had: {reason}", hint="set `base:` to an image that is reachable"
        )
    found = docker.inspect_image(tag)
    if found is None:
        raise GoldsmithError(f"the base {tag} is gone again", hint="build once more")
    return found


def _present(plan: Plan) -> tuple[str, Manifest] | None:
    """The id and manifest of the image with this content key, if its records are whole too."""
    try:
        provenance = json.loads((plan.folder / PROVENANCE).read_text())
        if provenance.get("content_key") != plan.content_key:
            return None
        recorded = manifest.load(plan.folder / MANIFEST)
    except (OSError, ValueError, GoldsmithError):
        return None
    if provenance.get("manifest_digest") != recorded.digest or not _still_waived(provenance, plan.waivers):
        return None
    if plan.target != "docker":
        path = Path(plan.reference)
        whole = path.is_file() and path.stat().st_size == provenance.get("bytes")
        return (str(provenance["image_id"]), recorded) if whole else None
    found = docker.inspect_image(plan.reference)
    if found is None or (found["Config"].get("Labels") or {}).get(docker.KEY) != plan.content_key:
        return None
    return (str(found["Id"]), recorded) if provenance.get("image_id") == found["Id"] else None


def _still_waived(provenance: dict[str, Any], waivers: Sequence[policy.Waiver]) -> bool:
    """Whether all that was waived when the image was built is waived today. Old releases did not look at all."""
    recorded = provenance.get("waived")
    return recorded is not None and all(
        any(waiver.fits(each["check"], each["path"]) for waiver in waivers) for each in recorded
    )


def _check_groups(project: config.Project, image: config.Image) -> None:
    known = Inventory(project.inventory, project.root).groups()
    for group in image.groups:
        if group not in known:
            raise UsageError(
                f'the inventory {project.inventory} has no group "{group}"',
                hint=f"it has: {', '.join(known)}; without it the image would miss that group's variables",
            )


def _check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise GoldsmithError(
            f"{folder} has {free // 2**20} MiB free; the build needs {needed // 2**20} MiB",
            hint="free some space, or set `output:` in goldsmith.yml to another folder",
        )


def _docker(
    project: config.Project, plan: Plan, progress: Progress, started: float, *, verbose: bool
) -> tuple[str, Manifest]:
    """Run Packer, look whether it is clean, collect, write the records, and only then give the image its name; gives
    its id and manifest."""
    build_id = docker.new_build()
    building = f"{plan.repository}:building-{build_id}"
    progress.say(f"  building {plan.reference} from {plan.base}")
    try:
        with (
            files.temporary_folder("image") as work,
            futures.ThreadPoolExecutor(2) as beside,
            contextlib.ExitStack() as reading,
        ):
            archive = layer_store.Archive(work / "image.tar")
            epoch = beside.submit(_epoch, project, plan.base_id)
            begun: list[Callable[[], Manifest]] = []
            known: tree.Layers = {}
            searched: hygiene.Searched = {}

            def meanwhile(start: str) -> None:
                # What needs to be done afterwards otherwise.
                importlib.import_module("cyclonedx.output.json")
                collect.packed()
                if archive.add_layers(docker.image(plan.base_id)):
                    begun.append(reading.enter_context(collect.of_growing(archive, building)))
                    known.update(reading.enter_context(tree.lower_layers(archive.path)))
                    searched.update(hygiene.search(file for layer in known.values() for _, file in layer))
                    # Of a stage no layer stays as it is.
                    archive.add_layers(docker.image(start))

            def look(made: build_container.Made) -> hygiene.Verdict:
                with tree.of_docker_archive(archive.path, known) as system:
                    return hygiene.look(system, plan, progress, sealed=made.sealed, searched=searched)

            def forget() -> None:
                # Takes a while.
                reading.close()
                archive.path.unlink()

            with (
                build_container.running(
                    project, plan, build_id, progress, verbose=verbose, meanwhile=meanwhile
                ) as made,
                build_container.saved(plan, made, archive),
            ):
                looking = beside.submit(look, made)
                progress.say("  collecting its manifest")
                # Docker may have written another archive.
                collected = begun[0]() if begun and archive.size else collect.of_archive(archive.path, building)
                verdict = looking.result()
                beside.submit(forget)
                records = _records(collected, plan, epoch.result())
                provenance = _provenance(project, plan, collected.digest, verdict, started)
            if plan.lock:
                lock.check(plan.lock, collected)
            image_id = docker.image(made.name)["Id"]
            _save(plan, records, provenance, image_id)
            proc.run(["docker", "tag", made.name, plan.reference])
    except BaseException:
        with proc.uninterrupted():
            docker.remove(f"{docker.BUILD}={build_id}")
        raise
    proc.run(["docker", "rmi", "--no-prune", *sorted({building, made.name})])
    return str(image_id), collected


def _disk(
    project: config.Project, plan: Plan, progress: Progress, started: float, *, verbose: bool
) -> tuple[str, Manifest]:
    """Make the disk, boot a copy and run the assertions there, write the records, and only then give it its name; gives
    its id and manifest."""
    build_disk.clear(plan.folder)
    build_id = docker.new_build()
    progress.say(f"  building {plan.reference} from {plan.base}")
    try:
        with tempfile.TemporaryDirectory(prefix=build_disk.WORK, dir=plan.folder) as name:
            work = Path(name)
            spec = disk.Spec.of(plan.content_key, _epoch(project, plan.base_id))
            job = build_disk.Job(project, plan, spec, work, build_id, progress, verbose)
            made = build_disk.make(job)
            if plan.lock:
                lock.check(plan.lock, made.manifest)
            build_disk.check(job, made.path)
            image_id = f"sha256:{files.sha256(made.path)}"
            provenance = _provenance(project, plan, made.manifest.digest, made.verdict, started)
            records = _records(made.manifest, plan, spec.epoch)
            _save(plan, records, {**provenance, "bytes": made.path.stat().st_size}, image_id)
            files.usual_mode(made.path)
            made.path.replace(plan.reference)
    except BaseException:
        with proc.uninterrupted():
            docker.remove(f"{docker.BUILD}={build_id}")
        raise
    return image_id, made.manifest


def _records(collected: Manifest, plan: Plan, epoch: int) -> dict[str, bytes]:
    """The files that say what an image holds, by name."""
    return {MANIFEST: manifest.to_bytes(collected), **bom.both(collected, name=plan.name, time=epoch)}


def _save(plan: Plan, records: dict[str, bytes], provenance: dict[str, Any], image_id: str) -> None:
    """Write the records. Provenance is the last: it says that the others are whole, and when the image was."""
    for name, data in records.items():
        files.write(plan.folder / name, data)
    finished = {"image_id": image_id, "finished": _utc(time.time())}
    files.write_json(plan.folder / PROVENANCE, {**provenance, **finished})


def _epoch(project: config.Project, base_id: str) -> int:
    """The release's time in seconds: SOURCE_DATE_EPOCH, or the last commit's, or the base image's."""
    given = files.source_date_epoch()
    if given is not None:
        return given
    if shutil.which("git"):
        commit = proc.run(["git", "-C", str(project.root), "log", "-1", "--format=%ct", "--", "."], check=False)
        if commit.code == 0 and commit.text:
            return int(commit.text)
    base = docker.inspect_image(base_id)
    created = str(base["Created"]) if base else "1970-01-01T00:00:00"
    return int(datetime.datetime.fromisoformat(created[:19]).replace(tzinfo=datetime.UTC).timestamp())


def _provenance(
    project: config.Project,
    plan: Plan,
    manifest_digest: str,
    verdict: hygiene.Verdict,
    started: float,
) -> dict[str, Any]:
    """What the image was made from, by what and when it was begun. Shape: docs/provenance.md."""
    return {
        "schema": "goldsmith.provenance/1",
        "image": plan.name,
        "target": plan.target,
        "engine": plan.engine,
        "reference": plan.reference,
        "manifest_digest": manifest_digest,
        "waived": [
            {"check": offence.check, "path": offence.path, "reason": waiver.reason}
            for offence, waiver in verdict.waived
        ],
        "content_key": plan.content_key,
        "definition_digest": f"sha256:{plan.definition}",
        "locked": bool(plan.lock),
        "playbook": plan.image.playbook,
        "groups": plan.image.groups,
        "base": {"reference": plan.image.base, "prepared": plan.base, "image_id": plan.base_id},
        "git": _git(project.root),
        "tools": {**plan.tools, "docker": docker.version()},
        "started": _utc(started),
    }


def _git(root: Path) -> dict[str, Any] | None:
    """Revision and whether anything differs from it; None outside a repository, or without git."""
    if shutil.which("git") is None:
        return None
    revision = proc.run(["git", "-C", str(root), "rev-parse", "HEAD"], check=False)
    if revision.code != 0:
        return None
    status = proc.run(["git", "-C", str(root), "status", "--porcelain", "--", ".", ":(exclude)locks/*.lock"]).text
    return {"revision": revision.text, "dirty": bool(status)}


def _utc(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
