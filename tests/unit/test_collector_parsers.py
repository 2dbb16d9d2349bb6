"""The pure parsers of the collector, on recorded output."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from ansible_collections.goldsmith.core.plugins.module_utils.collector import (
    accounts,
    capabilities,
    digest,
    libraries,
    os_release,
    owners,
    packages,
    paths,
    tree,
    units,
)
from ansible_collections.goldsmith.core.plugins.module_utils.collector.runtime import sockets

from tests.paths import FIXTURES


def test_os_release() -> None:
    text = 'PRETTY_NAME="Debian $(x) \\"12\\""\nID=debian\n# ID=other\nVERSION_ID=\'12\'\n\nnonsense\n'.replace(
        "\\$", "$"
    )
    assert os_release.parse(text) == {"PRETTY_NAME": 'Debian $(x) "12"', "ID": "debian", "VERSION_ID": "12"}


@pytest.mark.parametrize(
    ("machine", "order", "name"),
    [(62, "little", "amd64"), (183, "little", "arm64"), (22, "big", "s390x"), (9, "big", "elf-9")],
)
def test_architecture_of_a_program(machine: int, order: Any, name: str) -> None:
    header = b"\x7fELF\x02" + (b"\x01" if order == "little" else b"\x02") + bytes(12) + machine.to_bytes(2, order)
    assert os_release.elf_machine(header) == name
    assert os_release.elf_machine(b"#!/bin/sh, and no more") == ""


def test_packages() -> None:
    wanted = ("Package", "Status", "Architecture", "Version", "Source")
    stanzas = packages.parse((FIXTURES / "dpkg/status").read_text(), wanted)
    automatic = packages.parse_automatic((FIXTURES / "dpkg/extended_states").read_text())
    native = packages.native_architecture(stanzas, "")
    assert native == "amd64"
    assert packages.native_architecture([], "arm64\namd64\n") == "arm64"
    assert packages.section(stanzas, native, automatic) == {
        "dpkg": {"version": "1.21.23", "architecture": "amd64", "status": "installed"},
        "libc6": {
            "version": "2.36-9+deb12u14",
            "architecture": "amd64",
            "source": "glibc",
            "status": "installed",
            "hold": True,
        },
        "libc6:i386": {
            "version": "2.36-9+deb12u14",
            "architecture": "i386",
            "source": "glibc",
            "source_version": "2.36-9",
            "status": "installed",
            "automatic": True,
        },
        "tzdata": {"version": "2026a-0+deb12u1", "architecture": "all", "status": "installed", "automatic": True},
        "oldthing": {"version": "1.0", "architecture": "amd64", "status": "config-files"},
        "broken": {"version": "2:3.4-5", "architecture": "amd64", "status": "half-installed", "error": "reinstreq"},
    }


def test_libraries() -> None:
    metadata = "Metadata-Version: 2.1\nName: Flask_SQLAlchemy\nVersion: 3.1.1\n\nVersion: 0 in the description\n"
    assert libraries.parse(metadata) == ("Flask_SQLAlchemy", "3.1.1")
    assert libraries.parse("") == ("", "")
    assert libraries.from_file_name("six-1.16.0-py3.11.egg-info") == ("six", "1.16.0")
    assert libraries.from_file_name("odd.dist-info") == ("odd", "")
    assert libraries.normal("Flask_SQL.Alchemy--x") == "flask-sql-alchemy-x"


ACCOUNTS = """root:x:0:0:root:/root:/bin/bash
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
ops:x:1000:1000:Operator,,,:/home/ops:/bin/bash
open::1001:1001::/home/open:/bin/sh
old:$1$abc$def:1002:1002::/home/old:/bin/sh
ops:x:2000:2000:second of that name:/:/bin/sh
unshadowed:x:1003:1003::/:/bin/sh
+@netgroup
short:x:1
"""
SHADOW = """root:*:20000:0:99999:7:::
daemon:!:20000::::::
ops:$y$j9T$secret:20000:0:99999:7:::
"""
GROUP = """root:x:0:
sudo:x:27:ops,daemon
adm:x:4:ops
open::50:
"""


def test_users_and_their_password_states_never_a_hash() -> None:
    found = accounts.users(ACCOUNTS, SHADOW, GROUP)
    assert found["ops"] == {
        "uid": 1000,
        "gid": 1000,
        "comment": "Operator,,,",
        "home": "/home/ops",
        "shell": "/bin/bash",
        "groups": ["adm", "sudo"],
        "password": "set",
        "password_warn_days": 7,
    }
    assert {name: user["password"] for name, user in found.items()} == {
        "root": "locked",
        "daemon": "locked",
        "ops": "set",
        "open": "none",
        "old": "set",
        "unshadowed": "locked",
    }
    assert "secret" not in str(found)
    assert "abc" not in str(found)
    assert accounts.users(ACCOUNTS, None, GROUP)["ops"]["password"] == "unknown"  # noqa: S105


def test_groups() -> None:
    assert accounts.groups(GROUP, "root:*::\nsudo:!::ops,daemon\nadm:$6$x::\n") == {
        "root": {"gid": 0, "members": [], "password": "locked"},
        "sudo": {"gid": 27, "members": ["daemon", "ops"], "password": "locked"},
        "adm": {"gid": 4, "members": ["ops"], "password": "set"},
        "open": {"gid": 50, "members": [], "password": "locked"},
    }


def test_names_of_owners_take_the_first() -> None:
    assert accounts.names("root:x:0:\ntoor:x:0:\n") == {0: "root"}


def test_byte_code_without_the_time_of_its_source() -> None:
    magic, code = b"\xa7\x0d\x0d\x0a", b"the code"
    by_time = [magic + bytes(4) + when + b"size" + code for when in (b"1111", b"2222")]
    by_hash = [magic + b"\x01\0\0\0" + when + b"size" + code for when in (b"1111", b"2222")]

    def of(name: str, data: bytes, step: int) -> tuple[bytes, int]:
        one = digest.Digest(name)
        for at in range(0, len(data), step):
            one.update(data[at : at + step])
        return one.digest(), one.size

    assert of("x.pyc", by_time[0], 3) == of("x.pyc", by_time[1], 1000)
    assert of("x.pyc", by_time[0], 1000) != of("x.pyc", by_time[0] + b"!", 1000)
    assert of("x.pyc", by_hash[0], 7) != of("x.pyc", by_hash[1], 7)
    assert of("x.txt", by_time[0], 7) != of("x.txt", by_time[1], 7)
    assert of("x.pyc", b"tiny", 1) == of("x.txt", b"tiny", 1)


def test_paths_that_are_not_text_stay_apart() -> None:
    odd = [b"/a\xff", b"/a\xfe", "/a\ufffd".encode(), "/a\ufffdff".encode(), b"/aff", "/ä".encode(), b"/n\nl"]
    shown = [paths.printable(each.decode("utf-8", "surrogateescape")) for each in odd]
    assert len(set(shown)) == len(odd)
    assert shown[0] == "/a\ufffdff"
    assert shown[4:] == ["/aff", "/ä", "/n\nl"]
    for each in shown:
        each.encode("utf-8")


def test_identity_paths() -> None:
    assert paths.identity_name("/etc/ssh/ssh_host_rsa_key") == "ssh_host_key /etc/ssh/ssh_host_rsa_key"
    assert paths.identity_name("/etc/ssh/ssh_host_rsa_key.pub") == "ssh_host_key /etc/ssh/ssh_host_rsa_key.pub"
    assert paths.identity_name("/etc/ssh/ssh_config") is None
    assert paths.identity_name("/etc/ssh/x/ssh_host_rsa_key") is None
    assert paths.identity_name("/etc/machine-id") == "machine_id"
    assert paths.identity_name("/etc/docker/key.json") == "docker_key"
    assert paths.identity_name("/var/lib/docker/engine-id") == "docker_engine_id"
    assert paths.identity_name("/etc/docker/daemon.json") is None


def test_mounts_below_a_root() -> None:
    info = (
        b"1 0 8:1 / / rw - ext4 /dev/sda1 rw\n"
        b"2 1 8:2 / /srv/image/home rw - ext4 /dev/sda2 rw\n"
        b"3 1 8:2 / /srv/image/a\\040b\\134 rw - ext4 /dev/sda2 rw\n"
        b"4 1 8:3 / /srv/image rw - ext4 x rw\n"
        b"5 1 8:3 / /srv/images/x rw - ext4 x rw\nshort\n"
    )
    assert tree.mount_points("/srv/image", info) == {"/home", "/a b\\"}
    assert "/srv/images/x" in tree.mount_points("/", info)
    assert "/" not in tree.mount_points("/", info)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ((0x02000001, 1 << 13, 0, 0, 0), "cap_net_raw=ep"),
        ((0x02000001, 1 << 10 | 1 << 13, 0, 0, 0), "cap_net_bind_service,cap_net_raw=ep"),
        ((0x02000000, 0, 1, 1 << 8, 0), "cap_chown=i cap_checkpoint_restore=p"),
        ((0x01000001, 1, 0), "cap_chown=ep"),
        ((0x03000001, 1, 0, 0, 0, 1000), "cap_chown=ep [rootid=1000]"),
        ((0x02000000, 0, 0, 0, 0), "="),
    ],
)
def test_capabilities_in_words(words: tuple[int, ...], text: str) -> None:
    assert capabilities.describe(struct.pack(f"<{len(words)}I", *words)) == text


def test_capabilities_of_an_unknown_layout_are_not_lost() -> None:
    assert capabilities.describe(b"\x01\x02") == "0102"
    assert capabilities.describe(b"\xff" * 20) == "ff" * 20


def test_install_section() -> None:
    text = "[Unit]\nWantedBy=not.here\n[Install]\n# WantedBy=c\nWantedBy = a.target \\\n  b.target\nAlias=x.service\n"
    assert units.parse_install(text, {}) == {"WantedBy": ["a.target", "b.target"], "Alias": ["x.service"]}
    assert units.parse_install("[Install]\nWantedBy=\n", {"WantedBy": ["a"]}) == {"WantedBy": []}


def test_an_alias_that_leads_to_another_unit_enables_nothing() -> None:
    unit = units.Unit("a.service", "/etc/systemd/system/a.service")
    unit.install = {"Alias": ["x.service"]}
    assert units.state(unit, [(False, "x.service", "a.service")], False) == "enabled"
    assert units.state(unit, [(False, "x.service", "b.service")], False) == "disabled"


TCP = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 559497 1 0 100 0 0 10 0
   1: 0100007F:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000   999        0 558512 1 0 100 0 0 10 0
   2: 0100007F:1F40 0100007F:9C40 01 00000000:00000000 00:00000000 00000000   999        0 558513 1 0 100 0 0 10 0
"""
TCP6 = """  sl  local_address                         remote_address           st tx_queue rx_queue tr inode
   0: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 0:0 00:0 0     0        0 559512 1
"""
UDP = """   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid timeout inode ref
 1062: 00000000:0044 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 18203 2 0 0
 1063: 0100007F:9999 0100007F:0035 01 00000000:00000000 00:00000000 00000000     0        0 18204 2 0 0
"""


def test_listening_sockets() -> None:
    everywhere = "0.0.0.0"  # noqa: S104
    assert list(sockets.parse_table(TCP, False)) == [(everywhere, 22, "559497"), ("127.0.0.1", 8000, "558512")]
    assert list(sockets.parse_table(TCP6, False)) == [("[::1]", 80, "559512")]
    assert list(sockets.parse_table(UDP, True)) == [(everywhere, 68, "18203")]
    assert list(sockets.parse_table("", True)) == []


def test_the_unit_behind_a_process() -> None:
    assert sockets.unit_of("0::/system.slice/nginx.service\n") == "nginx.service"
    assert sockets.unit_of("9:name=systemd:/../../system.slice/a.service\n8:pids:/b.service\n0::/\n") == "a.service"
    assert sockets.unit_of("0::/system.slice/docker.service/inner\n") == "docker.service"
    assert sockets.unit_of("0::/user.slice/user-0.slice/session-3.scope\n") == "user-0.slice"
    assert sockets.unit_of("") == ""


def test_pid_1_counts_only_alone() -> None:
    both = {("systemd", "init.scope"), ("sshd", "ssh.service")}
    assert sockets.describe_holders(both) == {"program": "sshd", "unit": "ssh.service"}
    assert sockets.describe_holders({("systemd", "init.scope")}) == {"program": "systemd", "unit": "init.scope"}
    assert sockets.describe_holders({("b", "x"), ("a", "x")}) == {"program": "a, b", "unit": "x"}
    assert sockets.describe_holders(set()) == {}


def test_diversions_and_names_of_lists() -> None:
    text = "/usr/bin/x\n/usr/bin/x.distrib\nmine\n/usr/lib/y\n/usr/lib/y.real\n:\n"
    assert owners.parse_diversions(text) == {
        "/usr/bin/x": ("/usr/bin/x.distrib", "mine"),
        "/usr/lib/y": ("/usr/lib/y.real", ":"),
    }
    assert owners.parse_diversions("") == {}
    names = ("adduser.list", "libc6:amd64.list", "libc6:i386.list")
    assert [owners.package_of(name, "amd64") for name in names] == ["adduser", "libc6", "libc6:i386"]
