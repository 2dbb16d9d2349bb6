"""How long does a collection take inside a machine, against hashing its files alone? In one run, interleaved.

    python benchmarks/collect.py [--runs N] [--image IMAGE] [--packages NAME...] [--json]

The machine is a container of IMAGE with some packages more, so that it holds about 400 MB; all files lie in memory
already. Against each other, each measured inside the machine:

peer    find / -xdev -type f -print0 | xargs -0 sha256sum
every   a live collection with --no-cache
first   a live collection that finds no cache, and writes one
again   a live collection when nothing changed since the last

The collections run as `goldsmith collect` runs them, with all sections, and their manifests must be equal byte for
byte. Prints medians, the fastest and the slowest, and the ratios with their targets. Exit: 0 all targets are met,
1 one is not, or something failed.
"""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
import subprocess
import sys
import time

from goldsmith import collect, docker

PEER = "find / -xdev -type f -print0 | xargs -0 sha256sum"
TARGETS = [("every", "peer", 1.3), ("first", "peer", 1.3), ("again", "peer", 0.35)]
"""What is measured, against what, and the ratio that it may have at most."""
PACKAGES = ["git", "vim-nox", "nginx"]
SETTLED = 60
"""Seconds since its last change after which a file is kept in the cache."""
Times = dict[str, list[float]]


class Machine:
    """A container that is removed at the end."""

    def __init__(self, image: str) -> None:
        owner = f"--label={docker.OWNER}=benchmark"
        command = ["docker", "run", "--detach", owner, "--tmpfs=/run", "--tmpfs=/tmp", image, "sleep", "infinity"]
        self.name = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    def __call__(self, script: str, stdin: bytes = b"") -> str:
        command = ["docker", "exec", "--interactive", self.name, "sh", "-c", script]
        done = subprocess.run(command, input=stdin, capture_output=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"{script} ended with {done.returncode}\n{done.stderr.decode(errors='replace')[-3000:]}")
        return done.stdout.decode()

    def seconds(self, script: str, output: str) -> float:
        """How long it takes, measured in the machine."""
        started, ended = self(f"date +%s%N; ({script}) >{output}; date +%s%N").split()
        return (int(ended) - int(started)) / 1e9

    def remove(self) -> None:
        subprocess.run(["docker", "rm", "--force", self.name], capture_output=True, check=False)


def prepare(machine: Machine, packages: list[str]) -> dict[str, int]:
    """Make the machine what is measured; what it holds."""
    if packages:
        names = shlex.join(packages)
        install = "DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends"
        machine(f"apt-get -qq update && {install} {names}")
    # A collection does not read these, and the peer should not have to.
    machine("rm -rf /var/lib/apt/lists/* /var/cache/* /var/log/*")
    machine("cat >/run/collector", collect.sent())
    while machine(f"find / -xdev -type f -newerct '{SETTLED} seconds ago' -print -quit"):
        time.sleep(2)
    sizes = [int(size) for size in machine("find / -xdev -type f -printf '%s\\n'").split()]
    return {"files": len(sizes), "megabytes": sum(sizes) // 10**6}


def measure(machine: Machine, runs: int) -> Times:
    """Seconds of each, `runs` times, one after the other; the first time, which brings files to memory, is left out."""
    collector = shlex.join(collect.collector_argv("python3", "--root", "/", "--scope", "live")) + " </run/collector"
    no_cache = collector.replace(" </run", " --no-cache </run")
    times: Times = {}
    for number in range(runs + 1):
        seconds = {"peer": machine.seconds(PEER, "/dev/null"), "every": machine.seconds(no_cache, "/run/every")}
        machine("rm -rf /run/goldsmith")
        seconds["first"] = machine.seconds(collector, "/run/first")
        seconds["again"] = machine.seconds(collector, "/run/again")
        machine("cmp /run/every /run/first && cmp /run/every /run/again")
        if number:
            for what, each in seconds.items():
                times.setdefault(what, []).append(each)
            print("  " + "  ".join(f"{what} {each:.2f} s" for what, each in seconds.items()), file=sys.stderr)
    return times


def rows(times: Times) -> list[dict[str, object]]:
    """A row for each target. The ratio is the median of those of each time: all of one had the same neighbours."""
    found: list[dict[str, object]] = []
    for what, other, most in TARGETS:
        ratios = [one / two for one, two in zip(times[what], times[other], strict=True)]
        spread = {"ratio": statistics.median(ratios), "least": min(ratios), "most": max(ratios)}
        found.append(
            {"what": what, "against": other, **{key: round(each, 3) for key, each in spread.items()}, "at_most": most}
        )
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=9, help="of each (default: 9)")
    parser.add_argument("--image", default="goldsmith/base:debian-bookworm", help="(default: %(default)s)")
    parser.add_argument(
        "--packages", nargs="*", default=PACKAGES, help=f"more packages (default: {' '.join(PACKAGES)})"
    )
    parser.add_argument("--json", action="store_true", help="JSON on standard output")
    given = parser.parse_args()
    docker.version()
    machine = Machine(given.image)
    try:
        holds = prepare(machine, given.packages)
        times = measure(machine, given.runs)
    finally:
        machine.remove()
    found = rows(times)
    if given.json:
        print(json.dumps({"holds": holds, "seconds": times, "ratios": found}, indent=2))
    else:
        print(f"{holds['files']} files, {holds['megabytes']} MB\n\n| | median | fastest | slowest |\n|---|---|---|---|")
        for what, seconds in times.items():
            print(f"| {what} | {statistics.median(seconds):.2f} s | {min(seconds):.2f} s | {max(seconds):.2f} s |")
        print("\n| | median | least | most | at most |\n|---|---|---|---|---|")
        for row in found:
            spread = f"{row['ratio']} | {row['least']} | {row['most']}"
            print(f"| {row['what']} / {row['against']} | {spread} | {row['at_most']} |")
    return 0 if all(row["ratio"] <= row["at_most"] for row in found) else 1  # type: ignore[operator]


if __name__ == "__main__":
    sys.exit(main())
