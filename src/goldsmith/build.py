"""Building: Packer runs the definition in a machine; what comes out is named final only when it is whole."""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import json
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goldsmith import (
    ansible_output,
    collect,
    config,
    definition,
    docker,
    files,
    hygiene,
    manifest,
    policy,
    proc,
    resources,
    tree,
)
from goldsmith.errors import GoldsmithError, UsageError
from goldsmith.inventory import Inventory
from goldsmith.progress import Progress

MANIFEST = "manifest.json"
PROVENANCE = "provenance.json"
NEEDED_SPACE = 64 * 2**20
"""Bytes that must be free in the output folder before a build begins: manifest and provenance, several times."""


@dataclass(frozen=True)
class Built:
    """An image, and where its records are."""

    name: str
    reference: str
    image_id: str
    content_key: str
    manifest: Path
    provenance: Path
    cached: bool
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """The form of `goldsmith build --json`."""
        return {**self.__dict__, "manifest": str(self.manifest), "provenance": str(self.provenance)}


@dataclass(frozen=True)
class Plan:
    """All that one build is made from."""

    name: str
    image: config.Image
    base: str
    base_id: str
    definition: str
    tools: dict[str, str]
    content_key: str
    folder: Path
    waivers: tuple[policy.Waiver, ...] = ()

    @property
    def repository(self) -> str:
        return f"goldsmith/{self.name}"

    @property
    def reference(self) -> str:
        return f"{self.repository}:{self.content_key[:12]}"


def build(project: config.Project, name: str, progress: Progress, *, force: bool, pull: bool, verbose: bool) -> Built:
    """Build the image, or find that the image of the same content key is there.

    `force` builds all the same; `pull` looks for a newer base first; `verbose` shows all that Packer says.

    Raises:
        UsageError: no such image, a group that the inventory does not have, or an invalid policy.
        ToolError: Packer, Ansible or Docker is missing or does not answer.
        GoldsmithError: the base can't be had, a task failed (it is named), another build of this image runs,
            or the output folder is full. Nothing is left of the build then.
        hygiene.UncleanError: the image holds what it must not. Nothing is left of the build then, either.
    """
    image = project.image(name)
    for program in ("packer", "ansible-playbook", "docker"):
        proc.require(program)
    started = time.time()
    folder = project.output / "images" / name
    with _locked(folder, name):
        plan = _plan(project, name, image, folder, progress, pull=pull)
        image_id = None if force else _present(plan)
        cached = image_id is not None
        if image_id is None:
            _check_groups(project, image)
            _check_space(folder)
            image_id = _build(project, plan, progress, started, verbose=verbose)
        proc.run(["docker", "tag", image_id, f"{plan.repository}:latest"])
    return Built(
        name,
        plan.reference,
        image_id,
        plan.content_key,
        folder / MANIFEST,
        folder / PROVENANCE,
        cached,
        round(time.time() - started, 3),
    )


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
            raise GoldsmithError(
                f'another build of "{name}" is running in {folder}',
                hint="wait until it ends; builds of other images may run side by side",
            ) from None
        yield
    finally:
        os.close(handle)


def _plan(
    project: config.Project, name: str, image: config.Image, folder: Path, progress: Progress, *, pull: bool
) -> Plan:
    base = "goldsmith/base:" + re.sub(r"[^A-Za-z0-9_.-]+", "-", image.base)
    found = None if pull else docker.inspect_image(base)
    if found is None:
        docker.version()
        _base(image.base, base, progress, pull=pull)
        found = docker.inspect_image(base)
    if found is None:
        raise GoldsmithError(f"the base {base} is gone again", hint="build once more")
    digest = definition.digest(project, image)
    tools = definition.tool_versions()
    key = definition.content_key(digest, found["Id"], tools, resources.folder("packer").glob("*.pkr.hcl"))
    return Plan(name, image, base, found["Id"], digest, tools, key, folder, policy.of_project(project).waivers)


def _base(image: str, tag: str, progress: Progress, *, pull: bool) -> None:
    said: list[str] = []

    def line(text: str) -> None:
        said.append(text.removeprefix("base-image: "))
        progress.say(f"  {said[-1]}")

    script = resources.folder("packer") / "base-image.sh"
    done = proc.run(["sh", str(script), *(["--pull"] if pull else []), image, tag], on_line=line, check=False)
    if done.code != 0:
        reason = said[-1] if said else f"exit code {done.code}"
        raise GoldsmithError(
            f"the base image {image} can't be had: {reason}", hint="set `base:` to an image that is reachable"
        )


def _present(plan: Plan) -> str | None:
    """The id of the image with this content key, if its records are whole too."""
    found = docker.inspect_image(plan.reference)
    if found is None or (found["Config"].get("Labels") or {}).get(docker.KEY) != plan.content_key:
        return None
    try:
        provenance = json.loads((plan.folder / PROVENANCE).read_text())
        recorded = manifest.load(plan.folder / MANIFEST)
    except (OSError, ValueError, GoldsmithError):
        return None
    whole = provenance.get("image_id") == found["Id"] and provenance.get("manifest_digest") == recorded.digest
    return str(found["Id"]) if whole and _still_waived(provenance, plan.waivers) else None


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


def _check_space(folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < NEEDED_SPACE:
        raise GoldsmithError(
            f"{folder} has {free // 2**20} MiB free; the build's records need {NEEDED_SPACE // 2**20} MiB",
            hint="free some space, or set `output:` in goldsmith.yml to another folder",
        )


def _build(project: config.Project, plan: Plan, progress: Progress, started: float, *, verbose: bool) -> str:
    """Run Packer, look whether it is clean, collect, write the records, and only then give the image its name."""
    build_id = secrets.token_hex(8)
    building = f"{plan.repository}:building-{build_id}"
    progress.say(f"  building {plan.reference} from {plan.base}")
    try:
        with tempfile.TemporaryDirectory(prefix="goldsmith-build-") as work:
            sealed = _packer(project, plan, build_id, Path(work), progress, verbose=verbose)
        found = docker.inspect_image(building)
        if found is None:
            raise GoldsmithError(f"Packer said that it succeeded, but there is no image {building}")
        with docker.saved(found["Id"]) as archive:
            verdict = _hygiene(plan, archive, progress, sealed=sealed)
            progress.say("  collecting its manifest")
            collected = collect.of_archive(archive, building)
        manifest.save(collected, plan.folder / MANIFEST)
        files.write_json(
            plan.folder / PROVENANCE, _provenance(project, plan, found["Id"], collected.digest, verdict, started)
        )
        proc.run(["docker", "tag", building, plan.reference])
    except BaseException:
        with proc.uninterrupted():
            docker.remove(f"{docker.BUILD}={build_id}")
        raise
    proc.run(["docker", "rmi", "--no-prune", building])
    return str(found["Id"])


def _hygiene(plan: Plan, archive: Path, progress: Progress, *, sealed: bool) -> hygiene.Verdict:
    progress.say("  looking for what must not be in an image")
    with tree.of_docker_archive(archive) as found:
        verdict = hygiene.judge(found, plan.waivers)
    hygiene.demand(verdict, f'building "{plan.name}"', sealed=sealed)
    for offence, waiver in verdict.waived:
        progress.say(f"  waived: {offence.check} {offence.path}: {waiver.reason}")
    for waiver in verdict.unused:
        progress.say(f"  unused waiver: {waiver}")
    return verdict


def _packer(
    project: config.Project, plan: Plan, build_id: str, work: Path, progress: Progress, *, verbose: bool
) -> bool:
    """Run it. Whether the role seal ran in it."""
    variables = work / "variables.pkrvars.json"
    variables.write_text(json.dumps(packer_variables(project, plan, build_id, _playbook(project, plan.image, work))))
    reader = ansible_output.Reader()
    errors: list[str] = []
    tasks: list[str] = []
    machine = f"{plan.name}-image"

    def line(text: str) -> None:
        if verbose:
            progress.say(text)
        if "error" in text.lower():
            errors.append(ansible_output.unprefixed(text).strip())
        task = reader.feed(text)
        row = progress.row(machine)
        row.ok, row.changed = reader.ok, reader.changed
        if task is not None:
            tasks.append(task)
            progress.task(machine, task)

    done = proc.run(
        packer_command(variables),
        cwd=project.root,
        env={
            **definition.ansible_environment(project.root),
            "ANSIBLE_LOCAL_TEMP": str(work / "ansible"),
            "CHECKPOINT_DISABLE": "1",
            "PACKER_CACHE_DIR": str(work / "cache"),
            "PACKER_TMP_DIR": str(work),
            "TMPDIR": str(work),
        },
        on_line=line,
        check=False,
    )
    what = f'building "{plan.name}"'
    hint = f"`goldsmith build {plan.name} --verbose` shows all that Packer and Ansible say"
    if done.code != 0 and reader.failure:
        raise GoldsmithError(f"{what} failed, {reader.failure}", hint=hint)
    if done.code != 0:
        reason = errors[0] if errors else f"Packer ended with {done.code}"
        raise GoldsmithError(f"{what} failed: {reason}", hint=hint)
    if not reader.task:
        groups = ", ".join(plan.image.groups) or "none"
        raise GoldsmithError(
            f"{what} ran no task: no play of {plan.image.playbook} has the host {machine}",
            hint=f"set the image's `groups:` in goldsmith.yml to what the play's `hosts:` names (now: {groups})",
        )
    return any(task.startswith(("goldsmith.core.seal :", "seal :")) for task in tasks)


def _playbook(project: config.Project, image: config.Image, work: Path) -> Path:
    """Packer wants a file: a playbook named by its collection is imported by one."""
    if not config.is_collection_name(image.playbook):
        return project.root / image.playbook
    wrapper = work / "playbook.yml"
    wrapper.write_text(f"- ansible.builtin.import_playbook: {image.playbook}\n")
    return wrapper


def packer_command(variables: Path) -> list[str]:
    """The template has a source for every target; here one is built. Pure."""
    template = str(resources.folder("packer"))
    return ["packer", "build", "-color=false", "-only=docker.image", f"-var-file={variables}", template]


def packer_variables(project: config.Project, plan: Plan, build_id: str, playbook: Path) -> dict[str, Any]:
    """Values for the variables of packer/variables.pkr.hcl. Pure."""
    return {
        "name": plan.name,
        "base_image": plan.base,
        "playbook": str(playbook),
        "groups": plan.image.groups,
        "inventory": str(project.inventory),
        "inventory_directory": str(project.inventory if project.inventory.is_dir() else project.inventory.parent),
        "repository": plan.repository,
        "tags": [f"building-{build_id}"],
        "changes": [f"LABEL {docker.KEY}={plan.content_key}"],
        "build_id": build_id,
    }


def _provenance(
    project: config.Project,
    plan: Plan,
    image_id: str,
    manifest_digest: str,
    verdict: hygiene.Verdict,
    started: float,
) -> dict[str, Any]:
    """What the image was made from, by what and when. Shape: docs/provenance.md."""
    return {
        "schema": "goldsmith.provenance/1",
        "image": plan.name,
        "target": "docker",
        "reference": plan.reference,
        "image_id": image_id,
        "manifest_digest": manifest_digest,
        "waived": [
            {"check": offence.check, "path": offence.path, "reason": waiver.reason}
            for offence, waiver in verdict.waived
        ],
        "content_key": plan.content_key,
        "definition_digest": f"sha256:{plan.definition}",
        "playbook": plan.image.playbook,
        "groups": plan.image.groups,
        "base": {"reference": plan.image.base, "prepared": plan.base, "image_id": plan.base_id},
        "git": _git(project.root),
        "tools": {**plan.tools, "docker": docker.version()},
        "started": _utc(started),
        "finished": _utc(time.time()),
    }


def _git(root: Path) -> dict[str, Any] | None:
    """Revision and whether anything differs from it; None outside a repository, or without git."""
    if shutil.which("git") is None:
        return None
    revision = proc.run(["git", "-C", str(root), "rev-parse", "HEAD"], check=False)
    if revision.code != 0:
        return None
    status = proc.run(["git", "-C", str(root), "status", "--porcelain", "--", "."]).text
    return {"revision": revision.text, "dirty": bool(status)}


def _utc(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
