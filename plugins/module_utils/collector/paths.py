# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Which paths of a machine say something about it, and what of them is recorded.

Everything counts but what is listed here. A path that changes by itself on a machine that nobody touched can't
prove anything; a path that must differ between machines is recorded apart, as identity.
"""

from __future__ import annotations

import re

# What `goldsmith converge` leaves on a live host about itself (see record.py).
RECORD = "/var/lib/goldsmith.record.json"

# Nothing at or below these is recorded, by folder: kernel views, and what does not outlive a boot.
_VOLATILE = {
    "": ("proc", "sys", "dev", "run", "tmp"),
    "/var": ("tmp", "run", "lock"),
    "/var/lib": ("goldsmith.record.json", "goldsmith.record.json.new"),
}
# Nor what Ansible keeps of a module (this one, perhaps) while it runs: a folder's ending, and what is in it.
_VOLATILE_ANYWHERE = ("/.ansible", ("tmp",))

# Below these only directories are recorded (their owner and mode make services work), never files:
# logs, caches that programs fill as they run, and package lists that each `apt update` fetches anew.
_DIRECTORIES_ONLY = ("/var/log/", "/var/cache/", "/var/lib/apt/lists/")

# Of these only the directory itself is recorded, and what is identity right below it: a container engine's images,
# containers and records of them, and what databases hold: what the machine works with and not what it is made of.
_STATE = frozenset(
    ["/var/lib/containerd", "/var/lib/containers", "/var/lib/docker", "/var/lib/postgresql", "/var/lib/redis"]
)

# Not recorded, where they are files that nobody can run: what Debian's own services note as days go by. They say when
# something ran last, and what was there before; what is there now is recorded.
_NOTE = re.compile(
    r"/var/backups/(alternatives\.tar|apt\.extended_states|dpkg\.(arch|diversions|statoverride|status))\.\d+(\.gz)?"
    r"|/var/lib/apt/(daily_lock|periodic/[^/]+-stamp)"
    r"|/var/lib/chrony/chrony\.drift"
    r"|/var/lib/dhcp/[^/]+\.leases~?"
    r"|/var/lib/logrotate/status"
    r"|/var/lib/systemd/timers/stamp-[^/]+\.timer"
)
_NOTES_BELOW = (
    "/var/backups/",
    "/var/lib/apt/",
    "/var/lib/chrony/",
    "/var/lib/dhcp/",
    "/var/lib/logrotate/",
    "/var/lib/systemd/timers/",
)

# What stands for a machine's own machine-id and name where they are part of what is recorded: journald calls its folder
# by the one, and Debian's installer writes the other into /etc/hosts.
JOURNALS = "/var/log/journal/"
HOSTS = "/etc/hosts"
MACHINE_ID = "(machine-id)"
HOSTNAME = "(hostname)"

# Recorded without size and digest: they hold password hashes and the dates of their changes, and random numbers that
# each boot makes anew. What they say about passwords is in the section users.
SECRET = frozenset(
    [
        "/etc/shadow",
        "/etc/shadow-",
        "/etc/gshadow",
        "/etc/gshadow-",
        "/var/backups/shadow.bak",
        "/var/backups/gshadow.bak",
        "/var/lib/systemd/random-seed",
    ]
)

# What must differ between two machines, by the name that it has in the manifest.
IDENTITY = {
    "/etc/machine-id": "machine_id",
    "/var/lib/dbus/machine-id": "dbus_machine_id",
    "/etc/hostname": "hostname",
    "/etc/docker/key.json": "docker_key",
    "/var/lib/docker/engine-id": "docker_engine_id",
    "/etc/ssl/private/ssl-cert-snakeoil.key": "ssl_snakeoil_key",
    "/etc/ssl/certs/ssl-cert-snakeoil.pem": "ssl_snakeoil_certificate",
}
_HOST_KEY = re.compile(r"/etc/ssh/ssh_host_[^/]+_key(\.pub)?")


def identity_name(path):
    """The name under which a path is recorded as identity, or None: `/etc/machine-id` → `machine_id`."""
    name = IDENTITY.get(path)
    if name is None and path.startswith("/etc/ssh/") and _HOST_KEY.fullmatch(path):
        name = "ssh_host_key " + path
    return name


def volatile_names(folder):
    """The names in a folder of which nothing is recorded, nor of what is below them."""
    if folder.endswith(_VOLATILE_ANYWHERE[0]):
        return _VOLATILE_ANYWHERE[1]
    return _VOLATILE.get(folder, ())


def volatile(path):
    """Is nothing recorded of this path, or below it?"""
    folder, _slash, name = path.rpartition("/")
    return name in volatile_names(folder)


def note(path):
    """Is a file of this path one that is not recorded, since services only note there what they did?"""
    return path.startswith(_NOTES_BELOW) and _NOTE.fullmatch(path) is not None


def state(folder):
    """Is a folder one of those of which only identity is recorded? Below it no directory is."""
    return folder in _STATE


def directories_only(folder):
    """Is a folder one of those, or below one, of which only directories are recorded?"""
    return (folder + "/").startswith(_DIRECTORIES_ONLY)


_BROKEN = re.compile("[\udc80-\udcff\ufffd]")


def printable(path):
    """A path as text that any JSON reader takes.

    A byte that is not UTF-8 becomes U+FFFD and two hex digits, and U+FFFD itself is doubled, so that two paths
    never look the same. Every other path is unchanged.
    """
    if path.isascii():
        return path
    return _BROKEN.sub(lambda found: _escape(found.group()), path)


def _escape(character):
    if character == "\ufffd":
        return "\ufffd\ufffd"
    return "\ufffd%02x" % (ord(character) - 0xDC00)
