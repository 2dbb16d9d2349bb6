"""The collector's sections that are read from settings: their parsers, on texts made to be hard."""

from __future__ import annotations

import base64
import datetime
import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.goldsmith.core.plugins.module_utils.collector import (
    accounts,
    alternatives,
    apt,
    certificates,
    cron,
    document,
    environment,
    kernel,
    libraries,
    linker,
    localisation,
    modules,
    mounts,
    pam,
    private,
    settings,
    ssh_keys,
    sudo,
    sysctl,
    tree,
    units,
)


def sha(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture
def machine(tmp_path: Path) -> Callable[..., tree.DirectoryTree]:
    """A machine of these files: {"/etc/x": "text", "/etc/y": Path("/target of a link")}."""

    def make(files: dict[str, Any]) -> tree.DirectoryTree:
        for name, content in files.items():
            path = tmp_path / name.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, Path):
                path.symlink_to(content)
            else:
                path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return tree.DirectoryTree(tmp_path)

    return make


# Secrets


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("curl https://ann:hunter2@host/x", "ann:hunter2"),
        ("mysqldump --password=hunter2 all", "hunter2"),
        ("mysqldump --password hunter2 all", "hunter2"),
        ("mysqldump -u root -phunter2 all", "hunter2"),
        ("TOKEN=hunter2 deploy", "hunter2"),
        ("env DB_PASSWORD='hunter 2' deploy", "'hunter 2'"),
        ("curl -H 'Authorization: Bearer hunter2' host", "Bearer hunter2"),
        ("x --api-key=hunter2", "hunter2"),
        ("mysql -p'hunter 2' all", "'hunter 2'"),
        ("sshpass -p hunter2 ssh -p 22 host", "hunter2"),
        ("redis-cli -h x -a hunter2 ping", "hunter2"),
        ("curl -u ann:hunter2 host", "hunter2"),
        ("openssl x -passin pass:hunter2", "pass:hunter2"),
        ("openssl x -k pass:hunter2", "hunter2"),
        ("https://host/x?token=hunter2&a=b", "hunter2"),
        ("push AbCdEfGhIjKlMnOp0123 now", "AbCdEfGhIjKlMnOp0123"),
    ],
)
def test_secrets_of_a_command_line_are_digests(text: str, secret: str) -> None:
    shown = private.command(text)
    assert "hunter" not in shown
    assert secret not in shown
    assert sha(secret) in shown
    # Once is as good as twice.
    assert private.command(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "rsync -a --delete /srv/ backup:/srv/",
        "ssh -p 2222 host true",
        "mkdir -p/srv/x && cp -p a b",
        "git clone ssh://git@host/x.git",
        "root=UUID=0a1b2c3d-0a1b-2c3d-4e5f-0a1b2c3d4e5f ro quiet",
        "test -e /run/systemd/system || SERVICE_MODE=1 /usr/lib/x86_64-linux-gnu/e2fsprogs/e2scrub_all_cron",
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin",
        "docker run -p 80:80 -p 127.0.0.1:8080:80 x",
        "passive=yes --keyring /etc/keys --key-path=/etc/x",
    ],
)
def test_what_is_no_secret_is_shown(text: str) -> None:
    assert private.command(text) == text


def test_values_by_their_names() -> None:
    assert private.value("DB_PASS", "x") == sha("x")
    assert private.value("net.ipv6.conf.all.stable_secret", "fe80::1") == sha("fe80::1")
    assert private.value("DB_PASS", "") == ""
    assert private.value("LANG", "C.UTF-8") == "C.UTF-8"
    assert private.value("PROXY", "http://a:b@p:1/") == "http://" + sha("a:b") + "@p:1/"
    assert private.without_credentials("https://a:b@host/x") == "https://host/x"


# How settings are read


def test_assignments_as_a_shell_takes_them() -> None:
    text = (
        "A=1\nexport B=\"two words \\\"q\\\" $HOME\"\n# C=no\nD='it''s' # comment\n[ -d x ] && E=yes; F=2\n"
        "if true; then G=3; fi\nH=a\\ b\\\nc\nI=$(echo ${X:-(y)} )z\n"
        "J=`date +%s`\nK='two\nlines'\nlocal=\nL=\"open\nM=1\n"
    )
    assert settings.assignments(text) == [
        ("A", "1"),
        ("B", 'two words "q" $HOME'),
        ("D", "its"),
        ("E", "yes"),
        ("F", "2"),
        ("G", "3"),
        ("H", "a bc"),
        ("I", "$(echo ${X:-(y)} )z"),
        ("J", "`date +%s`"),
        ("K", "two\nlines"),
        ("local", ""),
        ("L", "open"),
        ("M", "1"),
    ]


def test_fragments_of_one_name_hide_each_other(machine: Callable[..., tree.DirectoryTree]) -> None:
    found = machine(
        {
            "/etc/x.d/50-b.conf": "",
            "/usr/lib/x.d/50-b.conf": "",
            "/usr/lib/x.d/10-a.conf": "",
            "/usr/lib/x.d/60-hidden.conf": "",
            "/etc/x.d/60-hidden.conf": Path("/dev/null"),
            "/etc/x.d/README": "",
            "/lib": Path("usr/lib"),
        }
    )
    places = ("/etc/x.d", "/usr/lib/x.d", "/lib/x.d")
    assert settings.fragments(found, places) == ["/usr/lib/x.d/10-a.conf", "/etc/x.d/50-b.conf"]


# Sections


def test_sysctl_takes_the_last_value_in_systemds_order(machine: Callable[..., tree.DirectoryTree]) -> None:
    found = sysctl.collect(
        machine(
            {
                "/usr/lib/sysctl.d/50-default.conf": "kernel.sysrq = 438\n-net.ipv4.ping_group_range = 0 2147483647\n",
                "/usr/lib/sysctl.d/60-own.conf": "vm.swappiness=60\n",
                "/etc/sysctl.d/10-early.conf": "; no\nkernel.sysrq=0\n# no = 1\n",
                "/etc/sysctl.d/60-own.conf": "net/ipv4/conf/eth0.1/forwarding = 1\n-net.ipv4.conf.all.rp_filter\n",
                "/etc/sysctl.d/99-sysctl.conf": Path("../sysctl.conf"),
                "/etc/sysctl.conf": "net.ipv4.ip_forward=1\nnet.ipv6.conf.all.stable_secret=fe80::1\nnonsense\n",
            }
        )
    )
    assert found == {
        "kernel.sysrq": {"value": "438", "path": "/usr/lib/sysctl.d/50-default.conf"},
        "net.ipv4.ping_group_range": {
            "value": "0 2147483647",
            "path": "/usr/lib/sysctl.d/50-default.conf",
            "optional": True,
        },
        "net.ipv4.conf.eth0/1.forwarding": {"value": "1", "path": "/etc/sysctl.d/60-own.conf"},
        "-net.ipv4.conf.all.rp_filter": {"path": "/etc/sysctl.d/60-own.conf"},
        "net.ipv4.ip_forward": {"value": "1", "path": "/etc/sysctl.d/99-sysctl.conf"},
        "net.ipv6.conf.all.stable_secret": {"value": sha("fe80::1"), "path": "/etc/sysctl.d/99-sysctl.conf"},
    }


def test_modules(machine: Callable[..., tree.DirectoryTree]) -> None:
    found = modules.collect(
        machine(
            {
                "/etc/modprobe.d/site.conf": "blacklist floppy\noptions kvm-intel nested=1 \\\n  ept=1\n"
                "install usb-storage /bin/false\nalias net-pf-10 off\nsoftdep a pre: b c\nnonsense x\nblacklist\n",
                "/etc/modprobe.d/site.conf.bak": "blacklist kvm\n",
                "/etc/modules-load.d/modules.conf": Path("../modules"),
                "/etc/modules": "# comment\nbr-netfilter\n\n",
                "/etc/initramfs-tools/modules": "virtio_blk x=1\n",
            }
        )
    )
    assert found == {
        "floppy": {"blacklisted": True},
        "kvm_intel": {"options": ["nested=1 ept=1"]},
        "usb_storage": {"install": ["/bin/false"]},
        "net_pf_10": {"alias": ["off"]},
        "a": {"softdep": ["pre: b c"]},
        "br_netfilter": {"load": True},
        "virtio_blk": {"initramfs": True},
    }


def test_mounts() -> None:
    text = (
        "# <file system>\nUUID=0a1b / ext4 errors=remount-ro 0 1\nLABEL=swap none swap sw 0 0\n/dev/sdb none swap sw\n"
        "//nas/x /srv/a\\040b cifs username=ann,password=hunter2,vers=3.0 0 0\ntmpfs /mem ext4\nshort /x\n"
        "tmpfs /mem tmpfs size=1g\n"
    )
    assert mounts.parse(text) == {
        "/": {"source": "UUID=0a1b", "type": "ext4", "options": ["errors=remount-ro"], "dump": "0", "pass": "1"},
        "none LABEL=swap": {"source": "LABEL=swap", "type": "swap", "options": ["sw"], "dump": "0", "pass": "0"},
        "none /dev/sdb": {"source": "/dev/sdb", "type": "swap", "options": ["sw"], "dump": "0", "pass": "0"},
        "/srv/a b": {
            "source": "//nas/x",
            "type": "cifs",
            "options": ["username=ann", "password=" + sha("hunter2"), "vers=3.0"],
            "dump": "0",
            "pass": "0",
        },
        "/mem": {"source": "tmpfs", "type": "ext4", "options": ["defaults"], "dump": "0", "pass": "0"},
        "/mem tmpfs": {"source": "tmpfs", "type": "tmpfs", "options": ["size=1g"], "dump": "0", "pass": "0"},
    }


def test_kernels_and_the_command_line_of_the_next_boot(machine: Callable[..., tree.DirectoryTree]) -> None:
    found = kernel.collect(
        machine(
            {
                "/boot/vmlinuz-6.1.0-9-amd64": "",
                "/usr/lib/modules/6.1.0-9-amd64/modules.dep": "",
                "/usr/lib/modules/6.1.0-8-amd64/modules.dep": "",
                "/lib": Path("usr/lib"),
                "/etc/default/grub": "GRUB_TIMEOUT=5\n"
                "GRUB_DISTRIBUTOR=`lsb_release -i -s 2> /dev/null || echo Debian`\n"
                'GRUB_CMDLINE_LINUX_DEFAULT="quiet"\nGRUB_CMDLINE_LINUX=""\n#GRUB_TERMINAL=console\n',
                "/etc/default/grub.d/50-site.cfg": 'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX console=ttyS0"\n'
                'GRUB_CMDLINE_LINUX_DEFAULT="${GRUB_CMDLINE_LINUX_DEFAULT} splash"\n',
                "/etc/default/grub.d/ignored": "GRUB_TIMEOUT=9\n",
            }
        )
    )
    assert found == {
        "kernel 6.1.0-9-amd64": {
            "image": "/boot/vmlinuz-6.1.0-9-amd64",
            "modules": "/usr/lib/modules/6.1.0-9-amd64",
        },
        "kernel 6.1.0-8-amd64": {"modules": "/usr/lib/modules/6.1.0-8-amd64"},
        "command line": {"normal": "console=ttyS0 quiet splash", "recovery": "console=ttyS0"},
        "grub GRUB_TIMEOUT": {"value": "5"},
        "grub GRUB_DISTRIBUTOR": {"value": "`lsb_release -i -s 2> /dev/null || echo Debian`"},
    }
    assert kernel.grub(["A=x$A$A\n" * 64]) == {}


SUDOERS = r"""# a comment
Defaults	env_reset, !lecture, passwd_tries=3
Defaults:ops, ann  !requiretty
Defaults secure_path="/usr/sbin:/usr/bin, really"
Defaults env_keep = "A B"
Defaults env_keep += "C"
Defaults!PAGERS noexec
User_Alias ADMINS = ann, %wheel : OTHERS = bob, !carl
Host_Alias WEB = web1, web2
Runas_Alias DB = postgres, redis
Cmnd_Alias SHELLS = /bin/sh, /bin/bash : \
           PAGERS = /usr/bin/less, SHELLS
root	ALL=(ALL:ALL) ALL
ADMINS WEB = (DB : adm) NOPASSWD: SETENV: /usr/bin/psql -c x\,y, PASSWD: PAGERS, !SHELLS : db1 = /bin/ls
%sudo   ALL=(ALL:ALL) ALL
OTHERS ALL = CWD=/srv /bin/a, sha256 : abc=, sha224:def= /bin/b
#1000 ALL=(root) NOPASSWD: /usr/bin/mysql -phunter2 # the end
LOOP ALL = ALL
ops ALL=ALL
ops ALL=NOPASSWD: ALL
ops ALL=ALL
broken
@include /etc/sudoers.local
#includedir /etc/sudoers.d
"""


def test_sudo_rules_as_effective(machine: Callable[..., tree.DirectoryTree]) -> None:
    found = machine(
        {
            "/etc/sudoers": SUDOERS,
            "/etc/sudoers.local": "@include sudoers\nUser_Alias LOOP = LOOP, dora\n",
            "/etc/sudoers.d/10-eve": "eve ALL = (ALL) NOPASSWD:/sbin/reboot\n",
            "/etc/sudoers.d/README.txt": "mallory ALL=ALL\n",
            "/etc/sudoers.d/old~": "mallory ALL=ALL\n",
        }
    )
    section = sudo.collect(found)
    assert {name: each["value"] for name, each in section.items() if name.startswith("Defaults")} == {
        "Defaults env_reset": ["on"],
        "Defaults lecture": ["off"],
        "Defaults passwd_tries": ["3"],
        "Defaults :ops,ann requiretty": ["off"],
        "Defaults secure_path": ["/usr/sbin:/usr/bin, really"],
        "Defaults env_keep": ["A B", "+C"],
        "Defaults !PAGERS noexec": ["on"],
    }
    admin_rules = [
        r"web1,web2=(postgres,redis:adm) NOPASSWD: SETENV: /usr/bin/psql -c x\,y",
        "web1,web2=(postgres,redis:adm) PASSWD: SETENV: /usr/bin/less",
        "web1,web2=(postgres,redis:adm) PASSWD: SETENV: /bin/sh",
        "web1,web2=(postgres,redis:adm) PASSWD: SETENV: /bin/bash",
        "web1,web2=(postgres,redis:adm) PASSWD: SETENV: !/bin/sh",
        "web1,web2=(postgres,redis:adm) PASSWD: SETENV: !/bin/bash",
        "db1=/bin/ls",
    ]
    assert {name: each["rules"] for name, each in section.items() if not name.startswith("Defaults")} == {
        "root": ["ALL=(ALL:ALL) ALL"],
        "ann": admin_rules,
        "%wheel": admin_rules,
        "%sudo": ["ALL=(ALL:ALL) ALL"],
        "bob,!carl": ["ALL=CWD=/srv /bin/a", "ALL=CWD=/srv sha256:abc=, sha224:def= /bin/b"],
        "#1000": [f"ALL=(root) NOPASSWD: /usr/bin/mysql -p{sha('hunter2')}"],
        "LOOP": ["ALL=ALL"],
        "dora": ["ALL=ALL"],
        # The last one counts, so the first of two equal ones says nothing.
        "ops": ["ALL=NOPASSWD: ALL", "ALL=ALL"],
        "broken": [""],
        "eve": ["ALL=(ALL) NOPASSWD: /sbin/reboot"],
    }
    assert found.warnings == [
        "/etc/sudoers: /etc/sudoers can't be included",
        "/etc/sudoers: a rule of broken is recorded as it is written",
    ]


def test_aliases_of_aliases_have_an_end() -> None:
    bomb = ["Cmnd_Alias A0 = " + ", ".join(f"/bin/{n}" for n in range(50))]
    bomb += [f"Cmnd_Alias A{n} = " + ", ".join([f"A{n - 1}"] * 50) for n in range(1, 30)]
    empty = ["User_Alias B0 = "] + [f"User_Alias B{n} = B{n - 1}, B{n - 1}" for n in range(1, 60)]
    section, unclear = sudo.parse([*bomb, *empty, "ops ALL = A29", "B59 ALL = ALL"])
    assert unclear == ["ops", "B59"]
    assert section["ops"] == {"rules": ["ALL = A29"]}


PAM = {
    "/etc/pam.d/sshd": "# comment\nauth required pam_env.so # why\n@include common-auth\n"
    "account  required   pam_nologin.so\naccount include other\nsession [success=ok  ignore=ignore] pam_x.so a=[b c]\n"
    "-session optional pam_systemd.so\nauth substack deep\npassword required pam_ldap.so bindpw=hunter2\n",
    "/etc/pam.d/common-auth": "auth\t[success=1 default=ignore]\tpam_unix.so nullok\nauth requisite \\\npam_deny.so\n",
    "/etc/pam.d/other": "auth required pam_deny.so\naccount required pam_deny.so\n",
    "/etc/pam.d/deep": "auth sufficient pam_y.so\nauth include deep\n",
    "/usr/lib/pam.d/vendor": "auth include missing\n",
    "/usr/lib/pam.d/other": "auth required pam_permit.so\n",
}


def test_pam_stacks_with_includes_in_their_place(machine: Callable[..., tree.DirectoryTree]) -> None:
    found = machine(PAM)
    section = pam.collect(found)
    assert set(section) == {"sshd", "other", "deep", "vendor"}
    assert section["sshd"] == {
        "auth": [
            "required pam_env.so",
            "[success=1 default=ignore] pam_unix.so nullok",
            "requisite pam_deny.so",
            "substack deep {",
            "sufficient pam_y.so",
            "include deep (not resolved)",
            "}",
        ],
        "account": ["required pam_nologin.so", "required pam_deny.so"],
        "password": ["required pam_ldap.so bindpw=" + sha("hunter2")],
        "session": ["[success=ok ignore=ignore] pam_x.so a=[b c]", "-optional pam_systemd.so"],
    }
    assert section["other"]["auth"] == ["required pam_deny.so"]
    assert any(line.startswith("/etc/pam.d/vendor: its includes for auth") for line in found.warnings)


# A key made for this test, and what `ssh-keygen -l` says of it.
KEY = "AAAAC3NzaC1lZDI1NTE5AAAAILs0w76jpCr/H8NaVjfl/mtwO513kKQh1dmeP1TG/vae"
FINGERPRINT = "SHA256:q+GVCSCW/j3Xs2aZollekELyiNfxcalwvIFyOD/1skM"


def test_authorized_keys() -> None:
    text = (
        f"# comment\nssh-ed25519 {KEY} ann@desk of hers\n"
        f'from="10.0.0.0/8,192.168.1.1",no-pty,command="TOKEN=hunter2 /bin/x \\"a b\\", c" ssh-ed25519 {KEY}\n'
        f'cert-authority ssh-ed25519 {KEY} CA\nssh-ed25519 not/base64!\nssh-ed25519\nnonsense\nopt="open {KEY}\n'
    )
    found = ssh_keys.parse(text)
    assert [name for name, _key in found] == [FINGERPRINT] * 3
    assert [key for _name, key in found] == [
        {"type": "ssh-ed25519", "comment": "ann@desk of hers"},
        {
            "type": "ssh-ed25519",
            "comment": "",
            "options": [
                "from=10.0.0.0/8,192.168.1.1",
                "no-pty",
                f'command=TOKEN={sha("hunter2")} /bin/x \\"a b\\", c',
            ],
        },
        {"type": "ssh-ed25519", "comment": "CA", "options": ["cert-authority"]},
    ]


def test_keys_lie_where_sshd_looks(machine: Callable[..., tree.DirectoryTree]) -> None:
    users = "root:x:0:0::/root:/bin/sh\nops:x:1000:1000::/home/ops:/bin/sh\n"
    line = f"ssh-ed25519 {KEY} c\n"
    found = machine(
        {
            "/etc/passwd": users,
            "/etc/ssh/sshd_config": "Include /etc/ssh/sshd_config.d/*.conf\nAuthorizedKeysFile ignored\n"
            "Match User deploy\n  AuthorizedKeysFile /srv/%U\nMatch all\n",
            "/etc/ssh/sshd_config.d/a.conf": "Include sshd_config.d/a.conf\n"
            "authorizedkeysfile=%h/.ssh/k /etc/keys/%u\n",
            "/root/.ssh/k": line + line,
            "/etc/keys/ops": line,
            "/srv/1000": line,
            "/root/.ssh/authorized_keys": line,
        }
    )
    places = [name.split(" SHA256:")[0] for name in ssh_keys.collect(found)]
    assert places == ["root /root/.ssh/k", "root /root/.ssh/k", "ops /etc/keys/ops", "ops /srv/1000"]


def test_keys_lie_in_the_default_places_too(machine: Callable[..., tree.DirectoryTree]) -> None:
    line = f"ssh-ed25519 {KEY} c\n"
    users = "root:x:0:0::/root:/bin/sh\nroot:x:0:0::/elsewhere:/bin/sh\n"
    found = ssh_keys.collect(machine({"/etc/passwd": users, "/root/.ssh/authorized_keys2": line}))
    assert [name.split(" SHA256:")[0] for name in found] == ["root /root/.ssh/authorized_keys2"]


def test_cron(machine: Callable[..., tree.DirectoryTree], tmp_path: Path) -> None:
    minutes = int(datetime.datetime(2026, 11, 27, tzinfo=datetime.UTC).timestamp()) // 60
    at = (
        "#!/bin/sh\n# atrun uid=1000 gid=1000\n# mail ops 0\numask 22\nTOKEN=hunter2; export TOKEN\n"
        "cd /home/ops || {\n\t echo 'Execution directory inaccessible' >&2\n\t exit 1\n}\n"
        "sh << 'marcinDELIMITER0a1b'\nreboot\nmarcinDELIMITER0a1b\n"
    )
    machine(
        {
            "/etc/crontab": 'SHELL=/bin/sh\nAPI_TOKEN = "hunter2"\n'
            "17 *\t* * *\troot\tcd / && run-parts /etc/cron.hourly\n"
            "@reboot ops /bin/x  -p 1\n0 1 * * * root same\n0 2 * * * root same\n0 3 * * * ops same\nnonsense\n",
            "/etc/cron.d/site": "*/5 * * * * root curl -u x https://u:hunter2@h/\n",
            "/etc/cron.d/site.bak": "* * * * * root no\n",
            "/var/spool/cron/crontabs/ops": "# installed on Thu Nov 26 19:10:39 2026\n1 2 3 4 5 /bin/y %z\n",
            "/etc/anacrontab": "1\t5\tcron.daily\trun-parts  --report /etc/cron.daily\n@monthly 15 m x\n",
            "/etc/cron.daily/logrotate": "",
            "/etc/cron.daily/off": "",
            "/etc/cron.daily/not.taken": "",
            f"/var/spool/cron/atjobs/a00001{minutes:08x}": at,
            "/var/spool/cron/atjobs/.SEQ": "1",
        }
    )
    for name in ("logrotate", "not.taken"):
        (tmp_path / "etc/cron.daily" / name).chmod(0o755)
    found = cron.collect(tree.DirectoryTree(tmp_path))
    assert "hunter2" not in str(found)
    assert found == {
        "/etc/crontab SHELL": {"value": "/bin/sh"},
        "/etc/crontab API_TOKEN": {"value": sha("hunter2")},
        "/etc/crontab: cd / && run-parts /etc/cron.hourly": {"user": "root", "schedule": ["17 * * * *"]},
        "/etc/crontab: /bin/x -p 1": {"user": "ops", "schedule": ["@reboot"]},
        "/etc/crontab: same": {"user": "root", "schedule": ["0 1 * * *", "0 2 * * *"]},
        "/etc/crontab: same as ops": {"user": "ops", "schedule": ["0 3 * * *"]},
        f"/etc/cron.d/site: curl -u x https://{sha('u:hunter2')}@h/": {"user": "root", "schedule": ["*/5 * * * *"]},
        "/var/spool/cron/crontabs/ops: /bin/y %z": {"user": "ops", "schedule": ["1 2 3 4 5"]},
        "/etc/anacrontab: run-parts --report /etc/cron.daily": {
            "user": "root",
            "schedule": ["every 1 days, 5 minutes after start"],
        },
        "/etc/anacrontab: x": {"user": "root", "schedule": ["every @monthly days, 15 minutes after start"]},
        "/etc/cron.daily/logrotate": {"user": "root", "schedule": ["daily"]},
        "at ops 2026-11-27T00:00Z": {"queue": "a", "sha256": [sha("sh << ''\nreboot\n\n")]},
    }


SOURCES_LIST = """# comment
deb http://deb.debian.org/debian bookworm main contrib # more
deb [ arch=arm64,amd64 signed-by=/etc/apt/keyrings/site.asc ] https://ann:hunter2@apt.site/x ./
deb-src\thttp://deb.debian.org/debian bookworm main
deb cdrom:[Debian 12 _Bookworm_]/ bookworm main
rpm http://no
deb http://short
"""
DEB822 = """# comment
Types: deb deb-src
URIs: http://deb.debian.org/debian
Suites: bookworm bookworm-updates
# in between
Components: main
 non-free-firmware
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 AAECAwQ=
 =abcd
 -----END PGP PUBLIC KEY BLOCK-----

Enabled: no
Types: deb
URIs: http://off
Suites: x

X-Repolib-Name: site
Types: deb
URIs: http://site
Suites: x/
Architectures: arm64 amd64
Trusted: yes
"""
ARMOUR = "-----BEGIN PGP PUBLIC KEY BLOCK-----\nComment: x\n\nAAECAwQ=\n=abcd\n-----END PGP PUBLIC KEY BLOCK-----\n"


def test_apt(machine: Callable[..., tree.DirectoryTree]) -> None:
    key = hashlib.sha256(bytes([0, 1, 2, 3, 4])).hexdigest()
    found = apt.collect(
        machine(
            {
                "/etc/apt/sources.list": SOURCES_LIST,
                "/etc/apt/sources.list.d/debian.sources": DEB822,
                "/etc/apt/sources.list.d/off.list.disabled": "deb http://no x y\n",
                "/etc/apt/keyrings/site.asc": ARMOUR,
                "/etc/apt/trusted.gpg.d/a.gpg": bytes([0, 1, 2, 3, 4]),
                "/etc/apt/trusted.gpg.d/b.asc": ARMOUR.replace("AAEC", "!!!!"),
                "/etc/apt/preferences.d/site": "Explanation: why\nPackage: nginx*\nPin: origin apt.site\n"
                "Pin-Priority: 990\n\nPackage: *\nPin: release a=testing\nPin-Priority: -1\n",
                "/etc/apt/preferences.d/no.txt": "Package: x\nPin: y\nPin-Priority: 1\n",
                "/etc/apt/auth.conf": "machine x login y password hunter2\n",
                "/var/lib/dpkg/status": "Package: a\nStatus: hold ok installed\n\n"
                "Package: b\nStatus: hold ok not-installed\n\nPackage: c\nStatus: install ok installed\n",
            }
        )
    )
    assert "hunter2" not in str(found)
    path = ["/etc/apt/sources.list"]
    both = ["/etc/apt/sources.list", "/etc/apt/sources.list.d/debian.sources"]
    own = ["/etc/apt/sources.list.d/debian.sources"]
    inline = {"signed-by": "sha256:" + key}
    debian = "http://deb.debian.org/debian"
    assert found == {
        f"source deb {debian} bookworm": {
            "components": ["contrib", "main", "non-free-firmware"],
            "options": inline,
            "path": both,
        },
        f"source deb-src {debian} bookworm": {
            "components": ["main", "non-free-firmware"],
            "options": inline,
            "path": both,
        },
        "source deb https://apt.site/x ./": {
            "components": [],
            "options": {"arch": "amd64,arm64", "signed-by": "/etc/apt/keyrings/site.asc"},
            "path": path,
            "credentials": True,
        },
        "source deb cdrom:[Debian 12 _Bookworm_]/ bookworm": {"components": ["main"], "options": {}, "path": path},
        f"source deb {debian} bookworm-updates": {
            "components": ["main", "non-free-firmware"],
            "options": inline,
            "path": own,
        },
        f"source deb-src {debian} bookworm-updates": {
            "components": ["main", "non-free-firmware"],
            "options": inline,
            "path": own,
        },
        "source deb http://site x/": {
            "components": [],
            "options": {"arch": "amd64,arm64", "trusted": "yes"},
            "path": own,
        },
        "key /etc/apt/keyrings/site.asc": {"sha256": key},
        "key /etc/apt/trusted.gpg.d/a.gpg": {"sha256": key},
        "key /etc/apt/trusted.gpg.d/b.asc": {
            "sha256": hashlib.sha256(ARMOUR.replace("AAEC", "!!!!").encode()).hexdigest()
        },
        "pin nginx* origin apt.site": {"priority": "990", "path": ["/etc/apt/preferences.d/site"]},
        "pin * release a=testing": {"priority": "-1", "path": ["/etc/apt/preferences.d/site"]},
        "credentials /etc/apt/auth.conf": {"present": True},
        "hold a": {"status": "installed"},
        "hold b": {"status": "not-installed"},
    }


def test_libraries_of_all_kinds(machine: Callable[..., tree.DirectoryTree]) -> None:
    site = "/opt/app/lib/python3.11/site-packages/"
    found = libraries.collect(
        machine(
            {
                site + "flask-3.0.dist-info/METADATA": "Name: Flask\nVersion: 3.0\n\n",
                site + "own-1.dist-info/METADATA": "Name: own\nVersion: 1\n\n",
                site + "own-1.dist-info/direct_url.json": '{"url": "file:///srv/own", "dir_info": {"editable": true}}',
                site + "vcs-1.dist-info/METADATA": "Name: vcs\nVersion: 1\n\n",
                site + "vcs-1.dist-info/direct_url.json": '{"url": "https://u:hunter2@h/x.git", '
                '"vcs_info": {"vcs": "git", "commit_id": "abc"}}',
                site + "odd-1.dist-info/METADATA": "Name: odd\nVersion: 1\n\n",
                site + "odd-1.dist-info/direct_url.json": "[" * 20_000,
                site + "old.egg-link": "/srv/old\n.",
                "/usr/local/lib/node_modules/pm2/package.json": '{"name": "pm2", "version": "5.3.0"}',
                "/usr/local/lib/node_modules/@site/tool/package.json": '{"version": "1.0.0"}',
                "/usr/local/lib/node_modules/broken/package.json": "{",
                "/usr/local/lib/node_modules/own": Path("../../../srv/own"),
                "/usr/local/lib/node_modules/.bin/x": "",
                "/usr/local/lib/node_modules/pm2/node_modules/deep/package.json": '{"version": "1"}',
                "/var/lib/gems/3.1.0/specifications/rack-2.2.9.gemspec": "",
                "/var/lib/gems/3.1.0/specifications/nokogiri-1.16.0-x86_64-linux.gemspec": "",
                "/usr/lib/ruby/gems/3.1.0/specifications/default/json-2.6.1.gemspec": "",
                "/srv/src/own.gemspec": "",
            }
        )
    )
    assert "hunter2" not in str(found)
    assert found == {
        site + "flask": {"kind": "python", "version": "3.0"},
        site + "own": {"kind": "python", "version": "1", "source": "file:///srv/own", "editable": True},
        site + "vcs": {"kind": "python", "version": "1", "source": "https://h/x.git@abc"},
        site + "odd": {"kind": "python", "version": "1"},
        site + "old": {"kind": "python", "version": "", "source": "/srv/old", "editable": True},
        "/usr/local/lib/node_modules/pm2": {"kind": "npm", "version": "5.3.0"},
        "/usr/local/lib/node_modules/@site/tool": {"kind": "npm", "version": "1.0.0"},
        "/usr/local/lib/node_modules/own": {"kind": "npm", "version": "", "source": "../../../srv/own"},
        "/var/lib/gems/3.1.0/rack": {"kind": "gem", "version": "2.2.9"},
        "/var/lib/gems/3.1.0/nokogiri": {"kind": "gem", "version": "1.16.0-x86_64-linux"},
        "/usr/lib/ruby/gems/3.1.0/json": {"kind": "gem", "version": "2.6.1"},
    }


def test_environment(machine: Callable[..., tree.DirectoryTree]) -> None:
    found = environment.collect(
        machine(
            {
                "/etc/environment": 'PATH="/usr/local/bin:/usr/bin"\nHTTP_PROXY=http://u:hunter2@p/\n',
                "/etc/profile": 'if [ "$(id -u)" -eq 0 ]; then\n  PATH="/sbin:/bin"\nelse\n  PATH="/bin"\nfi\n',
                "/etc/profile.d/site.sh": "export EDITOR=vi\n",
                "/etc/profile.d/site.csh": "setenv NO no\n",
                "/etc/default/app": "API_KEY=hunter2\nOPTIONS='-a -b'\n",
                "/etc/default/grub": "GRUB_TIMEOUT=1\n",
                "/etc/login.defs": "ENV_PATH\tPATH=/usr/bin\n#UMASK 0\nUMASK\t027\nPASS_MAX_DAYS 1\n",
                "/etc/security/pam_env.conf": "# A DEFAULT=x\nB\t\tDEFAULT=${C}\n",
                "/etc/systemd/system.conf": '[Manager]\n#DefaultEnvironment=A=1\nDefaultEnvironment=A=1 "B=x y"\n',
                "/etc/systemd/system.conf.d/a.conf": "[Manager]\nManagerEnvironment=C=1\nDefaultEnvironment=\n"
                "DefaultEnvironment=D='4 5' SECRET=hunter2\n",
            }
        )
    )
    assert {name: each["values"] for name, each in found.items()} == {
        "/etc/environment PATH": ["/usr/local/bin:/usr/bin"],
        "/etc/environment HTTP_PROXY": [f"http://{sha('u:hunter2')}@p/"],
        "/etc/profile PATH": ["/sbin:/bin", "/bin"],
        "/etc/profile.d/site.sh EDITOR": ["vi"],
        "/etc/default/app API_KEY": [sha("hunter2")],
        "/etc/default/app OPTIONS": ["-a -b"],
        "/etc/login.defs ENV_PATH": ["/usr/bin"],
        "/etc/login.defs UMASK": ["027"],
        "/etc/security/pam_env.conf B": ["DEFAULT=${C}"],
        "systemd system ManagerEnvironment C": ["1"],
        "systemd system DefaultEnvironment D": ["4 5"],
        "systemd system DefaultEnvironment SECRET": [sha("hunter2")],
    }


def test_linker_takes_folders_in_order(machine: Callable[..., tree.DirectoryTree]) -> None:
    found = linker.collect(
        machine(
            {
                "/etc/ld.so.conf": "# comment\n/opt/first/\n"
                "include ld.so.conf.d/*.conf\ninclude /etc/ld.so.conf\n/last\n",
                "/etc/ld.so.conf.d/b.conf": "/b # why\n/opt/first\n",
                "/etc/ld.so.conf.d/a.conf": "/a:/a2, /a3\nhwcap 1 nosegneg\n",
                "/etc/ld.so.preload": "/usr/lib/x.so # c\n/usr/lib/y.so:/usr/lib/z.so\n",
            }
        )
    )
    assert found == {
        "search": {"folders": ["/opt/first", "/a", "/a2", "/a3", "/b", "/last"]},
        "preload": {"libraries": ["/usr/lib/x.so", "/usr/lib/y.so", "/usr/lib/z.so"]},
    }


def test_locale_and_time_zone(machine: Callable[..., tree.DirectoryTree]) -> None:
    found = localisation.collect(
        machine(
            {
                "/etc/default/locale": 'LANG=de_DE.UTF-8\nLC_TIME="C"\n',
                "/etc/locale.conf": "LANG=C.UTF-8\n",
                "/etc/locale.gen": "# de_DE ISO-8859-1\nde_DE.UTF-8 UTF-8\n",
                "/etc/localtime": Path("../usr/share/zoneinfo/Europe/Berlin"),
                "/etc/timezone": "Etc/UTC\n",
                "/etc/adjtime": "0.0 1700000000 0.0\n1700000000\nLOCAL\n",
            }
        )
    )
    assert found == {
        "LANG": {"value": "C.UTF-8", "path": "/etc/locale.conf"},
        "LC_TIME": {"value": "C", "path": "/etc/default/locale"},
        "time zone": {"zone": "Europe/Berlin", "name": "Etc/UTC"},
        "clock": {"value": "LOCAL"},
        "generate de_DE.UTF-8": {"charset": "UTF-8"},
    }


def test_a_time_zone_that_is_a_copy(machine: Callable[..., tree.DirectoryTree]) -> None:
    found = localisation.collect(machine({"/etc/localtime": b"TZif2"}))
    assert found == {"time zone": {"sha256": hashlib.sha256(b"TZif2").hexdigest()}}


def test_alternatives(machine: Callable[..., tree.DirectoryTree]) -> None:
    found = machine(
        {
            "/var/lib/dpkg/alternatives/editor": "manual\n/usr/bin/editor\neditor.1.gz\n",
            "/etc/alternatives/editor": Path("/usr/bin/vim.basic"),
            "/var/lib/dpkg/alternatives/gone": "auto",
        }
    )
    assert alternatives.collect(found) == {
        "editor": {"mode": "manual", "link": "/usr/bin/editor", "target": "/usr/bin/vim.basic"},
        "gone": {"mode": "auto", "link": ""},
    }


def test_password_aging_never_when_it_was_changed() -> None:
    assert accounts.aging(["ops", "x", "20000", "1", "90", "7", "30", "20484", ""]) == {
        "password_min_days": 1,
        "password_max_days": 90,
        "password_warn_days": 7,
        "password_inactive_days": 30,
        "expires": "2026-01-31",
    }
    assert accounts.aging(["ops", "x", "0", "0", "99999", "7", "", "", ""]) == {
        "password_warn_days": 7,
        "must_change": True,
    }
    assert accounts.aging(["ops", "x"]) == {}
    assert accounts.aging(["a", "x", "1", "", "", "", "", "99999999999", ""]) == {"expires": "99999999999"}
    assert accounts.aging(["a", "x", "1", "", "", "", "", "soon", ""]) == {"expires": "soon"}
    assert accounts.groups("a:x:1:b\n", "a:!:root,ann:b\n")["a"]["administrators"] == ["ann", "root"]


def test_drop_ins_of_prefix_template_and_kind(machine: Callable[..., tree.DirectoryTree]) -> None:
    assert units.drop_in_names("a-b-c@d.service") == [
        "a-b-c@d.service",
        "a-b-c@.service",
        "a-b-.service",
        "a-.service",
        "service",
    ]
    place = "/etc/systemd/system/"
    found = units.collect(
        machine(
            {
                place + "a-b.timer": "[Timer]\nOnCalendar=daily\nOnBootSec=5min\nPersistent=no\n",
                place + "a-b.timer.d/50.conf": "[Timer]\nOnCalendar=\nOnCalendar=weekly\nPersistent=yes\n",
                place + "a-.timer.d/50.conf": "[Timer]\nOnCalendar=hidden\n",
                place + "timer.d/60.conf": "[Timer]\nRandomizedDelaySec=1h\n",
                place + "x.target.wants/a-b.timer": Path("../a-b.timer"),
                "/usr/lib/systemd/system/y.target.wants/a-b.timer": Path("../a-b.timer"),
                "/usr/lib/systemd/system/z.target.wants/a-b.timer": Path("../a-b.timer"),
                place + "z.target.wants/a-b.timer": Path("/dev/null"),
                place + "x.target.requires/missing.service": Path("../missing.service"),
            }
        )
    )
    assert found == {
        "a-b.timer": {
            "path": place + "a-b.timer",
            "state": "enabled",
            "schedule": ["OnCalendar=weekly", "RandomizedDelaySec=1h", "Persistent=yes"],
            "drop_ins": [place + "a-b.timer.d/50.conf", place + "timer.d/60.conf"],
            "wanted_by": ["x.target", "y.target"],
        }
    }


# Hostile input


def test_certificates_that_are_none() -> None:
    def pem(data: bytes) -> bytes:
        body = base64.encodebytes(data)
        return b"-----BEGIN CERTIFICATE-----\n" + body + b"-----END CERTIFICATE-----\n"

    for data in (
        b"",
        b"\x30",
        b"\x30\x84\xff\xff\xff\xff",
        b"\x30\x80" + bytes(40),
        b"\x30\x03\x30\x01\x00",
        bytes(90),
    ):
        assert certificates.certificates(pem(data)) == [data]
        assert certificates.subject(data) == []
    assert certificates.certificates(b"-----BEGIN CERTIFICATE-----\n!!!\n-----END") == []
    assert certificates.certificates(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END") == []


HOSTILE = (
    b"\xff\xfe\x00\n",
    b"a" * 600_000,
    b"\\" * 60_000,
    b"[" * 60_000,
    b"(" * 60_000,
    b'"' * 60_001,
    b'A="' * 20_000,
    b"Defaults@" + b" ," * 20_000,
    b"-----BEGIN CERTIFICATE-----" * 10_000,
    b"-----BEGIN PGP" * 10_000,
    b"-a " * 60_000,
    b"x=" + b" \\\n" * 20_000,
    b"=" * 60_000,
    b"a:b:c:d:e:f:g:h\n" * 10_000,
    b"x" * (5 << 20),
)
PLACES = (
    "/etc/sudoers",
    "/etc/pam.d/login",
    "/etc/crontab",
    "/etc/anacrontab",
    "/var/spool/cron/atjobs/a0000100000000",
    "/etc/sysctl.d/a.conf",
    "/etc/modprobe.d/a.conf",
    "/etc/modules-load.d/a.conf",
    "/etc/default/grub",
    "/etc/default/app",
    "/etc/environment",
    "/etc/security/pam_env.conf",
    "/etc/systemd/system.conf",
    "/etc/login.defs",
    "/etc/fstab",
    "/etc/apt/sources.list",
    "/etc/apt/sources.list.d/a.sources",
    "/etc/apt/preferences",
    "/etc/apt/trusted.gpg",
    "/etc/ld.so.conf",
    "/etc/ld.so.preload",
    "/etc/locale.conf",
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssh/sshd_config",
    "/root/.ssh/authorized_keys",
    "/var/lib/dpkg/alternatives/x",
    "/etc/systemd/system/x.timer",
    "/usr/lib/node_modules/x/package.json",
    "/usr/lib/python3/dist-packages/x.dist-info/direct_url.json",
    "/etc/shadow",
    "/etc/gshadow",
    "/etc/group",
)


@pytest.mark.parametrize("content", HOSTILE, ids=lambda content: repr(content[:12]))
def test_hostile_settings_end_and_are_text(machine: Callable[..., tree.DirectoryTree], content: bytes) -> None:
    files = dict.fromkeys(PLACES, content)
    found = machine({**files, "/etc/passwd": b"root:x:0:0:\xff:/root:/bin/sh\n"})
    start = time.process_time()
    collected = document.collect(found, document.REST)
    # Seconds of the processor: what would take minutes is quadratic.
    assert time.process_time() - start < 10
    document.canonical(collected["sections"]).encode().decode().encode("utf-8")
    assert "\\udc" not in document.canonical(collected)
    if len(content) > settings.LIMIT:
        assert any("too large for settings" in line for line in collected["warnings"])


def test_includes_without_end(machine: Callable[..., tree.DirectoryTree]) -> None:
    files = {f"/etc/pam.d/p{n}": f"auth include p{n + 1}\n" * 2 for n in range(31)}
    files |= {f"/etc/sudoers.d/{n}": "@includedir /etc/sudoers.d\n" for n in range(20)}
    files |= {f"/etc/ld.so.conf.d/{n}.conf": "include *.conf\n" * 9 for n in range(30)}
    files |= {f"/etc/ssh/{n}.conf": "Include *.conf\n" * 9 for n in range(30)}
    files |= {
        "/etc/sudoers": "@includedir /etc/sudoers.d\n",
        "/etc/ld.so.conf": "include ld.so.conf.d/*.conf\n",
        "/etc/ssh/sshd_config": "Include *.conf\n",
        "/etc/loop": Path("loop"),
        "/etc/fstab": Path("/etc/loop"),
    }
    start = time.process_time()
    collected = document.collect(machine(files), document.REST)
    assert time.process_time() - start < 10
    assert any("have no end" in line for line in collected["warnings"])


def test_unreadable_settings_are_warned_of_once(
    machine: Callable[..., tree.DirectoryTree], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = machine({"/etc/sudoers": "root ALL=ALL\n"})
    monkeypatch.setattr(found, "contents", lambda _path: None)
    assert document.collect(found, document.REST)["sections"]["sudo"] == {}
