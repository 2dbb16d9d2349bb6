# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""How sections read a machine's settings: text that can be shown, folders of fragments, assignments of a shell."""

from __future__ import annotations

import fnmatch
import re

from . import paths
from .tree import FILE, MOUNT

# No settings are larger, and a hostile file must not take minutes.
LIMIT = 4 << 20

_ASSIGNMENT = re.compile(r"(?:^|[;&|]|\bthen\b|\belse\b|\bdo\b)[ \t]*(?:export[ \t]+)?([A-Za-z_]\w*)=", re.MULTILINE)
_ENDS = frozenset(" \t\n;&|")
_BLANKS = re.compile(r"\s+")
_ESCAPED = re.compile(r'\\([$"`\\\n])')


def text(tree, path):
    """A file's text, bytes that are not UTF-8 made visible. Empty if there is none; too large a one is warned of."""
    data = tree.read(path)
    if data is None:
        return ""
    if len(data) > LIMIT:
        tree.warnings.append("%s: too large for settings: only its digest is recorded" % paths.printable(path))
        return ""
    return paths.printable(data.decode("utf-8", "surrogateescape"))


def warn(tree, path, problem):
    """Say what of a file could not be understood, without its contents."""
    tree.warnings.append("%s: %s" % (paths.printable(path), problem))


def files(tree, folder, fits=None):
    """Paths of the files in a folder, links followed, in order of their names; `fits` judges a name."""
    real = tree.resolve(folder)
    if real is None:
        return []
    found = [real + "/" + name for name in tree.children(real) if fits is None or fits(name)]
    return [path for path in found if is_file(tree, path)]


def matching(tree, pattern):
    """Paths of the files that a pattern with * and ? in its last part stands for, in order."""
    folder, _slash, name = pattern.rpartition("/")
    if not any(letter in name for letter in "*?["):
        return [pattern] if is_file(tree, pattern) else []
    return files(tree, folder or "/", lambda each: fnmatch.fnmatchcase(each, name) and not each.startswith("."))


def is_file(tree, path):
    entry = tree.entry(path)
    return entry is not None and entry.type in (FILE, MOUNT)


def fragments(tree, folders, suffix=".conf"):
    """Paths of the fragments in force, as systemd and kmod read them: in order of their names.

    Of the same name the first folder's counts. A link that leads to /dev/null hides those of its name.
    """
    found = {}
    for folder in folders:
        real = tree.resolve(folder)
        for name in tree.children(real) if real else ():
            if name.endswith(suffix):
                found.setdefault(name, real + "/" + name)
    return [found[name] for name in sorted(found) if is_file(tree, found[name])]


def lines(content, comments="#"):
    """Lines that say something, stripped. A backslash at a line's end joins the next one."""
    stripped = map(str.strip, content.replace("\\\n", " ").split("\n"))
    return [line for line in stripped if line and line[0] not in comments]


def words(line):
    """A line with one space between its words."""
    return _BLANKS.sub(" ", line.strip())


def assignments(content):
    """What a script or a file of settings assigns, in order: [("LANG", "C.UTF-8")], quotes taken off.

    `$NAME` stays as it is written. Whether a script's line is reached is not judged.
    """
    content = "\n".join(line for line in content.split("\n") if not line.lstrip().startswith("#"))
    found = []
    match = _ASSIGNMENT.search(content)
    while match:
        word, end = _word(content, match.end())
        found.append((match[1], word))
        match = _ASSIGNMENT.search(content, end)
    return found


def _word(content, at):
    """(a shell's word from there on without its quotes, where it ends); an open quote ends with its line."""
    pieces = []
    while at < len(content) and content[at] not in _ENDS:
        letter = content[at]
        if letter in "\"'`":
            close = _closing(content, at)
            piece = content[at + 1 : close]
            if letter == '"':
                piece = _ESCAPED.sub(lambda found: found[1].strip("\n"), piece)
            pieces.append("`" + piece + "`" if letter == "`" else piece)
            at = close + 1 if content[close : close + 1] == letter else close
        elif content.startswith("$(", at):
            close = _end_of_command(content, at)
            pieces.append(content[at:close])
            at = close
        elif letter == "\\" and at + 1 < len(content):
            pieces.append(content[at + 1].strip("\n"))
            at += 2
        else:
            pieces.append(letter)
            at += 1
    return "".join(pieces), at


def _closing(content, start):
    quote = content[start]
    at = start + 1
    while at < len(content):
        if content[at] == quote:
            return at
        at += 2 if content[at] == "\\" and quote != "'" else 1
    end = content.find("\n", start)
    return len(content) if end < 0 else end


def _end_of_command(content, start):
    """Where `$(...)` ends: after the bracket that closes it, or with its line."""
    depth = 0
    end = content.find("\n", start)
    end = len(content) if end < 0 else end
    for at in range(start + 1, end):
        depth += {"(": 1, ")": -1}.get(content[at], 0)
        if not depth:
            return at + 1
    return end
