"""Hygiene: each check finds what is planted, wherever the system lies, and leaves its clean twin alone."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import re
import tarfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from goldsmith import build, hygiene, hygiene_rules, tree
from goldsmith.errors import GoldsmithError, UsageError
from goldsmith.hygiene import Offence, UncleanError
from goldsmith.policy import Waiver
from tests.unit.test_cli import run

PASSWD = "root:x:0:0:root:/root:/bin/bash\nops:x:1000:1000::/home/ops:/bin/bash\n"  # noqa: S105
CLEAN = {"/etc/passwd": PASSWD, "/etc/machine-id": "", "/etc/hostname": "web\n", "/var/log/dpkg.log": ""}
BODY = "MC4CAQAwBQYDK2VwBCIEIPbd3GUAt9hyWwVwSAfWTTbXWFMlm0MXRAy8mPNF3dKt"
KEY = f"-----BEGIN PRIVATE KEY-----\n{BODY}\n-----END PRIVATE KEY-----\n"
CERTIFICATE = KEY.replace("PRIVATE KEY", "CERTIFICATE")
PUBLIC = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPbd3GUAt9hyWwVwSAfWTTbXWFMlm0MXRAy8mPNF3dKt me\n"
SSH_KEY = f"-----BEGIN OPENSSH PRIVATE KEY-----\n{BODY}\n-----END OPENSSH PRIVATE KEY-----\n"

Content = str | bytes
Members = dict[str, Content]


class Link(str):
    """A symbolic link's target."""


class Hard(str):
    """A hard link's target."""


# What is planted, and its twin: what looks like it and may be there, at the same path if none is given.
PLANTED: dict[str, list[tuple[Any, ...]]] = {
    "ssh-host-keys": [
        ("/etc/ssh/ssh_host_ed25519_key", SSH_KEY, "/etc/ssh/moduli", "2022 2 6 100 2047 5 D1\n"),
        ("/etc/ssh/ssh_host_rsa_key.pub", PUBLIC, "/etc/ssh/ssh_config", "Host *\n"),
        ("/etc/dropbear/dropbear_rsa_host_key", b"\0\0\0\7ssh-rsa", "/etc/dropbear/config", "x"),
    ],
    "machine-id": [
        ("/etc/machine-id", "8f14e45fceea467a9c1b5d6f8f14e45f\n", "uninitialized\n"),
        ("/var/lib/dbus/machine-id", "8f14e45f\n", Link("/etc/machine-id")),
        ("/var/lib/docker/engine-id", "8f14e45f", "/etc/docker/daemon.json", "{}"),
    ],
    "authorized-keys": [
        ("/root/.ssh/authorized_keys", PUBLIC, "/home/ops/.ssh/authorized_keys", PUBLIC),
        ("/root/.ssh/authorized_keys2", PUBLIC, "# none\n\n"),
        ("/etc/ssh/authorized_keys.d/root", PUBLIC, "/etc/ssh/authorized_keys.d/ops", PUBLIC),
    ],
    "build-user": [
        ("/etc/passwd", PASSWD + "packer:x:1001:1001::/home/packer:/bin/sh\n",
         PASSWD + "parker:x:1001:1001:packer:/home/parker:/bin/sh\n"),
    ],
    "cloud-instance-data": [
        ("/var/lib/cloud/instance", Link("instances/i-1"), "/var/lib/cloud/scripts/x", "x"),
        ("/var/lib/cloud/instances/i-1/user-data.txt", "#cloud-config\n", "/etc/cloud/cloud.cfg", "x"),
        ("/run/cloud-init/instance-data.json", "{}", "/run/motd", "x"),
        ("/etc/netplan/50-cloud-init.yaml", "network: {}\n", "/etc/netplan/10-site.yaml", "network: {}\n"),
        ("/etc/network/interfaces.d/50-cloud-init", "auto eth0\n", "/etc/network/interfaces.d/eth1", "x"),
        ("/var/lib/waagent/ovf-env.xml", "<x/>", "/etc/waagent.conf", "x"),
        ("/var/lib/amazon/ssm/registration", "{}", "/etc/amazon/ssm/seelog.xml", "x"),
    ],
    "history": [
        ("/root/.bash_history", "ls\n", ""),
        ("/var/lib/postgresql/.psql_history", "select 1\n", "/root/.bashrc", "HISTFILE=~/.bash_history\n"),
        ("/home/ops/.lesshst", ".less-history-file:\n", "/home/ops/.lesskey", "x"),
        ("/home/ops/.local/share/fish/fish_history", "- cmd: ls\n", "/home/ops/.local/share/fish/x", "x"),
    ],
    "dhcp-leases": [
        ("/var/lib/dhcp/dhclient.leases", "lease {}\n", "/etc/dhcp/dhclient.conf", "lease {}\n"),
        ("/var/lib/NetworkManager/internal-x-eth0.lease", "x",
         "/var/lib/NetworkManager/NetworkManager.state", "x"),
        ("/run/systemd/netif/leases/2", "ADDRESS=192.0.2.1\n", "/etc/systemd/network/80.network", "DHCP=yes\n"),
    ],
    "logs": [
        ("/var/log/apt/history.log", "Start-Date:\n", ""),
        ("/run/log/journal/1/system.journal", "LPKSHHRH", "/etc/logrotate.conf", "x"),
    ],
    "random-seed": [
        ("/var/lib/systemd/random-seed", b"\1\2", b""),
        ("/boot/efi/loader/random-seed", b"\1\2", "/boot/efi/loader/loader.conf", "x"),
        ("/var/lib/systemd/credential.secret", b"\1\2", "/var/lib/systemd/credentials", b"\1"),
        ("/var/lib/NetworkManager/secret_key", b"\1\2", "/var/lib/NetworkManager/timestamps", "x"),
    ],
    "build-leftovers": [
        ("/tmp/packer-shell123", "x", "/tmp/unpacked", "x"),  # noqa: S108
        ("/var/tmp/script_4711.sh", "x", "/var/tmp/script.sh", "x"),  # noqa: S108
        ("/home/ops/.ansible/tmp/ansible-tmp-1/x.py", "x", "/home/ops/.ansible/roles/x.yml", "x"),
        ("/etc/apt/apt.conf.d/01proxy", 'Acquire::http::Proxy "http://127.0.0.1:3142";\n',
         '// Proxy "http://127.0.0.1:3142";\nAcquire::http::Proxy "DIRECT";\n'),
        ("/etc/environment", "export https_proxy=http://127.0.0.1:3128\n",
         "https_proxy=\nPATH=/bin\n# http_proxy=http://127.0.0.1\n"),
        ("/etc/systemd/system/docker.service.d/proxy.conf", '[Service]\nEnvironment="HTTP_PROXY=http://p"\n',
         "/etc/systemd/system/docker.service.d/x.conf", "[Service]\nEnvironment=PROXY_MODE=none\n"),
    ],
    "secrets": [
        ("/etc/ssl/private/ssl-cert-snakeoil.key", KEY, "/etc/ssl/certs/ssl-cert-snakeoil.pem", CERTIFICATE),
        ("/usr/lib/site/id_rsa", SSH_KEY,
         "/usr/lib/site/ssh.py", 'START = b"-----BEGIN OPENSSH PRIVATE KEY-----"\n'),
        ("/opt/app/account.json", json.dumps({"private_key": KEY}), "{}"),
        ("/opt/app/x.pem", f"key: |\n    -----BEGIN RSA PRIVATE KEY-----\n    Proc-Type: 4,ENCRYPTED\n\n    {BODY}\n",
         "-----BEGIN RSA PRIVATE KEY-----\n(your key here)\n"),
        ("/srv/x.ppk", "PuTTY-User-Key-File-3: ssh-rsa\n", "/srv/notes", "a PuTTY-User-Key-File-3 is a key\n"),
        ("/opt/app/config.yml", "token: ghp_" + "a" * 36 + "\n", "token: ghp_short\n"),
        ("/root/.aws/credentials", "aws_secret_access_key = x\n", "/root/.aws/config", "region = eu-west-1\n"),
        ("/root/.azure/msal_token_cache.json", "{}", "/root/.azure/config", "x"),
        ("/root/.config/gcloud/application_default_credentials.json", "{}",
         "/root/.config/gcloud/active_config", "x"),
        ("/root/.s3cfg", "secret_key = x\n", "secret_key = \nhost_base = x\n"),
        ("/root/.config/doctl/config.yaml", "access-token: x\n", "context: x\n"),
        ("/root/.config/gh/hosts.yml", "  oauth_token: x\n", "  user: x\n"),
        ("/root/.docker/config.json", '{"auths": {"r": {"auth": "dTpw"}}}', '{"auths": {}}'),
        ("/root/.git-credentials", "https://me:pass@example.org\n", "https://example.org\n"),
        ("/root/.gnupg/private-keys-v1.d/1.key", "x", "/root/.gnupg/pubring.kbx", "x"),
        ("/root/.kube/config", "users:\n- user:\n    token: x\n", "clusters: []\n"),
        ("/root/.my.cnf", "[client]\npassword = x\n", "[client]\npassword =\nuser = me\n"),
        ("/root/.netrc", "machine x login y password z\n", "machine x\n# password z\n"),
        ("/root/.npmrc", "//r/:_authToken=x\n", "registry=https://r/\n"),
        ("/root/.pgpass", "*:*:*:me:pass\n", "# host:port:database:user:password\n"),
        ("/root/.pypirc", "[pypi]\npassword = x\n", "[pypi]\nusername = x\n"),
        ("/root/.terraform.d/credentials.tfrc.json", '{"token": "x"}',
         "/root/.terraform.d/checkpoint_cache", "x"),
        ("/root/.vault-token", "x", "/root/.vaultrc", "x"),
        ("/etc/krb5.keytab", b"\5\2", "/etc/krb5.conf", "x"),
        ("/etc/wireguard/wg0.conf", "[Interface]\nPrivateKey = x\n", "[Peer]\nPublicKey = x\n"),
        ("/opt/site/.vault_pass.txt", "x", "/opt/site/vault.yml", "$ANSIBLE_VAULT;1.1;AES256\n6162\n"),
        ("/etc/apt/sources.list.d/x.list", "deb https://me:pass@example.org/ x main\n",
         "deb [signed-by=/etc/key] https://example.org:8443/ x main\n"),
        ("/etc/default/app", 'DB_PASSWORD="x"\n',
         "DB_PASSWORD=\nTOKEN_TTL=3600\nALLOW_EMPTY_PASSWORD=yes\nDB_PASSWORD_FILE=/run/x\nAPI_TOKEN=$TOKEN\nSECRET=/run/secrets/x\n"),
    ],
}  # fmt: skip
CASES: list[tuple[str, str, Content, str, Content]] = [
    (check, path, planted, *(rest if len(rest) == 2 else (path, *rest)))
    for check, rows in PLANTED.items()
    for path, planted, *rest in rows
]


def layer(members: Members) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as target:
        for path, content in members.items():
            info = tarfile.TarInfo(path.lstrip("/"))
            if isinstance(content, Link | Hard):
                info.type = tarfile.SYMTYPE if isinstance(content, Link) else tarfile.LNKTYPE
                info.linkname = content
                content = b""  # noqa: PLW2901
            data = content.encode() if isinstance(content, str) else content
            info.size = len(data)
            target.addfile(info, io.BytesIO(data))
    return out.getvalue()


def saved(path: Path, *layers: bytes, **config: Any) -> Path:
    """What docker save writes, with these layers and this configuration."""
    names = [f"{index}/layer.tar" for index in range(len(layers))]
    listing = json.dumps([{"Config": "x.json", "RepoTags": None, "Layers": names}]).encode()
    with tarfile.open(path, "w") as target:
        for name, data in {
            "x.json": json.dumps(config).encode(),
            **dict(zip(names, layers, strict=True)),
            "manifest.json": listing,
        }.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            target.addfile(info, io.BytesIO(data))
    return path


def as_folder(work: Path, members: Members) -> AbstractContextManager[tree.Tree]:
    for name, content in members.items():
        path = work / name[1:]
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Link):
            path.symlink_to(content)
        else:
            path.write_bytes(content.encode() if isinstance(content, str) else content)
    return tree.of_folder(work)


def as_tar(work: Path, members: Members) -> AbstractContextManager[tree.Tree]:
    work.mkdir(exist_ok=True)
    (work / "root.tar").write_bytes(layer(members))
    return tree.of_tar(work / "root.tar")


def as_image(work: Path, members: Members) -> AbstractContextManager[tree.Tree]:
    work.mkdir(exist_ok=True)
    return tree.of_docker_archive(saved(work / "image.tar", layer(CLEAN), layer(members)))


Opened = Callable[[Path], AbstractContextManager[tree.Tree]]
Form = Callable[[Path, Members], AbstractContextManager[tree.Tree]]
FORMS: list[Form] = [as_folder, as_tar, as_image]


def judge(work: Path, members: Members, *waivers: Waiver, form: Form = as_tar) -> hygiene.Verdict:
    with form(work, {**CLEAN, **members}) as found:
        return hygiene.judge(found, waivers)


def offences(work: Path, members: Members, form: Form = as_tar) -> list[tuple[str, str]]:
    return [(each.check, each.path) for each in judge(work, members, form=form).offences]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
@pytest.mark.parametrize(("check", "path", "planted", "twin", "clean"), CASES, ids=lambda part: ascii(part)[1:30])
def test_what_is_planted_is_found_and_its_twin_is_not(
    tmp_path: Path, form: Form, check: str, path: str, planted: Content, twin: str, clean: Content
) -> None:
    assert offences(tmp_path / "clean", {twin: clean}, form) == []
    assert offences(tmp_path / "planted", {path: planted}, form) == [(check, path)]


def test_every_check_is_proven_by_something_planted() -> None:
    assert {case[0] for case in CASES} == set(hygiene_rules.CHECKS)


@pytest.mark.parametrize("rule", hygiene_rules.RULES, ids=lambda rule: rule.path[:40])
def test_every_rule_is_needed(rule: hygiene_rules.Rule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it something planted is not found: a rule that could be broken unseen is none."""
    monkeypatch.setattr(hygiene_rules, "RULES", [each for each in hygiene_rules.RULES if each is not rule])
    mine = [case for case in CASES if case[0] == rule.check and re.fullmatch(rule.path, case[1])]
    assert any(offences(tmp_path, {case[1]: case[2]}) == [] for case in mine)


# Docker images: what a later layer takes away.


def of_layers(work: Path, *layers: Members, **config: Any) -> list[Offence]:
    with tree.of_docker_archive(saved(work / "x.tar", *map(layer, layers), **config)) as found:
        return list(hygiene.judge(found).offences)


@pytest.mark.parametrize("later", ["/root/.wh..netrc", "/root/.netrc", "/root/.wh..wh..opq", "/.wh.root", "/root"])
def test_a_secret_that_a_later_layer_takes_away_is_still_in_the_image(tmp_path: Path, later: str) -> None:
    [found] = of_layers(tmp_path, CLEAN, {"/root/.netrc": "machine x password y\n"}, {later: ""})
    assert (found.check, found.path) == ("secrets", "/root/.netrc")
    assert "layer 2" in found.what
    assert "whoever has the image can read it" in found.what


def test_what_is_no_secret_may_lie_in_a_lower_layer(tmp_path: Path) -> None:
    dirty: Members = {"/etc/machine-id": "8f14\n", "/var/log/x": "x", "/var/lib/systemd/random-seed": "x"}
    assert len(of_layers(tmp_path, dirty)) == 3
    assert of_layers(tmp_path, dirty, dict.fromkeys(dirty, "")) == []


def test_a_secret_in_many_layers_is_one_offence(tmp_path: Path) -> None:
    secret: Members = {"/root/.netrc": "machine x password y\n"}
    [found] = of_layers(tmp_path, secret, secret, secret)
    assert "layer" not in found.what


def test_a_folder_that_comes_again_keeps_what_is_in_it(tmp_path: Path) -> None:
    upper = io.BytesIO()
    with tarfile.open(fileobj=upper, mode="w") as target:
        folder = tarfile.TarInfo("var/log")
        folder.type = tarfile.DIRTYPE
        target.addfile(folder)
    with tree.of_docker_archive(saved(tmp_path / "x.tar", layer({"/var/log/x": "x"}), upper.getvalue())) as found:
        assert [each.path for each in hygiene.judge(found).offences] == ["/var/log/x"]


@pytest.mark.parametrize("below", [True, False])
def test_a_hard_link_to_a_secret_is_one(tmp_path: Path, below: bool) -> None:
    plain: Members = {"/srv/x": "machine x password y\n"}
    link: Members = {"/root/.netrc": Hard("srv/x")}
    found = of_layers(tmp_path, plain, link) if below else of_layers(tmp_path, {**plain, **link})
    assert [each.path for each in found] == ["/root/.netrc"]


def test_gzipped_layers_and_tars(tmp_path: Path) -> None:
    packed = gzip.compress(layer({**CLEAN, "/var/log/x": "x"}))
    (tmp_path / "root.tar.gz").write_bytes(packed)
    for opened in (tree.of_tar(tmp_path / "root.tar.gz"), tree.of_docker_archive(saved(tmp_path / "x.tar", packed))):
        with opened as found:
            assert [each.path for each in hygiene.judge(found).offences] == ["/var/log/x"]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"Env": ["DB_PASSWORD=x", "PATH=/bin"]}, [("secrets", "env:DB_PASSWORD")]),
        ({"Env": ["AWS_SECRET_ACCESS_KEY=x"]}, [("secrets", "env:AWS_SECRET_ACCESS_KEY")]),
        ({"Env": ["DATABASE=postgres://me:pass@db/x"]}, [("secrets", "env:DATABASE")]),
        ({"Env": ["HTTP_PROXY=http://p:1"]}, [("build-leftovers", "env:HTTP_PROXY")]),
        ({"Env": ["DB_PASSWORD=", "PWD=x", "TOKEN_FILE=/run/secrets/x", "SECRET=/run/secrets/x"]}, []),
        ({"Labels": {"token": "x", "org.goldsmith.owner": "image"}}, [("secrets", "label:token")]),
        ({"Env": None, "Labels": None}, []),
    ],
)
def test_settings_of_a_docker_image(tmp_path: Path, config: Any, expected: list[tuple[str, str]]) -> None:
    found = of_layers(tmp_path, CLEAN, config=config)
    assert [(each.check, each.path) for each in found] == expected


def test_build_arguments_stay_in_a_docker_image(tmp_path: Path) -> None:
    steps = [{"created_by": "RUN |1 TOKEN=abc /bin/sh -c make"}, {}, {"created_by": "RUN curl -H X-Token: $TOKEN x"}]
    assert [each.path for each in of_layers(tmp_path, CLEAN, history=steps)] == ["history:1"]
    once = of_layers(tmp_path, CLEAN, config={"Env": ["TOKEN=x"]}, history=[{"created_by": "ENV TOKEN=x"}])
    assert [each.path for each in once] == ["env:TOKEN"]


@pytest.mark.parametrize(
    "content",
    [
        *(f"-----BEGIN {kind}PRIVATE KEY-----\n{BODY}\n" for kind in ("", "RSA ", "EC ", "ENCRYPTED ", "OPENSSH ")),
        f"-----BEGIN PGP PRIVATE KEY BLOCK-----\nVersion: 2\n\n{BODY}\n",
        f"{CERTIFICATE}{KEY}".replace("\n", "\r\n"),
        *(f"x = {prefix}_{'a1' * 18}" for prefix in ("ghp", "gho", "ghs", "ghu", "ghr")),
        "github_pat_" + "a" * 60,
        "glpat-" + "a" * 20,
        "xoxb-" + "1" * 20,
        "dop_v1_" + "a1" * 32,
        "AIza" + "a" * 35,
        "export AWS_SECRET_ACCESS_KEY='" + "a/" * 20 + "'",
    ],
)
def test_secrets_are_known_by_their_form(tmp_path: Path, content: str) -> None:
    assert offences(tmp_path, {"/srv/x": content}) == [("secrets", "/srv/x")]


# What packages bring.


def test_a_key_that_a_debian_package_brought_is_no_secret(tmp_path: Path) -> None:
    path = "/usr/lib/x/test.key"
    digest = hashlib.md5(KEY.encode(), usedforsecurity=False).hexdigest()
    listed: Members = {"/var/lib/dpkg/info/x.md5sums": f"{digest}  usr/lib/x/test.key\n"}
    assert offences(tmp_path, {path: KEY}) == [("secrets", path)]
    assert offences(tmp_path, {path: KEY, **listed}) == []
    assert offences(tmp_path, {path: KEY + "\n", **listed}) == [("secrets", path)]
    assert offences(tmp_path, {"/etc/x/test.key": KEY, **listed}) == [("secrets", "/etc/x/test.key")]


def test_bytecode_of_what_a_package_brought_is_no_secret(tmp_path: Path) -> None:
    source, compiled = "/usr/lib/x/ssh.py", "/usr/lib/x/__pycache__/ssh.cpython-311.pyc"
    digest = hashlib.md5(KEY.encode(), usedforsecurity=False).hexdigest()
    listed: Members = {"/var/lib/dpkg/info/x.md5sums": f"{digest}  usr/lib/x/ssh.py\n"}
    assert offences(tmp_path, {source: KEY, compiled: f"bytes{KEY}", **listed}) == []
    assert offences(tmp_path, {compiled: f"bytes{KEY}", **listed}) == [("secrets", compiled)]
    changed = offences(tmp_path, {source: KEY + "x", compiled: f"bytes{KEY}", **listed})
    assert sorted(changed) == sorted([("secrets", source), ("secrets", compiled)])


def test_a_package_may_still_call_usr_lib_lib(tmp_path: Path) -> None:
    digest = hashlib.md5(KEY.encode(), usedforsecurity=False).hexdigest()
    listed = {"/var/lib/dpkg/info/x.md5sums": f"{digest}  lib/x.key\n"}
    assert offences(tmp_path, {"/usr/lib/x.key": KEY, **listed}) == []


def test_examples_of_packages_are_left_alone_but_not_what_is_local(tmp_path: Path) -> None:
    netrc, token = "machine x password y\n", "x = ghp_" + "a" * 36
    assert offences(tmp_path, {"/usr/share/doc/x/.netrc": netrc, "/usr/lib/x.py": token}) == []
    local: Members = {"/usr/local/share/x/.netrc": netrc, "/usr/local/lib/x.py": token}
    assert offences(tmp_path, local) == [("secrets", path) for path in sorted(local)]


def test_a_key_that_a_python_package_brought_is_no_secret(tmp_path: Path) -> None:
    place, path = "/opt/app/lib/python3.11/site-packages", "/opt/app/lib/python3.11/site-packages/tornado/test/test.key"
    digest = base64.urlsafe_b64encode(hashlib.sha256(KEY.encode()).digest()).decode().rstrip("=")
    record: Members = {f"{place}/tornado-6.dist-info/RECORD": f"tornado/test/test.key,sha256={digest},{len(KEY)}\n"}
    assert offences(tmp_path, {path: KEY}) == [("secrets", path)]
    assert offences(tmp_path, {path: KEY, **record}) == []
    assert offences(tmp_path, {path: SSH_KEY, **record}) == [("secrets", path)]


# Who logs in to build.


def test_keys_of_every_account_with_root_s_number_and_of_build_accounts(tmp_path: Path) -> None:
    passwd = PASSWD + "toor:x:0:0::/srv/toor:/bin/sh\nvagrant:x:1002:1002::/home/vagrant/:/bin/sh\n"
    keys: Members = {f"{home}/.ssh/authorized_keys": PUBLIC for home in ("/srv/toor", "/home/vagrant", "/home/ops")}
    assert offences(tmp_path, {"/etc/passwd": passwd, **keys}) == [
        ("authorized-keys", "/home/vagrant/.ssh/authorized_keys"),
        ("authorized-keys", "/srv/toor/.ssh/authorized_keys"),
        ("build-user", "/etc/passwd"),
    ]


# Waivers and the verdict.


def waiver(check: str, path: str) -> Waiver:
    return Waiver(check=check, path=path, reason="because it is so")


def test_a_waiver_lets_through_what_it_names_and_no_more(tmp_path: Path) -> None:
    planted: Members = {"/var/log/a/x": "x", "/var/log/b": "x", "/root/.netrc": "machine x password y\n"}
    used, unused = waiver("logs", "/var/log/**/x"), waiver("logs", "/root/.netrc")
    found = judge(tmp_path, planted, used, unused)
    assert [each.path for each in found.offences] == ["/var/log/b", "/root/.netrc"]
    assert [(each.path, why) for each, why in found.waived] == [("/var/log/a/x", used)]
    assert found.unused == (unused,)
    assert not found.clean
    assert judge(tmp_path, planted, waiver("logs", "/var/log/**"), waiver("secrets", "/root/*")).clean
    assert not judge(tmp_path, planted, waiver("logs", "/var/*"), waiver("secrets", "/root/*")).clean


def test_the_verdict_for_programs(tmp_path: Path) -> None:
    kept = waiver("logs", "/var/log/b")
    found = judge(tmp_path, {"/var/log/a": "x", "/var/log/b": "x"}, kept, waiver("history", "/root/**")).to_json()
    assert found["schema"] == "goldsmith.hygiene/1"
    assert found["clean"] is False
    assert found["checks"] == list(hygiene_rules.CHECKS)
    assert [each["path"] for each in found["offences"]] == ["/var/log/a"]
    assert set(found["offences"][0]) == {"check", "path", "what", "do"}
    assert [(each["path"], each["reason"]) for each in found["waived"]] == [("/var/log/b", "because it is so")]
    assert found["unused_waivers"] == [{"check": "history", "path": "/root/**", "reason": "because it is so"}]


@pytest.mark.parametrize(
    ("sealed", "hint"), [(False, "apply the role goldsmith.core.seal last"), (True, "the role seal ran")]
)
def test_what_is_demanded(tmp_path: Path, sealed: bool, hint: str) -> None:
    hygiene.demand(judge(tmp_path, {}), "building", sealed=sealed)
    found = judge(tmp_path, {"/var/log/a": "x", "/root/.bash_\x1bhistory": "x", "/root/.bash_history": "x"})
    with pytest.raises(UncleanError) as caught:
        hygiene.demand(found, "building", sealed=sealed)
    error = caught.value
    assert error.exit_code == 3
    assert error.message.startswith("building failed: the image is not clean, 2 offences\n")
    assert "/var/log/a: a log" in error.message
    assert "/root/.bash_history: a history" in error.message
    assert error.message.count("do: ") == 2
    assert hint in error.hint
    assert "hygiene:" in error.hint


def test_a_name_cannot_move_the_cursor(tmp_path: Path) -> None:
    text = "\n".join(judge(tmp_path, {"/var/log/\x1b[2J": "x"}).lines())
    assert "/var/log/\\x1b[2J" in text


def test_an_image_whose_waiver_was_withdrawn_is_built_again() -> None:
    recorded = {"waived": [{"check": "logs", "path": "/var/log/a", "reason": "why"}]}
    assert build._still_waived(recorded, [waiver("logs", "/var/log/*")])
    assert not build._still_waived(recorded, [waiver("history", "/var/log/*")])
    assert build._still_waived({"waived": []}, [])
    assert not build._still_waived({}, [])  # a release before looked for nothing


# What can't be looked at must not pass for clean.


def test_what_holds_no_system_is_refused(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "etc").mkdir()
    saved(tmp_path / "saved.tar", layer(CLEAN))
    for opened in (
        tree.of_folder(tmp_path / "root"),
        tree.of_folder(tmp_path / "none"),
        tree.of_tar(tmp_path / "saved.tar"),
        tree.of_tar(tmp_path / "none.tar"),
    ):
        with pytest.raises(UsageError), opened:
            pass


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    def vanish() -> None:
        with as_folder(tmp_path, {**CLEAN, "/opt/x": KEY}) as found:
            (tmp_path / "opt/x").unlink()
            hygiene.judge(found)

    with pytest.raises(GoldsmithError) as caught:
        vanish()
    assert "/opt/x" in caught.value.message
    assert "root" in caught.value.hint


@pytest.mark.parametrize("share", [0.3, 0.7])
@pytest.mark.parametrize("of", [tree.of_tar, tree.of_docker_archive])
def test_an_archive_that_is_cut_short_is_an_error(tmp_path: Path, of: Opened, share: float) -> None:
    data = layer({**CLEAN, "/opt/x": "x" * 40000})
    path = tmp_path / "x.tar"
    if of is tree.of_docker_archive:
        data = saved(path, data).read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(GoldsmithError) as caught, of(path):
        pass
    assert caught.value.exit_code == 1
    assert str(path) in caught.value.message


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_a_large_file_is_looked_into_and_a_huge_one_is_not(
    tmp_path: Path, form: Form, monkeypatch: pytest.MonkeyPatch
) -> None:
    large: Members = {"/var/log/x": bytes(20 * 2**20)}
    assert offences(tmp_path / "large", large, form) == [("logs", "/var/log/x")]
    monkeypatch.setattr(tree, "LARGEST", 2**20)
    assert offences(tmp_path / "huge", large, form) == [("logs", "/var/log/x")]
    # What its content would have to tell can't be told.
    with pytest.raises(GoldsmithError, match="/etc/passwd has 2097152 bytes"):
        offences(tmp_path / "passwd", {"/etc/passwd": bytes(2**21)}, form)


def test_a_folder_s_views_of_a_kernel_are_left_out(tmp_path: Path) -> None:
    with as_folder(tmp_path, {**CLEAN, "/proc/1/environ": KEY, "/opt/proc/x": KEY}) as found:
        assert [each.path for each in hygiene.judge(found).offences] == ["/opt/proc/x"]


# The command.


def test_the_command(tmp_path: Path) -> None:
    as_folder(tmp_path / "root", {**CLEAN, "/var/log/x": "x"})
    as_tar(tmp_path, {**CLEAN, "/root/.netrc": "machine x password y\n"})
    done = run("hygiene", f"dir:{tmp_path}/root", "--json", cwd=tmp_path)
    assert done.returncode == 3, done.stderr
    assert [each["path"] for each in json.loads(done.stdout)["offences"]] == ["/var/log/x"]
    done = run("hygiene", f"tar:{tmp_path}/root.tar", cwd=tmp_path)
    assert done.returncode == 3, done.stderr
    assert "/root/.netrc" in done.stdout
    assert "NOT CLEAN" in done.stdout
    policy = tmp_path / "policy.yml"
    policy.write_text("hygiene:\n  - {check: logs, path: /var/log/x, reason: because it is so}\n")
    done = run("hygiene", f"dir:{tmp_path}/root", "--policy", str(policy), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "waived: logs /var/log/x: because it is so" in done.stdout
    assert "\nCLEAN" in done.stdout
    done = run("hygiene", f"tar:{tmp_path}/root.tar", "--policy", str(policy), cwd=tmp_path)
    assert "unused waiver: logs /var/log/x" in done.stdout


def test_the_command_refuses_what_lives(tmp_path: Path) -> None:
    for target in ("ssh:web1", "docker:web1", "web"):
        done = run("hygiene", target, cwd=tmp_path)
        assert done.returncode == 2
        assert "tar:PATH" in done.stderr
