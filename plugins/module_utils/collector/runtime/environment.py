# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Section environment: the variables that systemd itself gives to every unit that it starts.

They come from its configuration, from the kernel's command line, and from `systemctl set-environment`, which no file
tells of. What looks secret is a digest.
"""

from __future__ import annotations

import re

from .. import paths, private
from . import ask, systemd
from .ask import UNREADABLE

# What systemctl writes as it is: any other value it puts in quotes.
_PLAIN = re.compile(r"\w+=[A-Za-z0-9_/:.,@%+-]+", re.ASCII)
# Read from the locale's settings, which have a section, and only at boot.
_OF_LOCALE = ("LANG=", "LANGUAGE=", "LC_")


def collect(warnings):
    """{"PATH": {"value": "/usr/local/sbin:/usr/local/bin:..."}}; None where systemd does not run."""
    if not ask.systemd_runs():
        return None
    variables = systemd.environment()
    if variables is not None and all(map(_PLAIN.fullmatch, variables)):
        return parse("\n".join(variables))
    said = ask.run(["systemctl", "show-environment"], warnings)
    return {"systemctl show-environment": UNREADABLE} if said is None else parse(said)


def parse(text):
    """From systemctl's lines. A value with blanks stands as a shell would be given it: `$'x y'`."""
    found = {}
    for line in text.split("\n"):
        name, equals, value = line.partition("=")
        if equals and not line.startswith(_OF_LOCALE):
            found[paths.printable(name)] = {"value": paths.printable(private.value(name, value))}
    return found
