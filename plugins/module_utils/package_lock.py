# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Holds a Debian system to the package versions of a lock file, for as long as a definition runs.

Standard library only: it is the module goldsmith.core.package_lock, and a script that runs alone in a machine that is
being built (`main`).
"""

from __future__ import annotations

import glob
import os
import subprocess
import sys
import time

PREFERENCES = "/etc/apt/preferences.d/goldsmith-lock"
LISTS = "/var/lib/apt/lists"
_GONE = ("config-files", "not-installed")


class LockError(Exception):
    """The system can't be held to the lock; the message says why."""


def entries(text):
    """[(name, architecture, version)] of the Debian packages in a lock file: lines `deb NAME VERSION ARCHITECTURE`."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["deb"]:
            if len(words) != 4:
                raise LockError("not a line of a lock file: %s" % line)
            found.append((words[1], words[3], words[2]))
    return found


def qualified(name, architecture):
    """As apt wants it: `libc6:amd64`; a package for all architectures has none."""
    return name if architecture == "all" else name + ":" + architecture


def preferences(locked):
    """The text of a file for apt: of these packages these versions and no others, even if that is a downgrade."""
    return "\n".join(
        "Package: %s\nPin: version %s\nPin-Priority: 1001\n" % (qualified(name, architecture), version)
        for name, architecture, version in locked
    )


def installed(listing):
    """{(name, architecture): version} of dpkg-query's lines `NAME ARCHITECTURE VERSION STATUS`."""
    lines = (line.split() for line in listing.splitlines())
    return {(words[0], words[1]): words[2] for words in lines if len(words) == 4 and words[3] not in _GONE}


def available(records):
    """{(name, architecture, version)} that can be fetched, of the records that apt-cache show prints."""
    found = set()
    for record in records.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in record.splitlines() if ": " in line and line[0] not in " \t")
        if "Filename" in fields:  # else it is only what dpkg has
            found.add((fields.get("Package", ""), fields.get("Architecture", ""), fields.get("Version", "")))
    return found


def differing(locked, present):
    """Those that are not there in their version: (to be moved: there in another one, not there)."""
    moved = [each for each in locked if present.get(each[:2], each[2]) != each[2]]
    return moved, [each for each in locked if each[:2] not in present]


def lacking(wanted, offered):
    """One line that names what can't be had; empty if all can be."""
    missing = [
        "%s %s" % (qualified(name, arch), version)
        for name, arch, version in wanted
        if (name, arch, version) not in offered
    ]
    return "the mirror no longer has %s" % ", ".join(missing) if missing else ""


def check(text):
    """What would be moved to its locked version, once it is sure that all can be had. Changes nothing but, where they
    are needed and an hour old, the package lists."""
    locked = entries(text)
    moved, absent = differing(locked, installed(_dpkg()))
    wanted = moved + absent
    if wanted:
        _fresh_lists()
        names = sorted({qualified(name, arch) for name, arch, _version in wanted})
        # It ends with an error if it does not know one, and shows the others all the same.
        problem = lacking(wanted, available(_run(["apt-cache", "show", *names], good=(0, 100))))
        if problem:
            raise LockError(problem)
    return moved


def lock(text):
    """Check, pin, and move what is there in another version; gives what was moved."""
    moved = check(text)
    part = PREFERENCES + ".part"  # apt reads no file with such an ending
    with open(part, "w") as stream:
        stream.write(preferences(entries(text)))
    os.chmod(part, 0o644)
    os.rename(part, PREFERENCES)
    if moved:
        try:
            _move(moved)
        except LockError:
            unlock()
            raise
    return moved


def _move(moved):
    automatic = set(_run(["apt-mark", "showauto"]).split())
    wanted = ["%s=%s" % (qualified(name, arch), version) for name, arch, version in moved]
    options = [
        "--assume-yes",
        "--no-install-recommends",
        "--allow-downgrades",
        "--option=Dpkg::Options::=--force-confold",
    ]
    _run(["apt-get", "install", *options, *wanted])
    # apt takes what it is told to install for wanted by the user.
    marked = [qualified(name, arch) for name, arch, _v in moved if automatic & {name, name + ":" + arch}]
    if marked:
        _run(["apt-mark", "auto", *marked])


def unlock():
    """Take the pins away; whether there were any."""
    try:
        os.unlink(PREFERENCES)
    except FileNotFoundError:
        return False
    return True


def _dpkg():
    return _run(["dpkg-query", "--show", "--showformat", "${Package} ${Architecture} ${Version} ${db:Status-Status}\n"])


def _fresh_lists():
    # As goldsmith.core.packages does it.
    if not glob.glob(LISTS + "/*_Packages*") or time.time() - os.stat(LISTS).st_mtime > 3600:
        _run(["apt-get", "update"])


def _run(command, good=(0,)):
    """What the command printed. Raises LockError, with its last line of complaint, if it failed."""
    environment = dict(os.environ, LC_ALL="C", DEBIAN_FRONTEND="noninteractive")
    done = subprocess.run(
        command, check=False, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    if done.returncode not in good:
        said = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
        raise LockError("%s %s: %s" % (command[0], command[1], said[-1] if said else "exit code %d" % done.returncode))
    return done.stdout.decode(errors="replace")


def main(text):
    """Lock this machine, as a script; gives its exit code."""
    try:
        lock(text)
    except LockError as problem:
        sys.stderr.write("error: %s\n" % problem)
        return 1
    return 0
