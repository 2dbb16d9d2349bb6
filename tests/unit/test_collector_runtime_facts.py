"""What runs, but for units and sockets: pure parsers on recorded output or lines like it; what must not be said."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ansible_collections.goldsmith.core.plugins.module_utils.collector import document, runtime, tree
from ansible_collections.goldsmith.core.plugins.module_utils.collector.runtime import (
    ask,
    containers,
    environment,
    firewall,
    kernel,
    modules,
    mounts,
    netlink,
    network,
    nft,
    processes,
    reboot,
    restart,
    routes,
    sockets,
    swaps,
    sysctl,
    traffic,
)

from goldsmith import compare, manifest, policy
from tests.paths import FIXTURES, ROOT

RECORDED = FIXTURES / "runtime"
MEMORY = 2012640
"""KiB of the machine whose mounts are recorded."""


def recorded(name: str) -> str:
    return (RECORDED / name).read_text()


# The whole


@pytest.fixture
def no_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """No engine and no packet filter is asked: other tests start and end containers meanwhile."""
    monkeypatch.setattr(ask, "program", lambda _name: None)
    monkeypatch.setattr(firewall, "_has_nftables", lambda: False)


@pytest.mark.usefixtures("no_programs")
def test_two_looks_at_this_machine_are_equal_and_fit_the_schema(tmp_path: Path) -> None:
    source = tree.DirectoryTree(tmp_path)
    looks = [runtime.collect(source, []) for _look in range(2)]
    rest = {name: {} for name in ("os", "packages", "libraries", "files", "units", "users", "groups")}
    schema = json.loads((ROOT / "docs/schema/manifest.schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(document.assemble(rest, {}, looks[0], "live", []))
    for look in looks:
        del look["sockets"], look["restart"]
    assert looks[0] == looks[1]
    assert looks[0]["sysctl"]["net.ipv4.ip_forward"]["value"] in ("0", "1")


def test_every_section_has_its_place_and_is_published() -> None:
    schema = json.loads((ROOT / "docs/schema/manifest.schema.json").read_text())
    published = set(schema["properties"]["runtime"]["oneOf"][1]["properties"])
    assert {f"runtime.{name}" for name in published} == {each for each in compare.SECTIONS if "runtime." in each}
    collected = (ROOT / "plugins/module_utils/collector/runtime/__init__.py").read_text()
    assert {name for name in published if f'"{name}"' not in collected} == set()


@pytest.mark.usefixtures("no_programs")
def test_what_belongs_to_the_kernel_is_left_out_of_a_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tree.DirectoryTree(tmp_path)
    kernels = {"sysctl_kernel", "kernel", "modules", "swaps"}
    monkeypatch.setattr(ask, "in_container", lambda: False)
    assert kernels <= set(runtime.collect(source, []))
    monkeypatch.setattr(ask, "in_container", lambda: True)
    assert not kernels & set(runtime.collect(source, []))


def test_a_new_process_namespace_is_a_container(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "readlink", lambda _path: "pid:[4026531836]")
    assert not ask.in_container()
    monkeypatch.setattr(os, "readlink", lambda _path: "pid:[4026532281]")
    assert ask.in_container()


def test_a_program_that_fails_or_hangs_is_a_warning() -> None:
    said: list[str] = []
    assert ask.run(["sh", "-c", "echo $LC_ALL"], said) == "C\n"
    assert said == []
    assert ask.run(["sh", "-c", "echo broken >&2; exit 3"], said) is None
    assert ask.run(["sleep", "60"], said, 0.1) is None
    assert ask.run(["/no/such/program"], said) is None
    assert [line.partition(": ")[0] for line in said] == ["runtime"] * 3
    assert "broken" in said[0]
    assert "no answer" in said[1]
    assert "/no/such/program" in said[2]


def test_what_could_not_be_read_on_both_is_not_equal() -> None:
    sides = [
        manifest.Manifest("live", "x", {}, {}, {"firewall": {"nft": dict(ask.UNREADABLE)}}, [], name) for name in "ab"
    ]
    found = compare.compare(sides[0], sides[1], policy.Policy())
    assert [(each.section, each.key, each.kind) for each in found.differences] == [
        ("runtime.firewall", "nft", "unreadable")
    ]


def test_systemctl_that_does_not_answer_is_unreadable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(runtime.units, "list_units", lambda _warnings: None)
    found = runtime.units.collect(tree.DirectoryTree(tmp_path), [])
    assert found == {"systemctl list-units": {"unreadable": True}}


# Settings


def test_settings_of_this_kernel() -> None:
    own, kernel_wide = sysctl.collect(False, [])
    assert sysctl.collect(True, []) == (own, {})
    assert {"net.ipv4.ip_forward", "net.core.somaxconn", "kernel.shmmax"} <= set(own)
    assert {"vm.swappiness", "kernel.randomize_va_space", "fs.protected_hardlinks"} <= set(kernel_wide)
    everything = {**own, **kernel_wide}
    unstable = {
        "kernel.random.uuid",
        "kernel.random.boot_id",
        "kernel.ns_last_pid",
        "kernel.hostname",
        "fs.file-nr",
        "fs.dentry-state",
        "vm.stat_refresh",
        "vm.drop_caches",
        "net.ipv4.tcp_fastopen_key",
        "net.netfilter.nf_conntrack_count",
        "kernel.perf_event_max_sample_rate",
    }
    assert not unstable & set(everything)
    assert not [name for name in everything if "veth" in name or "stable_secret" in name or "binfmt" in name]
    assert everything["kernel.threads-max"] == {"value": sysctl.BY_MEMORY}


def test_a_setting_that_cannot_be_read_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "vm").mkdir()
    (tmp_path / "vm/swappiness").symlink_to("loop")
    (tmp_path / "vm/panic").write_text("0\n")
    (tmp_path / "vm/state").write_text("17\n")
    (tmp_path / "vm/state").chmod(0o444)
    monkeypatch.setattr(sysctl, "ROOT", str(tmp_path))
    real_open = os.open

    def refuse(path: str, *rest: Any) -> Any:
        if path.endswith("panic"):
            raise PermissionError(13, "Permission denied")
        return real_open(path, *rest)

    monkeypatch.setattr(os, "open", refuse)
    said: list[str] = []
    assert sysctl.collect(False, said) == ({}, {"vm.panic": {"unreadable": True}})
    assert said == ["runtime: 1 kernel settings can't be read; collect as root"]


def test_a_long_setting_comes_whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "vm").mkdir()
    monkeypatch.setattr(sysctl, "ROOT", str(tmp_path))
    for length in (sysctl._READ - 1, sysctl._READ, 2 * sysctl._READ, 2 * sysctl._READ + 1):
        (tmp_path / "vm/long").write_text("x" * length)
        assert sysctl.collect(False, []) == ({}, {"vm.long": {"value": "x" * length}})


def test_of_an_interface_only_what_differs_from_default() -> None:
    raw = {
        "net.ipv4.conf.default.rp_filter": "2\n",
        "net.ipv4.conf.all.rp_filter": "2\n",
        "net.ipv4.conf.eth0.rp_filter": "2\n",
        "net.ipv4.conf.eth0/7.rp_filter": "0\n",
        "net.ipv4.conf.lo.only_here": "1\n",
        "kernel.printk": "4\t4\t1\t7\n",
    }
    assert sysctl.settings(raw, 0) == {
        "net.ipv4.conf.default.rp_filter": "2",
        "net.ipv4.conf.all.rp_filter": "2",
        "net.ipv4.conf.eth0/7.rp_filter": "0",
        "net.ipv4.conf.lo.only_here": "1",
        "kernel.printk": "4 4 1 7",
    }


def test_connection_tracking_comes_with_its_first_rule() -> None:
    """What a machine of 1,006,000 KiB with Debian 12 had below net.netfilter after it, and what somebody sets there."""
    fresh = {
        "net.netfilter.nf_conntrack_buckets": "8192",
        "net.netfilter.nf_conntrack_max": "8192",
        "net.netfilter.nf_conntrack_expect_max": "128",
        "net.netfilter.nf_conntrack_tcp_timeout_established": "432000",
        "net.netfilter.nf_conntrack_acct": "0",
        "net.netfilter.nf_log.2": "NONE",
        "net.netfilter.nf_log.10": "nf_log_ipv6",
    }
    assert sysctl.settings(fresh, 1006000) == {}
    chosen = {
        "net.netfilter.nf_conntrack_max": "65536",
        "net.netfilter.nf_conntrack_tcp_timeout_established": "600",
        "net.netfilter.nf_conntrack_acct": "1",
        "net.netfilter.nf_log.2": "nfnetlink_log",
    }
    assert sysctl.settings(chosen, 1006000) == chosen


def test_names_are_those_of_sysctl() -> None:
    assert sysctl.dotted("/proc/sys/net/ipv4/conf/eth0.7/forwarding") == "net.ipv4.conf.eth0/7.forwarding"


@pytest.mark.parametrize("name", ["veth12ab", "br-0123456789ab", "vnet3", "tap0", "sit0", "tunl0"])
def test_interfaces_that_come_and_go(name: str) -> None:
    assert sysctl.ephemeral(name)


@pytest.mark.parametrize("name", ["eth0", "enp1s0", "lo", "docker0", "br-lan", "bond0", "wg0"])
def test_interfaces_that_stay(name: str) -> None:
    assert not sysctl.ephemeral(name)


# What Linux 6.18 chose with 24,684,092 KiB, and Linux 6.1 with 2,012,640.
CHOSEN = [
    ("kernel.threads-max", "192730", 24684092),
    ("user.max_user_namespaces", "96365", 24684092),
    ("fs.file-max", "2466177", 24684092),
    ("fs.inotify.max_user_watches", "192536", 24684092),
    ("user.max_fanotify_marks", "205039", 24684092),
    ("fs.epoll.max_user_watches", "5491511", 24684092),
    ("net.ipv4.tcp_mem", "287901 383868 575802", 24684092),
    ("net.ipv4.udp_mem", "575802 767736 1151604", 24684092),
    ("net.ipv4.tcp_max_orphans", "131072", 24684092),
    ("net.ipv4.tcp_max_syn_backlog", "2048", 24684092),
    ("vm.min_free_kbytes", "67584", 24684092),
    ("vm.user_reserve_kbytes", "100405", 24684092),
]


@pytest.mark.parametrize(("name", "value", "kib"), CHOSEN, ids=[name for name, _value, _kib in CHOSEN])
def test_what_the_kernel_sizes_by_memory(name: str, value: str, kib: int) -> None:
    assert sysctl.by_memory(name, value, kib) == sysctl.BY_MEMORY
    assert sysctl.by_memory(name, value, 0) == value
    numbers = [str(int(number) * 2) for number in value.split()]
    if name != "vm.min_free_kbytes":
        assert sysctl.by_memory(name, " ".join(numbers), kib) == " ".join(numbers)
    assert sysctl.by_memory("vm.swappiness", value, kib) == value


def test_what_somebody_set_is_told_from_what_the_kernel_chose() -> None:
    assert sysctl.by_memory("kernel.threads-max", "63704", 24684092) == "63704"
    assert sysctl.by_memory("vm.min_free_kbytes", "131072", 24684092) == "131072"
    assert sysctl.by_memory("net.ipv4.tcp_mem", "a b c", 24684092) == "a b c"
    assert sysctl.by_memory("net.ipv4.tcp_rmem", "4096 131072 6291456", MEMORY) == "4096 131072 6291456"
    assert sysctl.by_memory("net.ipv4.tcp_rmem", "4096 131072 3900000", 490000) == "4096 131072 sized by memory"


# The kernel


def test_parameters_hide_secrets_and_identity() -> None:
    line = (
        "BOOT_IMAGE=/vmlinuz-6.1.0-25-amd64 root=UUID=0a1b2c3d-0000-4111-8222-333344445555 ro quiet console=tty0 "
        'console=ttyS0,115200 ip=192.0.2.7::192.0.2.1 luks.key=/k dyndbg="file a +p" rd.password=x '
        "ks=https://me:pw@example.org/ks mitigations=off systemd.set_credential=passwd.root:abc\n"
    )
    assert {name: fact["value"] for name, fact in kernel.parameters(line).items()} == {
        "parameter root": "UUID=(UUID)",
        "parameter ro": "",
        "parameter quiet": "",
        "parameter console": "tty0 ttyS0,115200",
        "parameter ip": "(its own)",
        "parameter luks.key": "(masked)",
        "parameter dyndbg": "file a +p",
        "parameter rd.password": "(masked)",
        "parameter ks": "https://(masked)@example.org/ks",
        "parameter mitigations": "off",
        "parameter systemd.set_credential": "(masked)",
    }


def test_kernel_states_in_words() -> None:
    assert kernel.taint("0\n") == "none"
    assert kernel.taint("12289\n") == "proprietary module, module from outside the kernel, unsigned module"
    assert kernel.taint("") == ""
    assert kernel.chosen("none [integrity] confidentiality\n") == "integrity"
    assert kernel.chosen("") == ""
    assert kernel.secure_boot(b"\6\0\0\0\1") == "enabled"
    assert kernel.secure_boot(b"\6\0\0\0\0") == "disabled"
    found = kernel.collect([])
    assert found["release"] == {"value": os.uname().release}


def test_apparmor_profiles() -> None:
    text = (
        "/usr/sbin/chronyd (enforce)\nman_groff (complain)\nlsb_release (unconfined)\n"
        "libvirt-0a1b2c3d-0000-4111-8222-333344445555 (enforce)\n/usr/bin/x//null-/bin/sh (complain)\n"
    )
    assert kernel.parse_profiles(text) == {
        "/usr/sbin/chronyd": {"mode": "enforce"},
        "man_groff": {"mode": "complain"},
        "lsb_release": {"mode": "unconfined"},
    }


def test_modules_that_use_loads_or_others_need_are_left_out() -> None:
    assert modules.parse(recorded("modules.txt")) == {
        "dummy": {},
        "acme_raid": {"taint": "POE"},
        "sctp": {},
        "ext4": {},
        "virtio_net": {},
    }


# Mounts and swaps


def test_mounts_of_a_machine() -> None:
    found = mounts.parse(recorded("mountinfo-vm.txt"), MEMORY, shared=False)
    assert found == {
        "/": {"type": "ext4", "source": "disk", "options": ["discard", "errors=remount-ro", "relatime", "rw"]},
        "/boot/efi": {
            "type": "vfat",
            "source": "disk",
            "options": ["codepage=437", "dmask=0022", "errors=remount-ro", "fmask=0022", "relatime", "rw"],
        },
        "/dev": {"type": "devtmpfs", "options": ["inode64", "mode=755", "nosuid", "relatime", "rw"]},
        "/dev/hugepages": {"type": "hugetlbfs", "options": ["pagesize=2M", "relatime", "rw"]},
        "/dev/pts": {
            "type": "devpts",
            "options": ["gid=5", "mode=620", "noexec", "nosuid", "ptmxmode=000", "relatime", "rw"],
        },
        "/dev/shm": {  # noqa: S108
            "type": "tmpfs",
            "options": ["inode64", "nodev", "noexec", "nosuid", "relatime", "rw"],
        },
        "/mnt/share": {
            "type": "nfs4",
            "source": "files.example.org:/share",
            "options": ["hard", "proto=tcp", "relatime", "rw", "vers=4.2"],
        },
        "/proc": {
            "type": "proc",
            "options": ["hidepid=invisible", "nodev", "noexec", "nosuid", "relatime", "rw"],
        },
        "/run": {
            "type": "tmpfs",
            "options": ["inode64", "mode=755", "nodev", "noexec", "nosuid", "relatime", "rw", "size=10%"],
        },
        "/run/lock": {
            "type": "tmpfs",
            "options": ["inode64", "nodev", "noexec", "nosuid", "relatime", "rw", "size=5120k"],
        },
        "/srv/with blank": {
            "type": "xfs",
            "source": "/dev/mapper/vg0-srv",
            "options": ["attr2", "inode64", "nodev", "nosuid", "relatime", "rw"],
        },
        "/sys": {"type": "sysfs", "options": ["nodev", "noexec", "nosuid", "relatime", "rw"]},
        "/sys/fs/cgroup": {
            "type": "cgroup2",
            "options": ["memory_recursiveprot", "nodev", "noexec", "nosuid", "nsdelegate", "relatime", "rw"],
        },
        "/tmp": {  # noqa: S108
            "type": "tmpfs",
            "options": ["inode64", "nodev", "noexec", "nosuid", "nr_inodes=1048576", "rw", "size=50%"],
        },
        "/var/www": {
            "type": "ext4",
            "source": "disk",
            "folder": "/srv/www",
            "options": ["discard", "errors=remount-ro", "relatime", "ro", "rw"],
        },
    }


def test_a_bind_mount_into_a_container_hides_where_it_lies_on_the_host() -> None:
    line = "1 2 254:1 /var/lib/docker/containers/{}/hosts /etc/hosts rw - ext4 /dev/vda1 rw\n".format("ab" * 32)
    assert "folder" not in mounts.parse(line, MEMORY, shared=True)["/etc/hosts"]
    assert mounts.parse(line, MEMORY, shared=False)["/etc/hosts"]["folder"].endswith("/(number)/hosts")


def test_a_mount_option_that_somebody_changes_is_seen() -> None:
    before = recorded("mountinfo-vm.txt")
    after = before.replace("/boot/efi rw,relatime", "/boot/efi rw,noexec,relatime")
    assert before != after
    assert mounts.parse(before, MEMORY, shared=False) != mounts.parse(after, MEMORY, shared=False)


def test_swaps() -> None:
    text = (
        "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
        "/dev/sdb2                               partition\t999420\t\t524\t\t-2\n"
        "/dev/dm-1                               partition\t999424\t\t0\t\t-3\n"
        "/dev/zram0                              partition\t499708\t\t0\t\t100\n"
        "/swapfile                               file\t\t2097148\t\t0\t\t-4\n"
    )
    assert swaps.parse(text, {"dm-1": "vg0-swap"}.get) == {
        "partition 1": {"type": "partition", "size": 999420, "priority": "automatic"},
        "/dev/mapper/vg0-swap": {"type": "partition", "size": 999424, "priority": "automatic"},
        "/dev/zram0": {"type": "partition", "size": 499708, "priority": "100"},
        "/swapfile": {"type": "file", "size": 2097148, "priority": "automatic"},
    }


# The packet filter


def test_nftables() -> None:
    found = nft.ruleset(json.loads(recorded("nft-ruleset.json")), firewall._BANS)
    assert found["chain inet filter input"] == {
        "type": "filter",
        "hook": "input",
        "prio": 0,
        "policy": "drop",
        "rules": [
            "meta iif lo accept",
            "ct state in established,related accept",
            "ct state in invalid drop",
            "ip saddr @allowed tcp dport {22, 443, 80} counter accept # ours",
            'tcp dport 22 limit {"burst":5,"per":"minute","rate":10} accept',
            'tcp dport 8000-8010 counter web log {"prefix":"web "} reject {"type":"tcp reset"}',
            "meta l4proto {icmp, ipv6-icmp} accept",
            "jump more",
        ],
    }
    assert found["chain inet filter more"]["rules"] == ["counter drop"]
    assert found["set inet filter allowed"]["elem"] == ["10.0.0.0/8", "192.0.2.7"]
    assert found["set inet filter seen"]["elem"] == ["(by use)"]
    assert found["map ip nat ports"]["elem"] == ["8080 : 10.1.1.1 . 80"]
    assert found["counter inet filter web"] == {}
    assert "handle" not in json.dumps(found)


def test_counters_and_handles_make_no_difference() -> None:
    text = recorded("nft-ruleset.json")
    later = text.replace('"packets": 5, "bytes": 100', '"packets": 7, "bytes": 900').replace(
        '"handle": 7', '"handle": 70'
    )
    assert later != text
    found = [nft.ruleset(json.loads(each), firewall._BANS) for each in (text, later)]
    assert found[0] == found[1]
    other = text.replace('"right": 22}', '"right": 23}')
    assert nft.ruleset(json.loads(other), firewall._BANS) != found[0]


def test_what_iptables_made_is_asked_of_iptables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ask, "program", lambda name: f"/sbin/{name}")
    monkeypatch.setattr(ask, "run", lambda _argv, _warnings: recorded("iptables-save.txt"))
    found = firewall._parsed(recorded("nft-of-iptables.json"), [])
    assert found["chain ip filter INPUT"]["rules"] == [
        '-p tcp -m conntrack --ctstate NEW -m comment --comment "hi there" -m tcp --dport 99 -j ACCEPT'
    ]
    assert "hook" not in found["chain ip filter INPUT"]
    monkeypatch.setattr(ask, "program", lambda _name: None)
    said: list[str] = []
    assert firewall._parsed(recorded("nft-of-iptables.json"), said)["iptables-save"] == {"unreadable": True}
    assert "iptables-save is missing" in said[0]


@pytest.mark.parametrize("text", ["", "{}", '{"nftables": [{"chain": {}}]}', '{"nftables": [1]}'])
def test_an_answer_that_is_not_understood_is_unreadable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str
) -> None:
    monkeypatch.setattr(ask, "program", lambda name: name if name == "nft" else None)
    monkeypatch.setattr(ask, "run", lambda _argv, _warnings, *_seconds: text)
    monkeypatch.setattr(ask, "may_administer_network", lambda: True)
    monkeypatch.setattr(firewall, "_has_nftables", lambda: True)
    said: list[str] = []
    assert runtime.collect(tree.DirectoryTree(tmp_path), said)["firewall"] == {"firewall": {"unreadable": True}}
    assert any(line.startswith("runtime: firewall: can't be read") for line in said)


def test_docker_and_fail2ban_say_nothing_that_changes() -> None:
    found = firewall.saved("ip", recorded("iptables-save.txt"))
    assert found["chain ip filter FORWARD"] == {
        "policy": "drop",
        "rules": [
            "-j DOCKER-USER",
            "-o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
            "-o docker0 -j DOCKER",
            "-i docker0 ! -o docker0 -j ACCEPT",
            "-o br-(number) -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
            "-o br-(number) -j DOCKER",
            "-i br-(number) ! -o br-(number) -j ACCEPT",
        ],
    }
    assert found["chain ip filter DOCKER"]["rules"] == [
        "-d (address) ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT"
    ]
    assert found["chain ip filter DOCKER-USER"]["rules"] == ["-s 203.0.113.0/24 -j DROP"]
    assert found["chain ip filter f2b-sshd"]["rules"] == ["(bans)"]
    assert found["chain ip nat POSTROUTING"]["rules"] == [
        "-s (address) -d (address) -p tcp -m tcp --dport 80 -j MASQUERADE"
    ]


def test_a_rule_that_stands_twice_is_told_twice_unless_it_is_dockers() -> None:
    assert firewall.settled("INPUT", ["-p tcp -j LOG", "-p tcp -j LOG"]) == ["-p tcp -j LOG", "-p tcp -j LOG"]


def test_who_may_not_see_the_firewall_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ask, "may_administer_network", lambda: False)
    assert firewall.collect(shared=True, warnings=[]) is None
    said: list[str] = []
    assert firewall.collect(shared=False, warnings=said) == {"rules": {"unreadable": True}}
    assert said == ["runtime: the firewall's rules can't be read; collect as root"]


# Replaced programs, and a new kernel


def test_replaced_files() -> None:
    maps = (RECORDED / "maps.txt").read_bytes()
    assert restart.deleted(maps, "/usr/sbin/nginx (deleted)") == {
        "/usr/sbin/nginx",
        "/usr/lib/x86_64-linux-gnu/libssl.so.3",
        "/usr/lib/x86_64-linux-gnu/libz.so.1",
        "/usr/lib/with blank.so",
    }
    assert restart.deleted(b"", "/usr/sbin/nginx") == set()
    assert restart.deleted(b"", "/memfd:collector (deleted)") == set()


def test_a_process_whose_program_was_removed_is_found(tmp_path: Path) -> None:
    program = tmp_path.with_name("replaced-here")
    program.write_bytes(Path("/bin/sleep").read_bytes())
    program.chmod(0o755)
    running = subprocess.Popen([program, "60"])
    try:
        assert restart.collect(shared=False, warnings=[]).get("replaced-here") is None
        program.unlink()
        maps, target, _namespace = restart._look(str(running.pid))
        assert target == f"{program} (deleted)"
        assert b"(deleted)" in maps
    finally:
        running.kill()
        running.wait()
    # Below /tmp it does not count; elsewhere it would.
    assert restart.deleted(maps, target) == set()
    moved = maps.replace(str(program).encode(), b"/srv/replaced-here")
    assert restart.deleted(moved, "/srv/replaced-here (deleted)") == {"/srv/replaced-here"}


INIT = ("/", 65024, 2, "mnt:[1]")


@pytest.mark.parametrize(
    ("root", "is_so"),
    [
        (
            ("/", 2, 1, "mnt:[1]"),
            True,
        ),  # as seen of a process that was there before another root was moved over its own
        (INIT, False),
        (("/run/sshd", 25, 40, "mnt:[1]"), False),  # it went there by chroot
        (("/", 41, 1, "mnt:[2]"), False),  # of a service with RootImage=, or of a container
        (None, False),
    ],
)
def test_what_outlived_the_initramfs(root: Any, is_so: bool) -> None:
    assert restart.outlived(root, INIT) is is_so
    assert restart.outlived(root, None) is False


def test_what_outlived_the_initramfs_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        restart, "_look", lambda _: (b"", "/usr/bin/udevadm (deleted)", restart._link("/proc/self/ns/pid"))
    )
    assert restart.collect(shared=False, warnings=[])
    monkeypatch.setattr(restart, "outlived", lambda *_: True)
    assert restart.collect(shared=False, warnings=[]) == {}


def test_what_runs_in_containers_is_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    namespace = str(Path("/proc/self/ns/pid").readlink())
    stale = (b"", "/srv/program (deleted)")
    monkeypatch.setattr(restart, "as_its_user", lambda _process, _look: (*stale, "pid:[1]"))
    assert restart.collect(shared=False, warnings=[]) == {}
    monkeypatch.setattr(restart, "as_its_user", lambda _process, _look: (*stale, namespace))
    assert {"files": ["/srv/program"]} in restart.collect(shared=False, warnings=[]).values()


def test_hidden_processes_are_unreadable(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_process: str, _look: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(restart, "as_its_user", refuse)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    said: list[str] = []
    assert restart.collect(shared=True, warnings=said) == {restart.CHANGED_USER: {"unreadable": True}}
    assert restart.collect(shared=False, warnings=said) == {restart.OTHERS: {"unreadable": True}}
    assert len(said) == 2


def test_parents() -> None:
    assert restart.parent_of("812 (a (b) c) S 700 812 812 0 -1") == ("a (b) c", "700")
    assert restart.parent_of("") == ("", "")


def test_a_newer_kernel_is_installed() -> None:
    installed = ["6.1.0-9-amd64", "6.1.0-25-amd64", "6.1.0-26-cloud-amd64"]
    assert reboot.newer_release("6.1.0-25-amd64", installed) == "6.1.0-26-cloud-amd64"
    assert reboot.newer_release("6.1.0-26-amd64", installed) == ""
    assert reboot.newer_release("6.12.48+deb13-amd64", ["6.12.48+deb13-amd64", "6.12.48+deb13.1-amd64"]) != ""
    assert reboot.newer_release("6.5.0-0.deb12.4-amd64", ["6.1.0-26-amd64"]) == ""
    assert reboot.newer_release("6.1.0-25-amd64", []) == ""


def test_the_running_kernel_was_built_again() -> None:
    version = "#1 SMP PREEMPT_DYNAMIC Debian 6.1.106-3 (2024-08-26)"
    status = "Package: linux-image-6.1.0-25-amd64\nStatus: install ok installed\nVersion: 6.1.106-4\n\nPackage: x\n"
    package = reboot.package_version(status, "linux-image-6.1.0-25-amd64")
    assert package == "6.1.106-4"
    assert reboot.rebuilt(version, package)
    assert not reboot.rebuilt(version, "6.1.106-3")
    assert not reboot.rebuilt("#1 SMP PREEMPT_DYNAMIC @0", package)
    assert reboot.package_version(status, "linux-image-6.1.0-26-amd64") == ""


@pytest.mark.parametrize(
    ("cgroups", "top", "session", "is_none"),
    [
        ("0::/\n", "/init.scope", "", True),
        ("9:name=systemd:/../..\n8:pids:/x\n0::/\n", "/../../init.scope", "", True),
        ("9:name=systemd:/\n0::/system.slice/x.service\n", "/../../init.scope", "", True),
        ("0::/docker/4711\n", "/docker/4711/init.scope", "", True),
        ("0::/docker/4711\n", "/init.scope", "", False),
        ("0::/user.slice/user-0.slice/session-c3.scope\n", "/init.scope", "c3", False),
        ("0::/user.slice/user-0.slice/user@0.service/init.scope\n", "/init.scope", "", False),
        ("0::/system.slice/nginx.service\n", "/init.scope", "", False),
        ("", "/init.scope", "", False),
    ],
)
def test_of_which_session_or_of_no_unit_a_process_is(cgroups: str, top: str, session: str, is_none: bool) -> None:
    group = sockets.systemd_path(cgroups)
    assert processes.session_of(group) == session
    assert processes.of_no_unit(group, top) is is_none


def test_what_a_session_left_when_it_ended() -> None:
    """Session 4's leader is another process by now, and of session 5 logind keeps no file."""
    seen = {
        "10": ("/usr/sbin/sshd", "3"),
        "11": ("/usr/bin/bash", "3"),
        "20": ("/usr/bin/tmux", "4"),
        "30": ("/usr/bin/sleep", "5"),
        "40": ("/opt/miner", ""),
    }
    leaders = {"3": "10", "4": "11", "5": ""}
    assert processes.left(seen, leaders.__getitem__) == {
        "20": ("/usr/bin/tmux", "a session that has ended"),
        "30": ("/usr/bin/sleep", "a session that has ended"),
        "40": ("/opt/miner", "no unit"),
    }
    assert processes.leader_of("UID=0\nLEADER=812\nTYPE=tty\n") == "812"
    assert processes.leader_of("") == ""


def test_what_ends_by_itself_was_not_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second look finds one process less, and another under the number of a third."""
    looks = iter(
        [
            ({"1": ("/a", ""), "2": ("/b", ""), "3": ("/c", ""), "4": ("/a", "9")}, False),
            ({"1": ("/a", ""), "3": ("/d", ""), "4": ("/a", "9")}, False),
        ]
    )
    monkeypatch.setattr(ask, "systemd_runs", lambda: True)
    monkeypatch.setattr(processes, "_look", lambda: next(looks))
    assert processes.collect([]) == {"/a": {"of": "a session that has ended, no unit"}}


def test_who_may_not_see_what_was_left_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ask, "systemd_runs", lambda: True)
    monkeypatch.setattr(processes, "_look", lambda: ({}, True))
    said: list[str] = []
    assert processes.collect(said) == {restart.OTHERS: {"unreadable": True}}
    assert len(said) == 1
    monkeypatch.setattr(ask, "systemd_runs", lambda: False)
    assert processes.collect(said) is None
    assert len(said) == 1


def test_variables_of_the_manager() -> None:
    said = "LANG=C.UTF-8\nLC_ALL=C\nPATH=/usr/bin:/bin\nA=$'x=y z'\nDB_PASSWORD=hunter2\n"
    found = environment.parse(said)
    assert found.pop("DB_PASSWORD")["value"].startswith("sha256:")
    assert found == {"PATH": {"value": "/usr/bin:/bin"}, "A": {"value": "$'x=y z'"}}


def test_a_manager_that_does_not_answer_is_unreadable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ask, "systemd_runs", lambda: True)
    monkeypatch.setattr(ask, "run", lambda _argv, _warnings: None)
    assert environment.collect([]) == {"systemctl show-environment": {"unreadable": True}}


# Containers and network


def test_containers_without_what_changes_and_what_is_secret() -> None:
    found = containers.parse_containers(json.loads(recorded("docker-container-inspect.json")))
    assert found["web"] == {
        "image": "nginx:1.27",
        "digest": "sha256:280c8e313b21d7c1fb978e8c8ceafd542de0a634ade72d3eaeb57589013c6168",
        "state": "running",
        "restart": "unless-stopped",
        "ports": ["0.0.0.0:8080 -> 80/tcp", "127.0.0.1:ephemeral -> 443/tcp"],
        "mounts": ["(number) -> /var/cache/nginx", "/srv/www -> /usr/share/nginx/html (read-only)"],
        "network": "web_default",
        "privileged": False,
        "environment": ["DB_PASSWORD", "PATH"],
    }
    assert found["sidecar"]["state"] == "ended"
    assert found["sidecar"]["network"] == "container:(number)"
    assert "happy_curie" not in found
    assert "hunter2" not in json.dumps(found)


def test_containers_and_images_of_podman() -> None:
    """Recorded of podman 4.3.1: ports, volumes and a variable; --rm; --privileged."""
    inspected = json.loads(recorded("podman-container-inspect.json"))
    digest = "sha256:b8b87fd9c38625eeffeb7c62e30c87f767d0ddc78909fa2bf9060c7016dbe01e"
    found = containers.parse_containers(inspected)
    assert found["web"] == {
        "image": "localhost/web:1",
        "digest": digest,
        "state": "created",
        "restart": "always",
        "ports": ["0.0.0.0:8080 -> 80/tcp", "127.0.0.1:ephemeral -> 443/tcp"],
        "mounts": ["(number) -> /var/cache/nginx", "/srv/www -> /usr/share/nginx/html (read-only)", "data -> /data"],
        "network": "bridge",
        "privileged": False,
        "environment": ["DB_PASSWORD", "PATH", "TERM", "container"],
    }
    assert (found["own"]["network"], found["own"]["privileged"], found["own"]["restart"]) == ("host", True, "no")
    assert found.keys() == {"web", "own"}
    assert containers.parse_containers([{**inspected[0], "IsInfra": True}]) == {}
    images = containers.parse_images(json.loads(recorded("podman-image-inspect.json")))
    assert images == {"localhost/web:1": {"id": digest}, "localhost/web:latest": {"id": digest}}


def test_podman_is_asked_once_it_has_worked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    monkeypatch.setattr(ask, "program", lambda name: name)
    monkeypatch.setattr(ask, "run", lambda argv, *_more: asked.append(argv) or "")
    monkeypatch.setattr(os.path, "exists", lambda path: path == "/run/podman/podman.sock")
    assert (containers.collect([]), asked) == (None, [])
    monkeypatch.setattr(os.path, "exists", lambda path: path == "/var/lib/containers/storage/libpod")
    assert (containers.collect([]), asked[0][0]) == ({}, "podman")


def test_images_by_name() -> None:
    assert containers.parse_images(json.loads(recorded("docker-image-inspect.json"))) == {
        "nginx:1.27": {"id": "sha256:" + "1" * 64},
        "web:latest": {"id": "sha256:" + "1" * 64},
    }


def test_an_engine_that_does_not_answer_is_unreadable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ask, "program", lambda _name: "/bin/false")
    monkeypatch.setattr(os.path, "exists", lambda path: path == "/run/docker.pid")
    said: list[str] = []
    unread = {"docker": {"unreadable": True}}
    assert containers.collect(said) == unread
    assert containers.images(said) == unread
    assert len(said) == 2
    monkeypatch.setattr(os.path, "exists", lambda _path: False)
    assert containers.collect([]) is None


# The kernel's answers are in the byte order of the machine that they were recorded on.
LITTLE = pytest.mark.skipif(sys.byteorder == "big", reason="the kernel's answers were recorded on another machine")


def answers(what: str) -> list[bytes]:
    """What a kernel said by netlink of a network made for it (`ip`'s commands stand in each test)."""
    return [bytes.fromhex(each) for each in json.loads(recorded("netlink.json"))[what]]


def interfaces() -> dict[int, str]:
    return {int(index): name for index, name in json.loads(recorded("netlink.json"))["interfaces"].items()}


@LITTLE
def test_routes_that_somebody_made_and_those_by_gateways() -> None:
    """Not: 192.0.2.0/24 (the kernel's), 10.12.0.0/16 (proto dhcp), 192.0.2.1 (the gateway), an IPv6 default that a
    router announced (proto ra), 2001:db8:1::/64 (expires), ff00::/8.
    """
    assert routes.routes(answers("routes"), interfaces()) == {
        "route ipv4 default": {"by": "gateway"},
        "route ipv4 default table 7": {"by": "gateway"},
        "route ipv4 10.9.0.0/16": {"by": "interface eth0"},
        "route ipv4 10.10.0.0/16": {"by": "gateway"},
        "route ipv4 10.11.0.0/16": {"by": "interface eth0, interface eth1"},
        "route ipv4 10.13.0.0/16": {"by": "gateway"},
        "route ipv4 10.22.0.0/16": {"by": "reject"},
        "route ipv4 10.77.0.0/16 table local": {"by": "interface lo"},
        "route ipv6 2001:db8::/32": {"by": "interface eth0"},
        "route ipv6 2001:db8:2::/64": {"by": "reject"},
    }


@LITTLE
def test_routes_through_interfaces_that_come_and_go_are_left_out() -> None:
    found = routes.routes(answers("routes"), {index: "veth" + name for index, name in interfaces().items()})
    assert {fact["by"] for fact in found.values()} == {"gateway", "reject"}


@LITTLE
def test_rules_of_policy_routing_in_words() -> None:
    """Own addresses are identity: `from 192.0.2.7 lookup 7` is of each machine's own. tun_id has no word here."""
    assert routes.rules(answers("rules"), routes.addresses(answers("addresses"))) == {
        "rules ipv4": {
            "rules": [
                "0: from all lookup local",
                "50: from all tos 0x10 goto 100",
                "60: from all l3mdev",
                "99: not from all to 10.0.0.0/8 iif eth0 uidrange 1000-1001 ipproto 6 dport 80 lookup 100"
                " suppress_prefixlength 0 12=0000000000000005 29=ffff",
                "100: from 10.0.0.0/8 fwmark 0x1/0xffffffff lookup 100",
                "32765: from own lookup 7",
                "32766: from all lookup main",
                "32767: from all lookup default",
                "40000: from all prohibit",
            ]
        },
        "rules ipv6": {
            "rules": [
                "0: from all lookup local",
                "7: from all to 2001:db8::/32 oif eth1 sport 1-9 lookup main",
                "32766: from all lookup main",
            ]
        },
    }
    assert "32765: from 192.0.2.7/32 lookup 7" in routes.rules(answers("rules"), set())["rules ipv4"]["rules"]


def test_an_answer_by_netlink_that_is_cut_short_is_an_error() -> None:
    whole = struct.pack("=IHHII", 20, 24, 2, 1, 0) + b"abcd"
    assert list(netlink.messages(whole * 2)) == [(24, b"abcd")] * 2
    assert netlink.attributes(struct.pack("=HHBxxxHHI", 5, 0x8001, 7, 8, 2, 9)) == {1: b"\7", 2: struct.pack("=I", 9)}
    for wrong in (whole[:-1], whole + b"\0" * 16, whole + b"\0"):
        with pytest.raises(struct.error):
            list(netlink.messages(wrong))
    with pytest.raises(struct.error):
        netlink.attributes(struct.pack("=HHI", 2, 1, 0))


@LITTLE
def test_only_queues_that_somebody_made_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    names = interfaces()
    found = {names[index]: len(queues) for index, queues in traffic.by_somebody(answers("queues")).items()}
    assert found == {"eth0": 3, "eth1": 1}
    asked: list[list[str]] = []
    monkeypatch.setattr(netlink, "dump", lambda *_question: answers("queues"))
    monkeypatch.setattr(ask, "program", lambda name: name)
    monkeypatch.setattr(ask, "run", lambda argv, _warnings: asked.append(argv) or "qdisc htb 1: root refcnt 2\n")
    shaped = traffic.collect(names, [])
    assert shaped["traffic eth1"] == {"shaped": ["qdisc htb 1: root"] * 3}
    assert ["tc", "filter", "show", "dev", "eth0", "parent", "1:"] in asked
    assert ["tc", "filter", "show", "dev", "eth0", "ingress"] in asked
    monkeypatch.setattr(ask, "program", lambda _name: None)
    said: list[str] = []
    assert traffic.collect(names, said) == {key: {"unreadable": True} for key in shaped}
    assert len(said) == 2


def test_traffic_in_tcs_words_without_what_changes() -> None:
    assert traffic.lines(recorded("tc.txt")) == [
        "qdisc htb 1: root r2q 10 default 0x10 direct_qlen 1000",
        "qdisc tbf (number): parent 1:10 rate 1Mbit burst 10Kb lat 50ms",
        "qdisc clsact ffff: parent ffff:fff1",
        "class htb 1:10 root leaf (number): prio 0 rate 1Mbit ceil 1Mbit burst 1600b cburst 1600b",
        "class tbf (number):1 parent (number):",
        "filter protocol ip pref 49152 u32 chain 0",
        "filter protocol ip pref 49152 u32 chain 0 fh 800: ht divisor 1",
        "filter protocol ip pref 49152 u32 chain 0 fh 800::800 order 2048 key ht 800 bkt 0 *flowid 1:10"
        " match 00000050/0000ffff at 20",
    ]
    netem = "qdisc netem 8001: dev eth0 root refcnt 2 limit 1000 delay 100ms seed 12071969\n"
    assert traffic.lines(netem) == ["qdisc netem (number): root limit 1000 delay 100ms"]
    assert traffic.lines("qdisc noqueue 0: dev lo root refcnt 2 \n") == []


def test_resolver() -> None:
    text = "# made by\nnameserver 127.0.0.53\noptions edns0 trust-ad\nsearch example.org lan\n"
    assert network.parse_resolver(text) == {
        "servers": "local",
        "search": ["example.org", "lan"],
        "options": ["edns0", "trust-ad"],
    }
    assert network.parse_resolver("nameserver 192.0.2.53\nnameserver 127.0.0.1\n")["servers"] == "others"
    assert network.parse_resolver("# nothing\n") == {}


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("0.0.0.0", "0.0.0.0"),  # noqa: S104
        ("127.0.0.1", "127.0.0.1"),
        ("192.0.2.7", "own"),
        ("[::]", "[::]"),
        ("[::1]", "[::1]"),
        ("[fe80::1]", "own"),
        ("[::ffff:127.0.0.1]", "[::ffff:127.0.0.1]"),
        ("224.0.0.251", "224.0.0.251"),
    ],
)
def test_own_addresses_are_identity(address: str, shown: str) -> None:
    assert sockets.general(address) == shown


def test_a_socket_whose_program_is_hidden_is_unreadable(monkeypatch: pytest.MonkeyPatch) -> None:
    table = "  sl  local_address\n   0: 00000000:0016 00000000:0000 0A 0:0 0:0 0 0 0 4711 1\n"
    monkeypatch.setattr(sockets, "read", lambda path: table if path == "/proc/net/tcp" else "")
    monkeypatch.setattr(sockets, "_may_ask", lambda: False)
    monkeypatch.setattr(sockets, "_holders", lambda _inodes: ({}, True))
    said: list[str] = []
    assert sockets.collect(said) == {"tcp 0.0.0.0:22": {"unreadable": True}}
    assert len(said) == 1
    monkeypatch.setattr(sockets, "_holders", lambda _inodes: ({}, False))
    assert sockets.collect([]) == {"tcp 0.0.0.0:22": {}}
