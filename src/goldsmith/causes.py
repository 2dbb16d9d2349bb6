"""Why machines differ: differences grouped by what brought them, one line for each. Pure.

A package brings its files, units and users; a unit its file and links; a user its group and home; a file the settings
that are read from it. Where none of that fits, a thing is its own cause: it is not guessed into another's.
"""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from goldsmith import cause_words
from goldsmith.cause_words import Thing, Things
from goldsmith.compare import Difference

KINDS = (
    *("package", "library", "unit", "user", "group", "alternative", "fact"),
    *("altered", "folder", "owners", "file", "records", "accounts", "identity"),
)
"""The kinds of causes, in the order in which they are told."""

Name = tuple[str, str]
"""Of a cause: (kind, name)."""

_PACKAGE_INFO = re.compile(r"/var/lib/dpkg/info/(?P<full>(?P<name>[^/:]+)(?::[^/.]+)?)\.[a-z0-9]+")
_LIBRARY = re.compile(r"(?P<folder>.*/(?:site|dist)-packages)/(?P<name>[^/]+)")
_LIBRARY_ENDS = re.compile(r"(-\d[^/]*\.(dist|egg)-info|\.libs|\.py|\.pth)$")
_UNIT_NAME = r"[^/]+\.(?:service|socket|timer|target|mount|automount|path|slice|swap)"
_UNIT = re.compile(
    r"/(?:etc|(?:usr/)?lib|usr/local/lib)/systemd/(?:system|user)/"
    rf"(?:({_UNIT_NAME})|({_UNIT_NAME})\.d(?:/.*)?|[^/]+\.(?:wants|requires)/({_UNIT_NAME}))"
)
_HELPER = re.compile(r"/var/lib/systemd/deb-systemd-helper-(?:enabled|masked)/(?:.*/)?([^/]+?)(?:\.dsh-also)?")
_RUN_LEVEL = re.compile(r"/etc/rc[0-6S]\.d/[SK]\d\d(?P<name>[^/]+)")
_ALTERNATIVE = re.compile(r"/(?:etc|var/lib/dpkg)/alternatives/(?P<name>[^/]+?)(?:\.\d\w*\.gz)?")
_BYTE_CODE = re.compile(r"(?P<folder>.*)/__pycache__(?:/(?P<name>[^/]+?)\.[\w-]+(?:\.opt-\d)?\.pyc)?")
_INITRD = re.compile(r"/boot/initrd\.img-(?P<version>.+)")
_ACCOUNTS = re.compile(r"/etc/(passwd|group|shadow|gshadow|subuid|subgid)-?|/var/backups/(passwd|group|g?shadow)\.bak")
_RECORDS = re.compile(
    r"/var/lib/dpkg/(?:(?:status|available|diversions|statoverride)(?:-old)?|triggers/.*)"
    r"|/var/lib/apt/extended_states|/var/lib/ucf(?:/.*)?|/var/lib/systemd/deb-systemd-helper-.*"
    r"|/etc/ld\.so\.cache|/usr/share/info/dir(?:\.old)?|/etc/mailcap|/usr/share/applications/mimeinfo\.cache"
)
_PATH = re.compile(r"(?:^| )(/[^\s:]+)")

_AUTHORITIES = "/etc/ssl/certs/"
_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
_AUTHORITIES_CHOSEN = ("/etc/ca-certificates.conf", "/etc/ca-certificates/", "/usr/local/share/ca-certificates/")
"""What update-ca-certificates writes, and what it reads beside its package."""

_READ_FROM = {
    "sudo": ("/etc/sudoers",),
    "mounts": ("/etc/fstab",),
    "modules": ("/etc/modprobe.d/", "/etc/modules-load.d/", "/etc/modules", "/etc/initramfs-tools/modules"),
    "pam": ("/etc/pam.d/",),
    "locale": ("/etc/default/locale", "/etc/locale", "/etc/localtime", "/etc/timezone", "/etc/default/keyboard"),
    "environment": ("/etc/environment", "/etc/profile", "/etc/bash.bashrc"),
    "linker": ("/etc/ld.so.",),
    "certificates": ("/etc/ssl/certs/", "/etc/ca-certificates", "/usr/local/share/ca-certificates/"),
    "kernel": ("/etc/default/grub", "/etc/kernel/cmdline"),
}
"""Sections of settings, and how the paths begin that they are read from, where their facts don't say it."""

_FEW = 3
"""So many paths that only changed hands are told one by one."""
_HANDS = frozenset({"owner", "group", "mode"})


@dataclass(frozen=True)
class Cause:
    """What brought some differences.

    `what` names it in words that a person acts on: "package nginx 1.22.1-9 → 1.22.1-9+deb12u1"; `brings` counts what
    else came with it: "12 files, 1 unit".
    """

    kind: str
    name: str
    what: str
    brings: str
    differences: tuple[Difference, ...]

    @property
    def line(self) -> str:
        """Both in one."""
        return f"{self.what}: {self.brings}" if self.brings else self.what

    @property
    def paths(self) -> tuple[str, ...]:
        """The files among its differences, each once."""
        return tuple(dict.fromkeys(each.key for each in self.differences if each.section == "files"))


def group(differences: Iterable[Difference]) -> tuple[Cause, ...]:
    """The causes of differences. Each difference has exactly one; all of one thing have the same."""
    sorting = _Sorting(differences)
    for step in (
        *(sorting.packages, sorting.libraries, sorting.units, sorting.accounts, sorting.alternatives),
        *(sorting.neighbours, sorting.authorities, sorting.settings, sorting.records),
        *(sorting.altered, sorting.hands, sorting.rest),
    ):
        step()
    return tuple(sorting.causes())


class _Sorting:
    """Gives each thing that differs its cause, step by step; what has one keeps it."""

    def __init__(self, differences: Iterable[Difference]) -> None:
        self.things: Things = {}
        self.keys: dict[str, list[str]] = {}
        for each in sorted(differences, key=lambda each: (each.section, each.key, each.attribute or "")):
            if (each.section, each.key) not in self.things:
                self.keys.setdefault(each.section, []).append(each.key)
            self.things.setdefault((each.section, each.key), []).append(each)
        self.cause: dict[Thing, Name] = {}

    def left(self, section: str) -> list[str]:
        """The things of a section that have no cause yet."""
        return [key for key in self.keys.get(section, ()) if (section, key) not in self.cause]

    def give(self, section: str, key: str, cause: Name | None) -> None:
        if cause and (section, key) in self.things:
            self.cause.setdefault((section, key), cause)

    def of(self, path: str) -> Name | None:
        """The cause of a path, if it differs and has one."""
        return self.cause.get(("files", path))

    def about(self, section: str, key: str, name: str) -> tuple[str, ...]:
        found = self.things.get((section, key))
        return found[0].about.get(name, ()) if found else ()

    def side(self, section: str, key: str) -> str:
        """only_a or only_b, where only one side has the thing."""
        return cause_words.side(self.things.get((section, key), []))

    def causes(self) -> Iterator[Cause]:
        found: dict[Name, Things] = {}
        for thing, differences in self.things.items():
            found.setdefault(self.cause[thing], {})[thing] = differences
        for kind, name in sorted(found, key=lambda cause: (KINDS.index(cause[0]), cause[1])):
            things = found[kind, name]
            anchors = cause_words.anchors(kind, name, things)
            others = [thing for thing in things if thing not in anchors]
            yield Cause(
                kind,
                name,
                cause_words.headline(kind, name, things),
                cause_words.counted(others),
                tuple(each for thing in (*anchors, *others) for each in things[thing]),
            )

    def packages(self) -> None:
        for key in self.left("packages"):
            self.give("packages", key, ("package", key))
            self.give("apt", f"hold {key}", ("package", key))
        for path in self.left("files"):
            info = _PACKAGE_INFO.fullmatch(path)
            for package in (*self.about("files", path, "package"), *(info.groups() if info else ())):
                if ("packages", package) in self.things:
                    self.give("files", path, ("package", package))

    def libraries(self) -> None:
        """A distribution has the paths beside it that bear its name; where a package brings those, it has it too."""
        beside: dict[str, list[str]] = {}
        for path in self.keys.get("files", ()):
            top = _LIBRARY.match(path)
            if top:
                name = re.sub(r"[-_.]+", "-", _LIBRARY_ENDS.sub("", top["name"])).lower()
                beside.setdefault(f"{top['folder']}/{name}", []).append(path)
        for key in self.left("libraries"):
            brought = {self.of(path) for path in beside.get(key, ())}
            cause = (brought.pop() if len(brought) == 1 else None) or ("library", key)
            self.give("libraries", key, cause)
            for path in beside.get(key, ()):
                self.give("files", path, cause)

    def units(self) -> None:
        """A unit has its file, drop-ins, links and what runs of it, and all of that a package that brings the file."""
        things: dict[str, list[Thing]] = {}
        for path in self.keys.get("files", ()):
            match = _UNIT.fullmatch(path) or _HELPER.fullmatch(path)
            unit = next(filter(None, match.groups()), None) if match else self._of_run_level(path)
            if unit:
                things.setdefault(unit, []).append(("files", path))
        for section, keys in self.keys.items():
            for key in keys:
                if section in ("units", "runtime.units"):
                    things.setdefault(key, []).append((section, key))
                for unit in self.about(section, key, "unit") if section.startswith("runtime.") else ():
                    things.setdefault(unit, []).append((section, key))
        for unit, all_of_it in things.items():
            paths = [key for section, key in all_of_it if section == "files"]
            aliased = [target for path in paths for target in self._targets(path)]
            known = (self.of(path) for path in (*paths, *self.about("units", unit, "path"), *aliased))
            cause = next((each for each in known if each), ("unit", unit))
            for thing in all_of_it:
                self.give(*thing, cause)

    def _of_run_level(self, path: str) -> str | None:
        """The unit that differs, of a link that systemctl keeps for it where it is an init script's, too."""
        match = _RUN_LEVEL.fullmatch(path)
        unit = f"{match['name']}.service" if match else ""
        return unit if ("units", unit) in self.things else None

    def accounts(self) -> None:
        """A user or group comes with a package that brings files of its, or that it is named after; else by itself."""
        owned = self._owned()
        for section, kind in (("users", "user"), ("groups", "group")):
            for key in self.left(section):
                cause = self.cause.get(("users", key)) or self._of_members(key)
                if not cause and self.side(section, key):
                    cause = owned[key].most_common(1)[0][0] if key in owned else self._package_named(section, key)
                self.give(section, key, cause or (kind, key))
        for key in self.keys.get("users", ()):
            if self.side("users", key):
                self._home(key)

    def _owned(self) -> dict[str, Counter[Name]]:
        """Owner or group -> the packages that bring files of theirs to one side, and how many."""
        found: dict[str, Counter[Name]] = {}
        for path in self.keys.get("files", ()):
            cause = self.of(path)
            if cause and cause[0] == "package" and self.side("files", path):
                whole = cause_words.whole(self.things["files", path])
                for name in {whole.get("owner", ""), whole.get("group", "")}:
                    found.setdefault(name, Counter())[cause] += 1
        return found

    def _home(self, user: str) -> None:
        """What a user who is on one side only has there: home, mail, jobs, keys."""
        cause = self.cause["users", user]
        home = cause_words.whole(self.things["users", user]).get("home", "")
        for path in (home, f"/var/mail/{user}", f"/var/spool/cron/crontabs/{user}"):
            self.give("files", path, cause)
        for key in self.left("ssh_keys"):
            if key.startswith(f"{user} "):
                self.give("ssh_keys", key, cause)

    def _package_named(self, section: str, key: str) -> Name | None:
        """The package on the same side that a user or group is named after: chrony has _chrony."""
        package = key.strip("_")
        here = self.side("packages", package)
        return ("package", package) if here and here == self.side(section, key) else None

    def _of_members(self, name: str) -> Name | None:
        """The cause of the users who came into a group or left it."""
        names = {
            member
            for each in self.things.get(("groups", name), ())
            if each.attribute == "members"
            for member in set(each.a or ()) ^ set(each.b or ())
        }
        found = {self.cause.get(("users", each)) for each in names}
        return found.pop() if len(found) == 1 else None

    def alternatives(self) -> None:
        for path in self.left("files"):
            match = _ALTERNATIVE.fullmatch(path)
            if match:
                link = f"/etc/alternatives/{match['name']}"
                targets = (self.of(each) for each in (*self.about("files", path, "target"), link))
                self.give("files", path, next(filter(None, targets), ("alternative", match["name"])))
        for key in self.left("alternatives"):
            self.give("alternatives", key, self.of(f"/etc/alternatives/{key}") or ("alternative", key))

    def neighbours(self) -> None:
        """What a path's cause says of those that hang on it: byte code, links to it, and what lies in its folder."""
        for path in self.left("files"):
            self.give("files", path, next(filter(None, map(self.of, self._origins(path))), None))
        for path in self.left("files"):
            parent = posixpath.dirname(path)
            side = self.side("files", path)
            if side and side == self.side("files", parent):
                self.give("files", path, self.of(parent))
        inside: dict[str, set[Name | None]] = {}
        for path in reversed(self.keys.get("files", ())):
            causes = inside.get(path, {None})
            if self.side("files", path) and None not in causes:
                self.give("files", path, min(filter(None, causes)))
            inside.setdefault(posixpath.dirname(path), set()).add(self.of(path))

    def _origins(self, path: str) -> Iterator[str]:
        code, initrd = _BYTE_CODE.fullmatch(path), _INITRD.fullmatch(path)
        if code:
            yield f"{code['folder']}/{code['name']}.py" if code["name"] else code["folder"]
        if initrd:
            yield f"/boot/vmlinuz-{initrd['version']}"
        yield from self._targets(path)

    def _targets(self, path: str) -> Iterator[str]:
        """Where a link leads that only one side has."""
        for target in self.about("files", path, "target") if self.side("files", path) else ():
            real = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
            yield from (real, f"/usr{real}")

    def authorities(self) -> None:
        """What is chosen for trust, in one file or by the package, brings what update-ca-certificates makes of it.

        Of several files each brings the links to it, and what is made of all of them has the rest.
        """
        chosen = [
            path
            for path in self.keys.get("files", ())
            if path.startswith(_AUTHORITIES_CHOSEN) and "directory" not in self.about("files", path, "type")
        ]
        if not chosen:
            return
        package = self.cause.get(("packages", "ca-certificates"))
        for path in chosen:
            self.give("files", path, package or ("file", path))
        made = [path for path in self.left("files") if path.startswith(_AUTHORITIES)]
        # Twice: a link named by its hash leads to one that is named by its file.
        for path in (*made, *made):
            self.give("files", path, next(filter(None, map(self.of, self._targets(path))), None))
        self.give("files", _BUNDLE, self.of(chosen[0]) if len(chosen) == 1 else package or ("file", _BUNDLE))
        for section, keys in (("files", made), ("certificates", self.left("certificates"))):
            for key in keys:
                self.give(section, key, self.of(_BUNDLE))

    def settings(self) -> None:
        """A setting has the cause of the file that it is read from, or of the same setting at rest."""
        for at_rest in (True, False):
            for section, keys in self.keys.items():
                if section in ("files", "identity") or section.startswith("runtime.") is at_rest:
                    continue
                for key in keys:
                    if (section, key) not in self.cause:
                        self.give(section, key, self._of_setting(section, key))

    def _of_setting(self, section: str, key: str) -> Name:
        same = self.cause.get((section.removeprefix("runtime."), key))
        if same:
            return same
        if section == "runtime.processes" and (listens := self._socket_of(key)):
            return "fact", f"runtime.sockets {listens}"
        said = (*self.about(section, key, "path"), *self.about(section, key, "image"), *_PATH.findall(key))
        places = [each for each in said if ("files", each) in self.things]
        if not places and section in _READ_FROM:
            starts = _READ_FROM[section]
            places = [path for path in self.keys.get("files", ()) if path.startswith(starts)]
            named = [path for path in places if posixpath.basename(path) == key]
            places = named or (places if len(places) == 1 else [])
        if not places:
            return "fact", f"{section} {key}"
        self.give("files", places[0], ("file", places[0]))
        return self.cause["files", places[0]]

    def _socket_of(self, program: str) -> str | None:
        """A socket on the same side on which a program listens that is of no unit."""
        for key in self.left("runtime.sockets") if self.side("runtime.processes", program) else ():
            here = cause_words.whole(self.things["runtime.sockets", key])
            listens = posixpath.basename(program) in here.get("program", "").split(", ")
            of_unit = not here.get("unit", ".slice").endswith(".slice")
            if listens and not of_unit and self.side("runtime.sockets", key) == self.side("runtime.processes", program):
                return key
        return None

    def records(self) -> None:
        """What is kept of accounts and packages has their cause, where they have only one."""
        accounts = {self.cause[thing] for thing in self.things if thing[0] in ("users", "groups")}
        packages = {cause for cause in self.cause.values() if cause[0] == "package"}
        for pattern, causes, together in (
            (_ACCOUNTS, accounts, ("accounts", "")),
            (_RECORDS, packages, ("records", "")),
        ):
            for path in self.left("files") if causes else ():
                if pattern.fullmatch(path):
                    self.give("files", path, next(iter(causes)) if len(causes) == 1 else together)

    def altered(self) -> None:
        """Several files of a package whose version is the same."""
        packages: dict[str, list[str]] = {}
        for path in self.left("files"):
            for package in self.about("files", path, "package")[:1]:
                packages.setdefault(package, []).append(path)
        for package, paths in packages.items():
            for path in paths if len(paths) > 1 else ():
                self.give("files", path, ("altered", package))

    def hands(self) -> None:
        """Many paths that have the same new owner, group or mode."""
        changed: dict[str, list[str]] = {}
        for path in self.left("files"):
            differences = self.things["files", path]
            if _HANDS.issuperset(each.attribute or "" for each in differences):
                changed.setdefault(cause_words.changes(differences), []).append(path)
        for change, paths in changed.items():
            for path in paths if len(paths) > _FEW else ():
                self.give("files", path, ("owners", change))

    def rest(self) -> None:
        """A folder that one side lacks, with all that is in it; any other thing by itself."""
        for path in self.left("files"):
            parent = posixpath.dirname(path)
            above = self.of(parent)
            side = self.side("files", path)
            folder = bool(side) and cause_words.whole(self.things["files", path]).get("type") == "directory"
            inside = above and above[0] == "folder" and side and side == self.side("files", parent)
            self.give("files", path, above if inside else ("folder" if folder else "file", path))
        for key in self.left("identity"):
            self.give("identity", key, ("identity", key))
