"""The role time. Where the clock may be set the daemon runs; elsewhere it says that it may not."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest

CONFIGURATION = "/etc/chrony/chrony.conf"

# What chronyc says of the sources, also of those whose address is not known, as where there is no network.
SOURCES = "chronyc -N sources -a"

# The same of a second daemon with the same configuration that leaves the clock alone (-x).
SECOND = f"""
set -e
folder=$(mktemp -d /run/goldsmith-test-time.XXXXXX)
grep -vE '^(driftfile|ntsdumpdir|logdir|dumpdir|port|bindcmdaddress|cmdport|pidfile)' {CONFIGURATION} >$folder/conf
printf '%s\\n' "pidfile $folder/pid" "bindcmdaddress $folder/socket" 'cmdport 0' 'port 0' >>$folder/conf
chronyd -x -U -u root -d -f $folder/conf >$folder/said 2>&1 &
trap 'kill $!; wait $! || :; rm -rf $folder' EXIT
for try in $(seq 100); do chronyc -h $folder/socket -n tracking >/dev/null 2>&1 && break; sleep 0.1; done
{SOURCES.replace("chronyc", "chronyc -h $folder/socket")} || {{ cat $folder/said >&2; exit 1; }}
"""


@pytest.fixture(scope="module")
def state(host: Any) -> dict[str, str]:
    names = ("ActiveState", "UnitFileState", "ConditionResult", "NeedDaemonReload")
    shown = host.check_output("systemctl show chrony.service " + " ".join(f"-p {name}" for name in names))
    return dict(line.split("=", 1) for line in shown.splitlines())


@pytest.fixture(scope="module")
def may_set_the_clock(host: Any) -> bool:
    """Has the machine's first process the right to set it (bit 25)?"""
    found = re.search(r"^CapBnd:\s+(\w+)$", host.check_output("cat /proc/1/status"), re.MULTILINE)
    assert found
    return bool(int(found.group(1), 16) >> 25 & 1)


def named(variables: dict[str, Any]) -> set[str]:
    return {*variables["time_pools"], *variables["time_servers"]}


def servers(shown: str) -> list[list[str]]:
    """The lines of chronyc about servers: mode and state, name, stratum, poll, reach, and so on."""
    return [line.split() for line in shown.splitlines() if line.startswith("^")]


def test_configuration_says_what_was_asked(host: Any, variables: dict[str, Any]) -> None:
    read = host.run(f"/usr/sbin/chronyd -p -f {CONFIGURATION}")
    assert read.rc == 0, read.stderr
    lines = [line.split() for line in read.stdout.splitlines()]
    assert [line[1] for line in lines if line and line[0] == "pool"] == variables["time_pools"]
    assert [line[1] for line in lines if line and line[0] == "server"] == variables["time_servers"]
    for line in variables["time_settings"]:
        assert shlex.split(line) in lines
    assert host.check_output(f"stat -c '%U %G %a' {CONFIGURATION}") == "root root 644"


def test_service_is_enabled(state: dict[str, str]) -> None:
    assert (state["UnitFileState"], state["NeedDaemonReload"]) == ("enabled", "no")


def test_daemon_runs_or_says_that_it_may_not_set_the_clock(
    host: Any, state: dict[str, str], may_set_the_clock: bool
) -> None:
    if may_set_the_clock:
        assert state["ActiveState"] == "active"
        return
    assert (state["ActiveState"], state["ConditionResult"]) == ("inactive", "no")
    assert "CAP_SYS_TIME" in host.check_output("systemctl cat chrony.service")
    said = host.run(f"timeout 10 chronyd -d -U -u root -f {CONFIGURATION} 'pidfile /run/goldsmith-test-time.pid'")
    assert "Operation not permitted" in said.stdout + said.stderr


def test_no_other_daemon_sets_the_clock(host: Any) -> None:
    others = "systemd-timesyncd.service ntp.service ntpsec.service openntpd.service"
    assert "active" not in host.run(f"systemctl is-active {others}").stdout.split()


def test_daemon_asks_the_sources_that_are_named(host: Any, variables: dict[str, Any], may_set_the_clock: bool) -> None:
    shown = host.check_output(SOURCES if may_set_the_clock else SECOND)
    assert {server[1] for server in servers(shown)} == named(variables)


# In a container the daemon says that it may not set the clock: see above.
@pytest.mark.not_in_container("only a machine of its own may set its clock")
def test_clock_follows_a_source_or_chrony_says_that_none_answers(host: Any, variables: dict[str, Any]) -> None:
    tracking = host.check_output("chronyc tracking")
    # With `local` chrony calls its own clock, which has this number, normal.
    if "Leap status     : Normal" in tracking and "7F7F0101" not in tracking:
        return
    said = servers(host.check_output(SOURCES))
    if any(server[4] != "0" for server in said):
        waited = host.run("chronyc waitsync 30 0 0 1")
        assert waited.rc == 0, f"sources answer, but the clock does not follow: {waited.stdout}"
        return
    # Each that is named is there, and the question mark says that it can't be reached.
    assert {(server[0], server[1]) for server in said} == {("^?", name) for name in named(variables)}
