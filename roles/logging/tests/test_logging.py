"""The role logging: what the journal keeps, and what else runs."""

from __future__ import annotations

import re
import uuid
from typing import Any

import pytest

JOURNAL = "/etc/systemd/journald.conf.d/zz-goldsmith-logging.conf"
SENT = "/etc/rsyslog.d/99-goldsmith.conf"
ROTATED = "/etc/logrotate.d/goldsmith"
UNITS = {"K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}


@pytest.fixture(scope="module")
def journal(variables: dict[str, Any]) -> dict[str, str]:
    """What journald.conf must say in the end."""
    wanted = {"Storage": variables["logging_journal_storage"]}
    if variables["logging_journal_max_use"]:
        wanted["SystemMaxUse"] = variables["logging_journal_max_use"]
    if variables["logging_journal_max_age"]:
        wanted["MaxRetentionSec"] = variables["logging_journal_max_age"]
    if variables["logging_forward"]:
        wanted["ForwardToSyslog"] = True
    wanted.update(variables["logging_journal_settings"])
    return {key: ("yes" if value else "no") if isinstance(value, bool) else str(value) for key, value in wanted.items()}


def bytes_of(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)([KMGT]?)B?", text.strip()).groups()  # type: ignore[union-attr]
    return float(number) * UNITS.get(unit, 1)


def plain_file(host: Any, path: str) -> None:
    file = host.file(path)
    assert (file.user, file.group, file.mode) == ("root", "root", 0o644)


def test_journal_settings_are_the_last_word(host: Any, journal: dict[str, str]) -> None:
    lines = host.check_output("systemd-analyze cat-config systemd/journald.conf").splitlines()
    effective = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    assert {key: effective.get(key) for key in journal} == journal
    plain_file(host, JOURNAL)
    folder = host.file(JOURNAL.rpartition("/")[0])
    assert (folder.user, folder.group, folder.mode) == ("root", "root", 0o755)


def test_nothing_of_an_earlier_release_is_left(host: Any) -> None:
    assert not host.file("/etc/systemd/journald.conf.d/91-goldsmith-logging.conf").exists


def test_the_journal_keeps_within_its_limit(host: Any, journal: dict[str, str]) -> None:
    said = host.check_output("journalctl --boot --identifier=systemd-journald --output=cat").splitlines()
    assert [line for line in said if "Unknown key" in line or "Failed to parse" in line] == []
    limits = [line for line in said if line.startswith("System Journal")]
    if "SystemMaxUse" in journal and journal["Storage"] == "persistent" and limits:
        most = re.search(r"max ([\d.]+[KMGT]?)", limits[-1])
        assert most
        assert bytes_of(most[1]) == pytest.approx(bytes_of(journal["SystemMaxUse"]), rel=0.06)


def test_a_message_arrives_and_is_where_the_journal_is_kept(host: Any, journal: dict[str, str]) -> None:
    if journal["Storage"] == "none":
        pytest.skip("this machine keeps no journal")
    word = uuid.uuid4().hex
    # By its tag, for sudo may write down our commands.
    host.check_output("logger --tag=%s %s && journalctl --sync", word, word)
    assert host.check_output("journalctl --since=-10min --output=cat --identifier=%s", word) == word
    place = {"persistent": "/var/log/journal", "volatile": "/run/log/journal"}.get(journal["Storage"])
    if place:
        machine = host.check_output("cat /etc/machine-id")
        kept = host.check_output("journalctl --directory=%s --output=cat --identifier=%s", f"{place}/{machine}", word)
        assert kept == word


def test_rsyslog_runs_where_something_is_sent(host: Any, variables: dict[str, Any]) -> None:
    if not variables["logging_forward"]:
        assert not host.file(SENT).exists
        return
    plain_file(host, SENT)
    said = host.run("/usr/sbin/rsyslogd -N1")
    assert said.rc == 0, said.stderr
    assert host.service("rsyslog").is_running
    assert host.service("rsyslog").is_enabled
    text = host.file(SENT).content_string
    for to in variables["logging_forward"]:
        assert f'target="{to["host"]}" port="{to["port"]}" protocol="{to.get("protocol", "tcp")}"' in text
    assert f'queue.maxDiskSpace="{variables["logging_forward_queue"]}"' in text


def test_local_files_get_messages_only_if_they_are_wanted(host: Any, variables: dict[str, Any]) -> None:
    if not variables["logging_forward"]:
        return
    word = uuid.uuid4().hex
    host.check_output("logger -p user.notice %s", word)
    look = "for try in $(seq %d); do grep -qs %s /var/log/syslog /var/log/user.log && exit 0; sleep 0.1; done; exit 1"
    wanted = variables["logging_local_files"]
    assert host.run(look % (100 if wanted else 10, word)).rc == (0 if wanted else 1)


def test_rotation_is_sound_and_knows_our_files(host: Any, variables: dict[str, Any]) -> None:
    said = host.run("logrotate --debug /etc/logrotate.conf")
    assert said.rc == 0, said.stderr
    assert "error:" not in said.stderr
    assert "/var/log/dpkg.log" in said.stderr  # what packages bring stays in force
    if not variables["logging_rotate"]:
        assert not host.file(ROTATED).exists
        return
    plain_file(host, ROTATED)
    for entry in variables["logging_rotate"]:
        for path in entry["paths"]:
            assert path in said.stderr


def test_rotation_comes_every_day(host: Any) -> None:
    assert host.check_output("systemctl is-active logrotate.timer") == "active"
    assert host.check_output("systemctl is-enabled logrotate.timer") == "enabled"
