# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Section processes: programs that somebody started by hand and left running.

These are of no unit, or of a login's session that has ended: what they hold open, serve or change comes from no
definition, and is gone after the next boot. Neither a session that goes on, nor what a unit or a container runs. A
program stands by its path alone: its number changes, and its arguments may be secret.
"""

from __future__ import annotations

import os
import re
import time

from .. import paths
from . import ask
from .ask import UNREADABLE, read
from .restart import OTHERS, outlived, parent_of, root_of
from .sockets import as_its_user, systemd_path

_SESSIONS = "/run/systemd/sessions/"
_SESSION = re.compile(r"/session-([^/]+)\.scope$")
_DELETED = " (deleted)"
# A session ends a moment before its last processes do, and another's question is over by then.
_SECONDS = 0.5


def collect(warnings):
    """{"/usr/bin/sleep": {"of": "no unit"}, "/usr/bin/tmux": {"of": "a session that has ended"}}

    None where systemd does not run: there nothing is of a unit.
    """
    if not ask.systemd_runs():
        return None
    seen, hidden = _look()
    found = left(seen, _leader)
    if found:
        time.sleep(_SECONDS)
        again = left(_look()[0], _leader)
        found = {process: what for process, what in found.items() if again.get(process) == what}
    facts = {}
    for program, kind in sorted(found.values()):
        facts.setdefault(paths.printable(program), []).append(kind)
    section = {program: {"of": ", ".join(dict.fromkeys(kinds))} for program, kinds in facts.items()}
    if hidden:
        section[OTHERS] = UNREADABLE
        warnings.append("runtime: whether somebody left some programs running can't be seen; collect as root")
    return section


def left(seen, leader):
    """{process: (program, "no unit" or "a session that has ended")} of {process: (program, session)}, where a session
    is empty for no unit. `leader(session)` is the process that it began with. Pure.
    """
    found = {}
    for process, (program, session) in seen.items():
        if not session:
            found[process] = (program, "no unit")
        elif seen.get(leader(session), ("", ""))[1] != session:
            found[process] = (program, "a session that has ended")
    return found


def _look():
    """({process: (program, session)} of those that are of no unit, but us; is there one that can't be seen?)"""
    own = os.readlink("/proc/self/ns/pid")
    top = systemd_path(read("/proc/1/cgroup"))
    seen = {}
    hidden = False
    for process in filter(str.isdigit, os.listdir("/proc")):
        try:
            program = os.readlink("/proc/%s/exe" % process)
        except FileNotFoundError:
            continue
        except OSError:
            program = ""
        group = systemd_path(read("/proc/%s/cgroup" % process))
        session = session_of(group)
        if not session and not of_no_unit(group, top):
            continue
        try:
            program = program or as_its_user(process, lambda process=process: os.readlink("/proc/%s/exe" % process))
            if os.readlink("/proc/%s/ns/pid" % process) != own or outlived(root_of(process), root_of("1")):
                continue
        except PermissionError:
            # The kernel's own processes have no memory.
            hidden = hidden or not read("/proc/%s/statm" % process).startswith("0 ")
        except OSError:
            continue
        else:
            seen[process] = (program[: -len(_DELETED)] if program.endswith(_DELETED) else program, session)
    ours = _with_parents(str(os.getpid()))
    # A session that we are in goes on.
    mine = {session for process, (_program, session) in seen.items() if process in ours} - {""}
    return {process: what for process, what in seen.items() if process not in ours and what[1] not in mine}, hidden


def session_of(group):
    """The login's session that a path of cgroups is of; empty for none."""
    found = _SESSION.search(group)
    return found.group(1) if found else ""


def of_no_unit(group, top):
    """Does a path of cgroups say no unit? `top` is that of PID 1, which is in init.scope, right below the uppermost.

    A container may see all paths below its own, `/docker/4711`, or its own from within: `/../..`.
    """
    return group.startswith("/") and group.rstrip("/") in ("", os.path.dirname(top).rstrip("/"))


def _leader(session):
    return leader_of(read(_SESSIONS + session))


def leader_of(text):
    """The process that a session began with, from logind's file; empty where there is none."""
    found = re.search(r"^LEADER=(\d+)$", text, re.MULTILINE)
    return found.group(1) if found else ""


def _with_parents(process):
    found = set()
    while process not in ("", "0"):
        found.add(process)
        process = parent_of(read("/proc/%s/stat" % process))[1]
    return found
