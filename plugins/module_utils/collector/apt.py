# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Section apt: where packages come from, whose keys are trusted, and what is pinned."""

from __future__ import annotations

import base64
import binascii
import re

from . import digest, packages, paths, private, settings

_ONE_LINE = re.compile(r"(deb|deb-src)\s+(?:\[([^\]]*)\]\s*)?((?:cdrom:\[[^\]]*\]\S*)|\S+)\s+(\S+)(.*)$")
_OPTION = re.compile(r"([^\s=]{1,64}?)([-+]?=)(\S*)")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_.-]+$")
# deb822's names of what one-line sources call otherwise.
_SHORT = {"architectures": "arch", "languages": "lang", "targets": "target"}
_KEY_FOLDERS = ("/etc/apt/trusted.gpg.d", "/etc/apt/keyrings")
_PREFERENCES = ("/etc/apt/preferences", "/etc/apt/preferences.d")
_CREDENTIALS = ("/etc/apt/auth.conf", "/etc/apt/auth.conf.d")


def collect(tree):
    """{"source deb http://deb.debian.org/debian bookworm": {"components": ["main"], "options": {…}, "path": […]},
    "key /etc/apt/keyrings/site.asc": {"sha256": "…"}, "pin nginx origin site": {"priority": "990"},
    "hold linux-image-amd64": {"status": "install"}, "credentials /etc/apt/auth.conf": {"present": True}}
    """
    found = {}
    for path in _listed(tree, "/etc/apt/sources.list", "/etc/apt/sources.list.d", (".list", ".sources")):
        text = settings.text(tree, path)
        for source in deb822(text) if path.endswith(".sources") else one_line(text):
            _add_source(found, paths.printable(path), *source)
    _add_keys(tree, found)
    for path in _listed(tree, *_PREFERENCES, ("", ".pref")):
        for package, pin, priority in preferences(settings.text(tree, path)):
            entry = found.setdefault("pin %s %s" % (package, pin), {"priority": priority, "path": []})
            entry["path"].append(paths.printable(path))
    for path in _listed(tree, *_CREDENTIALS, (".conf",)):
        found["credentials " + paths.printable(path)] = {"present": True}
    found.update(holds(tree.text(packages.STATUS)))
    return found


def _listed(tree, single, folder, endings):
    """A file, and those of its folder that apt reads: of these names, with one of these endings ("": none)."""

    def fits(name):
        return bool(_PLAIN_NAME.match(name)) and ("." + name.rpartition(".")[2] if "." in name else "") in endings

    return ([single] if settings.is_file(tree, single) else []) + settings.files(tree, folder, fits)


def _add_source(found, path, kind, uri, suite, components, options):
    shown = private.command(private.without_credentials(uri))
    source = found.setdefault("source %s %s %s" % (kind, shown, suite), {"components": [], "options": {}, "path": []})
    source["components"] = sorted({*source["components"], *components})
    source["options"].update(options)
    if path not in source["path"]:
        source["path"].append(path)
    if shown != uri:
        source["credentials"] = True


def one_line(text):
    """[("deb", uri, suite, ["main"], {"signed-by": "/…"})] of a sources.list."""
    found = []
    for raw in text.split("\n"):
        match = _ONE_LINE.match(raw.partition("#")[0].strip())
        if match:
            options = {
                name.lower() + sign[:-1]: _sorted(value) for name, sign, value in _OPTION.findall(match[2] or "")
            }
            found.append((match[1], match[3], match[4], match[5].split(), options))
    return found


def _sorted(value):
    return ",".join(sorted(filter(None, value.split(","))))


def deb822(text):
    """As one_line, of a file .sources."""
    found = []
    for stanza in stanzas(text):
        if stanza.get("enabled", "yes").lower() in ("no", "false", "without", "off", "disable", "0"):
            continue
        options = {
            _SHORT.get(name, name): _option(value)
            for name, value in stanza.items()
            if name not in ("types", "uris", "suites", "components", "enabled") and not name.startswith("x-")
        }
        components = stanza.get("components", "").split()
        for kind in stanza.get("types", "").split():
            for uri in stanza.get("uris", "").split():
                for suite in stanza.get("suites", "").split():
                    found.append((kind, uri, suite, components, options))
    return found


def _option(value):
    """A field's value; a key that stands in the file itself as the digest that its file would have."""
    return "sha256:" + key_digest(value.encode()) if "BEGIN PGP" in value else ",".join(sorted(value.split()))


def stanzas(text):
    """A control file's stanzas, as dictionaries of fields with small names; lines that go on are joined by newlines,
    and "." alone in one is an empty line."""
    found = []
    for block in re.split(r"\n[ \t]*\n", "\n".join(line for line in text.split("\n") if not line.startswith("#"))):
        fields = {}
        name = None
        for line in block.split("\n"):
            if line[:1] in (" ", "\t") and name is not None:
                more = line.strip()
                fields[name] += "\n" + ("" if more == "." else more)
            elif ":" in line:
                name, _colon, value = line.partition(":")
                name = name.strip().lower()
                fields[name] = value.strip()
        if fields:
            found.append(fields)
    return found


def preferences(text):
    """[(packages, pin, priority)]"""
    return [
        (settings.words(each["package"]), settings.words(each.get("pin", "")), each.get("pin-priority", ""))
        for each in stanzas(text)
        if "package" in each
    ]


def _add_keys(tree, found):
    """Keys that all sources trust, those laid down for single ones, and those that a source names."""
    places = ["/etc/apt/trusted.gpg"] if settings.is_file(tree, "/etc/apt/trusted.gpg") else []
    for folder in _KEY_FOLDERS:
        places += settings.files(tree, folder, lambda name: name.endswith((".gpg", ".asc")))
    for source in list(found.values()):
        places += [each for each in source["options"].get("signed-by", "").split(",") if each.startswith("/")]
    for path in dict.fromkeys(places):
        data = tree.read(path)
        if data is None:
            found["key " + paths.printable(path)] = {"missing": True}
        elif data:
            found["key " + paths.printable(path)] = {"sha256": key_digest(data)}


def key_digest(data):
    """sha256 of a key as GnuPG keeps it, its ASCII armour taken off."""
    text = data.decode("ascii", "replace")
    if "-----BEGIN PGP" not in text:
        return digest.of_bytes(data)
    pieces = []
    for block in text.split("-----BEGIN PGP")[1:]:
        # Headers end with an empty line, and a checksum follows the data.
        body = re.split(r"\n[ \t\r]*\n", block.partition("-----END")[0], maxsplit=1)[-1]
        lines = [line.strip() for line in body.split("\n") if line.strip() and not line.startswith("=")]
        try:
            pieces.append(base64.b64decode("".join(lines), validate=True))
        except (binascii.Error, ValueError):
            return digest.of_bytes(data)
    return digest.of_bytes(b"".join(pieces))


def holds(status):
    """What dpkg must leave as it is: {"hold nginx": {"status": "installed"}}"""
    if " hold " not in status and ": hold" not in status:
        return {}
    found = {}
    for stanza in packages.parse(status, ("Package", "Status", "Architecture")):
        state = stanza.get("Status", "").split()
        if len(state) == 3 and state[0] == "hold":
            found["hold " + stanza.get("Package", "")] = {"status": state[2]}
    return found
