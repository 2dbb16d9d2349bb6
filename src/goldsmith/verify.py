"""Verifying: the assertions that come with the definition's roles, run on an image, a container or live hosts.

A role's assertions are `tests/test_*.py` in its folder, for pytest and pytest-testinfra (see pytest_plugin.py).
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from goldsmith import collect, config, converge, docker, inventory, place, proc, report_junit, roles
from goldsmith import machine as qemu
from goldsmith.errors import GoldsmithError, UsageError, nearest
from goldsmith.progress import Progress

DISK = "disk:"
"""What stands before the path of a machine's disk, which is booted to verify it."""
_LINE = re.compile(r"::(\S.*?) (PASSED|FAILED|ERROR|SKIPPED)\b")


@dataclass(frozen=True)
class Check:
    """One assertion on one host. `outcome`: passed, failed or skipped; `message` says why, where it is not passed."""

    host: str
    role: str
    name: str
    outcome: str
    message: str
    seconds: float


@dataclass
class Result:
    """All checks, the hosts that could not be reached (with the reason), and the roles that bring no assertions."""

    checks: list[Check] = field(default_factory=list)
    unreachable: dict[str, inventory.Problem] = field(default_factory=dict)
    without: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0 all passed or skipped; 1 something failed; 4 nothing failed, but a host is unreachable."""
        if any(check.outcome == "failed" for check in self.checks):
            return 1
        return inventory.UNREACHABLE_EXIT if self.unreachable else 0

    def counts(self) -> dict[tuple[str, str], Counter[str]]:
        """(host, role) -> outcome -> how many."""
        found: dict[tuple[str, str], Counter[str]] = {}
        for check in self.checks:
            found.setdefault((check.host, check.role), Counter())[check.outcome] += 1
        return found

    def to_json(self) -> dict[str, Any]:
        """The form of `goldsmith verify --json`."""
        return {
            "checks": [check.__dict__ for check in self.checks],
            "unreachable": {name: problem.what for name, problem in self.unreachable.items()},
            "roles_without_assertions": self.without,
            "exit_code": self.exit_code,
        }


@dataclass(frozen=True)
class Machine:
    """What pytest needs to reach one host. `label` is what people know it by; the last source is the project's."""

    name: str
    label: str
    sources: tuple[Path, ...]
    playbooks: tuple[str, ...]
    delivery: str
    environment: dict[str, str]


def verify(
    project: config.Project, text: str, progress: Progress, *, image: str, only: Sequence[str], junit: Path | None
) -> Result:
    """Run the assertions on a target: an image's name, docker-image:NAME, docker:CONTAINER, disk:PATH or
    ssh:PATTERN.

    `image` says of which image of goldsmith.yml a docker target is, where that can't be told; `only` are the roles to
    look at, all if it is empty. An image is booted in a container of its own, which is removed.

    Raises:
        UsageError: there is no such target or role.
        GoldsmithError: the definition's roles bring no assertions, or pytest itself failed.
    """
    if text.startswith(DISK):
        name = image or _only_image(project, text)
        with converge.private_folder() as folder:
            result = of_disk(project, name, Path(text.removeprefix(DISK)), folder, progress, only=only, junit=junit)
    else:
        result = _of_target(project, _target(project, text), progress, image=image, only=only, junit=junit)
    if not result.checks and not result.unreachable:
        raise GoldsmithError(
            f"nothing to verify: none of the roles {', '.join(result.without) or '(none)'} brings assertions",
            hint="a role's assertions are tests/test_*.py in its folder",
        )
    return result


def of_disk(
    project: config.Project,
    name: str,
    disk: Path,
    folder: Path,
    progress: Progress,
    *,
    only: Sequence[str] = (),
    junit: Path | None = None,
) -> Result:
    """Boot a machine of a disk, which is not written to, and run the assertions of the image `name` there.

    `folder` takes the machine's files. Where the roles bring no assertions, that it boots is all that was seen.

    Raises:
        UsageError: there is no such disk, image or role.
        GoldsmithError: the machine does not boot, or lets root not in.
    """
    if not disk.is_file():
        raise UsageError(f"there is no disk {disk}", hint=f"`goldsmith build {name} --target qemu` makes one")
    entry = project.image(name)
    label = f"{name}-disk"
    result, suites = Result(), ET.Element("testsuites", name="goldsmith verify")
    with qemu.Machine(label, disk, folder / "machine", cpus=2) as machine:
        variables = {"goldsmith_delivery": "image"}
        source = _inventory(folder, label, entry.groups, variables)
        sources, playbooks = (source, project.inventory), (entry.playbook,)
        reached = Machine(label, label, sources, playbooks, "image", machine.hold())
        _one(project, reached, progress, result, suites, only=only, folder=folder)
    if junit:
        report_junit.write(junit, suites)
    return result


def _of_target(
    project: config.Project,
    target: collect.Target,
    progress: Progress,
    *,
    image: str,
    only: Sequence[str],
    junit: Path | None,
) -> Result:
    result, suites = Result(), ET.Element("testsuites", name="goldsmith verify")
    with converge.private_folder() as folder, _machines(project, target, image, folder, result) as machines:
        for machine in machines:
            _one(project, machine, progress, result, suites, only=only, folder=folder)
    if junit:
        report_junit.write(junit, suites)
    return result


def _inventory(folder: Path, name: str, groups: Sequence[str], variables: dict[str, str]) -> Path:
    """An inventory with one machine, in the groups of its image."""
    source = folder / "hosts.yml"
    hosts = {group: {"hosts": {name: variables}} for group in (*groups, "goldsmith_verify")}
    source.write_text(yaml.safe_dump(hosts))
    return source


def _target(project: config.Project, text: str) -> collect.Target:
    if text in project.config.images:
        return collect.Target("docker-image", f"goldsmith/{text}")
    if not collect.is_target(text):
        near = nearest(text, sorted(project.config.images))
        raise UsageError(
            f'"{text}" is neither an image of {place.FILE_NAME} nor a target',
            hint=f"{near} Targets: docker-image:NAME, docker:CONTAINER, disk:PATH, ssh:PATTERN",
        )
    target = collect.parse(text)
    if target.kind in {"dir", "tar", "image"}:
        raise UsageError(f"{target} does not run", hint="verify docker-image:NAME, a container, disk:PATH or a host")
    return target


@contextlib.contextmanager
def _machines(
    project: config.Project, target: collect.Target, image: str, folder: Path, result: Result
) -> Iterator[list[Machine]]:
    if target.kind == "ssh":
        yield list(_hosts(project, target.name, folder, result))
        return
    name = image or _image_of(project, target)
    entry = project.image(name)
    container = target.name
    if target.kind == "docker-image":
        if docker.inspect_image(target.name) is None:
            raise UsageError(f"there is no Docker image {target.name} here", hint=f"`goldsmith build {name}` makes one")
        container = f"goldsmith-verify-{secrets.token_hex(4)}"
    variables = {"ansible_connection": "community.docker.docker", "goldsmith_delivery": "image"}
    source = _inventory(folder, container, entry.groups, variables)
    machine = Machine(container, str(target), (source, project.inventory), (entry.playbook,), "image", {})
    try:
        if target.kind == "docker-image":
            docker.boot(container, target.name, owner="verify")
        yield [machine]
    finally:
        if target.kind == "docker-image":
            with proc.uninterrupted():
                proc.run(["docker", "rm", "--force", "--volumes", container], check=False)


def _image_of(project: config.Project, target: collect.Target) -> str:
    names = sorted(project.config.images)
    for name in names:
        if target.kind == "docker-image" and target.name.partition(":")[0] == f"goldsmith/{name}":
            return name
    return _only_image(project, str(target))


def _only_image(project: config.Project, what: str) -> str:
    names = sorted(project.config.images)
    if len(names) == 1:
        return names[0]
    raise UsageError(f"of which image is {what}?", hint=f"say --image with one of: {', '.join(names)}")


def _hosts(project: config.Project, pattern: str, folder: Path, result: Result) -> Iterator[Machine]:
    known = inventory.Inventory(project.inventory, project.root)
    names = known.hosts(pattern)
    if not names:
        raise UsageError(f'no host matches "{pattern}"', hint=nearest(pattern, known.hosts()))
    for name in names:
        how = known.ssh(name)
        answer = proc.run([*how.argv, "true"], check=False)
        if answer.code == inventory.SSH_FAILED:
            result.unreachable[name] = inventory.explain(answer.error)
            continue
        # One connection for all commands, closed when the folder goes.
        share = f"-o ControlMaster=auto -o ControlPersist=60s -o ControlPath={folder}/cp/%C"
        common = f"{os.environ.get('ANSIBLE_SSH_COMMON_ARGS', '')} {share}".strip()
        environment = {"ANSIBLE_SSH_COMMON_ARGS": common, "ANSIBLE_BECOME": str(how.become)}
        yield Machine(name, name, (project.inventory,), tuple(converge.playbooks(project)), "live", environment)


def _one(
    project: config.Project,
    machine: Machine,
    progress: Progress,
    result: Result,
    suites: ET.Element,
    *,
    only: Sequence[str],
    folder: Path,
) -> None:
    hosts = inventory.Inventory(machine.sources, project.root)
    found: dict[str, Path] = {}
    for playbook in machine.playbooks:
        found |= roles.of_host(project, playbook, hosts, machine.name, {"goldsmith_delivery": machine.delivery})
    named = names(found)
    for name in only:
        if name not in named:
            raise UsageError(f'no role "{name}" is applied to {machine.label}', hint=nearest(name, sorted(named)))
    chosen = {name: path for name, path in named.items() if not only or name in only}
    tests = {name: sorted((path / "tests").glob("test_*.py")) for name, path in chosen.items()}
    result.without += [name for name, paths in tests.items() if not paths and name not in result.without]
    paths = {path: name for name, paths in tests.items() for path in paths}
    if paths:
        suite = _pytest(project, machine, list(paths), progress, folder)
        suite.set("name", machine.label)
        suites.append(suite)
        result.checks += read(suite, machine, {str(path.resolve()): name for path, name in paths.items()})


def names(found: dict[str, Path]) -> dict[str, Path]:
    """Roles without their collection's name, but for those that would then have the same name. Pure."""
    short = Counter(name.rpartition(".")[2] for name in found)
    return {
        name if short[name.rpartition(".")[2]] > 1 else name.rpartition(".")[2]: path for name, path in found.items()
    }


def _pytest(
    project: config.Project, machine: Machine, paths: list[Path], progress: Progress, folder: Path
) -> ET.Element:
    """Run pytest as it is, without the plugins and settings of whatever project this is run in.

    Its root is / so that the report names each file by its whole path: several roles may have files of one name.
    """
    report, settings = folder / "junit.xml", folder / "pytest.ini"
    settings.write_text("[pytest]\njunit_family = xunit1\n")
    argv = [sys.executable, "-m", "pytest", "-c", str(settings), "--rootdir=/", "--import-mode=importlib"]
    argv += ["-p", "testinfra.plugin", "-p", "goldsmith.pytest_plugin", "-p", "no:cacheprovider"]
    argv += ["--verbose", "--color=no", "--tb=short", f"--junit-xml={report}", f"--hosts=ansible://{machine.name}"]
    environment = {
        **place.ansible_environment(project.root),
        **machine.environment,
        "ANSIBLE_INVENTORY": ",".join(str(source.resolve()) for source in machine.sources),
        "COLUMNS": "400",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    row = progress.row(machine.label)

    def line(text: str) -> None:
        seen = _LINE.search(text)
        if seen:
            row.ok += seen[2] == "PASSED"
            row.failed += seen[2] in {"FAILED", "ERROR"}
            progress.task(machine.label, seen[1].partition("[")[0].removeprefix("test_").replace("_", " "))

    (folder / "cp").mkdir(exist_ok=True)
    done = proc.run([*argv, *map(str, paths)], env=environment, cwd=project.root, on_line=line, check=False)
    # 0 all passed, 1 some failed; else pytest itself could not do its work.
    if done.code not in {0, 1} or not report.exists():
        last = (done.text or done.error).splitlines()[-1:] or [f"exit code {done.code}"]
        raise GoldsmithError(f"pytest failed on {machine.label}: {last[0]}", hint="run it by hand to see why")
    suite = ET.parse(report).getroot().find("testsuite")  # noqa: S314 - pytest wrote it
    assert suite is not None  # noqa: S101 - its schema
    report.unlink()
    for case in suite.iter("testcase"):
        case.set("file", str(Path("/", case.get("file", "")).resolve()))
    return suite


def read(suite: ET.Element, machine: Machine, role_of_file: dict[str, str]) -> list[Check]:
    """The checks in a test suite of pytest's JUnit report (family xunit1), whose files have absolute paths. Pure."""
    found = []
    for case in suite.iter("testcase"):
        outcome, message = "passed", ""
        for element in case:
            if element.tag in {"failure", "error", "skipped"}:
                outcome = "skipped" if element.tag == "skipped" else "failed"
                message = _message(element)
        role = role_of_file.get(case.get("file", ""), "")
        # testinfra puts the host first among the parameters.
        name = re.sub(
            rf"\[ansible://{re.escape(machine.name)}(?:-(.*))?\]$", r"[\1]", case.get("name", "")
        ).removesuffix("[]")
        found.append(Check(machine.label, role, name, outcome, message, float(case.get("time", "0"))))
    return found


def _message(element: ET.Element) -> str:
    message = element.get("message", "")
    if element.tag == "skipped":
        return message.removeprefix("Skipped: ")
    # Of a failure pytest's own lines, which begin with E, say most.
    lines = [line[1:].strip() for line in (element.text or "").splitlines() if line.startswith("E ")]
    return "\n".join(lines) or message
