"""Facts of a manifest in words that fit on a line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from goldsmith.compare import Difference

ABSENT = "-"
_SHORT_DIGEST = 12
_DIGESTS = ("sha256", "digest")


def short(digest: str) -> str:
    """A digest's first digits."""
    return digest.removeprefix("sha256:")[:_SHORT_DIGEST]


def summary(attributes: dict[str, Any]) -> str:
    """A whole thing in a few words: its most telling attributes."""
    telling = ("version", "type", "state", "active", "program", "uid", "gid", "mode", "owner", "target", "name")
    words = [str(attributes[name]) for name in telling if attributes.get(name) not in (None, "")]
    return visible(" ".join(words[:4])) or "there"


def in_full(attributes: dict[str, Any]) -> str:
    """A whole thing: every attribute on its line."""
    return "\n".join(f"{visible(name)}: {say(name, value)}" for name, value in sorted(attributes.items())) or "there"


def sides(difference: Difference, *, whole: bool = False) -> tuple[str, str]:
    """What a difference says of A and of B. Of a thing that one side lacks in a few words or, with `whole`, in full."""
    if difference.kind == "changed":
        return say(difference.attribute, difference.a), say(difference.attribute, difference.b)
    if difference.kind == "equal":
        return "same on both machines", ""
    if difference.kind == "unreadable":
        return "can't be read", "can't be read"
    thing = difference.a if difference.kind == "only_a" else difference.b
    here = in_full(thing) if whole else summary(thing)
    return (here, ABSENT) if difference.kind == "only_a" else (ABSENT, here)


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"(sha256:)?[0-9a-f]{64}", value) is not None


def say(attribute: str | None, value: Any) -> str:
    """One value in words: digests shortened, absence as a hyphen."""
    if value is None:
        return ABSENT
    if attribute in _DIGESTS and isinstance(value, str):
        return short(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return visible(", ".join(map(str, value))) or "none"
    if isinstance(value, dict):
        words = ((name, short(each) if _is_digest(each) else say(None, each)) for name, each in sorted(value.items()))
        return visible(", ".join(f"{name}={word}" for name, word in words))
    return visible(str(value)) or '""'


def visible(text: str) -> str:
    """A name on one line: what would move the cursor is shown as an escape."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
