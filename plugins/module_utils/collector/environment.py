# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Section environment: variables that logins, services and programs are given, and the folders of their PATH.

Values under a secret's name, or that look like one, are digests. A script is not run: what it may assign is listed.
"""

from __future__ import annotations

import re

from . import paths, private, settings

_SCRIPTS = ("/etc/profile", "/etc/bash.bashrc", "/etc/environment")
_ENVIRONMENT_D = ("/etc/environment.d", "/usr/local/lib/environment.d", "/usr/lib/environment.d")
_MANAGERS = ("system", "user")
_LOGIN = re.compile(r"^(ENV_PATH|ENV_SUPATH|UMASK)\s+(?:PATH=)?(.*)$")
_PAM_ENV = re.compile(r"^([A-Za-z_]\w*)\s+((?:DEFAULT|OVERRIDE)=.*)$")
_MANAGER = re.compile(r"^(DefaultEnvironment|ManagerEnvironment)\s*=\s*(.*)$")
_ASSIGNED = re.compile(r"(?:\"(?:\\.|[^\"\\])*\"|'[^']*'|[^\s\"'])+")
# Sections of their own say what these mean.
_ELSEWHERE = ("grub", "locale")


def collect(tree):
    """{"/etc/environment PATH": {"values": ["/usr/local/bin:/usr/bin"]}, "/etc/default/app TOKEN": {"values":
    ["sha256:…"]}}
    """
    found = {}
    files = list(_SCRIPTS)
    files += settings.files(tree, "/etc/profile.d", lambda name: name.endswith(".sh"))
    files += settings.files(
        tree,
        "/etc/default",
        lambda name: name not in _ELSEWHERE and not name.endswith(("~", ".dpkg-old", ".dpkg-dist")),
    )
    files += settings.fragments(tree, _ENVIRONMENT_D)
    # Debian links /etc/environment into environment.d.
    for path in dict.fromkeys(filter(None, map(tree.resolve, files))):
        _add(found, path, settings.assignments(settings.text(tree, path)))
    _add(found, "/etc/login.defs", _matches(_LOGIN, settings.text(tree, "/etc/login.defs")))
    _add(found, "/etc/security/pam_env.conf", _matches(_PAM_ENV, settings.text(tree, "/etc/security/pam_env.conf")))
    for manager in _MANAGERS:
        texts = [settings.text(tree, "/etc/systemd/%s.conf" % manager)]
        folders = [folder + "/systemd/%s.conf.d" % manager for folder in ("/etc", "/usr/local/lib", "/usr/lib")]
        texts += [settings.text(tree, path) for path in settings.fragments(tree, folders)]
        _add(found, "systemd " + manager, manager_environment(texts))
    return found


def _add(found, path, assigned):
    """Add variables of a file. One that is assigned more than once has all its values, in order."""
    for name, value in assigned:
        values = found.setdefault(paths.printable(path) + " " + name, {"values": []})["values"]
        shown = private.value(name, value)
        if shown not in values:
            values.append(shown)


def _matches(pattern, text):
    return [match.groups() for match in map(pattern.match, settings.lines(text)) if match]


def manager_environment(texts):
    """What systemd gives to units: [("LANG", "C.UTF-8")] of DefaultEnvironment= and ManagerEnvironment=.

    An empty assignment clears what came before.
    """
    found = []
    for text in texts:
        for kind, rest in _matches(_MANAGER, text):
            if not rest:
                found = [each for each in found if each[0] != kind]
            for word in _ASSIGNED.finditer(rest):
                name, _equals, value = re.sub("[\"']", "", word[0]).partition("=")
                found.append((kind, name, value))
    return [("%s %s" % (kind, name), value) for kind, name, value in found]
