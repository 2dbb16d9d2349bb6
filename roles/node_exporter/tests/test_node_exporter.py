"""The role node_exporter.

Where metrics are served by HTTPS or to some only, what is served is asked of a second exporter, which has the options
of the running one but for those two and serves on a port of its own as long as the tests run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

SERVICE = "prometheus-node-exporter.service"
WEB = "/etc/goldsmith/node-exporter.yml"
ASK = """
import base64, json, ssl, sys, urllib.error, urllib.request
anybody = ssl.create_default_context()
anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
request = urllib.request.Request(sys.argv[1])
if sys.argv[2]:
    request.add_header("Authorization", "Basic " + base64.b64encode(sys.argv[2].encode()).decode())
try:
    answer = urllib.request.urlopen(request, timeout=20, context=anybody)
except urllib.error.HTTPError as error:
    answer = error
print(json.dumps([answer.status, answer.read().decode()]))
"""
# The options of a process, but for where it serves and to whom.
SECOND = """
import os, sys
arguments = open(f"/proc/{sys.argv[1]}/cmdline").read().split("\\0")[:-1]
kept = [each for each in arguments if not each.startswith("--web.")]
os.execv(kept[0], [*kept, "--web.listen-address=127.0.0.1:" + sys.argv[2]])
"""


def ask(host: Any, url: str, credentials: str = "") -> tuple[int, str]:
    status, text = json.loads(host.check_output("/usr/bin/python3 -c %s %s %s", ASK, url, credentials))
    return status, text


def arguments(host: Any) -> list[str]:
    """The options of the running exporter."""
    process = host.check_output("systemctl show --property=MainPID --value %s", SERVICE)
    return str(host.check_output("tr '\\0' '\\n' </proc/%s/cmdline", process)).splitlines()[1:]


@pytest.fixture(scope="module")
def addresses(variables: dict[str, Any]) -> list[str]:
    """Where each listener can be reached from the machine itself."""
    scheme = "https" if variables["node_exporter_tls_certificate"] else "http"
    found = []
    for listen in variables["node_exporter_listen"]:
        address, _colon, port = listen.rpartition(":")
        found.append(f"{scheme}://{address or '127.0.0.1'}:{port}/metrics")
    return found


@pytest.fixture(scope="module")
def source(host: Any, variables: dict[str, Any], addresses: list[str]) -> Iterator[str]:
    """An address where metrics can be read."""
    if not (variables["node_exporter_users"] or variables["node_exporter_tls_certificate"]):
        yield addresses[0]
        return
    process = host.check_output("systemctl show --property=MainPID --value %s", SERVICE)
    free = "import socket; print(socket.create_server(('127.0.0.1', 0)).getsockname()[1])"
    port = host.check_output("/usr/bin/python3 -c %s", free)
    run = "systemd-run --quiet --collect --unit=goldsmith-test-exporter --uid=prometheus /usr/bin/python3 -c %s %s %s"
    host.check_output(run, SECOND, process, port)
    try:
        host.check_output(f"for try in $(seq 200); do ss -Hlnt | grep -q :{port} && exit; sleep 0.1; done; exit 1")
        yield f"http://127.0.0.1:{port}/metrics"
    finally:
        host.check_output("systemctl stop goldsmith-test-exporter.service")


def metrics(host: Any, source: str) -> str:
    status, text = ask(host, source)
    assert status == 200
    return text


def test_exporter_runs_now_and_after_a_boot_and_not_as_root(host: Any) -> None:
    assert host.check_output("systemctl is-active %s", SERVICE) == "active"
    assert host.check_output("systemctl is-enabled %s", SERVICE) == "enabled"
    process = host.check_output("systemctl show --property=MainPID --value %s", SERVICE)
    assert host.check_output("stat --format=%s /proc/%s", "%U", process) == "prometheus"


def test_exporter_listens_where_it_is_to_and_nowhere_else(host: Any, variables: dict[str, Any]) -> None:
    wanted = {f"*{listen}" if listen.startswith(":") else listen for listen in variables["node_exporter_listen"]}
    ports = {listen.rpartition(":")[2] for listen in wanted} | {"9100"}
    listeners = [line.split()[3] for line in host.check_output("ss -Hlnt").splitlines()]
    assert {each for each in listeners if each.rpartition(":")[2] in ports} == wanted


def test_metrics_are_of_this_machine(host: Any, source: str, variables: dict[str, Any]) -> None:
    name = re.search(r'^node_uname_info\{.*nodename="([^"]*)"', metrics(host, source), re.MULTILINE)
    if "uname" not in variables["node_exporter_collectors_disabled"] and name:
        assert name.group(1) == host.check_output("uname --nodename")
    assert "node_exporter_build_info" in metrics(host, source)


def test_who_is_not_known_is_refused(host: Any, addresses: list[str], variables: dict[str, Any]) -> None:
    users = variables["node_exporter_users"]
    for url in addresses:
        assert ask(host, url)[0] == (401 if users else 200)
        for user in users:
            assert ask(host, url, f"{user}:certainly wrong")[0] == 401


def test_collectors_are_the_chosen(host: Any, source: str, variables: dict[str, Any]) -> None:
    found = set(
        re.findall(r'^node_scrape_collector_success\{collector="([^"]+)"\}', metrics(host, source), re.MULTILINE)
    )
    assert set(variables["node_exporter_collectors_enabled"]) - found == set()
    assert set(variables["node_exporter_collectors_disabled"]) & found == set()


def test_metrics_of_other_programs_are_served(host: Any, source: str, variables: dict[str, Any]) -> None:
    folder = variables["node_exporter_textfile_directory"]
    if not folder:
        assert 'collector="textfile"' not in metrics(host, source)
        return
    file = f"{folder}/goldsmith-test.prom"
    host.check_output("echo goldsmith_test_metric 42 >%s", file)
    try:
        assert "\ngoldsmith_test_metric 42\n" in metrics(host, source)
    finally:
        host.check_output("rm %s", file)
    assert "goldsmith_test_metric" not in metrics(host, source)
    there = host.file(folder)
    assert (there.user, there.group, there.mode) == ("root", "root", 0o755)


def test_options_arrive_as_they_are(host: Any, variables: dict[str, Any]) -> None:
    given = arguments(host)
    flags = variables["node_exporter_flags"]
    assert given[len(given) - len(flags) :] == flags


def test_options_are_a_file_that_root_alone_may_change(host: Any) -> None:
    file = host.file("/etc/default/prometheus-node-exporter")
    assert (file.user, file.group, file.mode) == ("root", "root", 0o644)


def test_passwords_are_not_for_everybody(host: Any, variables: dict[str, Any]) -> None:
    file = host.file(WEB)
    wanted = ("users", "tls_certificate", "web_settings")
    assert file.exists == any(variables[f"node_exporter_{name}"] for name in wanted)
    if file.exists:
        assert (file.user, file.group, file.mode) == ("root", "prometheus", 0o640)
        folder = host.file("/etc/goldsmith")
        assert (folder.user, folder.group, folder.mode) == ("root", "root", 0o755)
