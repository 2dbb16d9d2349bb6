# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What may be secret in settings and command lines, and what stands for it: its digest."""

from __future__ import annotations

import re

from . import digest

_NAME = re.compile(
    r"pass(?!ive|enger|through)|pwd|secret|token|credential|cookie|private|(?:^|[-_.])(?:auth|salt|pin)(?:$|[-_.])|pw$"
    r"|(?:^|[-_.]|api|access)key$",
    re.IGNORECASE,
)
# What says something about a secret, and is none.
_ABOUT = re.compile(
    r"(?:tries|timeout|prompt|path|file|folder|dir|command|days|length|type|method|message)$", re.IGNORECASE
)
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,31}://)([^/@\s\"'<>]{1,4096})@")
_OPTION = re.compile(r"(?<!\S)(--?[A-Za-z][\w-]{0,63})(=|\s+)(\"[^\"]*\"|'[^']*'|[^\s\"'|;&<>]+)")
_SETTING = re.compile(r"(?<![\w./-])([A-Za-z_][\w.-]{0,63})=(\"[^\"]*\"|'[^']*'|[^\s\"'|;&<>,]+)")
# mysql -pSECRET, sshpass -p SECRET, redis-cli -a SECRET, curl -u USER:SECRET, openssl -passin pass:SECRET
_SHORT = (
    re.compile(
        r"(?<!\S)(-p)(?![\d.:]+(?:\s|$)|/|ass(?:in|out|phrase)\s)(\"[^\"]*\"|'[^']*'|[^\s\"'|;&<>-][^\s\"'|;&<>]*)"
    ),
    re.compile(r"(\bsshpass\s+-p\s+)(\"[^\"]*\"|'[^']*'|[^\s\"'|;&<>-][^\s|;&<>]*)"),
    re.compile(r"(\bredis-cli\s[^|;&<>]{0,200}?-a\s+)([^\s|;&<>]+)"),
    re.compile(r"((?<!\S)(?:-u|--user|--proxy-user)[\s=]*[\"']?[^\s:\"'=/]{1,64}:)([^\s\"'|;&<>]+)"),
    re.compile(r"(\bpass:)([^\s\"'|;&<>]+)"),
)
_HEADER = re.compile(r"\b((?:Authorization|X-[A-Za-z-]*(?:Key|Token)):\s*)([^\s\"'][^\"'\n]*)", re.IGNORECASE)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}$")
_WORD = re.compile(r"[A-Za-z0-9+=]{20,}")


def digested(text):
    """sha256:… of a text; a digest stays as it is."""
    if _DIGEST.match(text):
        return text
    return "sha256:" + digest.of_bytes(text.encode("utf-8", "surrogatepass"))


def secret_name(name):
    """May what is set under this name be a secret? `DB_PASSWORD`, `api-key`; not `PASSIVE`, nor `passwd_tries`."""
    return _NAME.search(name) is not None and not _ABOUT.search(name)


def value(name, text):
    """A setting's value: as it is, with what looks secret in it as digests, or a digest under a secret's name."""
    return digested(text) if text and secret_name(name) else command(text)


def without_credentials(url):
    """A URL without user and password: `https://user:pass@host/` → `https://host/`."""
    return _URL.sub(r"\1", url)


def command(text):
    """A command line in which passwords, tokens, and credentials of URLs are digests.

    `curl https://user:pass@host/ --token abc` → `curl https://sha256:…@host/ --token sha256:…`
    """
    text = _URL.sub(_url, text)
    text = _HEADER.sub(lambda found: found[1] + digested(found[2]), text)
    text = _OPTION.sub(lambda found: _named(found, found[1].lstrip("-"), found[1] + found[2], found[3]), text)
    text = _SETTING.sub(lambda found: _named(found, found[1], found[1] + "=", found[2]), text)
    for pattern in _SHORT:
        text = pattern.sub(lambda found: found[1] + digested(found[2]), text)
    return _WORD.sub(_word, text)


def _url(found):
    return found[0] if found[2] == "git" else found[1] + digested(found[2]) + "@"


def _named(found, name, start, secret):
    if secret.startswith("/") or not secret_name(name):
        return found[0]
    return start + digested(secret)


def _word(found):
    """A long word of digits, capitals and small letters was made by a machine: a key, perhaps."""
    word = found[0]
    start = found.string[max(0, found.start() - 7) : found.start()]
    kinds = [any(test(letter) for letter in word) for test in (str.isdigit, str.isupper, str.islower)]
    return word if start == "sha256:" or not all(kinds) else digested(word)
