"""Equal machines have one digest, whatever days they have been through, and whatever is each one's own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.goldsmith.core.plugins.module_utils.collector import document, files, tree

ID = "0123456789abcdef0123456789abcdef"
OTHER_ID = "fedcba9876543210fedcba9876543210"
RECORDS = {"var/lib/dpkg/status": "", "var/lib/apt/extended_states": "", "etc/hostname": "web1\n", "etc/machine-id": ID}
NOTES = (
    "var/backups/alternatives.tar.0",
    "var/backups/apt.extended_states.1.gz",
    *(f"var/backups/dpkg.{name}.6.gz" for name in ("arch", "diversions", "statoverride", "status")),
    "var/lib/apt/daily_lock",
    "var/lib/apt/periodic/update-stamp",
    "var/lib/chrony/chrony.drift",
    "var/lib/dhcp/dhclient.eth0.leases",
    "var/lib/logrotate/status",
    "var/lib/systemd/timers/stamp-apt-daily.timer",
)


def collected(root: Path, contents: dict[str, str]) -> dict[str, Any]:
    """The manifest of these files below a folder; they stay there."""
    for name, text in contents.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    manifest: dict[str, Any] = document.collect(tree.DirectoryTree(str(root)), document.REST)
    return manifest


def files_of(root: Path, contents: dict[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = collected(root, contents)["sections"]["files"]
    return found


@pytest.mark.parametrize("name", NOTES)
def test_what_services_note_of_their_days_is_left_out(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True)
    before = collected(tmp_path, RECORDS)["digest"]
    assert collected(tmp_path, {name: "one day"})["digest"] == before
    for mode in (0o4644, 0o755):
        (tmp_path / name).chmod(mode)
        assert collected(tmp_path, {})["sections"]["files"][f"/{name}"]["mode"] == f"{mode:04o}"
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name, 0o600)
    assert files_of(tmp_path, {})[f"/{name}"]["type"] == "fifo"


@pytest.mark.parametrize(
    "name",
    [
        "var/backups/site.tar.0",
        "var/backups/dpkg.status",
        "var/backups/old/dpkg.status.0",
        "var/lib/apt/extended_states",
        "var/lib/chrony/chrony.keys",
        "var/lib/logrotate/status.d/x",
        "var/lib/logrotate/status.sh",
        "var/lib/systemd/timers/x.service",
        "srv/var/lib/logrotate/status",
    ],
)
def test_what_lies_beside_it_is_not(tmp_path: Path, name: str) -> None:
    assert f"/{name}" in files_of(tmp_path, {name: "x"})


def test_of_the_random_seed_it_is_only_said_that_it_is_there(tmp_path: Path) -> None:
    seed = "var/lib/systemd/random-seed"
    first = files_of(tmp_path, {seed: "4"})[f"/{seed}"]
    assert set(first) == {"type", "mode", "owner", "group"}
    assert files_of(tmp_path, {seed: "another"})[f"/{seed}"] == first


def test_the_journals_folder_is_called_by_what_it_is(tmp_path: Path) -> None:
    digests = set()
    for number in (ID, OTHER_ID):
        folder = tmp_path / number
        (folder / "var/log/journal" / number).mkdir(parents=True)
        digests.add(collected(folder, {"etc/machine-id": f"{number}\n"})["digest"])
    assert len(digests) == 1
    (tmp_path / ID / "var/log/journal" / OTHER_ID).mkdir(mode=0o700)
    found = files_of(tmp_path / ID, {})
    journals = {path: each["mode"] for path, each in found.items() if path.startswith("/var/log/journal/")}
    assert set(journals) == {"/var/log/journal/(machine-id)", f"/var/log/journal/{OTHER_ID}"}
    assert journals[f"/var/log/journal/{OTHER_ID}"] == "0700"
    (tmp_path / ID / "etc/machine-id").write_text("")
    assert f"/var/log/journal/{ID}" in files_of(tmp_path / ID, {})


def test_a_machines_own_name_in_its_hosts_file_is_no_difference(tmp_path: Path) -> None:
    found = []
    for name in ("web1", "a-longer-name"):
        hosts = f"127.0.0.1 localhost\n127.0.1.1\t{name}.example.org {name}\n10.0.0.1 db\n"
        found.append(collected(tmp_path / name, {"etc/hosts": hosts, "etc/hostname": f"{name}\n"}))
    assert found[0]["digest"] == found[1]["digest"]
    assert found[0]["identity"]["hostname"]["sha256"] != found[1]["identity"]["hostname"]["sha256"]
    text = (tmp_path / "web1/etc/hosts").read_text()
    for other in (text.replace("10.0.0.1", "10.0.0.2"), text.replace("example.org", "example.com"), text + "\n"):
        assert collected(tmp_path / "web1", {"etc/hosts": other})["digest"] != found[0]["digest"]


@pytest.mark.parametrize(
    ("hosts", "without"),
    [
        (b"127.0.1.1 web1", b"127.0.1.1 (hostname)"),
        (b"  127.0.1.1\tweb1.a.org  web1 web1\n", b"  127.0.1.1\t(hostname).a.org  (hostname) (hostname)\n"),
        (b"127.0.1.1 web10 xweb1 web1-a a.web1\n", b"127.0.1.1 web10 xweb1 web1-a a.web1\n"),
        (b"127.0.0.1 web1\n10.0.0.1 web1\n#127.0.1.1 web1\n", b"127.0.0.1 web1\n10.0.0.1 web1\n#127.0.1.1 web1\n"),
        (b"127.0.1.1 (hostname)\n127.0.1.1 web1\n", b"127.0.1.1 (hostname)\n127.0.1.1 web1\n"),
        (b"", b""),
    ],
)
def test_only_the_name_itself_in_the_line_that_debian_has_for_it(hosts: bytes, without: bytes) -> None:
    assert files.without_name(hosts, b"web1") == without


def test_without_a_name_nothing_stands_for_it() -> None:
    assert files.without_name(b"127.0.1.1  web1\n", b"") == b"127.0.1.1  web1\n"
    assert files.without_name(b"127.0.1.1 axb\n", b"a.b") == b"127.0.1.1 axb\n"


def test_a_self_signed_certificate_is_identity(tmp_path: Path) -> None:
    key, certificate = "etc/ssl/private/ssl-cert-snakeoil.key", "etc/ssl/certs/ssl-cert-snakeoil.pem"
    one = collected(tmp_path, {key: "key of one", certificate: "one"})
    other = collected(tmp_path, {key: "key of the other", certificate: "other"})
    assert one["digest"] == other["digest"]
    assert set(one["identity"]) == {"ssl_snakeoil_key", "ssl_snakeoil_certificate"}
    assert all(one["identity"][name] != other["identity"][name] for name in one["identity"])
