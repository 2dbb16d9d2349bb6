"""How long does a build take, and how much less after a change? In one run, on one machine, interleaved.

    python benchmarks/build.py [--runs N] [--disk-runs N] [--json]

The definition is the example project's, with its last role, nginx, in the project. Against each other:

packer    a `packer build` as one writes it by hand: builder docker, provisioner ansible over Packer's SSH proxy
cold      goldsmith build --force: from the beginning, with all its checks, manifest and provenance
changed   goldsmith build after a change of the last role
nothing   goldsmith build again
vm, tree  goldsmith build --target qemu --force, by Packer's builder qemu and by tree, until the disk is made; and, as
          "… + boot", with the boot of a copy for the assertions that both have, and a `packer build` has not

All start from the same base; packages come from the same mirror. Prints medians, the fastest and the slowest, and the
ratios with their targets. Exit: 0 all targets are met, 1 one is not, or something failed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from goldsmith import docker, resources, stages

ROOT = Path(__file__).parents[1]
NAME = "benchmark"
PEER = "goldsmith-benchmark-packer"
TARGETS = [("cold", "packer", 0.7), ("changed", "cold", 0.35), ("tree", "vm", 0.2)]
"""What is measured, against what, and the ratio that it may have at most."""
NOTHING = 1.0
"""Seconds that a build may take at most where nothing changed."""
PACKER = """\
source "docker" "image" {
  image       = "goldsmith/base:debian-bookworm"
  pull        = false
  commit      = true
  run_command = [
    "-d", "--cap-add", "SYS_ADMIN", "--cap-add", "NET_ADMIN", "--cgroupns=host",
    "--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined",
    "-v", "/sys/fs/cgroup:/sys/fs/cgroup:rw", "--tmpfs", "/run", "--tmpfs", "/tmp:exec",
    "{{ .Image }}", "/lib/systemd/systemd",
  ]
}

build {
  sources = ["source.docker.image"]

  provisioner "ansible" {
    playbook_file       = "site.yml"
    groups              = ["web"]
    inventory_directory = "inventory"
    user                = "root"
    extra_arguments = [
      "--extra-vars", "goldsmith_delivery=image",
      "--ssh-extra-args", "-o HostKeyAlgorithms=+ssh-rsa -o PubkeyAcceptedAlgorithms=+ssh-rsa",
    ]
  }

  post-processor "docker-tag" {
    repository = "%s"
  }
}
"""
Times = dict[str, list[float]]


def project(folder: Path) -> Path:
    """The example project, with a role of its own at the end."""
    shutil.copytree(resources.folder("example"), folder)
    shutil.copytree(ROOT / "roles/nginx", folder / "roles/nginx")
    site = (ROOT / "playbooks/site.yml").read_text()
    (folder / "site.yml").write_text(site.replace("goldsmith.core.nginx", "nginx"))
    settings = folder / "goldsmith.yml"
    settings.write_text(settings.read_text().replace("  web:\n", f"  {NAME}:\n", 1))
    (folder / "packer.pkr.hcl").write_text(PACKER % PEER)
    return folder


def run(folder: Path, *command: str, until: str = "") -> tuple[float, float]:
    """Seconds that a command takes until it says a line with `until`, and as a whole."""
    started = time.monotonic()
    environment = {**os.environ, "CHECKPOINT_DISABLE": "1", "ANSIBLE_CONFIG": str(folder / "ansible.cfg")}
    there, said = 0.0, []
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        for line in process.stdout or ():
            said.append(line)
            if until and until in line:
                there = time.monotonic() - started
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}\n{''.join(said)[-6000:]}")
    return there, time.monotonic() - started


def measure(folder: Path, runs: int, disk_runs: int) -> Times:
    """Seconds of each, `runs` times, one after the other."""
    times: Times = {}

    def note(what: str, seconds: float) -> None:
        times.setdefault(what, []).append(seconds)
        print(f"  {what:11} {seconds:7.1f} s", file=sys.stderr)

    changes: list[Callable[[], object]] = [
        lambda: note("packer", run(folder, "packer", "build", "packer.pkr.hcl")[1]),
        lambda: note("cold", run(folder, "goldsmith", "build", NAME, "--force")[1]),
        lambda: change(folder),
        lambda: note("changed", run(folder, "goldsmith", "build", NAME)[1]),
        lambda: note("nothing", run(folder, "goldsmith", "build", NAME)[1]),
    ]
    disk = ("goldsmith", "build", NAME, "--target", "qemu", "--force", "--engine")
    # The base is made before anything is measured.
    run(folder, str(ROOT / "packer/base-image.sh"), "debian:bookworm", "goldsmith/base:debian-bookworm")
    for _ in range(runs):
        for step in changes:
            step()
    for _ in range(disk_runs):
        for engine in ("tree", "vm"):
            made, whole = run(folder, *disk, engine, until="booting it")
            note(engine, made)
            note(f"{engine} + boot", whole)
    return times


def change(folder: Path) -> None:
    with (folder / "roles/nginx/tasks/main.yml").open("a") as tasks:
        tasks.write("# changed\n")


def clean(folder: Path) -> None:
    for record in folder.rglob(stages.FILE):
        stages.forget(stages.load(record)[1])
    subprocess.run(["docker", "rmi", "--force", f"{PEER}:latest"], capture_output=True, check=False)
    for image in subprocess.run(
        ["docker", "images", "--quiet", f"goldsmith/{NAME}"], capture_output=True, text=True, check=True
    ).stdout.split():
        subprocess.run(["docker", "rmi", "--force", image], capture_output=True, check=False)


def rows(times: Times) -> list[dict[str, object]]:
    """A row for each thing that has a target."""
    medians = {what: statistics.median(seconds) for what, seconds in times.items()}
    found: list[dict[str, object]] = [
        {"what": what, "against": other, "ratio": round(medians[what] / medians[other], 3), "at_most": most}
        for what, other, most in TARGETS
        if what in medians and other in medians
    ]
    return [*found, {"what": "nothing", "against": "", "ratio": round(medians["nothing"], 3), "at_most": NOTHING}]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3, help="of each that is no disk (default: 3)")
    parser.add_argument("--disk-runs", type=int, default=3, help="of each that is a disk (default: 3)")
    parser.add_argument("--json", action="store_true", help="JSON on standard output")
    given = parser.parse_args()
    docker.version()
    with tempfile.TemporaryDirectory(prefix="goldsmith-benchmark-") as name:
        folder = project(Path(name) / "web")
        try:
            times = measure(folder, given.runs, given.disk_runs)
        finally:
            clean(folder)
    found = rows(times)
    if given.json:
        print(json.dumps({"seconds": times, "ratios": found}, indent=2))
    else:
        print("| | median | fastest | slowest |\n|---|---|---|---|")
        for what, seconds in times.items():
            print(f"| {what} | {statistics.median(seconds):.1f} s | {min(seconds):.1f} s | {max(seconds):.1f} s |")
        print("\n| | measured | at most |\n|---|---|---|")
        for row in found:
            of = f" / {row['against']}" if row["against"] else ", seconds"
            print(f"| {row['what']}{of} | {row['ratio']} | {row['at_most']} |")
    return 0 if all(row["ratio"] <= row["at_most"] for row in found) else 1  # type: ignore[operator]


if __name__ == "__main__":
    sys.exit(main())
