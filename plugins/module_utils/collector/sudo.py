# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Section sudo: who may run what as whom, as sudo reads it from /etc/sudoers and what that includes.

Aliases are replaced by what they stand for, in their place: sudo judges a list from its end, and takes an alias
for the list that it is. Rules of one user keep their order, since the last one that fits counts.
"""

from __future__ import annotations

import posixpath
import re

from . import paths, private, settings

SUDOERS = "/etc/sudoers"

_INCLUDE = re.compile(r'[#@](include|includedir)[ \t]+("[^"]+"|(?:\\.|[^\s\\])+)$')
_DEFAULTS = re.compile(r"Defaults(?![\w.-])([@:!>]?)\s*(.*)$")
_DEFAULT = re.compile(r"(!*)\s*(\w+)\s*([-+]?=)?\s*(.*)$")
_ALIAS = re.compile(r"(User|Runas|Host|Cmnd|Cmd)_Alias\s+(.*)$")
_NAME = re.compile(r"[A-Z][A-Z0-9_]*$")
_BESIDE = re.compile(r"\s*,\s*|(?<=!)\s+")
_TAGS = r"(?:NO)?(?:EXEC|FOLLOW|INTERCEPT|LOG_INPUT|LOG_OUTPUT|MAIL|PASSWD|SETENV)"
_TAG = re.compile(r"(?<![\w/.-])(%s)\s*:\s*" % _TAGS)
_MASKED_TAG = re.compile("(%s)\0" % _TAGS)
_HASH = re.compile(r"(?<![\w/.-])(sha(?:224|256|384|512))\s*:\s*")
_ONLY_HASH = re.compile("sha[0-9]+\0\\S+$")
_OPTION = re.compile(r"((?:ROLE|TYPE|PRIVS|LIMITPRIVS|CWD|CHROOT|TIMEOUT|NOTBEFORE|NOTAFTER|APPARMOR_PROFILE)=\S+)\s*")
_FILES = 256
# Aliases of aliases can stand for more than a machine can hold.
_ITEMS = 2000


def collect(tree):
    """{"%sudo": {"rules": ["ALL=(ALL:ALL) ALL"]}, "Defaults secure_path": {"value": ["/usr/sbin:/usr/bin"]}}"""
    if not settings.is_file(tree, SUDOERS):
        return {}
    lines = []
    _read(tree, SUDOERS, (), [], lines)
    section, unclear = parse(lines)
    for subject in unclear:
        settings.warn(tree, SUDOERS, "a rule of %s is recorded as it is written" % subject)
    return section


def _read(tree, path, within, done, into):
    """Add a file's logical lines, those of what it includes in their place. `done`: all files read so far."""
    if path in within or len(done) >= _FILES or not settings.is_file(tree, path):
        settings.warn(tree, SUDOERS, "%s can't be included" % paths.printable(path))
        return
    done.append(path)
    for line in logical_lines(settings.text(tree, path)):
        match = _INCLUDE.match(line)
        if not match:
            into.append(line)
            continue
        target = posixpath.join(posixpath.dirname(path), match[2].strip('"').replace("\\ ", " "))
        if match[1] == "include":
            included = [target]
        else:
            included = settings.files(tree, target, lambda name: "." not in name and not name.endswith("~"))
        for each in included:
            _read(tree, each, (*within, path), done, into)


def logical_lines(text):
    """Lines without comments, put together where a backslash ends them; `#include` and `#1000` are no comments."""
    found = []
    for raw in text.replace("\\\n", "").split("\n"):
        line = raw.strip()
        if not _INCLUDE.match(line):
            line = _without_comment(line)
        if line:
            found.append(line)
    return found


def _without_comment(line):
    for at, letter in _outside(line, brackets=False):
        if letter == "#" and not line[at + 1 : at + 2].isdigit():
            return line[:at].strip()
    return line


def _outside(text, brackets=True):
    """(position, character) of what is not quoted, escaped, or within brackets."""
    quoted = escaped = False
    depth = 0
    for at, letter in enumerate(text):
        if escaped:
            escaped = False
        elif letter == "\\":
            escaped = True
        elif letter == '"':
            quoted = not quoted
        elif brackets and not quoted and letter in "()":
            depth += 1 if letter == "(" else -1
        elif not quoted and depth <= 0:
            yield at, letter


def _split(text, separator):
    pieces = []
    start = 0
    for at, letter in _outside(text):
        if letter == separator:
            pieces.append(text[start:at].strip())
            start = at + 1
    return [*pieces, text[start:].strip()]


def _items(text):
    return [item for item in _split(text, ",") if item]


def _commands(text):
    """As items; digests of one command, which commas part too, stay together."""
    found = []
    before = ""
    for item in _items(text):
        if _ONLY_HASH.match(item):
            before += item + ", "
        else:
            found.append(before + item)
            before = ""
    return found


def _first(text):
    """(the list that a line begins with, what follows it): they part at a blank that is beside no comma."""
    last = ","
    for at, letter in _outside(text):
        if letter not in " \t":
            last = letter
        elif last not in ",!":
            rest = text[at:].lstrip()
            if not rest.startswith(","):
                return _BESIDE.sub(lambda found: found[0].strip(), text[:at]), rest
            last = ","
    return text, ""


def _mask(text):
    """Colons of tags and digests as NUL: they part nothing."""
    return _HASH.sub("\\1\0", _TAG.sub("\\1\0", text))


class TooManyError(ValueError):
    """A rule stands for too many others to write them down."""


class Aliases:
    """Names for lists of users, hosts and commands, by kind."""

    def __init__(self, lines):
        self._members = {}
        self._expanded = {}
        for line in lines:
            match = _ALIAS.match(line)
            for definition in _split(_mask(match[2]), ":") if match else ():
                name, _equals, members = definition.partition("=")
                kind = "Cmnd" if match[1] == "Cmd" else match[1]
                self._members[kind, name.strip()] = _commands(members) if kind == "Cmnd" else _items(members)

    def expand(self, kind, items, within=()):
        """A list with aliases replaced by what they stand for; a "!" before one turns each member's round.

        Raises TooManyError.
        """
        found = []
        for item in items:
            name = item.lstrip("! \t")
            negated = item[: len(item) - len(name)].count("!") % 2 == 1
            members = self._of(kind, name, within)
            if members is None:
                members = [name]
            found += [_negate(member) for member in members] if negated else members
            if len(found) > _ITEMS:
                raise TooManyError(name)
        return found

    def _of(self, kind, name, within):
        """What an alias stands for; None of what is none, or is part of itself."""
        if (kind, name) not in self._members or not _NAME.match(name) or name in within:
            return None
        if len(within) > _FILES:
            raise TooManyError(name)
        if (kind, name) not in self._expanded:
            self._expanded[kind, name] = self.expand(kind, self._members[kind, name], (*within, name))
        return self._expanded[kind, name]


def _negate(item):
    return item[1:] if item.startswith("!") else "!" + item


def parse(lines):
    """(the section, whose rules could not be taken apart) of logical lines."""
    aliases = Aliases(lines)
    section = {}
    unclear = []
    for line in lines:
        if _ALIAS.match(line):
            continue
        match = _DEFAULTS.match(line)
        if match:
            _add_defaults(match[1], match[2], section)
            continue
        try:
            rules = list(_rules(line, aliases))
        except ValueError:
            subject, _blank, rest = settings.words(line).partition(" ")
            rules = [(subject, private.command(rest))]
            unclear.append(subject)
        for subject, rule in rules:
            kept = section.setdefault(subject, {"rules": []})["rules"]
            if rule in kept:
                kept.remove(rule)
            kept.append(rule)
    return section, unclear


def _add_defaults(sign, rest, section):
    scope = ""
    if sign:
        scope, rest = _first(rest)
        scope = " " + sign + scope
    for item in _items(rest):
        parts = _DEFAULT.match(item)
        if not parts:
            continue
        value = "off" if len(parts[1]) % 2 else "on"
        if parts[3]:
            value = private.value(parts[2], parts[4].strip('"'))
        entry = section.setdefault("Defaults%s %s" % (scope, parts[2]), {"value": []})
        # An assignment replaces what stood before; += and -= change it.
        if parts[3] in ("+=", "-="):
            entry["value"].append(parts[3][0] + value)
        else:
            entry["value"] = [value]


def _rules(line, aliases):
    """(subject, rule) of a line `users hosts = commands : hosts = commands`. Raises ValueError where it is none."""
    who, rest = _first(_mask(line))
    users = aliases.expand("User", _items(who))
    # With an exception the list is a whole; without one it is each of its members.
    subjects = [",".join(users)] if any(user.startswith("!") for user in users) else users
    for part in _split(rest, ":"):
        hosts, equals, commands = part.partition("=")
        if not equals or not users or not commands.strip():
            raise ValueError("no rule")
        where = ",".join(aliases.expand("Host", _items(hosts)))
        for number, rule in enumerate(_privileges(commands, aliases)):
            if number * len(subjects) > _ITEMS:
                raise TooManyError(who)
            for subject in subjects:
                yield subject, where + "=" + rule


def _privileges(text, aliases):
    """Each command with user, options and tags that hold for it: they hold for all that follow, too."""
    runas = ""
    options = {}
    tags = {}
    for spec in _commands(text):
        command = spec
        if command.startswith("("):
            inside, _bracket, command = command[1:].partition(")")
            parts = [",".join(aliases.expand("Runas", _items(part))) for part in inside.split(":")]
            runas = "(" + ":".join(parts) + ") "
        command = _take_prefixes(command.strip(), options, tags)
        if not command:
            raise ValueError("no command")
        head = runas + "".join(options[name] + " " for name in sorted(options))
        head += "".join(tags[name] + ": " for name in sorted(tags))
        for each in aliases.expand("Cmnd", [command]):
            yield head + private.command(settings.words(each.replace("\0", ":")))


def _take_prefixes(command, options, tags):
    """Take options and tags off a command, and note them; of NOPASSWD and PASSWD the last one counts."""
    while True:
        option = _OPTION.match(command)
        tag = _MASKED_TAG.match(command)
        if option:
            options[option[1].partition("=")[0]] = option[1]
        elif tag:
            tags[tag[1][2:] if tag[1].startswith("NO") else tag[1]] = tag[1]
        else:
            return command
        command = command[(option or tag).end() :].lstrip()
