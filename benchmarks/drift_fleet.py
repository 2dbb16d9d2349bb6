"""How long does a look at a fleet take, and what does it cost the controller? In one run, on one machine, interleaved.

    python benchmarks/drift_fleet.py [--hosts N] [--runs N] [--alone] [--json]

The hosts are containers with systemd and sshd on this machine, so that they share its processors with the controller:
what they do for a look is in the seconds, and is not in the controller's. All are what the example's definition makes.
Against each other:

drift      goldsmith drift, with no connection open; the hosts were looked at before, and know what did not change
standing   goldsmith drift, over the connections that stand since the run before
one        goldsmith drift of one host, with no connection open
ansible    ansible-playbook with its defaults, over the same definition
pyinfra    pyinfra with a nearly equivalent deploy (pyinfra_deploy.py), installed from PyPI for this run

Nothing is to be changed, and each says so. The controller's processor time is of all that a program started there, but
for ssh processes that keep a connection open. Its memory is what the program and its ssh processes hold at most beside
the pages of programs and libraries. Prints medians, the fastest and the slowest, and what was measured beside the
targets. `--alone` measures without the other tools, which take minutes with many hosts. Exit: 0 all targets are met, 1
one is not, or something failed.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

from examples.lab import Lab
from goldsmith import docker, files, proc
from goldsmith.inventory import close

BASE = "goldsmith/base:debian-bookworm"
DEPLOY = Path(__file__).with_name("pyinfra_deploy.py")
PYINFRA = "pyinfra>=3.10,<4"
WRITTEN = (
    "etc/chrony/chrony.conf etc/default/hello etc/default/locale etc/goldsmith/first-boot.conf etc/localtime"
    " etc/nginx/sites-enabled/goldsmith.conf etc/ssh/sshd_config.d/00-goldsmith.conf etc/sudoers.d/goldsmith"
    " etc/sysctl.d/90-goldsmith.conf etc/systemd/journald.conf.d/zz-goldsmith-logging.conf"
    " etc/systemd/system/goldsmith-first-boot.service etc/systemd/system/hello.service etc/timezone opt/hello/current"
    " usr/local/sbin/goldsmith-first-boot"
)
"""What the definition writes, for pyinfra."""
UNSETTLED = "find /etc /home /opt /root /srv /usr /var/lib -newerct '60 seconds ago' -print -quit"
"""Finds what a look sees and has changed just now."""
NEW_MACHINE = "rm -f /etc/ssh/ssh_host_*; : >/etc/machine-id"
"""Makes an image's next machines each one of its own."""

RATIOS = [("drift", "ansible", 0.02), ("drift", "pyinfra", 0.15)]
"""What is measured, against what, and the ratio of seconds that it may have at most."""
PROCESSOR = 0.1
"""Seconds of the controller's processors that one more host may take at most."""
MEMORY = 2.0
"""Megabytes of the controller's memory that one more host may take at most."""
STANDING = (32, 3.0)
"""So many hosts may take at most so many seconds over standing connections."""
MANY, INSTANCES = 20, Path("/proc/sys/fs/inotify/max_user_instances")
"""For more hosts than that the kernel's setting must be 1024: systemd watches files."""


class Run(NamedTuple):
    """One run of a program: how long it took, and the processor time of it and all that it started here."""

    seconds: float
    processor: float


def run(argv: Sequence[str], project: Path) -> tuple[Run, str]:
    """Run a program to its end, and what it says; anything but success ends the benchmark."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(argv, cwd=project, capture_output=True, text=True, check=False)
    seconds, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    said = done.stdout + done.stderr
    if done.returncode != 0:
        sys.exit(f"{' '.join(argv)} ended with {done.returncode}\n{said[-3000:]}")
    return Run(seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime), said


def memory(argv: Sequence[str], project: Path) -> float:
    """Megabytes that a program and the processes below it hold at most."""
    most = 0
    with subprocess.Popen(argv, cwd=project, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            most = max(most, sum(map(_held, _below(process.pid))))
            time.sleep(0.02)
    return most / 1000


def _below(top: int) -> set[int]:
    """A process and those that it and they started."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    found, grown = {top}, True
    while grown:
        more = {pid for pid, parent in parents.items() if parent in found} - found
        found |= more
        grown = bool(more)
    return found


def _held(pid: int) -> int:
    """Kilobytes of its own: not the pages of programs and libraries, and of what a fork shares its part."""
    with contextlib.suppress(OSError):
        found = re.search(r"^Pss_Anon:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
        return int(found.group(1)) if found else 0
    return 0


@contextlib.contextmanager
def image(folder: Path, project: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """An image of a host that the project's definition made. It is removed at the end."""
    name = f"goldsmith/benchmark-host:{os.getpid()}"
    with Lab(folder / "first", BASE, ["web1"]) as lab:
        os.environ.update(environment, **lab.environment)
        inventory(project, ["web1"])
        run(["goldsmith", "converge"], project)
        lab.execute("web1", NEW_MACHINE)
        docker_label = f"LABEL {docker.OWNER}=benchmark"
        proc.run(["docker", "commit", "--change", docker_label, lab.container("web1"), name])
    try:
        yield name
    finally:
        proc.run(["docker", "rmi", "--force", name], check=False)


def inventory(project: Path, names: Sequence[str]) -> None:
    hosts = "".join(f"    {name}: {{ansible_user: root}}\n" for name in names)
    (project / "inventory/hosts.yml").write_text(f"web:\n  hosts:\n{hosts}")


def settle(lab: Lab) -> None:
    """Wait until a look keeps what it finds: of files that have just been made it does not."""
    for name in lab.names:
        while lab.execute(name, UNSETTLED).text:
            time.sleep(2)


def pyinfra(folder: Path, lab: Lab) -> list[str]:
    """argv of pyinfra, in an environment of its own, over the lab's hosts."""
    run([sys.executable, "-m", "venv", str(folder / "pyinfra")], folder)
    run([str(folder / "pyinfra/bin/pip"), "install", "--quiet", PYINFRA], folder)
    packed = lab.execute(lab.names[0], f"tar -C / -c {WRITTEN}").stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as written:
        written.extractall(folder / "written", filter="fully_trusted")  # noqa: S202 - from our own host
    data = {
        "ssh_user": "root",
        "ssh_key": str(lab.key),
        "ssh_config_file": str(lab.ssh_config),
        "ssh_known_hosts_file": str(lab.known_hosts),
    }
    hosts = folder / "hosts.py"
    hosts.write_text(f"web = [(name, {data!r}) for name in {lab.names!r}]\n")
    program = str(folder / "pyinfra/bin/pyinfra")
    return [program, "-y", "--data", f"written={folder / 'written'}", str(hosts), str(DEPLOY)]


def measure(
    project: Path, names: Sequence[str], runs: int, sockets: Path, peer: Sequence[str] | None
) -> dict[str, list[Run]]:
    """All in turns, `runs` times each. `peer` is pyinfra's argv; without it there are no other tools."""
    drift = ["goldsmith", "drift", "artifacts/good.json"]
    one = [*drift, "--limit", names[0]]
    playbook = ["ansible-playbook", "site.yml", "--extra-vars", "goldsmith_delivery=live"]
    turns: list[tuple[str, Sequence[str], Callable[[str], bool]]] = [
        ("one", one, lambda said: "1 in sync;" in said),
        ("drift", drift, lambda said: f"{len(names)} in sync;" in said),
        ("standing", drift, lambda said: f"{len(names)} in sync;" in said),
    ]
    if peer:
        turns.append(("ansible", playbook, lambda said: len(re.findall(r"changed=0 ", said)) == len(names)))
        turns.append(("pyinfra", peer, lambda said: bool(re.search(r"Grand total +(\d+) +- +- +\1 ", said))))
    found: dict[str, list[Run]] = {}
    for _ in range(runs):
        for what, argv, unchanged in turns:
            if what != "standing":
                close(sockets)
            ran, said = run(argv, project)
            if not unchanged(said):
                sys.exit(f"{' '.join(argv)} found something to change\n{said[-3000:]}")
            found.setdefault(what, []).append(ran)
            print(f"  {what:10} {ran.seconds:7.2f} s", file=sys.stderr)
    return found


def rows(found: Mapping[str, Sequence[Run]], hosts: int, megabytes: float) -> list[dict[str, object]]:
    """A row for each target that this run has something to say of."""
    seconds = {what: statistics.median(each.seconds for each in runs) for what, runs in found.items()}
    processor = {what: statistics.median(each.processor for each in runs) for what, runs in found.items()}
    rows: list[tuple[str, float, float]] = [
        (f"{what} / {other}", seconds[what] / seconds[other], most) for what, other, most in RATIOS if other in seconds
    ]
    if hosts > 1:
        more = (processor["drift"] - processor["one"]) / (hosts - 1)
        rows.append(("controller's processor seconds for one more host", more, PROCESSOR))
        rows.append(("controller's megabytes for one more host", megabytes, MEMORY))
    if hosts >= STANDING[0]:
        rows.append(("standing, seconds", seconds["standing"], STANDING[1]))
    return [{"what": what, "measured": round(value, 3), "at_most": most} for what, value, most in rows]


def show(found: Mapping[str, Sequence[Run]], targets: Sequence[Mapping[str, object]]) -> None:
    print("| | median | fastest | slowest | controller's processors |\n|---|---|---|---|---|")
    for what, runs in found.items():
        seconds, processor = zip(*runs, strict=True)
        spread = f"{statistics.median(seconds):.2f} s | {min(seconds):.2f} s | {max(seconds):.2f} s"
        print(f"| {what} | {spread} | {statistics.median(processor):.2f} s |")
    print("\n| | measured | at most |\n|---|---|---|")
    for row in targets:
        print(f"| {row['what']} | {row['measured']} | {row['at_most']} |")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, default=8, help="(default: 8)")
    parser.add_argument("--runs", type=int, default=3, help="of each (default: 3)")
    parser.add_argument("--alone", action="store_true", help="without the other tools")
    parser.add_argument("--json", action="store_true", help="JSON on standard output")
    options = parser.parse_args()
    if options.hosts > MANY and int(INSTANCES.read_text()) < 1024:
        sys.exit(f"for more than {MANY} hosts: sysctl fs.inotify.max_user_instances=1024")
    # Ours is compiled, as what pip installs is; a shell may say that nothing is kept of that.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    names = [f"web{number}" for number in range(1, options.hosts + 1)]
    with files.temporary_folder("benchmark") as folder:
        project, sockets = folder / "web", folder / "cp"
        run(["goldsmith", "init", str(project)], folder)
        with (
            image(folder, project, {"ANSIBLE_SSH_CONTROL_PATH_DIR": str(sockets)}) as made,
            Lab(folder / "lab", made, names) as lab,
        ):
            os.environ.update(lab.environment)
            inventory(project, names)
            try:
                peer = None
                if not options.alone:
                    # New machines have keys and logs that the definition takes away.
                    run(["goldsmith", "converge", "--full"], project)
                    peer = pyinfra(folder, lab)
                run(["goldsmith", "collect", f"ssh:{names[0]}", "--output", "artifacts/good.json"], project)
                settle(lab)
                run(["goldsmith", "drift", "artifacts/good.json"], project)
                found = measure(project, names, options.runs, sockets, peer)
                drift = ["goldsmith", "drift", "artifacts/good.json"]
                most, least = memory(drift, project), memory([*drift, "--limit", names[0]], project)
            finally:
                close(sockets)
    targets = rows(found, len(names), (most - least) / max(len(names) - 1, 1))
    if options.json:
        runs = {what: [each._asdict() for each in runs] for what, runs in found.items()}
        print(json.dumps({"hosts": len(names), "runs": runs, "targets": targets}, indent=2))
    else:
        show(found, targets)
    return 0 if all(row["measured"] <= row["at_most"] for row in targets) else 1  # type: ignore[operator]


if __name__ == "__main__":
    with proc.interruptible():
        sys.exit(main())
