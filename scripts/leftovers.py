"""Ends every test run: fails if anything that it started is left, and lists what.

scripts/leftovers.py --before FILE   notes what is there already: a run that was killed is not this one's fault
scripts/leftovers.py [FILE]          fails if there is more than that
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

PREFIXES = ("goldsmith-", "packer-provisioner-ansible", "ansible-key", "ansible-local-", "packer-log")
VMS = Path(__file__).resolve().parents[1] / ".cache" / "vm"


def lines(*argv: str) -> list[str]:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.splitlines()


def containers() -> list[str]:
    form = "{{.Names}} of {{.CreatedAt}}"
    return [
        f"container {line}"
        for line in lines("docker", "ps", "-a", "--filter", "label=org.goldsmith.owner", "--format", form)
    ]


def images() -> list[str]:
    form = "{{.Repository}}:{{.Tag}}"
    found = lines("docker", "images", "--filter", "label=org.goldsmith.owner", "--format", form)
    ours = ("goldsmith-test/", "goldsmith/stage:")
    return [f"image {line}" for line in found if ":building-" in line or line.startswith(ours)]


def networks() -> list[str]:
    return [
        f"network {line}" for line in lines("docker", "network", "ls", "--filter", "label=org.goldsmith.owner", "-q")
    ]


def mounts() -> list[str]:
    return [
        f"mount {line.split()[1]}" for line in Path("/proc/mounts").read_text().splitlines() if "/goldsmith-" in line
    ]


def processes() -> list[str]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        if int(folder.name) in (os.getpid(), os.getppid()):
            continue
        try:
            argv = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        program = Path(argv[0]).name
        names = {program, *(Path(word).name for word in argv[1:2])}
        machine = program.startswith("qemu-system-") and any(
            word.startswith(("goldsmith-vm-", "guest=goldsmith-")) or "/.building-" in word for word in argv
        )
        if machine or names & {"packer", "ansible-playbook", "ansible-runner"}:
            found.append(f"process {folder.name}: {' '.join(argv)[:100]}")
    return found


def temporary_files() -> list[str]:
    folder = Path(tempfile.gettempdir())
    found = [path for path in sorted(folder.iterdir()) if path.name.startswith(PREFIXES)]
    # Of virtual machines nothing may be left but what the next ones start from.
    found += [path for path in sorted(VMS.glob("*/")) if not path.name.startswith("base-")]
    return [f"file {path}" for path in found]


def main(argv: list[str]) -> int:
    """Note what is there, or compare with what was."""
    found = [*containers(), *images(), *networks(), *mounts(), *processes(), *temporary_files()]
    if argv[:1] == ["--before"]:
        Path(argv[1]).write_text("".join(f"{what}\n" for what in found))
        print("".join(f"there before: {what}\n" for what in found), end="")
        return 0
    before = Path(argv[0]).read_text().splitlines() if argv else []
    left = [what for what in found if what not in before]
    print("\n".join(f"left behind: {what}" for what in left) or "nothing is left behind")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
