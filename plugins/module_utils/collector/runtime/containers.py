# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Sections containers and images: of an engine that runs here, asked through its own command line.

No numbers and no addresses, which change; no contents of the environment, which holds secrets.
"""

from __future__ import annotations

import json
import os
import re

from .. import paths
from . import ask
from .ask import UNREADABLE

# (program, what is there while the engine runs, or once it has worked). Docker's socket alone may be systemd's, and a
# question start Docker. Podman has nothing that runs, and a question before its first use would lay down its storage.
_ENGINES = (("docker", "/run/docker.pid"), ("podman", "/var/lib/containers/storage/libpod"))
_SECONDS = 10
# Podman notes the port that the kernel picked as if somebody had named it: one of those that kernels pick by default.
_PICKED = range(32768, 61000)
_LONG_NUMBER = re.compile(r"[0-9a-f]{64}")
_STATES = {"created": "created", "running": "running", "restarting": "restarting", "paused": "paused"}


def collect(warnings):
    """{"web": {"image": "nginx:1", "state": "running", "restart": "always", "ports": ["0.0.0.0:80 -> 80/tcp"], ...}}

    None where no engine runs.
    """
    return _of_engines(["container", "ls", "--all"], "container", parse_containers, warnings)


def images(warnings):
    """{"nginx:1": {"id": "sha256:…"}}; None where no engine runs."""
    return _of_engines(["image", "ls"], "image", parse_images, warnings)


def _of_engines(listing, kind, parse, warnings):
    found = None
    for engine, running in _ENGINES:
        program = ask.program(engine) if os.path.exists(running) else None
        if program is None:
            continue
        numbers = ask.run([program, *listing, "--quiet", "--no-trunc"], warnings, _SECONDS)
        said = "[]" if numbers == "" else None
        if numbers:
            said = ask.run([program, kind, "inspect", *dict.fromkeys(numbers.split())], warnings, _SECONDS)
        found = found or {}
        found.update({engine: UNREADABLE} if said is None else parse(json.loads(said)))
    return found


def parse_containers(inspected):
    """From `docker container inspect`, or podman's. Those that are removed when they end are jobs, and left out; so is
    the container that podman makes to hold a pod together, whose name is a number.
    """
    found = {}
    for each in inspected:
        host, config = each.get("HostConfig") or {}, each.get("Config") or {}
        if host.get("AutoRemove") or each.get("IsInfra"):
            continue
        restart = host.get("RestartPolicy") or {}
        found[paths.printable(each["Name"].lstrip("/"))] = {
            "image": _LONG_NUMBER.sub("(number)", config.get("Image") or ""),
            "digest": _prefixed(each.get("Image") or ""),
            "state": _STATES.get((each.get("State") or {}).get("Status"), "ended"),
            "restart": restart.get("Name") or "no",
            "ports": _ports(host.get("PortBindings") or {}, _PICKED if "OCIRuntime" in each else ()),
            "mounts": sorted(_mount(mount) for mount in each.get("Mounts") or ()),
            "network": _LONG_NUMBER.sub("(number)", host.get("NetworkMode") or ""),
            "privileged": bool(host.get("Privileged")),
            "environment": sorted({variable.partition("=")[0] for variable in config.get("Env") or ()}),
        }
    return found


def _prefixed(number):
    return "sha256:" + number if _LONG_NUMBER.fullmatch(number) else number


def _ports(bindings, picked):
    """["0.0.0.0:80 -> 80/tcp"]; a port that the engine picks is `ephemeral`, and of podman's each that it may pick."""
    return sorted(
        "%s:%s -> %s" % (each.get("HostIp") or "0.0.0.0", _port(each.get("HostPort"), picked), inner)  # noqa: S104
        for inner, hosts in bindings.items()
        for each in hosts or ()
    )


def _port(port, picked):
    return "ephemeral" if not port or int(port) in picked else port


def _mount(mount):
    """/srv/data -> /data (read-only); an unnamed volume without its number."""
    source = mount.get("Name") or mount.get("Source") or ""
    shown = "%s -> %s" % (_LONG_NUMBER.sub("(number)", source), mount.get("Destination") or "")
    return paths.printable(shown if mount.get("RW", True) else shown + " (read-only)")


def parse_images(inspected):
    """From `docker image inspect`, or podman's. Those without a name are left over from builds, and not recorded."""
    found = {}
    for each in inspected:
        for name in each.get("RepoTags") or ():
            if not name.startswith("<none>"):
                found[paths.printable(name)] = {"id": _prefixed(each["Id"])}
    return found
