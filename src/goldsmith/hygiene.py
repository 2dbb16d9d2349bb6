"""Hygiene: an image must hold nothing that belongs to the machine of its build, to one machine, or to nobody else.

`judge` is pure: a tree and waivers → a verdict. It works alike on a Docker image's archive, the root of a disk in a
folder, and a tar of a root file system. What offends is in hygiene_rules.
"""

from __future__ import annotations

import base64
import hashlib
import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from goldsmith import at_rest, collect, tree
from goldsmith import hygiene_rules as rules
from goldsmith.errors import GoldsmithError
from goldsmith.hygiene_rules import CHECKS
from goldsmith.tree import File, Tree
from goldsmith.words import visible

if TYPE_CHECKING:
    from goldsmith.plan import Plan
    from goldsmith.policy import Waiver
    from goldsmith.progress import Progress

SCHEMA = "goldsmith.hygiene/1"


class UncleanError(GoldsmithError):
    """An image holds what it must not, and no waiver says why."""

    exit_code = 3


@dataclass(frozen=True)
class Offence:
    """One thing that must not be there. `path` may be one of a Docker image's settings: env:NAME, history:N."""

    check: str
    path: str
    what: str

    def to_json(self) -> dict[str, str]:
        """The form of `goldsmith hygiene --json`."""
        return {"check": self.check, "path": self.path, "what": self.what, "do": CHECKS[self.check].do}


@dataclass(frozen=True)
class Verdict:
    """What was found: offences, those with the waiver that says why they may be there, and waivers of no use."""

    offences: tuple[Offence, ...] = ()
    waived: tuple[tuple[Offence, Waiver], ...] = ()
    unused: tuple[Waiver, ...] = ()

    @property
    def clean(self) -> bool:
        return not self.offences

    def to_json(self) -> dict[str, Any]:
        """The form of `goldsmith hygiene --json`."""
        return {
            "schema": SCHEMA,
            "clean": self.clean,
            "checks": list(CHECKS),
            "offences": [offence.to_json() for offence in self.offences],
            "waived": [{**offence.to_json(), "reason": waiver.reason} for offence, waiver in self.waived],
            "unused_waivers": [waiver.model_dump() for waiver in self.unused],
        }

    def lines(self) -> Iterator[str]:
        """The offences for people: under each check its paths, then what to do."""
        for name, check in CHECKS.items():
            found = [offence for offence in self.offences if offence.check == name]
            if found:
                yield f"{name}: {check.what}"
                yield from (f"  {visible(offence.path)}: {offence.what}" for offence in found)
                yield f"  do: {check.do}"

    def notes(self) -> Iterator[str]:
        """What is waived, for people."""
        for offence, waiver in self.waived:
            yield f"waived: {offence.check} {visible(offence.path)}: {waiver.reason}"


def inspect(target: collect.Target, waivers: Sequence[Waiver] = ()) -> Verdict:
    """The verdict on a target that is at rest (at_rest.KINDS).

    Raises:
        UsageError: it is not there, or is no system.
        GoldsmithError: not all of it can be read.
    """
    readers = {"folder": tree.of_folder, "tar": tree.of_tar, "docker-archive": tree.of_docker_archive}
    with at_rest.opened(target.kind, target.name) as system, readers[system.form](system.path) as found:
        return judge(found, waivers)


Searched = dict[File, str]
"""What of a secret is in a file by its form alone (hygiene_rules.found_in)."""


def search(files: Iterable[File]) -> Searched:
    """Look into files, as `judge` does otherwise."""
    return {file: rules.found_in(file.read(), file.path) for file in files if _to_be_searched(file)}


def judge(system: Tree, waivers: Sequence[Waiver] = (), searched: Searched | None = None) -> Verdict:
    """Everything in a tree that a check forbids, each once, in the checks' order and then by path. What is `searched`
    is not looked into again."""
    found: dict[tuple[str, str], Offence] = {}
    for offence in _offences(system, searched or {}):
        # Several layers may hold it. What a machine would have comes first.
        found.setdefault((offence.check, offence.path), offence)
    order = list(CHECKS)
    offences, waived = [], []
    for offence in sorted(found.values(), key=lambda each: (order.index(each.check), each.path)):
        waiver = waiver_of(offence, waivers)
        if waiver is None:
            offences.append(offence)
        else:
            waived.append((offence, waiver))
    used = [waiver for _, waiver in waived]
    return Verdict(tuple(offences), tuple(waived), tuple(waiver for waiver in waivers if waiver not in used))


def waiver_of(offence: Offence, waivers: Sequence[Waiver]) -> Waiver | None:
    """The first waiver that fits an offence."""
    return next((waiver for waiver in waivers if waiver.fits(offence.check, offence.path)), None)


def demand(found: Verdict, what: str, *, sealed: bool) -> None:
    """Let only a clean image pass. `what` was done to it; `sealed`: the role seal ran.

    Raises:
        UncleanError: it is not; the message names each offence and what to do.
    """
    if found.clean:
        return
    count = f"{len(found.offences)} offence{'' if len(found.offences) == 1 else 's'}"
    waive = "or waive it with a reason, under `hygiene:` in the policy (docs/hygiene.md)"
    if sealed:
        hint = f"the role seal ran, so this was written after it or is not its to take: see to that, {waive}"
    else:
        hint = f"apply the role goldsmith.core.seal last, {waive}"
    text = "\n".join(f"  {line}" for line in found.lines())
    raise UncleanError(f"{what} failed: the image is not clean, {count}\n{text}", hint=hint)


def look(system: Tree, plan: Plan, progress: Progress, *, sealed: bool, searched: Searched | None = None) -> Verdict:
    """Judge what a build made, and say what is waived.

    Raises:
        UncleanError: it is not clean.
    """
    progress.say("  looking for what must not be in an image")
    verdict = judge(system, plan.waivers, searched)
    demand(verdict, f'building "{plan.name}"', sealed=sealed)
    for line in verdict.notes():
        progress.say(f"  {line}")
    for waiver in verdict.unused:
        progress.say(f"  unused waiver: {waiver}")
    return verdict


def _offences(system: Tree, searched: Searched) -> Iterator[Offence]:
    patterns = [(re.compile(rule.path, re.DOTALL), rule) for rule in (*rules.RULES, *rules.builders(system))]
    published = _Published(system)
    for file in system.files.values():
        yield from _of_file(file, patterns, published, searched)
    for file in system.hidden:
        for offence in _of_file(file, patterns, published, searched):
            if CHECKS[offence.check].in_bytes:
                still = "a later layer takes it away, but whoever has the image can read it: make that layer without it"
                yield Offence(offence.check, offence.path, f"{offence.what}, in {file.layer}: {still}")
    yield from _of_settings(system.settings)


def _of_file(
    file: File, patterns: list[tuple[re.Pattern[str], rules.Rule]], published: _Published, searched: Searched
) -> Iterator[Offence]:
    is_file = file.kind == "file" and file.size > 0
    found = []
    if not rules.PACKAGED.match(file.path):
        for pattern, rule in patterns:
            named = (is_file or (rule.links and file.kind == "link")) and pattern.fullmatch(file.path)
            if named and (not rule.says or rule.fits(file.read())):
                found.append(Offence(rule.check, file.path, rule.what))
    if _to_be_searched(file) and not any(each.check == "ssh-host-keys" for each in found):
        secret = searched[file] if file in searched else rules.found_in(file.read(), file.path)
        if secret:
            found.append(Offence("secrets", file.path, secret))
    for offence in found:
        if offence.check != "secrets" or not published.has(file):
            yield offence


def _to_be_searched(file: File) -> bool:
    return file.kind == "file" and 0 < file.size <= rules.SEARCHED


def _of_settings(settings: dict[str, str]) -> Iterator[Offence]:
    """What a Docker image's configuration says to everybody who has the image."""
    for path, value in settings.items():
        kind, _, name = path.partition(":")
        text = value if kind == "history" else f"{name}={value}"
        if rules.PROXY_SETTING.search(text):
            yield Offence("build-leftovers", path, "a proxy in the image's configuration")
        found = rules.SECRET_SETTING.search(text)
        if found and not (kind == "history" and f"env:{found['name']}" in settings):
            yield Offence("secrets", path, f"{found['name']} in the image's configuration")
        elif rules.CREDENTIALS_IN_URL.search(text):
            yield Offence("secrets", path, "a password in an address, in the image's configuration")


_BYTECODE = re.compile(r"(?P<folder>.*/)__pycache__/(?P<name>[^/]+)\.cpython-\d+(?:\.opt-\d)?\.pyc")


class _Published:
    """What a Debian or Python package brought is no secret: everybody has it. Test keys in libraries, for example."""

    def __init__(self, system: Tree) -> None:
        self._system = system
        self._known: set[tuple[str, str]] | None = None

    def has(self, file: File) -> bool:
        """Whether a package's own list has a file of this path with this content; or the source of this bytecode."""
        if file.size > tree.LARGEST:
            return False
        compiled = _BYTECODE.fullmatch(file.path)
        source = self._system.files.get(f"{compiled['folder']}{compiled['name']}.py") if compiled else None
        if source is not None:
            file = source
        content = file.read()
        if self._known is None:
            self._known = {each for file in self._system.everything() for each in _listed(file)}
        return bool({(file.path, _md5(content)), (file.path, _sha256(content))} & self._known)


def _listed(file: File) -> Iterator[tuple[str, str]]:
    """(path, digest) of all that a package's list names."""
    if file.kind != "file":
        return
    if file.path.startswith("/var/lib/dpkg/info/") and file.path.endswith(".md5sums"):
        for line in file.read().decode(errors="surrogateescape").splitlines():
            digest, _, name = line.partition("  ")
            yield f"/{name}", digest
            yield f"/usr/{name}", digest  # since /lib is /usr/lib
    elif file.path.endswith(".dist-info/RECORD"):
        folder = posixpath.dirname(posixpath.dirname(file.path))
        for line in file.read().decode(errors="surrogateescape").splitlines():
            name, _, rest = line.strip().rpartition(",")[0].rpartition(",")
            yield posixpath.normpath(f"{folder}/{name}"), rest


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _sha256(content: bytes) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
