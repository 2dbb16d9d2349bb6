# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Section ssh_keys: the keys that let somebody in, by user and file; of each its fingerprint."""

from __future__ import annotations

import base64
import binascii
import hashlib
import posixpath
import re

from . import accounts, private, settings

_CONFIG = "/etc/ssh/sshd_config"
_DEFAULT = (".ssh/authorized_keys", ".ssh/authorized_keys2")
_TYPE = re.compile(r"(?:sk-)?(?:ssh|ecdsa)-[A-Za-z0-9@.-]+$")
_WORD = re.compile(r"((?:\"(?:\\.|[^\"\\])*\"|[^\s\"])+)\s*(.*)$")
_OPTION = re.compile(r"((?:\"(?:\\.|[^\"\\])*\"|[^,\"])+)")


def collect(tree):
    """{"ops /home/ops/.ssh/authorized_keys SHA256:…": {"type": "ssh-ed25519", "comment": "ann@desk",
    "options": ["no-pty"]}}
    """
    patterns = _patterns(tree)
    found = {}
    seen = set()
    for record in accounts.parse(settings.text(tree, "/etc/passwd"), 7):
        name, uid, home = record[0], record[2], record[5]
        if name in seen:
            continue
        seen.add(name)
        for path in dict.fromkeys(located(pattern, name, uid, home) for pattern in patterns):
            for fingerprint, key in parse(settings.text(tree, path)):
                place = "%s %s %s" % (name, path, fingerprint)
                while place in found:
                    place += " again"
                found[place] = key
    return found


def _patterns(tree):
    """Where sshd looks for keys: what AuthorizedKeysFile says, in a Match block or not."""
    found, always = [], []
    _read_config(tree, _CONFIG, set(), found, always)
    return [*(always[0] if always else _DEFAULT), *(pattern for words in found for pattern in words)]


def _read_config(tree, path, done, conditional, always):
    """Note AuthorizedKeysFile of a file and of what it includes; no file is read twice."""
    matched = False
    done.add(path)
    for line in settings.lines(settings.text(tree, path)):
        words = [word.strip('"') for word in re.split(r"[\s=]+", line)]
        keyword = words[0].lower()
        if keyword == "match":
            matched = words[1:2] != ["all"]
        elif keyword == "authorizedkeysfile":
            (conditional if matched else always).append([word for word in words[1:] if word.lower() != "none"])
        elif keyword == "include":
            for pattern in words[1:]:
                for each in settings.matching(tree, posixpath.join("/etc/ssh", pattern)):
                    if each not in done:
                        _read_config(tree, each, done, conditional, conditional if matched else always)


def located(pattern, name, uid, home):
    """A pattern of AuthorizedKeysFile for one user: `%h/.ssh/keys` or `.ssh/keys` → /home/ops/.ssh/keys."""
    tokens = {"%%": "%", "%h": home, "%u": name, "%U": uid}
    path = re.sub("%.", lambda found: tokens.get(found[0], found[0]), pattern)
    return posixpath.normpath(posixpath.join("/", home, path))


def parse(text):
    """[("SHA256:…", {"type": "ssh-ed25519", "comment": "ann@desk", "options": ["no-pty"]})]; no other lines."""
    found = []
    for line in settings.lines(text.replace("\\\n", "\\ \n")):
        options = ""
        match = _WORD.match(line)
        if match and not _TYPE.match(match[1]):
            options = match[1]
            match = _WORD.match(match[2])
        if not match or not _TYPE.match(match[1]):
            continue
        data, _blank, comment = match[2].partition(" ")
        digest = fingerprint(data)
        if digest is None:
            continue
        key = {"type": match[1], "comment": comment.strip()}
        if options:
            key["options"] = [_shown(option) for option in _OPTION.findall(options)]
        found.append((digest, key))
    return found


def fingerprint(data):
    """What `ssh-keygen -l` says of a key's base64: SHA256:…; None when it is none."""
    try:
        blob = base64.b64decode(data.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error, ValueError):
        return None
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode("ascii").rstrip("=") if blob else None


def _shown(option):
    """An option with secrets in its command or environment as digests."""
    name, equals, value = option.strip().partition("=")
    if not equals:
        return name
    value = value[1:-1] if value[:1] == value[-1:] == '"' and len(value) > 1 else value
    return name + "=" + private.command(value)
