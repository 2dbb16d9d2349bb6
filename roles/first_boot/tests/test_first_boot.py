"""The role first_boot. What it makes where something is missing is tried on copies, out of sight of the machine."""

from __future__ import annotations

import re
from typing import Any

import pytest

PROGRAM = "/usr/local/sbin/goldsmith-first-boot"
ALGORITHMS = {"rsa": "rsa-sha2-512", "ecdsa": "ecdsa-sha2-nistp256", "ed25519": "ssh-ed25519"}

# In namespaces of its own a shell sees a copy of what the program writes, without identity, and has the name $1.
COPY = """
set -e
mount -t tmpfs none /mnt
cp -a /etc /var/lib/dbus /mnt
rm -f /mnt/etc/ssh/ssh_host_*
rm -f /mnt/dbus/machine-id
echo 00000000000000000000000000000000 >/mnt/dbus/machine-id
: >/mnt/etc/hostname
mount --bind /mnt/etc /etc
mount --bind /mnt/dbus /var/lib/dbus
hostname "$1"
"""

# Over this daemon's standard input, so that no port is needed.
CONNECT = (
    "ssh -v -F none -o ProxyCommand='/usr/sbin/sshd -i' -o HostKeyAlgorithms=%s -o StrictHostKeyChecking=no "
    "-o UserKnownHostsFile=/dev/null -o PreferredAuthentications=none nobody@here true 2>&1 || exit 1"
)


def on_copy(host: Any, commands: str, name: str = "given-by-somebody") -> str:
    return str(host.check_output("unshare --mount --uts sh -c %s sh %s", COPY + commands, name))


def key(kind: str) -> str:
    return f"/etc/ssh/ssh_host_{kind}_key"


def test_nothing_is_missing(host: Any) -> None:
    assert host.check_output(f"{PROGRAM} --check") == ""


def test_unit_has_run_and_runs_before_the_daemon_at_every_boot(host: Any) -> None:
    names = ("Result", "ActiveState", "UnitFileState", "NeedDaemonReload", "Before", "After", "WantedBy")
    asked = " ".join(f"-p {name}" for name in names)
    lines = host.check_output(f"systemctl show goldsmith-first-boot.service {asked}").splitlines()
    shown = dict(line.split("=", 1) for line in lines)
    assert [shown[name] for name in names[:4]] == ["success", "active", "enabled", "no"]
    assert "ssh.service" in shown["Before"].split()
    # Whoever may give a name has had its turn.
    assert {"network.target", "cloud-init.service", "cloud-init-network.service"} <= set(shown["After"].split())
    assert {"multi-user.target", "ssh.service"} <= set(shown["WantedBy"].split())


def test_its_files_are_roots(host: Any) -> None:
    files = f"{PROGRAM} /etc/goldsmith /etc/goldsmith/first-boot.conf /etc/systemd/system/goldsmith-first-boot.service"
    assert host.check_output(f"stat -c '%U %G %a' {files}").splitlines() == [
        "root root 755",
        "root root 755",
        "root root 644",
        "root root 644",
    ]


def test_unit_of_earlier_releases_is_gone(host: Any) -> None:
    shown = host.check_output("systemctl show goldsmith-host-keys.service -p LoadState -p ActiveState")
    assert set(shown.splitlines()) == {"LoadState=not-found", "ActiveState=inactive"}
    assert host.check_output("find /etc/systemd/system -name 'goldsmith-host-keys*'") == ""


# Host keys


def test_machine_has_host_keys_of_the_chosen_types_only(host: Any, variables: dict[str, Any]) -> None:
    pattern = "/etc/ssh/ssh_host_*_key"
    shown = host.check_output(f"stat -c '%n %U %G %a' {pattern}").splitlines()
    assert sorted(shown) == sorted(f"{key(kind)} root root 600" for kind in variables["first_boot_host_key_types"])
    for kind in variables["first_boot_host_key_types"]:
        made = host.check_output(f"ssh-keygen -y -f {key(kind)}; cat {key(kind)}.pub").splitlines()
        assert made[0].split()[:2] == made[1].split()[:2]


def test_daemon_is_told_which_types(host: Any, variables: dict[str, Any]) -> None:
    if not host.file("/usr/sbin/sshd").exists:
        pytest.skip("no SSH daemon")
    told = [line.split()[1] for line in host.check_output("/usr/sbin/sshd -T").splitlines() if line[:8] == "hostkey "]
    assert set(told) >= {key(kind) for kind in variables["first_boot_host_key_types"]}
    assert set(told).isdisjoint(key(kind) for kind in set(ALGORITHMS) - {*variables["first_boot_host_key_types"]})


@pytest.mark.parametrize("kind", ALGORITHMS)
def test_daemon_shows_the_chosen_types_only(host: Any, variables: dict[str, Any], kind: str) -> None:
    if not host.file("/usr/sbin/sshd").exists:
        pytest.skip("no SSH daemon")
    run = host.file("/run/sshd").exists
    host.check_output("mkdir -p -m 0755 /run/sshd")
    said = host.run(CONNECT, ALGORITHMS[kind]).stdout
    if not run:
        host.check_output("rmdir /run/sshd")
    if kind not in variables["first_boot_host_key_types"]:
        assert "no matching host key type found" in said
        return
    shown = re.search(r"Server host key: \S+ (\S+)", said)
    assert shown, said
    assert shown.group(1) == host.check_output(f"ssh-keygen -lf {key(kind)}.pub").split()[1]


def test_missing_and_broken_host_keys_are_made_anew(host: Any, variables: dict[str, Any]) -> None:
    kinds = variables["first_boot_host_key_types"]
    made = f": >{key(kinds[0])}; {PROGRAM} --check; ls /etc/ssh/ssh_host_*; {PROGRAM}; {PROGRAM} --check; cat"
    pubs = " ".join(f"{key(kind)}.pub" for kind in kinds)
    lines = on_copy(host, f"{made} {pubs}").splitlines()
    told = [*(f"host key {key(kind)}" for kind in kinds), "link /var/lib/dbus/machine-id"]
    # --check names all and makes nothing; what is made is named; then nothing is left to name.
    assert lines[: -len(kinds)] == [*told, key(kinds[0]), *told]
    assert set(lines[-len(kinds) :]).isdisjoint(host.check_output(f"cat {pubs}").splitlines())


def test_host_keys_that_are_there_stay(host: Any, variables: dict[str, Any]) -> None:
    kinds = variables["first_boot_host_key_types"]
    sums = "cat /etc/ssh/ssh_host_*_key | sha256sum"
    before, *_between, after = on_copy(
        host, f"{PROGRAM} >/dev/null; {sums}; rm {key(kinds[-1])}.pub; {PROGRAM}; {sums}"
    ).splitlines()
    assert before == after


# Machine id


def test_machine_id_is_set_and_that_of_dbus_follows(host: Any) -> None:
    assert re.fullmatch(r"[0-9a-f]{32}", host.check_output("cat /etc/machine-id"))
    if host.file("/var/lib/dbus").exists:
        assert host.check_output("readlink /var/lib/dbus/machine-id") == "/etc/machine-id"


def test_a_copy_of_the_machine_id_becomes_a_link(host: Any) -> None:
    shown = on_copy(host, f"{PROGRAM} >/dev/null; readlink /var/lib/dbus/machine-id; ls /var/lib/dbus")
    assert shown.splitlines() == ["/etc/machine-id", "machine-id"]


@pytest.mark.not_in_container("systemd keeps a random seed where there is a kernel to feed")
def test_random_seed_is_roots_own(host: Any) -> None:
    assert host.check_output("stat -c '%U %a %s' /var/lib/systemd/random-seed") == "root 600 32"


# Host name


def test_a_name_that_somebody_gave_stays(host: Any) -> None:
    assert on_copy(host, f"{PROGRAM} >/dev/null; uname -n; cat /etc/hostname") == "given-by-somebody"


def test_a_name_that_is_none_is_replaced(host: Any, variables: dict[str, Any]) -> None:
    pattern = variables["first_boot_hostname"]
    for name in {"localhost", *variables["first_boot_hostname_instead_of"]}:
        lines = on_copy(host, f"{PROGRAM} >/dev/null; uname -n; cat /etc/hostname", name).splitlines()
        if not pattern:
            assert lines == [name]
            continue
        wanted = re.sub(r"\\{machine_id:(\d+)\\}", r"([0-9a-f]{\1})", re.escape(pattern))
        found = re.fullmatch(wanted, lines[0])
        assert found, lines
        assert lines == [lines[0]] * 2
        assert not found.groups() or found.group(1) not in host.check_output("cat /etc/machine-id")


def test_a_name_of_its_own_resolves(host: Any, variables: dict[str, Any]) -> None:
    if not variables["first_boot_hostname"]:
        pytest.skip("machines don't name themselves here")
    assert on_copy(host, f'{PROGRAM} >/dev/null; getent hosts "$(uname -n)"', "localhost") != ""


# A copy of another machine


def test_renew_forgets_what_is_the_other_machines(host: Any, variables: dict[str, Any]) -> None:
    shown = on_copy(
        host,
        "mkdir /mnt/empty; "
        "for each in /var/lib/systemd /var/lib/dhcp; do [ ! -d $each ] || mount --bind /mnt/empty $each; done; "
        f"{PROGRAM} named || echo not yet; {PROGRAM} >/dev/null; ! {PROGRAM} named || echo named; "
        f"touch /var/lib/systemd/random-seed; {PROGRAM} renew; ls /etc/ssh /mnt/empty; "
        "wc -c </etc/machine-id; wc -c </etc/hostname",
        "localhost",
    )
    assert "not yet" in shown
    assert ("named" in shown.split()) is bool(variables["first_boot_hostname"])
    assert "Restart this machine now" in shown
    assert "ssh_host" not in shown
    assert "random-seed" not in shown
    # The name was made from the other's machine id.
    assert shown.splitlines()[-2:] == ["0", "0"]


@pytest.mark.parametrize("arguments", ["again", "--check now", "renew now"])
def test_misuse_changes_nothing_and_says_how(host: Any, arguments: str) -> None:
    done = host.run(f"{PROGRAM} {arguments}")
    assert (done.rc, done.stdout) == (2, "")
    assert "goldsmith-first-boot renew" in done.stderr
