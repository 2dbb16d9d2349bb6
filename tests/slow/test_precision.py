"""What a machine does by itself is no drift: a real one boots again, turns its logs, runs its daily timers, has its
clock set ahead by a day and back again, and is converged for nothing. Four rounds of it; each time it is what it was.

One of Debian's releases: `-k trixie`. One round: `-k first`. One event: `-k boots_again`."""

from __future__ import annotations

import contextlib
import json
import shlex
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from examples import vm
from goldsmith import inventory
from goldsmith.build_container import mitogen_strategies
from goldsmith.errors import GoldsmithError
from tests.integration.conftest import Goldsmith
from tests.paths import ROOT

NAME = "precise"
ROUNDS = ("first", "second", "third", "fourth")
PATIENCE = 900.0
"""Seconds that anything may take on a machine whose processor is emulated."""
DAY = 86400
SITE = """\
- name: A machine that does something
  hosts: all
  gather_subset: ["!all", "!min", distribution]
  environment: {SOURCE_DATE_EPOCH: "0"}
  pre_tasks:
    - name: Install what has timers of its own
      goldsmith.core.packages: {name: [cron, e2fsprogs, man-db]}
  roles:
    - goldsmith.core.logging
    - goldsmith.core.users
    - goldsmith.core.ssh
    - goldsmith.core.first_boot
    - goldsmith.core.time
    - goldsmith.core.updates
    - goldsmith.core.nginx
"""
PROJECT = "images:\n  machine:\n    playbook: site.yml\ninventory: hosts.yml\n"
TIMERS = {"apt-daily", "apt-daily-upgrade", "dpkg-db-backup", "e2scrub_all", "fstrim", "logrotate", "man-db"}
"""What runs by the day or the week on Debian 12 and 13, and must have run here."""


class Clock:
    """A time server (NTP) on this machine, with this machine's time, for as long as the block runs.

    It answers while it is asked to: a machine whose clock was set ahead would otherwise have it right again at once.
    """

    def __init__(self) -> None:
        self.answers = True
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Clock:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while asked := self._next():
            question, sender = asked
            if self.answers and len(question) >= 48:
                self._socket.sendto(answer(question, time.time()), sender)

    def _next(self) -> tuple[bytes, Any] | None:
        """The next question and who asks, or None when the socket was shut down."""
        try:
            asked = self._socket.recvfrom(512)
        except OSError:
            return None
        return asked if asked[1] else None


def answer(question: bytes, now: float) -> bytes:
    """A primary server's answer to an NTP client (RFC 5905, figure 8)."""
    stamp = struct.pack("!II", int(now) + 2208988800, int(now % 1 * (1 << 32)))
    head = struct.pack("!BBbbII4s", 4 << 3 | 4, 1, 6, -20, 0, 0, b"LOCL")
    return head + stamp + question[40:48] + stamp + stamp


@dataclass
class Precise:
    """The machine, its project, and its manifest as it was when it had been converged."""

    machine: vm.Machine
    goldsmith: Goldsmith
    clock: Clock
    good: Path
    sockets: Path

    def run(self, script: str) -> str:
        """Run a shell script as root; what it says."""
        return self.machine.ssh(f"sh -ec {shlex.quote(script)}", timeout=PATIENCE).text

    def timers(self) -> list[dict[str, Any]]:
        """Of each timer: name (unit), what it starts (activates), and when: last, and next (µs; None: not known)."""
        found: list[dict[str, Any]] = json.loads(self.run("systemctl list-timers --all --output=json"))
        return found

    def wait(self, what: str, condition: Callable[[], bool]) -> None:
        """Wait until it is so. Raises GoldsmithError where that takes too long."""
        end = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > end:
                raise GoldsmithError(f"{NAME}: {what} did not come within {PATIENCE:g} s")
            time.sleep(1)

    def idle(self) -> bool:
        """No timer is overdue, and nothing that one started still runs."""
        now = int(self.run("date +%s")) * 1_000_000
        overdue = [timer for timer in self.timers() if timer["next"] is not None and timer["next"] <= now]
        busy = "--plain --no-legend --state=activating,deactivating,reloading"
        return not overdue and not self.run(f"systemctl list-jobs --no-legend; systemctl list-units {busy}")

    def error(self) -> float:
        """By how many seconds the machine's clock is ahead of this one's."""
        return float(self.run("date +%s.%N")) - time.time()


def boots_again(precise: Precise) -> None:
    # A machine that goes down says so to nobody here, and who is kept waiting takes it for unreachable.
    inventory.close(precise.sockets)
    assert precise.machine.reboot() == "running"


def turns_its_logs(precise: Precise) -> None:
    before = precise.run("stat -c %Y /var/lib/logrotate/status 2>/dev/null || echo 0")
    precise.run("logrotate --force /etc/logrotate.conf; systemctl start logrotate.service")
    precise.run("journalctl --quiet --rotate --vacuum-size=1M")
    assert precise.run("stat -c %Y /var/lib/logrotate/status") != before
    assert precise.run("find /var/log -name 'dpkg.log.1*'")


def runs_its_daily_timers(precise: Precise) -> None:
    """All that a timer starts, at once. apt's scripts do nothing twice on one day: they are told that they did not."""
    services = [timer["activates"] for timer in precise.timers()]
    assert {service.removesuffix(".service") for service in services} >= TIMERS
    precise.wait("quiet before the timers", precise.idle)
    precise.run("find /var/lib/apt/periodic -name '*-stamp' -exec touch -d '2 days ago' {} +")
    precise.run(f"systemctl start {shlex.join(services)}")
    assert precise.run("find /var/lib/apt/periodic -name update-stamp -mmin -60")
    assert precise.run("systemctl list-units --failed --plain --no-legend") == ""


def is_a_day_ahead(precise: Precise) -> None:
    """The clock goes ahead by a day, and what is due then runs."""
    precise.clock.answers = False
    precise.run("date --set '+1 day' >/dev/null")
    assert precise.error() > DAY / 2
    precise.wait("quiet after a day's timers", precise.idle)
    ran = {timer["unit"] for timer in precise.timers() if timer["last"] > (time.time() + DAY / 2) * 1_000_000}
    assert "dpkg-db-backup.timer" in ran  # Debian 13 may let logrotate wait


def has_its_clock_back(precise: Precise) -> None:
    precise.clock.answers = True
    precise.run("systemctl restart chrony.service")
    precise.wait("the right time", lambda: abs(precise.error()) < 60)
    precise.wait("quiet after the clock was set back", precise.idle)


def is_converged_for_nothing(precise: Precise) -> None:
    """The record of the last time still proves it to be in sync; and nothing changes where all of it runs again."""
    for arguments, verdict in (([], "in sync"), (["--full"], "ok")):
        host = precise.goldsmith.json("converge", *arguments)["hosts"][NAME]
        assert (host["verdict"], host["changed"]) == (verdict, 0), host


EVENTS = (
    boots_again,
    turns_its_logs,
    runs_its_daily_timers,
    is_a_day_ahead,
    has_its_clock_back,
    is_converged_for_nothing,
)


def by_mitogen() -> dict[str, str]:
    """With which Ansible runs a definition in minutes on such a machine, and comes to the same results."""
    folder = mitogen_strategies()
    assert folder, "not installed: mitogen"
    return {"ANSIBLE_STRATEGY": "mitogen_linear", "ANSIBLE_STRATEGY_PLUGINS": str(folder)}


def hosts(clock: Clock) -> str:
    # The machine sees this one's 127.0.0.1 as 10.0.2.2.
    return f"""\
all:
  hosts:
    {NAME}:
      time_pools: []
      time_servers: ["10.0.2.2 port {clock.port}"]
      users_accounts: [{{name: ops, sudo: nopasswd}}]
      ssh_allow_users: [root, ops]
      nginx_sites: [{{name: hello, listen: [80], root: /var/www/html}}]
"""


@pytest.fixture(scope="module", params=vm.SUITES)
def precise(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Precise]:
    folder = tmp_path_factory.mktemp("precise")
    sockets = folder / "cp"
    with Clock() as clock, vm.Machine(NAME, vm.base(request.param), cpus=2) as machine:
        project = folder / "project"
        project.mkdir()
        for name, text in (("goldsmith.yml", PROJECT), ("site.yml", SITE), ("hosts.yml", hosts(clock))):
            (project / name).write_text(text)
        environment = {"ANSIBLE_SSH_CONTROL_PATH_DIR": str(sockets), "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
        goldsmith = Goldsmith(project, {**machine.environment, **environment, **by_mitogen()})
        # Not in the project, where any file is a part of the definition.
        precise = Precise(machine, goldsmith, clock, folder / "good.json", sockets)
        try:
            goldsmith("converge")
            goldsmith("collect", f"ssh:{NAME}", "--output", str(precise.good))
            yield precise
        finally:
            inventory.close(sockets)


@pytest.mark.parametrize(
    "event",
    [pytest.param(event, id=f"{number}-{event.__name__}") for number in ROUNDS for event in EVENTS],
)
def test_what_a_machine_does_by_itself_is_no_drift(precise: Precise, event: Callable[[Precise], None]) -> None:
    event(precise)
    told = precise.goldsmith.json("drift", str(precise.good))["hosts"][NAME]
    assert (told["verdict"], told["causes"]) == ("in sync", [])


def test_a_change_is_seen_there_all_the_same(precise: Precise) -> None:
    precise.run("echo 'by hand' > /etc/issue.net")
    told = precise.goldsmith.json("drift", str(precise.good), expect=3)["hosts"][NAME]
    assert (told["verdict"], told["causes"]) == ("drifted", ["file /etc/issue.net of package base-files, contents"])
