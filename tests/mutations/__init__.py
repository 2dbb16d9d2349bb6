"""Single changes of a live host that a look at it must name: one file each, beside this one.

    what: somebody may do everything by sudo
    section: sudo
    apply: echo 'guest ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/zz-guest
    undo: rm /etc/sudoers.d/zz-guest
    named: [sudo guest, files /etc/sudoers.d/zz-guest]
    causes: [file /etc/sudoers.d/zz-guest only on B]

`apply` and `undo` are shell scripts that root runs on the host; they stop at the first command that fails, and may
call what PRELUDE defines. With `privileged: true` they have rights that a container's root lacks. `named` is what must
be found, each as `section key` or, of a thing that both sides have, `section key attribute`. `causes` are all lines
that a person is told, and no others: A is the reference, B the host. `*` stands for any text in them, for what is
another on each host.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from goldsmith.compare import Difference

FOLDER = Path(__file__).parent
NOT_IN_A_CONTAINER = {
    "runtime.swaps": "the kernel's own; tests/unit/test_collector_runtime_facts.py",
    "runtime.kernel": "the kernel's own; its next command line: kernel-command-line.yml",
    "runtime.modules": "the kernel's own; the next boot's: module-load.yml, module-blacklist.yml",
    "runtime.apparmor": "the kernel's own; tests/unit/test_collector_runtime_facts.py",
    "runtime.sysctl_kernel": "the kernel's own; of the next boot: sysctl-on-disk.yml, in force: sysctl-in-force.yml",
    "runtime.containers": "no engine runs in it; its settings: engine-settings.yml",
    "runtime.images": "no engine runs in it; its settings: engine-settings.yml",
}
"""Sections that no mutation here is of: why, and what stands for it."""
PRELUDE = """\
set -eu
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
# keep PATH...: for `restore`, which puts back what is gone or has changed. Of a folder only itself is kept.
keep() { tar --create --file=/tmp/kept.tar --absolute-names --no-recursion --xattrs --xattrs-include='*' --acls "$@"; }
restore() {
  tar --extract --file=/tmp/kept.tar --absolute-names --same-permissions --xattrs --xattrs-include='*' --acls
  rm /tmp/kept.tar
}
# flip_bit FILE OFFSET: the lowest one of that byte, in place.
flip_bit() {
  byte=$(od --address-radix=n --format=u1 --skip-bytes="$2" --read-bytes=1 "$1")
  printf "$(printf '\\\\%o' $((byte ^ 1)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}
# wait_until COMMAND...: until it succeeds, for 20 seconds at most.
wait_until() {
  for _ in $(seq 200); do
    if "$@"; then return; fi
    sleep 0.1
  done
  echo "waited in vain until $*" >&2
  return 1
}
# listens PORT: whether something does.
listens() { ss --no-header --listening --tcp --numeric "sport = :$1" | grep --quiet .; }
"""
"""What the scripts may call. /tmp is no part of a manifest."""


@dataclass(frozen=True)
class Mutation:
    """One file. `name` is the file's, without its end."""

    name: str
    what: str
    section: str
    apply: str
    undo: str
    named: tuple[str, ...]
    causes: tuple[str, ...]
    privileged: bool = False

    def wrong(self, differences: Iterable[Difference], told: Iterable[str]) -> list[str]:
        """What a look that found these differences, and told these causes, got wrong. Empty: nothing. Pure."""
        found = {words for each in differences for words in said(each)}
        lines = list(told)
        missed = [f"not named: {each}" for each in self.named if not any(fits(each, words) for words in found)]
        silent = [f"no such cause: {each}" for each in self.causes if not any(fits(each, line) for line in lines)]
        other = [f"another cause: {line}" for line in lines if not any(fits(each, line) for each in self.causes)]
        return missed + silent + other


def said(difference: Difference) -> tuple[str, ...]:
    """How a mutation may name a difference."""
    thing = f"{difference.section} {difference.key}"
    return (thing,) if difference.attribute is None else (f"{thing} {difference.attribute}",)


def fits(pattern: str, text: str) -> bool:
    """Whether a text is as written, where `*` stands for any."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), text, re.DOTALL) is not None


def load(path: Path) -> Mutation:
    """One mutation; ValueError where a key is missing, unknown, or of another kind."""
    content: dict[str, Any] = yaml.safe_load(path.read_text())
    texts, lists = ("what", "section", "apply", "undo"), ("named", "causes")
    right = (
        content.keys() - {"privileged"} == {*texts, *lists}
        and content.get("privileged", True) is True
        and all(isinstance(content[key], str) and content[key] for key in texts)
        and all(content[key] and all(isinstance(each, str) for each in content[key]) for key in lists)
    )
    if not right:
        raise ValueError(
            f"{path}: a mutation has {', '.join(texts)} as texts and {' and '.join(lists)} as lists of texts"
        )
    known: dict[str, Any] = {key: tuple(value) if key in lists else value for key, value in content.items()}
    return Mutation(path.stem, **known)


def every() -> list[Mutation]:
    """All mutations, by name."""
    return [load(path) for path in sorted(FOLDER.glob("*.yml"))]
