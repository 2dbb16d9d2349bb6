# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Section cron: what cron, anacron and at run, when, and as whom."""

from __future__ import annotations

import re
import time

from . import paths, private, settings

TABLES = ("/etc/crontab",)
_FOLDER = "/etc/cron.d"
_PERIODS = ("hourly", "daily", "weekly", "monthly", "yearly")
_USERS = "/var/spool/cron/crontabs"
_JOBS = "/var/spool/cron/atjobs"

# Names that run-parts and cron take; others they pass over.
_TAKEN = re.compile(r"[A-Za-z0-9_-]+$")
_VARIABLE = re.compile(r"(\"[^\"]*\"|'[^']*'|[A-Za-z_]\w*)\s*=\s*(.*)$")
_JOB = re.compile(r"(@\w+|(?:\S+\s+){4}\S+)\s+(.+)$")
_ANACRON = re.compile(r"(\d+|@\w+)\s+(\d+)\s+(\S+)\s+(.+)$")
_AT = re.compile(r"([a-zA-Z=])([0-9a-f]{5})([0-9a-f]{8})$")
# at ends what it hands to a shell with a word of its own, made anew for each job.
_MARK = re.compile("marcinDELIMITER[0-9a-f]+")


def collect(tree):
    """{"/etc/cron.d/backup: /usr/bin/backup --all": {"user": "root", "schedule": ["30 3 * * 0"]},
    "/etc/cron.d/backup PATH": {"value": "/usr/sbin:/usr/bin"},
    "/etc/cron.daily/apt-compat": {"schedule": ["daily"], "user": "root"},
    "at ops 2026-11-27T10:00Z": {"sha256": ["…"]}}
    """
    found = {}
    for path in (*TABLES, *settings.files(tree, _FOLDER, _TAKEN.match)):
        parse(settings.text(tree, path), paths.printable(path), None, found)
    for path in settings.files(tree, _USERS):
        parse(settings.text(tree, path), paths.printable(path), paths.printable(path.rpartition("/")[2]), found)
    parse_anacron(settings.text(tree, "/etc/anacrontab"), found)
    for period in _PERIODS:
        for path in settings.files(tree, "/etc/cron." + period, _TAKEN.match):
            if tree.entry(path).mode & 0o111:
                found[paths.printable(path)] = {"schedule": [period], "user": "root"}
    for path in settings.files(tree, _JOBS, _AT.match):
        add_at_job(path.rpartition("/")[2], settings.text(tree, path), found)
    return found


def parse(text, path, user, into):
    """Add a crontab's jobs and variables. `user`: whose it is; None where each line names its own."""
    for line in settings.lines(text):
        variable = _VARIABLE.match(line)
        if variable:
            name = variable[1].strip("\"'")
            into[path + " " + name] = {"value": private.value(name, _unquoted(variable[2].strip()))}
            continue
        job = _JOB.match(line)
        if not job:
            continue
        who, command = user, job[2]
        if who is None:
            who, _blank, command = settings.words(job[2]).partition(" ")
        _add(into, path + ": " + private.command(command), who, settings.words(job[1]))


def _unquoted(text):
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text


def _add(into, name, user, schedule):
    """One command may stand in a table several times."""
    job = into.setdefault(name, {"user": user, "schedule": []})
    if job["user"] != user:
        job = into.setdefault(name + " as " + user, {"user": user, "schedule": []})
    job["schedule"] = sorted([*job["schedule"], schedule])


def parse_anacron(text, into):
    """Add /etc/anacrontab's jobs: a schedule is `every DAYS days, DELAY minutes after start`."""
    for line in settings.lines(text):
        variable = _VARIABLE.match(line)
        if variable:
            value = private.value(variable[1], _unquoted(variable[2].strip()))
            into["/etc/anacrontab " + variable[1]] = {"value": value}
            continue
        job = _ANACRON.match(line)
        if job:
            schedule = "every %s days, %s minutes after start" % (job[1], job[2])
            _add(into, "/etc/anacrontab: " + private.command(settings.words(job[4])), "root", schedule)


def add_at_job(name, text, into):
    """Add a job of at: its time stands in its file's name, as minutes. Its commands only as a digest."""
    match = _AT.match(name)
    when = time.strftime("%Y-%m-%dT%H:%MZ", time.gmtime(int(match[3], 16) * 60))
    header = re.search(r"^# mail\s+(\S+)", text, re.MULTILINE)
    # Variables of the environment and a change of folder come before the commands.
    body = text[text.find("\n}\n", text.find("\ncd ")) + 3 :] if "\n}\n" in text else text
    job = into.setdefault("at %s %s" % (header[1] if header else "?", when), {"queue": match[1], "sha256": []})
    job["sha256"] = sorted([*job["sha256"], private.digested(_MARK.sub("", body))])
