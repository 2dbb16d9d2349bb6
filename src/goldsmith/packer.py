"""Running Packer: the definition in one machine, with progress, and a failure told by its task."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from goldsmith import ansible_output, config, docker, files, lock, place, proc, resources
from goldsmith.errors import GoldsmithError
from goldsmith.plan import Plan
from goldsmith.progress import Progress

_IMAGE = re.compile(r" +\S+: Image ID: (?P<id>sha256:[0-9a-f]{64})")
_WHERE = re.compile(r"^  on (?P<file>.+) line (?P<line>\d+)(?:, in .+)?:$")


def run(
    project: config.Project, plan: Plan, source: str, more: dict[str, Any], progress: Progress, *, verbose: bool
) -> bool:
    """Run Packer's build of one source of our template; `more` are variables beside the usual.

    Gives whether the role seal ran in it.

    Raises:
        GoldsmithError: a task failed (it is named), Packer failed (with its reason), or no task ran at all.
    """
    with running(project, plan, source, more, progress, verbose=verbose) as heard:
        return heard.sealed


@contextlib.contextmanager
def running(
    project: config.Project,
    plan: Plan,
    source: str,
    more: dict[str, Any],
    progress: Progress,
    *,
    environment: Mapping[str, str] | None = None,
    verbose: bool,
) -> Iterator[Heard]:
    """As `run`; `environment` are variables of Packer beside the usual. A container's image is there when the block
    begins, and Packer, which takes the container away and gives the image its name, has ended when the block has."""
    # Not in the project, whose path may be long: Packer has sockets there, and a socket's path must be short.
    with files.temporary_folder("build") as work:
        file = work / "variables.pkrvars.json"
        pins = lock.scripts(plan.lock, work) if plan.lock else {}
        file.write_text(json.dumps({**variables(project, plan, playbook(project, plan.image, work)), **pins, **more}))
        settings = {
            **place.ansible_environment(project.root),
            "ANSIBLE_LOCAL_TEMP": str(work / "ansible"),
            "CHECKPOINT_DISABLE": "1",
            "PACKER_CACHE_DIR": str(work / "cache"),
            "PACKER_TMP_DIR": str(work),
            "TMPDIR": str(work),
            **(environment or {}),
        }
        heard = Heard(plan, progress, verbose=verbose)
        argv = command(source, file)
        with proc.running(argv, cwd=project.root, env=settings, stderr=subprocess.STDOUT) as process:
            assert process.stdout is not None  # noqa: S101 - Popen was given a pipe
            lines = (line.decode(errors="replace").rstrip("\r\n") for line in process.stdout)
            for text in lines:
                heard.line(text)
                if heard.image_id:
                    break
            else:
                process.wait()
            heard.check(process.returncode or 0)
            yield heard
            for text in lines:
                heard.line(text)
            heard.check(process.wait())


class Heard:
    """What Packer says, line by line: shown as progress, and what follows from it.

    `image_id` is that of a container's image (sha256:...) once it is there.
    """

    def __init__(self, plan: Plan, progress: Progress, *, verbose: bool) -> None:
        self.image_id = ""
        self._plan = plan
        self._progress = progress
        self._verbose = verbose
        self._reader = ansible_output.Reader()
        self._machine = f"{plan.name}-image"
        self._errors: list[str] = []
        self._said: list[str] = []
        self._tasks: list[str] = []
        self._committing = False

    @property
    def sealed(self) -> bool:
        """Whether the role seal ran."""
        return any(task.startswith(("goldsmith.core.seal :", "seal :")) for task in self._tasks)

    def line(self, text: str) -> None:
        if self._verbose:
            self._progress.say(text)
        if "error" in text.lower():
            self._errors.append(ansible_output.unprefixed(text).strip().removeprefix("error: "))
        # Of what Ansible says no line begins with an arrow.
        if text.startswith("==>"):
            self._committing = text.endswith(": Committing the container")
        elif self._committing and (match := _IMAGE.fullmatch(text)):
            self.image_id = match["id"]
        task = self._reader.feed(text)
        if not self._reader.task:
            self._said.append(text)
        row = self._progress.row(self._machine)
        row.ok, row.changed = self._reader.ok, self._reader.changed
        if task is not None:
            self._tasks.append(task)
            self._progress.task(self._machine, task)

    def check(self, code: int) -> None:
        """What Packer's exit code means, with what it said. Raises: as `run`."""
        plan, reader = self._plan, self._reader
        what = f'building "{plan.name}"'
        hint = f"`goldsmith build {plan.name} --verbose` shows all that Packer and Ansible say"
        if code != 0 and reader.failure:
            raise GoldsmithError(f"{what} failed, {reader.failure}", hint=hint)
        if code != 0:
            reason = template_error(self._said) or (self._errors[0] if self._errors else f"Packer ended with {code}")
            raise GoldsmithError(f"{what} failed: {reason}", hint=hint)
        if not reader.task:
            groups = ", ".join(plan.image.groups) or "none"
            raise GoldsmithError(
                f"{what} ran no task: no play of {plan.image.playbook} has the host {self._machine}",
                hint=f"set the image's `groups:` in goldsmith.yml to what the play's `hosts:` names (now: {groups})",
            )


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
        "wait_for_boot": False,
        "proxy_key": key,
    }
