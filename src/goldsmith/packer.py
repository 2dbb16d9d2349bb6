"""Running Packer: the definition in one machine, with progress, and a failure told by its task."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from goldsmith import ansible_output, config, definition, docker, files, lock, proc, resources
from goldsmith.errors import GoldsmithError
from goldsmith.plan import Plan
from goldsmith.progress import Progress

_WHERE = re.compile(r"^  on (?P<file>.+) line (?P<line>\d+)(?:, in .+)?:$")


def run(
    project: config.Project,
    plan: Plan,
    source: str,
    more: dict[str, Any],
    progress: Progress,
    *,
    environment: Mapping[str, str] | None = None,
    verbose: bool,
) -> bool:
    """Run Packer's build of one source of our template; `more` are variables beside the usual, and so is `environment`.

    Gives whether the role seal ran in it.

    Raises:
        GoldsmithError: a task failed (it is named), Packer failed (with its reason), or no task ran at all.
    """
    # Not in the project, whose path may be long: Packer has sockets there, and a socket's path must be short.
    with files.temporary_folder("build") as work:
        return _run(project, plan, source, more, work, progress, environment or {}, verbose=verbose)


def _run(
    project: config.Project,
    plan: Plan,
    source: str,
    more: dict[str, Any],
    work: Path,
    progress: Progress,
    environment: Mapping[str, str],
    *,
    verbose: bool,
) -> bool:
    file = work / "variables.pkrvars.json"
    pins = lock.scripts(plan.lock, work) if plan.lock else {}
    file.write_text(json.dumps({**variables(project, plan, playbook(project, plan.image, work)), **pins, **more}))
    reader = ansible_output.Reader()
    errors: list[str] = []
    said: list[str] = []
    tasks: list[str] = []
    machine = f"{plan.name}-image"

    def line(text: str) -> None:
        if verbose:
            progress.say(text)
        if "error" in text.lower():
            errors.append(ansible_output.unprefixed(text).strip())
        task = reader.feed(text)
        if not reader.task:
            said.append(text)
        row = progress.row(machine)
        row.ok, row.changed = reader.ok, reader.changed
        if task is not None:
            tasks.append(task)
            progress.task(machine, task)

    done = proc.run(
        command(source, file),
        cwd=project.root,
        env={
            **definition.ansible_environment(project.root),
            "ANSIBLE_LOCAL_TEMP": str(work / "ansible"),
            "CHECKPOINT_DISABLE": "1",
            "PACKER_CACHE_DIR": str(work / "cache"),
            "PACKER_TMP_DIR": str(work),
            "TMPDIR": str(work),
            **environment,
        },
        on_line=line,
        check=False,
    )
    what = f'building "{plan.name}"'
    hint = f"`goldsmith build {plan.name} --verbose` shows all that Packer and Ansible say"
    if done.code != 0 and reader.failure:
        raise GoldsmithError(f"{what} failed, {reader.failure}", hint=hint)
    if done.code != 0:
        reason = template_error(said) or (errors[0] if errors else f"Packer ended with {done.code}")
        raise GoldsmithError(f"{what} failed: {reason}", hint=hint)
    if not reader.task:
        groups = ", ".join(plan.image.groups) or "none"
        raise GoldsmithError(
            f"{what} ran no task: no play of {plan.image.playbook} has the host {machine}",
            hint=f"set the image's `groups:` in goldsmith.yml to what the play's `hosts:` names (now: {groups})",
        )
    return any(task.startswith(("goldsmith.core.seal :", "seal :")) for task in tasks)


def template_error(said: Sequence[str]) -> str:
    """The first error that Packer finds in its template or its variables: what, why and where, in one line. Pure.

    `said` are the lines that Packer wrote. Empty: it had nothing to say against the template.
    """
    start = next((number for number, line in enumerate(said) if line.startswith("Error: ")), len(said))
    [block, *_] = "\n".join(said[start:]).split("\n\n\n")
    what, *more = block.splitlines() or [""]
    why = " ".join(" ".join(line for line in more if not line.startswith("  ")).split())
    places = [f" ({match['file']}:{match['line']})" for match in map(_WHERE.match, more) if match]
    return ": ".join(part for part in (what.removeprefix("Error: ").rstrip(":"), why) if part) + "".join(places)


def playbook(project: config.Project, image: config.Image, work: Path) -> Path:
    """Packer wants a file: a playbook named by its collection is imported by one."""
    if not config.is_collection_name(image.playbook):
        return project.root / image.playbook
    wrapper = work / "playbook.yml"
    wrapper.write_text(imported(image.playbook))
    return wrapper


def imported(playbook: str) -> str:
    """A playbook that does no more than import one of a collection. Pure."""
    return f"- name: The image's definition\n  ansible.builtin.import_playbook: {playbook}\n"


def command(source: str, variables: Path) -> list[str]:
    """The template has a source for every target; one is built. Pure."""
    template = str(resources.folder("packer"))
    return ["packer", "build", "-color=false", f"-only={source}", f"-var-file={variables}", template]


def variables(project: config.Project, plan: Plan, playbook: Path) -> dict[str, Any]:
    """Values for the variables of packer/variables.pkr.hcl that every target has. Pure."""
    return {
        "name": plan.name,
        "playbook": str(playbook),
        "groups": plan.image.groups,
        "inventory": str(project.inventory),
        "inventory_directory": str(project.inventory if project.inventory.is_dir() else project.inventory.parent),
    }


def docker_variables(plan: Plan, build_id: str, start: str, key: str) -> dict[str, Any]:
    """Values for those that a container has; `start` is the image that it is started from, `key` the private key of
    Packer's proxy (empty: Packer makes one). Pure."""
    return {
        "base_image": start,
        "repository": plan.repository,
        "tags": [f"building-{build_id}"],
        "changes": [f"LABEL {docker.KEY}={plan.content_key}"],
        "build_id": build_id,
        "proxy_key": key,
    }
