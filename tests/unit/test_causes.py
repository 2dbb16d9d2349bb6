"""Differences grouped by what brought them."""

from __future__ import annotations

from typing import Any

import pytest

from goldsmith import causes
from goldsmith.causes import Cause
from goldsmith.compare import Difference, compare
from tests.unit.test_compare import FILE, NONE, machine, recorded, with_identity

FOLDER = {"type": "directory", "mode": "0755", "owner": "root", "group": "root"}


def package(version: str, **more: Any) -> dict[str, Any]:
    return {"version": version, "architecture": "amd64", "status": "installed", **more}


def of(name: str, **more: Any) -> dict[str, Any]:
    return {**FILE, "package": name, **more}


def link(target: str, **more: Any) -> dict[str, Any]:
    return {"type": "link", "owner": "root", "group": "root", "target": target, **more}


def found(a: dict[str, Any], b: dict[str, Any]) -> tuple[Cause, ...]:
    """The causes of what differs between machines with these sections; what runs stands under `runtime`."""
    names = (a.keys() | b.keys()) - {"runtime"}
    one, other = (
        machine(name, runtime=side.get("runtime", {}), **{each: side.get(each, {}) for each in names})
        for name, side in (("a", a), ("b", b))
    )
    comparison = compare(one, other, NONE)
    assert comparison.not_compared == ()
    grouped = causes.group(comparison.differences)
    told = [each for cause in grouped for each in cause.differences]
    assert sorted(map(str, told)) == sorted(map(str, comparison.differences)), "each difference has one cause"
    return grouped


def lines(a: dict[str, Any], b: dict[str, Any]) -> list[str]:
    return [cause.line for cause in found(a, b)]


def test_nothing_differs() -> None:
    assert causes.group(()) == ()


def test_a_newer_package_brings_its_files() -> None:
    old, new = of("nginx"), of("nginx", sha256="b" * 64)
    status = {**FILE, "sha256": "c" * 64}
    a = {
        "packages": {"nginx": package("1.22.1-9")},
        "files": {"/usr/sbin/nginx": old, "/usr/share/x": old, "/var/lib/dpkg/info/nginx.md5sums": FILE}
        | {"/var/lib/dpkg/status": FILE, "/etc/ld.so.cache": FILE},
    }
    b = {
        "packages": {"nginx": package("1.22.1-9+deb12u1")},
        "files": {"/usr/sbin/nginx": new, "/usr/share/x": new, "/var/lib/dpkg/info/nginx.md5sums": status}
        | {"/var/lib/dpkg/status": status, "/etc/ld.so.cache": status},
    }
    [cause] = found(a, b)
    assert cause.line == "package nginx 1.22.1-9 → 1.22.1-9+deb12u1: 5 files"
    assert cause.differences[0].section == "packages"
    assert cause.paths[-1] == "/var/lib/dpkg/status"


def test_a_package_brings_units_users_alternatives_and_links() -> None:
    b = {
        "packages": {"chrony": package("4.3"), "vim": package("9")},
        "files": {
            "/usr/sbin/chronyd": of("chrony"),
            "/usr/lib/systemd/system/chrony.service": of("chrony"),
            "/etc/systemd/system/multi-user.target.wants/chrony.service": link("/lib/systemd/system/chrony.service"),
            "/etc/systemd/system/chronyd.service": link("/lib/systemd/system/chrony.service"),
            "/var/lib/systemd/deb-systemd-helper-enabled/chrony.service.dsh-also": FILE,
            "/etc/init.d/chrony": of("chrony"),
            "/etc/rc2.d/S01chrony": link("../init.d/chrony"),
            "/var/lib/chrony": {**FOLDER, "package": "chrony", "owner": "_chrony"},
            "/var/lib/chrony/made-at-installation": FILE,
            "/usr/bin/vim.basic": of("vim"),
            "/etc/alternatives/editor": link("/usr/bin/vim.basic"),
            "/var/lib/dpkg/alternatives/editor": FILE,
            "/usr/bin/editor": link("/etc/alternatives/editor"),
            "/usr/lib/python3/dist-packages/c.py": of("chrony"),
            "/usr/lib/python3/dist-packages/__pycache__/c.cpython-311.pyc": FILE,
        },
        "units": {"chrony.service": {"path": "/usr/lib/systemd/system/chrony.service", "state": "enabled"}},
        "users": {"_chrony": {"uid": 102, "gid": 103, "home": "/var/lib/chrony"}},
        "groups": {"_chrony": {"gid": 103, "members": []}},
        "runtime": {
            "units": {"chrony.service": {"active": "active"}},
            "sockets": {"udp 127.0.0.1:323": {"program": "chronyd", "unit": "chrony.service"}},
        },
    }
    a = {"runtime": {"units": {}, "sockets": {}}, "files": {"/usr/bin/editor": link("/bin/nano")}}
    assert lines(a, b) == [
        "package chrony 4.3 only on B: 11 files, 1 unit, 1 user, 1 group, 1 listening socket",
        "package vim 9 only on B: 3 files",
        "link /usr/bin/editor, target /bin/nano → /etc/alternatives/editor",
    ]


def test_a_user_whose_name_says_nothing_is_of_the_package_whose_files_it_owns() -> None:
    b = {
        "packages": {"postgresql-common": package("248"), "postgresql-15": package("15.3")},
        "files": {
            "/var/lib/postgresql": {**FOLDER, "package": "postgresql-common", "owner": "postgres"},
            "/usr/x": of("postgresql-15"),
        },
        "users": {"postgres": {"uid": 104, "home": "/var/lib/postgresql"}},
    }
    assert lines({}, b) == [
        "package postgresql-15 15.3 only on B: 1 file",
        "package postgresql-common 248 only on B: 1 file, 1 user",
    ]


def test_several_packages_share_the_records() -> None:
    b = {
        "packages": {"a": package("1"), "b": package("2", hold=True)},
        "files": {
            "/var/lib/dpkg/status": FILE,
            "/var/lib/apt/extended_states": FILE,
            "/var/lib/dpkg/info/a:i386.list": FILE,
        },
    }
    assert lines({"packages": {"b": package("2")}}, b) == [
        "package a 1 only on B: 1 file",
        "package b, hold - → yes",
        "records of the packages above: 2 files",
    ]
    assert lines({}, {"files": {"/var/lib/dpkg/status": FILE}}) == ["file /var/lib/dpkg/status only on B"]


def test_files_of_a_package_that_is_the_same_on_both() -> None:
    changed = of("nginx", sha256="b" * 64)
    a = {"files": {"/etc/nginx/a": of("nginx"), "/etc/nginx/b": of("nginx"), "/etc/ssh/x": of("ssh")}}
    b = {"files": {"/etc/nginx/a": changed, "/etc/nginx/b": changed, "/etc/ssh/x": of("ssh", mode="0600")}}
    assert lines(a, b) == [
        "package nginx is the same on both, its files are not: 2 files",
        "file /etc/ssh/x of package ssh, mode 0644 → 0600",
    ]


def test_a_python_distribution_has_what_bears_its_name() -> None:
    site = "/opt/app/venv/lib/python3.11/site-packages"
    a = {"libraries": {f"{site}/flask-sqlalchemy": {"kind": "python", "version": "3.0"}}, "files": {}}
    b = {
        "libraries": {
            f"{site}/flask-sqlalchemy": {"kind": "python", "version": "3.1"},
            "/usr/lib/python3/dist-packages/yaml": {"kind": "python", "version": "6"},
        },
        "packages": {"python3-yaml": package("6")},
        "files": {
            f"{site}/Flask_SQLAlchemy-3.1.dist-info": FOLDER,
            f"{site}/Flask_SQLAlchemy-3.1.dist-info/METADATA": FILE,
            f"{site}/flask_sqlalchemy/new.py": FILE,
            f"{site}/flask_sqlalchemy/__pycache__": FOLDER,
            f"{site}/flask/other.py": FILE,
            "/usr/lib/python3/dist-packages/yaml/x.py": of("python3-yaml"),
        },
    }
    assert lines(a, b) == [
        "package python3-yaml 6 only on B: 1 file, 1 library",
        f"library flask-sqlalchemy 3.0 → 3.1, in {site}: 4 files",
        f"file {site}/flask/other.py only on B",
    ]


def test_a_unit_has_its_file_drop_ins_links_and_what_runs() -> None:
    path = "/etc/systemd/system/hello.service"
    a = {
        "units": {"hello.service": {"path": path, "state": "enabled"}, "other.service": {"state": "enabled"}},
        "files": {path: FILE, "/etc/systemd/system/multi-user.target.wants/hello.service": link(path)},
        "runtime": {"units": {"hello.service": {"active": "active"}, "x.service": {"active": "active"}}},
    }
    b = {
        "units": {"hello.service": {"path": path, "state": "disabled"}, "other.service": {"state": "masked"}},
        "files": {
            path: {**FILE, "sha256": "b" * 64},
            "/etc/systemd/system/hello.service.d": FOLDER,
            "/etc/systemd/system/hello.service.d/limits.conf": FILE,
            "/etc/systemd/system/other.service": link("/dev/null"),
            "/etc/rc3.d/K01hello": link("../init.d/hello"),
            "/etc/rc3.d/K01foreign": link("../init.d/foreign"),
        },
        "runtime": {
            "units": {"x.service": {"active": "failed"}, "y.timer": {"active": "active"}}
            | {"z.service": {"until_boot": {"/run/systemd/system/z.service": "/dev/null"}}}
        },
    }
    assert lines(a, b) == [
        "unit hello.service, state enabled → disabled: 5 files",
        "unit other.service, state enabled → masked: 1 file",
        "unit x.service, active active → failed",
        "unit y.timer, active only on B",
        "unit z.service, until the next boot only on B",
        "link /etc/rc3.d/K01foreign only on B",
    ]


def test_what_runs_replaced_files_is_told_with_them() -> None:
    b = {"runtime": {"restart": {"cron.service": {"files": ["/usr/sbin/cron"]}}}}
    assert lines({"runtime": {"restart": {}}}, b) == [
        "runtime.restart cron.service only on B, where it runs what was replaced: /usr/sbin/cron"
    ]


def test_of_a_list_only_what_changed_is_told() -> None:
    chains = {
        "a": (["x", "y"], ["x", "y", "z"]),
        "b": (["x", "y"], ["x"]),
        "c": (["x", "y"], ["y", "x"]),
        "d": (["x"], ["y"]),
        "e": (["x", "y"], ["x", "z"]),
    }
    a, b = ({"runtime": {"firewall": {key: {"rules": each[at]} for key, each in chains.items()}}} for at in (0, 1))
    assert lines(a, b) == [
        "runtime.firewall a, rules with z",
        "runtime.firewall b, rules without y",
        "runtime.firewall c, rules in another order",
        "runtime.firewall d, rules x → y",
        "runtime.firewall e, rules without y, with z",
    ]


def test_a_thing_that_has_no_attributes() -> None:
    b = {"runtime": {"firewall": {"table inet x": {}}}}
    assert lines({"runtime": {"firewall": {}}}, b) == ["runtime.firewall table inet x only on B"]


def test_a_user_has_group_home_keys_and_the_account_files() -> None:
    a = {"users": {"root": {"shell": "/bin/bash"}}, "groups": {"sudo": {"members": []}}}
    b: dict[str, Any] = {
        "users": {"root": {"shell": "/bin/bash"}, "ops": {"uid": 1000, "home": "/home/ops", "groups": ["sudo"]}},
        "groups": {"ops": {"gid": 1000, "members": []}, "sudo": {"members": ["ops"]}},
        "files": {
            "/home/ops": {**FOLDER, "owner": "ops"},
            "/home/ops/.ssh": FOLDER,
            "/home/ops/.ssh/authorized_keys": FILE,
            "/etc/passwd": FILE,
            "/etc/group": FILE,
            "/etc/subuid-": FILE,
        },
        "ssh_keys": {"ops /home/ops/.ssh/authorized_keys SHA256:x": {"type": "ssh-ed25519"}},
    }
    assert lines(a, b) == ["user ops only on B: 6 files, 2 groups, 1 key that lets in"]
    other = {**b, "users": {"root": {"shell": "/bin/sh"}, "ops": b["users"]["ops"]}}
    assert lines(a, other) == [
        "user ops only on B: 3 files, 2 groups, 1 key that lets in",
        "user root, shell /bin/bash → /bin/sh",
        "files of the accounts above: 3 files",
    ]


def test_a_setting_has_the_cause_of_the_file_that_it_is_read_from() -> None:
    changed = {**FILE, "sha256": "b" * 64}
    conf = "/etc/sysctl.d/99.conf"
    a: dict[str, Any] = {
        "files": {
            conf: FILE,
            "/etc/pam.d/sshd": FILE,
            "/etc/fstab": FILE,
            "/etc/sudoers.d/a": FILE,
            "/etc/sudoers.d/b": FILE,
        },
        "sysctl": {"vm.swappiness": {"value": "1", "path": conf}},
        "pam": {"sshd": {"auth": ["x"]}},
        "mounts": {"/srv": {"type": "ext4"}},
        "sudo": {"%sudo": {"rules": ["x"]}},
        "os": {"release": {"version_id": "12"}},
        "runtime": {"sysctl": {"vm.swappiness": {"value": "1"}}, "kernel": {"release": {"name": "6.1"}}},
    }
    b = {
        "files": dict.fromkeys(a["files"], changed) | {"/etc/cron.d/x": FILE},
        "sysctl": {"vm.swappiness": {"value": "2", "path": conf}},
        "pam": {"sshd": {"auth": ["y"]}},
        "mounts": {"/srv": {"type": "xfs"}},
        "sudo": {"%sudo": {"rules": ["y"]}},
        "cron": {"/etc/cron.d/x: /usr/bin/y": {"user": "root"}},
        "os": {"release": {"version_id": "13"}},
        "runtime": {"sysctl": {"vm.swappiness": {"value": "2"}}, "kernel": {"release": {"name": "6.2"}}},
    }
    assert lines(a, b) == [
        "os release, version_id 12 → 13",
        "runtime.kernel release, name 6.1 → 6.2",
        "sudo %sudo, rules x → y",
        "file /etc/cron.d/x only on B: 1 setting of cron",
        "file /etc/fstab, contents: 1 setting of mounts",
        "file /etc/pam.d/sshd, contents: 1 setting of pam",
        "file /etc/sudoers.d/a, contents",
        "file /etc/sudoers.d/b, contents",
        f"file {conf}, contents: 1 setting of runtime.sysctl, 1 setting of sysctl",
    ]


CHANGED = {**FILE, "sha256": "b" * 64}
CONF, BUNDLE = "/etc/ca-certificates.conf", "/etc/ssl/certs/ca-certificates.crt"
LOCAL = "/usr/local/share/ca-certificates/"


def authority(name: str, number: str, source: str) -> dict[str, Any]:
    """What update-ca-certificates makes of one."""
    links = {f"/etc/ssl/certs/{number}.0": link(f"{name}.pem"), f"/etc/ssl/certs/{name}.pem": link(source)}
    return {"files": links, "certificates": {f"{name} {number}": {"subject": f"CN={name}"}}}


def test_who_is_trusted_has_the_file_in_which_it_is_chosen() -> None:
    """An authority is distrusted in the package's list; then one is brought as a file of its own."""
    old = authority("ISRG", "4042bcee", "/usr/share/ca-certificates/mozilla/ISRG.crt")
    trusted = {"files": {**old["files"], CONF: FILE, BUNDLE: FILE}, "certificates": old["certificates"]}
    distrusted = {"files": {CONF: CHANGED, BUNDLE: CHANGED}}
    assert lines(trusted, distrusted) == [f"file {CONF}, contents: 3 files, 1 authority"]

    new = authority("Own", "c0ffee00", f"{LOCAL}Own.crt")
    brought = {**new, "files": {**new["files"], f"{LOCAL}Own.crt": FILE, BUNDLE: CHANGED}}
    assert lines({"files": {BUNDLE: FILE}}, brought) == [f"file {LOCAL}Own.crt only on B: 3 files, 1 authority"]


def test_where_several_are_chosen_each_has_its_links_and_the_bundle_the_rest() -> None:
    one, two = (authority(name, f"0000000{name}", f"{LOCAL}{name}.crt") for name in "12")
    b = {
        "files": {**one["files"], **two["files"], f"{LOCAL}1.crt": FILE, f"{LOCAL}2.crt": FILE, BUNDLE: CHANGED},
        "certificates": {**one["certificates"], **two["certificates"]},
    }
    assert lines({"files": {BUNDLE: FILE}}, b) == [
        f"file {BUNDLE}, contents: 2 authorities",
        f"file {LOCAL}1.crt only on B: 2 files",
        f"file {LOCAL}2.crt only on B: 2 files",
    ]


def test_a_newer_package_of_authorities_brings_what_is_made_of_it() -> None:
    old = authority("ISRG", "4042bcee", "/usr/share/ca-certificates/mozilla/ISRG.crt")
    files = {CONF: FILE, BUNDLE: FILE, "/usr/share/ca-certificates/mozilla/ISRG.crt": of("ca-certificates")}
    a = {**old, "files": {**old["files"], **files}, "packages": {"ca-certificates": package("1")}}
    b = {"files": {CONF: CHANGED, BUNDLE: CHANGED}, "packages": {"ca-certificates": package("2")}}
    assert lines(a, b) == ["package ca-certificates 1 → 2: 5 files, 1 authority"]


def test_what_a_fact_of_one_side_says() -> None:
    b = {
        "runtime": {
            "network": {
                "route ipv4 10.9.0.0/16": {"by": "interface eth0"},
                "traffic eth0": {"shaped": ["qdisc netem (number): root delay 100ms"]},
            },
            "processes": {"/opt/miner": {"of": "no unit"}},
        }
    }
    assert lines({"runtime": {"network": {}, "processes": {}}}, b) == [
        "runtime.network route ipv4 10.9.0.0/16 only on B, interface eth0",
        "runtime.network traffic eth0 only on B, qdisc netem (number): root delay 100ms",
        "runtime.processes /opt/miner only on B, of no unit",
    ]


def test_a_program_that_listens_is_told_by_its_socket() -> None:
    """The other program is of a unit, and this one listens on its own account."""
    sockets = {
        "tcp 0.0.0.0:80": {"program": "python3.11", "unit": "app.service"},
        "tcp 0.0.0.0:4444": {"program": "python3.11"},
    }
    b = {"runtime": {"sockets": sockets, "processes": {"/usr/bin/python3.11": {"of": "no unit"}}}}
    assert lines({"runtime": {"sockets": {}, "processes": {}}}, b) == [
        "unit app.service: 1 listening socket",
        "runtime.sockets tcp 0.0.0.0:4444 only on B: 1 program left running",
    ]


def test_what_is_no_file_is_called_what_it_is() -> None:
    a = {"files": {"/srv": FOLDER, "/x": link("/a"), "/y": FILE}}
    b = {"files": {"/srv": {**FOLDER, "flags": ["immutable"]}, "/x": link("/b"), "/y": link("/z")}}
    assert lines(a, b) == ["folder /srv, flags - → immutable", "link /x, target /a → /b", "file /y, type file → link"]


def test_alternatives() -> None:
    a = {"files": {"/etc/alternatives/editor": link("/bin/nano"), "/var/lib/dpkg/alternatives/editor": FILE}}
    b = {
        "files": {
            "/etc/alternatives/editor": link("/usr/bin/vim"),
            "/var/lib/dpkg/alternatives/editor": {**FILE, "sha256": "b" * 64},
        }
    }
    assert lines(a, b) == ["alternative editor: 2 files"]
    target = {"alternatives": {"editor": {"mode": "auto", "target": "/bin/nano"}}}
    other = {"alternatives": {"editor": {"mode": "manual", "target": "/usr/bin/vim"}}}
    assert lines({**a, **target}, {**b, **other}) == [
        "alternative editor, mode auto → manual, target /bin/nano → /usr/bin/vim: 2 files"
    ]


def test_paths_that_nothing_explains() -> None:
    a = {
        "files": {
            "/etc/motd": FILE,
            "/etc/x": FILE,
            "/srv/gone": FILE,
            **{f"/srv/data/{number}": FILE for number in range(5)},
        }
    }
    b = {
        "files": {
            "/etc/motd": {**FILE, "sha256": "b" * 64, "mode": "0666"},
            "/etc/x": link("/etc/y"),
            "/opt/tool": FOLDER,
            "/opt/tool/bin": FOLDER,
            "/opt/tool/bin/x": FILE,
            **{f"/srv/data/{number}": {**FILE, "owner": "www-data", "mode": "0600"} for number in range(5)},
        }
    }
    assert lines(a, b) == [
        "folder /opt/tool only on B: 2 files",
        "mode 0644 → 0600, owner root → www-data below /srv/data: 5 files",
        "file /etc/motd, mode 0644 → 0666, contents",
        "file /etc/x, type file → link",
        "file /srv/gone only on A",
    ]


def test_a_folder_is_of_what_lies_in_it() -> None:
    """A package whose folder another one shares, so that it is nobody's."""
    b = {"packages": {"x": package("1")}, "files": {"/usr/share/x": FOLDER, "/usr/share/x/a": of("x")}}
    assert lines({}, b) == ["package x 1 only on B: 2 files"]
    b["packages"]["y"] = package("2")
    b["files"]["/usr/share/x/b"] = of("y")
    assert lines({}, b) == ["package x 1 only on B: 2 files", "package y 2 only on B: 1 file"]
    b["files"]["/usr/share/x/c"] = FILE
    assert "folder /usr/share/x only on B: 1 file" in lines({}, b)


def test_identity_and_what_cannot_be_read() -> None:
    a, b = machine("a"), with_identity(machine("b"), "machine_id", sha256="id of a")
    [cause] = causes.group(compare(a, b, NONE).differences)
    assert cause.line == "identity machine_id, cloned: the same on both machines (id of a)"
    hidden = {"files": {"/x": {"type": "file", "unreadable": True}}}
    assert lines(hidden, hidden) == ["file /x, can't be read on either side"]


@pytest.mark.parametrize(
    "names", [("image-booted", "host"), ("image-at-rest", "host"), ("image-at-rest", "image-booted")]
)
def test_every_recorded_difference_has_a_cause(names: tuple[str, str]) -> None:
    differences = compare(recorded(names[0]), recorded(names[1]), NONE).differences
    grouped = causes.group(differences)
    assert sum(len(cause.differences) for cause in grouped) == len(differences)


def test_order_does_not_matter() -> None:
    differences = compare(recorded("image-at-rest"), recorded("host"), NONE).differences
    assert causes.group(reversed(differences)) == causes.group(differences)


def test_names_of_any_kind_are_one_line() -> None:
    weird = Difference("files", "/a\n/b\x1b[31m", None, "only_b", None, {"type": "file"})
    assert [cause.line for cause in causes.group([weird])] == ["file /a\\n/b\\x1b[31m only on B"]
