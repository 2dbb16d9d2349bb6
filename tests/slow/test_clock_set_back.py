"""The strongest that can be done to the cache of digests without writing to the disk or to the cache itself: root sets
the clock back, so that the kernel gives a changed file the very time of change that it had. Only a machine of its own
may have its clock set."""

from __future__ import annotations

import json
import shlex
import time
from typing import Any

from examples import vm
from goldsmith import collect, proc

FILE = "/etc/debian_version"
FORGE = f"""
import os, time
path = "{FILE}"
before = os.stat(path)
size = before.st_size
ahead = time.clock_gettime_ns(time.CLOCK_REALTIME) - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
handle = os.open(path, os.O_RDWR)
known = lambda info: (info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns)
for attempt in range(10000):
    time.clock_settime_ns(time.CLOCK_REALTIME, before.st_ctime_ns)
    os.pwrite(handle, b"x" * size, 0)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    if known(os.stat(path)) == known(before):
        break
time.clock_settime_ns(time.CLOCK_REALTIME, time.clock_gettime_ns(time.CLOCK_BOOTTIME) + ahead)
print(known(os.stat(path)) == known(before))
"""


def collected(machine: vm.Machine, *arguments: str) -> dict[str, Any]:
    command = shlex.join(collect.collector_argv("python3", "--root", "/", "--scope", "live", *arguments))
    argv = ["ssh", "-F", str(machine.ssh_config), machine.name, command]
    found: dict[str, Any] = json.loads(proc.run(argv, stdin=collect.sent()).stdout)
    return found


def test_a_clock_that_was_set_back_does_not_fool_the_cache(bare: vm.Machine) -> None:
    while bare.ssh(f"find {FILE} -newerct '60 seconds ago'").text:
        time.sleep(1)
    before = collected(bare)["sections"]["files"][FILE]
    kept = bare.ssh("sha256sum /run/goldsmith/digests").text
    assert collected(bare)["sections"]["files"][FILE] == before
    bare.ssh("find /run/goldsmith -type f | grep -q .")
    assert bare.ssh(f"python3 -c {shlex.quote(FORGE)}").text == "True"
    after = collected(bare)["sections"]["files"][FILE]
    assert after["size"] == before["size"]
    assert after["sha256"] != before["sha256"]
    assert bare.ssh("sha256sum /run/goldsmith/digests").text != kept
    assert after == collected(bare, "--no-cache")["sections"]["files"][FILE]
