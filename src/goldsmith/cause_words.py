"""Causes in words: what one is called, and what it brings."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from goldsmith.compare import Difference
from goldsmith.words import say, short, visible

Thing = tuple[str, str]
"""What differs: (section, key)."""
Things = dict[Thing, list[Difference]]

_SECTION_OF = {
    "package": ("packages",),
    "library": ("libraries",),
    "unit": ("units", "runtime.units"),
    "user": ("users",),
    "group": ("groups",),
    "alternative": ("alternatives",),
    "identity": ("identity",),
    "file": ("files",),
    "folder": ("files",),
}
_NOUNS = {
    "files": ("file", "files"),
    "packages": ("package", "packages"),
    "libraries": ("library", "libraries"),
    "units": ("unit", "units"),
    "users": ("user", "users"),
    "groups": ("group", "groups"),
    "alternatives": ("alternative", "alternatives"),
    "certificates": ("authority", "authorities"),
    "ssh_keys": ("key that lets in", "keys that let in"),
    "runtime.sockets": ("listening socket", "listening sockets"),
    "runtime.processes": ("program left running", "programs left running"),
}
_TELLING = {"files": "where it runs what was replaced: ", "by": "", "shaped": "", "of": "of "}
"""Attributes of facts that are told where one side alone has the fact, and the words before them."""


def side(differences: Sequence[Difference]) -> str:
    """only_a or only_b where only one side has the thing; else empty."""
    return differences[0].kind if differences and differences[0].kind in ("only_a", "only_b") else ""


def whole(differences: Sequence[Difference]) -> dict[str, Any]:
    """All attributes of a thing that only one side has."""
    return (differences[0].a or differences[0].b or {}) if side(differences) else {}


def anchors(kind: str, name: str, things: Things) -> list[Thing]:
    """The things that the cause's own words speak of."""
    if kind == "fact":
        return [thing for thing in things if " ".join(thing) == name]
    return [(section, name) for section in _SECTION_OF.get(kind, ()) if (section, name) in things]


def headline(kind: str, name: str, things: Things) -> str:
    """What a cause is called."""
    own = [each for thing in anchors(kind, name, things) for each in things[thing]]
    shown = visible(name)
    below = _common([key for section, key in things if section == "files"])
    section, _space, key = shown.partition(" ")
    special = {
        "altered": f"package {shown} is the same on both, its files are not",
        "owners": f"{shown} below {visible(below)}",
        "records": "records of the packages above",
        "accounts": "files of the accounts above",
        "library": f"library {posixpath.basename(shown)}{_happened(own)}, in {posixpath.dirname(shown)}",
        "fact": f"{section.replace('_', ' ')} {key}{_happened(own)}{_telling(own)}",
        "identity": f"identity {shown}{_happened(own)}",
    }
    if kind in ("file", "folder"):
        return f"{_file(own)} {shown}{_package(own)}{_happened(own)}"
    return special.get(kind) or f"{kind} {shown}{_happened(own)}"


def changes(differences: Iterable[Difference]) -> str:
    """Attributes that changed: "owner root → www-data, mode 0644 → 0600"."""
    return ", ".join(_change(each) for each in differences if each.kind == "changed")


def counted(things: Iterable[Thing]) -> str:
    """What a cause brings: "12 files, 1 unit". What runs of a unit is not counted beside it."""
    all_of_it = set(things)
    counts: Counter[str] = Counter()
    for section, key in all_of_it:
        if section != "runtime.units":
            counts[section] += 1
        elif ("units", key) not in all_of_it:
            counts["units"] += 1
    known = list(_NOUNS)
    order = sorted(counts, key=lambda section: (known.index(section) if section in known else len(known), section))
    return ", ".join(_count(section, counts[section]) for section in order)


def _count(section: str, count: int) -> str:
    one, many = _NOUNS.get(section, (f"setting of {section}", f"settings of {section}"))
    return f"{count:,} {one if count == 1 else many}"


def _happened(own: Sequence[Difference]) -> str:
    """What befell the thing itself; empty when only what hangs on it changed."""
    only = side(own)
    if only:
        version = f" {visible(str(whole(own)['version']))}" if whole(own).get("version") else ""
        runs = f", {whole(own).get('active', 'until the next boot')}" if own[0].section == "runtime.units" else ""
        return f"{version}{runs} only on {only[-1].upper()}"
    if own and own[0].kind == "equal":
        return f", cloned: the same on both machines ({short(own[0].a)})"
    if own and own[0].kind == "unreadable":
        return ", can't be read on either side"
    version = next((f" {say(None, each.a)} → {say(None, each.b)}" for each in own if each.attribute == "version"), "")
    others = changes(each for each in own if each.attribute != "version")
    return f"{version}, {others}" if others else version


def _telling(own: Sequence[Difference]) -> str:
    """What a fact of one side alone says that a person acts on."""
    thing = whole(own)
    return next((f", {words}{say(None, thing[name])}" for name, words in _TELLING.items() if thing.get(name)), "")


def _change(each: Difference) -> str:
    if each.attribute in ("sha256", "sha256_blocks", "digest"):
        return "contents"
    if isinstance(each.a, list) and isinstance(each.b, list) and any(item in each.b for item in each.a):
        return f"{each.attribute} {_list_change(each.a, each.b)}"
    return f"{each.attribute} {say(each.attribute, each.a)} → {say(each.attribute, each.b)}"


def _list_change(one: list[Any], other: list[Any]) -> str:
    """What B's list lacks of A's, and has beyond it."""
    gone, come = ([each for each in this if each not in that] for this, that in ((one, other), (other, one)))
    words = [f"{word} {say(None, items)}" for word, items in (("without", gone), ("with", come)) if items]
    return ", ".join(words) or "in another order"


def _file(own: Sequence[Difference]) -> str:
    """What lies at a path, where that is known and the same on both."""
    kinds = {kind for each in own for kind in each.about.get("type", ())} or {whole(own).get("type", "file")}
    kind = kinds.pop() if len(kinds) == 1 else "file"
    return "folder" if kind == "directory" else kind


def _package(own: Sequence[Difference]) -> str:
    return next((f" of package {visible(name)}" for each in own[:1] for name in each.about.get("package", ())), "")


def _common(paths: Sequence[str]) -> str:
    return posixpath.commonpath(paths) if paths else ""
