# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""How the running machine is asked: files below /proc and /sys, and programs with a time limit."""

from __future__ import annotations

import os

UNREADABLE = {"unreadable": True}

# The process namespace that a kernel starts with has this number, in every kernel since 3.8.
_FIRST_PID_NAMESPACE = "pid:[4026531836]"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_NET_ADMIN = 12


def in_container():
    """Is the kernel shared with a host? Files that say so don't count: a disk made from a container has them too."""
    try:
        return os.readlink("/proc/self/ns/pid") != _FIRST_PID_NAMESPACE
    except OSError:
        return False


def systemd_runs():
    """Is it systemd that this machine was booted with?"""
    return os.path.isdir("/run/systemd/system")


def may_administer_network():
    """Does this process have CAP_NET_ADMIN?"""
    for line in read("/proc/self/status").split("\n"):
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> _NET_ADMIN & 1)
    return False


def read(path):
    """A file's text, or empty where there is none that can be read."""
    try:
        with open(path, "rb") as source:
            return source.read().decode("utf-8", "surrogateescape")
    except OSError:
        return ""


def program(name):
    """Where a program lies, in the folders of root's PATH, or None."""
    import shutil  # noqa: PLC0415  # pylint: disable=import-outside-toplevel

    return shutil.which(name, path=_PATH)


def run(argv, warnings, seconds=20):
    """What a program prints; None, with a warning, when it fails or takes longer than that."""
    import subprocess  # noqa: PLC0415  # pylint: disable=import-outside-toplevel

    said = "runtime: %s: " % " ".join(argv[:3])
    environment = dict(os.environ, LC_ALL="C", SYSTEMD_COLORS="0", PATH=_PATH)
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        warnings.append(said + "no answer within %d s" % seconds)
        return None
    except OSError as error:
        warnings.append(said + str(error))
        return None
    if done.returncode != 0:
        warnings.append(said + (done.stderr.decode("utf-8", "replace").strip().split("\n")[0] or "failed"))
        return None
    return done.stdout.decode("utf-8", "replace")
