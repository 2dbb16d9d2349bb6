# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Sections users and groups, and the names that belong to numeric owners.

Never a password's hash: only whether one is set.
"""

from __future__ import annotations

from . import paths

_AGING = (
    (3, "password_min_days"),
    (4, "password_max_days"),
    (5, "password_warn_days"),
    (6, "password_inactive_days"),
)
_NEVER = 99999


def parse(text, fields):
    """Colon-separated records of at least that many fields, as lists; comments and NIS lines are left out."""
    records = []
    for line in text.split("\n"):
        record = line.split(":")
        if len(record) >= fields and record[0] and record[0][0] not in "#+-":
            records.append(record)
    return records


def number(text):
    """A number of /etc/passwd, or the text itself where it is none."""
    return int(text) if text.isascii() and text.isdigit() else text


def password_state(value):
    """What a password field allows: `none` (no password is asked), `locked` (none fits), or `set`."""
    if not value:
        return "none"
    return "locked" if value[0] in "!*" else "set"


def _hashes(shadow):
    """{name: password field} of /etc/shadow or /etc/gshadow; None when that can't be read."""
    return None if shadow is None else {record[0]: record[1] for record in reversed(parse(shadow, 2))}


def aging(record):
    """What a line of /etc/shadow says of a password's age and the account's end; never when it was changed.

    Nothing of limits that are not set. {"password_max_days": 90, "must_change": True, "expires": "2027-01-31"}
    """
    record = [*record, "", "", "", "", "", "", "", ""]
    found = {name: number(record[at]) for at, name in _AGING if record[at]}
    if found.get("password_max_days", _NEVER) == _NEVER:
        found.pop("password_max_days", None)
    if found.get("password_min_days") == 0:
        del found["password_min_days"]
    # Day 0 as the last change: a new one must be chosen at the next login.
    if record[2] == "0":
        found["must_change"] = True
    if record[7]:
        found["expires"] = _day(number(record[7]))
    return found


def _day(days):
    """A day of /etc/shadow as a date: 20000 → "2024-10-04"; what is none as it is written."""
    import datetime  # noqa: PLC0415  # pylint: disable=import-outside-toplevel

    try:
        return (datetime.date(1970, 1, 1) + datetime.timedelta(days)).isoformat()
    except (OverflowError, TypeError):
        return str(days)


def _state(record, hashes):
    """The password state of a line of /etc/passwd or /etc/group: its own field, or where "x" points to."""
    if record[1] != "x":
        return password_state(record[1])
    return "unknown" if hashes is None else password_state(hashes.get(record[0], "*"))


def users(passwd, shadow, group):
    """{"ops": {"uid": 1000, "gid": 1000, "home": ..., "groups": ["sudo"], "password": "locked",
    "password_warn_days": 7}}

    `shadow` is None when it can't be read. Where a name stands twice, the first counts, as for the C library.
    """
    hashes = _hashes(shadow)
    ages = {record[0]: aging(record) for record in reversed(parse(shadow or "", 2))}
    memberships = {}
    for record in parse(group, 4):
        for member in filter(None, record[3].split(",")):
            memberships.setdefault(member, set()).add(record[0])
    found = {}
    for record in parse(passwd, 7):
        name = record[0]
        if name in found:
            continue
        found[name] = {
            "uid": number(record[2]),
            "gid": number(record[3]),
            "comment": record[4],
            "home": record[5],
            "shell": record[6],
            "groups": sorted(memberships.get(name, ())),
            "password": _state(record, hashes),
            **ages.get(name, {}),
        }
    return found


def groups(group, gshadow):
    """{"sudo": {"gid": 27, "members": ["ops"], "password": "locked"}}"""
    hashes = _hashes(gshadow)
    administrators = {record[0]: record[2] for record in reversed(parse(gshadow or "", 4))}
    found = {}
    for record in parse(group, 4):
        name = record[0]
        if name in found:
            continue
        state = _state(record, hashes)
        # An empty password field of a group lets nobody in who is not a member.
        found[name] = {
            "gid": number(record[2]),
            "members": sorted(set(filter(None, record[3].split(",")))),
            "password": "locked" if state == "none" else state,
        }
        if administrators.get(name):
            found[name]["administrators"] = sorted(set(administrators[name].split(",")))
    return found


def names(text):
    """{0: "root"} from /etc/passwd or /etc/group; the first name of a number counts."""
    found = {}
    for record in parse(text, 3):
        number_ = number(record[2])
        if isinstance(number_, int):
            found.setdefault(number_, record[0])
    return found


def collect(tree):
    """(users, groups)"""
    passwd = paths.printable(tree.text("/etc/passwd"))
    group = paths.printable(tree.text("/etc/group"))
    return users(passwd, _secret(tree, "/etc/shadow"), group), groups(group, _secret(tree, "/etc/gshadow"))


def _secret(tree, path):
    """A file's text; None when it is there and can't be read, empty when there is none."""
    data = tree.read(path)
    if data is None:
        return None if tree.entry(path) is not None else ""
    return paths.printable(data.decode("utf-8", "surrogateescape"))
