"""The collector's sections beside what Debian's own tools say of the same machine (fixtures/settings/record.sh)."""

from __future__ import annotations

import datetime
import gzip
import json
import re
import tarfile
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ansible_collections.goldsmith.core.plugins.module_utils.collector import document, tree

from tests.paths import FIXTURES, ROOT

RECORDED = sorted((FIXTURES / "settings").glob("debian-*.tar.gz"))
VALIDATOR = jsonschema.Draft202012Validator(json.loads((ROOT / "docs/schema/manifest.schema.json").read_text()))


class Machine:
    """A recorded machine: its manifest's sections, and what the tools said there."""

    def __init__(self, archive: Path, folder: Path) -> None:
        with tarfile.open(archive) as recorded:
            recorded.extractall(folder, filter="fully_trusted")  # noqa: S202 - our own fixture
        for name in ("bin", "lib", "sbin"):
            (folder / name).symlink_to(f"usr/{name}")
        self._said = folder / "said"
        collected = document.collect(tree.DirectoryTree(folder), document.REST)
        self.manifest: dict[str, Any] = json.loads("".join(collected.pieces()))
        self.sections: dict[str, dict[str, dict[str, Any]]] = self.manifest["sections"]

    def said(self, name: str) -> str:
        return (self._said / name).read_text()


@pytest.fixture(scope="module", params=RECORDED, ids=lambda path: path.name.removesuffix(".tar.gz"))
def machine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Machine:
    return Machine(request.param, tmp_path_factory.mktemp("machine"))


def test_both_releases_are_recorded() -> None:
    assert [path.name for path in RECORDED] == ["debian-12.tar.gz", "debian-13.tar.gz"]


def test_it_fits_the_schema_and_holds_no_secret(machine: Machine) -> None:
    VALIDATOR.validate(machine.manifest)
    assert machine.manifest["warnings"] == []
    assert "hunter2" not in document.canonical(machine.manifest)
    assert b"hunter2" in gzip.decompress(RECORDED[0].read_bytes())


def test_passwords(machine: Machine) -> None:
    """passwd -S: name, L, P or NP, date, and days: min, max, warn, inactive."""
    states = {"L": "locked", "P": "set", "NP": "none"}
    for line in machine.said("passwd-S").splitlines():
        name, state, _changed, low, high, warn, inactive = line.split()
        user = machine.sections["users"][name]
        assert user["password"] == states[state], name
        assert user.get("password_min_days", 0) == max(int(low), 0)
        assert user.get("password_max_days", 99999) == (int(high) if high != "-1" else 99999)
        assert user.get("password_warn_days", -1) == int(warn)
        assert user.get("password_inactive_days", -1) == int(inactive)
    users = machine.sections["users"]
    # Debian 13's systemd has such users expired from the first day on.
    expired = {name: user["expires"] for name, user in users.items() if "expires" in user and name != "ops"}
    assert expired in ({}, {"systemd-network": "1970-01-02"})
    assert users["ops"]["expires"] == "2027-01-31"
    assert [name for name, user in users.items() if "must_change" in user] == ["carl"]
    assert machine.sections["groups"]["adm"]["administrators"] == ["ops"]


def test_sudo(machine: Machine) -> None:
    """cvtsudoers -e: what sudo itself makes of it, aliases replaced."""
    # Debian 12's leaves the braces out there.
    said = json.loads(re.sub(r'^(\s+)("runcwd": "[^"]*")$', r"\1{ \2 }", machine.said("cvtsudoers.json"), flags=re.M))
    theirs: dict[str, list[str]] = {}
    for spec in said["User_Specs"]:
        users = [_name(user) for user in spec["User_List"]]
        subjects = [",".join(users)] if any(user.startswith("!") for user in users) else users
        for subject in subjects:
            theirs.setdefault(subject, []).extend(_commands(spec))
    ours = {name: each["rules"] for name, each in machine.sections["sudo"].items() if "rules" in each}
    # A file that is included twice: of equal rules the last one counts.
    theirs = {name: list(dict.fromkeys(reversed(rules)))[::-1] for name, rules in theirs.items()}
    assert {name: [_bare(rule) for rule in rules] for name, rules in ours.items()} == theirs
    assert ours["ops"][0] == r"web1,web2=(www-data,backup:adm) NOPASSWD: SETENV: /usr/bin/psql -c x\,y"
    assert ours["dora"] == ["ALL=(ALL) NOPASSWD: /sbin/reboot", "ALL=(ALL) NOPASSWD: /sbin/halt"]
    defaults = machine.sections["sudo"]
    assert defaults["Defaults :ops passwd_tries"] == {"value": ["2"]}
    assert defaults["Defaults env_reset"] == {"value": ["on"]}


def _name(user: dict[str, Any]) -> str:
    name = user.get("username") or user.get("userid") or "%" + user.get("usergroup", "")
    return ("!" if user.get("negated") else "") + (f"#{name}" if "userid" in user else str(name))


def _commands(spec: dict[str, Any]) -> list[str]:
    """hosts=(as whom) command, without tags, of a User_Spec in JSON."""
    hosts = ",".join(host["hostname"] for host in spec["Host_List"])
    found = []
    for commands in spec["Cmnd_Specs"]:
        whom = ",".join(_name(user) for user in commands.get("runasusers", []))
        group = ",".join(each["usergroup"] for each in commands.get("runasgroups", []))
        prefix = f"({whom}{':' + group if group else ''}) " if whom or group else ""
        for command in commands["Commands"]:
            found.append(f"{hosts}={prefix}{'!' if command.get('negated') else ''}{command['command']}")
    return found


def _bare(rule: str) -> str:
    """A rule without tags and options, as cvtsudoers shows its command."""
    rule = re.sub(r"\b(NO)?(PASSWD|SETENV): |CWD=\S+ ", "", rule).replace("\\", "")
    return re.sub(r"-psha256:\w+", "-phunter2", rule)


def test_authorized_keys(machine: Machine) -> None:
    """sshd -T and ssh-keygen -l."""
    assert machine.said("sshd-T").split()[1:] == [".ssh/authorized_keys", "/etc/ssh/keys/%u"]
    theirs = set()
    for line in machine.said("ssh-keygen-l").splitlines():
        path, _bits, fingerprint, *comment, _kind = line.split()
        theirs.add((f"ops {path} {fingerprint}", " ".join(comment)))
    ours = machine.sections["ssh_keys"]
    assert {(name, key["comment"]) for name, key in ours.items()} == theirs
    assert sorted(len(key.get("options", ())) for key in ours.values()) == [0, 0, 3]


def test_cron_and_at(machine: Machine) -> None:
    """run-parts --test and atq."""
    ours = machine.sections["cron"]
    programs = {name for name, job in ours.items() if ": " not in name and "schedule" in job}
    assert programs == set(machine.said("run-parts").split())
    jobs = [name for name in ours if name.startswith("at ")]
    when = re.split(r"\s+", machine.said("atq").strip(), maxsplit=1)[1].rpartition(" c ")[0]
    moment = datetime.datetime.strptime(when, "%a %b %d %H:%M:%S %Y").replace(tzinfo=datetime.UTC)
    assert jobs == [f"at root {moment:%Y-%m-%dT%H:%MZ}"]
    assert ours[jobs[0]]["queue"] == "c"
    assert ours["/etc/cron.d/site MAILTO"] == {"value": "ops"}
    assert ours["/var/spool/cron/crontabs/ops: /bin/true"] == {"user": "ops", "schedule": ["@daily"]}


def test_sysctl(machine: Machine) -> None:
    """systemd-sysctl --cat-config: all files in order, each below its name."""
    theirs: dict[str, tuple[str, str]] = {}
    path = ""
    for line in machine.said("sysctl").splitlines():
        if line.startswith("# /"):
            path = line[2:].replace("/lib/", "/usr/lib/") if line.startswith("# /lib/") else line[2:]
        elif "=" in line and line[0] not in "#;":
            key, _equals, value = line.lstrip("-").partition("=")
            theirs[key.strip()] = (" ".join(value.split()), path)
    assert theirs["kernel.pid_max"] == ("1", "/etc/sysctl.d/99-zz.conf")
    assert theirs.pop("kernel/sysrq")[0] == machine.sections["sysctl"]["kernel.sysrq"]["value"]
    assert theirs.pop("net.ipv6.conf.all.stable_secret")[0] == "hunter2"
    ours = {key: (each.get("value"), each["path"]) for key, each in machine.sections["sysctl"].items()}
    for key, said in theirs.items():
        assert ours[key] == said or key.startswith("net.ipv4.conf.*"), key
    assert "vm.dirty_ratio" not in ours


def test_modules(machine: Machine) -> None:
    """modprobe -c; it adds options of the kernel's own command line."""
    ours = machine.sections["modules"]
    said = machine.said("modprobe").splitlines()
    assert {"blacklist floppy", "options kvm_intel nested=1", "install usb_storage /bin/false"} <= set(said)
    mine = {f"blacklist {name}" for name, each in ours.items() if "blacklisted" in each}
    for command in ("options", "install", "remove", "alias", "softdep"):
        mine |= {f"{command} {name} {each}" for name in ours for each in ours[name].get(command, ())}
    assert {line for line in said if line.startswith(("blacklist ", "install ", "remove ", "softdep "))} <= mine
    assert mine <= set(said)
    assert [name for name, each in ours.items() if "load" in each] == ["br_netfilter", "overlay"]


def test_the_command_line_of_the_next_boot(machine: Machine) -> None:
    """A shell that reads the files, as grub-mkconfig does."""
    always, by_default = machine.said("grub").splitlines()
    assert machine.sections["kernel"]["command line"] == {
        "normal": f"{always} {by_default}".strip(),
        "recovery": always.strip(),
    }


def test_mounts(machine: Machine) -> None:
    """findmnt --fstab."""
    ours = machine.sections["mounts"]
    theirs = [line.split(" ") for line in machine.said("findmnt").splitlines()]
    assert len(ours) == len(theirs)
    for target, source, kind, options in theirs:
        entry = ours[target.replace("\\x20", " ") if target != "none" else f"none {source}"]
        assert (entry["source"], entry["type"]) == (source, kind)
        shown = [re.sub("password=sha256:.*", "password=hunter2", each) for each in entry["options"]]
        assert ",".join(shown) == options


def test_apt(machine: Machine) -> None:
    """apt-get indextargets, apt-mark showhold."""
    ours = machine.sections["apt"]
    theirs = set()
    for line in machine.said("indextargets").splitlines():
        kind, uri, suite, component = line.split()
        theirs.add((kind, uri.replace("ann:hunter2@", "").rstrip("/"), suite, component))
    mine = set()
    for name, source in ours.items():
        if name.startswith("source "):
            _word, kind, uri, suite = name.split()
            mine |= {(kind, uri, suite, component) for component in source["components"]}
    assert mine == theirs
    assert [name.split()[1] for name in ours if name.startswith("hold ")] == machine.said("showhold").split()
    assert ours["source deb https://apt.example.org/x stable"]["credentials"] is True
    assert ours["key /etc/apt/keyrings/site.asc"] == {"missing": True}
    assert ours["pin nginx* origin apt.example.org"]["priority"] == "990"
    assert ours["credentials /etc/apt/auth.conf"] == {"present": True}


def test_alternatives(machine: Machine) -> None:
    """update-alternatives --get-selections."""
    theirs = {tuple(line.split()) for line in machine.said("alternatives").splitlines()}
    ours = machine.sections["alternatives"]
    assert {(name, each["mode"], each["target"]) for name, each in ours.items()} == theirs
    assert ours["editor"]["mode"] == "manual"


def test_linker(machine: Machine) -> None:
    """ldconfig -v: folders that there are, in order, its own two at the end."""
    theirs = [line.split(":")[0] for line in machine.said("ldconfig").splitlines() if line.startswith("/")]
    ours = machine.sections["linker"]["search"]["folders"]
    assert [folder for folder in ours if folder in theirs] == [folder for folder in theirs if folder in ours]
    assert set(theirs) - set(ours) <= {"/lib", "/usr/lib", "/lib64", "/usr/lib64", "/libx32", "/lib32"}
    assert ours[0] == "/opt/zz"
    assert "/opt/aa" in ours


def test_certificates(machine: Machine) -> None:
    """openssl x509."""
    said = machine.said("x509").splitlines()
    theirs = {
        mark.partition("=")[2].replace(":", "").lower(): subject.removeprefix("subject=").strip()
        for mark, subject in zip(said[::2], said[1::2], strict=True)
    }
    ours = machine.sections["certificates"]
    assert {each["sha256"]: each["subject"] for each in ours.values()} == theirs
    assert all(each["trusted"] == ["bundle", "folder"] for each in ours.values())
    assert any(name.startswith("ISRG Root X1 96bcec06264976f3") for name in ours)


def test_locale(machine: Machine) -> None:
    ours = machine.sections["locale"]
    assert ours["LANG"]["value"] == "de_DE.UTF-8"
    assert ours["time zone"]["zone"] == "Europe/Berlin"
    assert ours["generate de_DE.UTF-8"] == {"charset": "UTF-8"}


def test_pam(machine: Machine) -> None:
    stacks = machine.sections["pam"]
    assert stacks["sshd"]["auth"] == [
        "[success=1 default=ignore] pam_unix.so nullok",
        "requisite pam_deny.so",
        "required pam_permit.so",
    ]
    # What stands before and behind an include, and what it brings, in their order.
    session = [line for line in stacks["sshd"]["session"] if "pam_unix" in line or "pam_selinux" in line]
    assert [line.split()[-2:] for line in session] == [
        ["pam_selinux.so", "close"],
        ["required", "pam_unix.so"],
        ["pam_selinux.so", "open"],
    ]
    assert "requisite pam_deny.so" in stacks["sudo"]["account"]
    assert all(any(stack.values()) for stack in stacks.values())


def test_environment(machine: Machine) -> None:
    ours = {name: each["values"] for name, each in machine.sections["environment"].items()}
    assert ours["/etc/environment PATH"] == ["/usr/local/bin:/usr/bin:/bin"]
    assert ours["/etc/environment API_TOKEN"][0].startswith("sha256:")
    assert ours["/etc/login.defs ENV_PATH"] == ["/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games"]
    assert ours["/etc/profile PATH"] == [
        "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games",
    ]
