"""Contents of two machines side by side, with secrets masked."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from goldsmith import show
from goldsmith.collect import parse
from goldsmith.errors import UsageError
from goldsmith.inventory import Connection
from goldsmith.masking import Masks
from goldsmith.show import Content

KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\n{}\nmore/+=\n-----END OPENSSH PRIVATE KEY-----\n"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("password = hunter2\n", "password = [masked 1]\n"),
        ("DB_PASSWORD='two words' # why\n", "DB_PASSWORD=[masked 1] # why\n"),
        ("password=two words\nuser=me\n", "password=[masked 1]\nuser=me\n"),
        ('{"api_key": "x\\"y", "b": 1}', '{"api_key": [masked 1], "b": 1}'),
        ("client_secret: abc\nclient_id: 5\n", "client_secret: [masked 1]\nclient_id: 5\n"),
        ("password: |\n  one\n  two\nnext: 1\n", "password: |\n[masked 1]\nnext: 1\n"),
        ("a:\n  token:\n    - x\n  b: 1\n", "a:\n  token:\n[masked 1]\n  b: 1\n"),
        ("SECRET=abc\\\ndef\nx=1\n", "SECRET=[masked 1]\nx=1\n"),
        ('Environment="DB_PASSWORD=foo bar"\n', 'Environment="DB_PASSWORD=[masked 1]\n'),
        ("<DbPassword>x</DbPassword>", "<DbPassword>[masked 1]</DbPassword>"),
        ("requirepass foo\n", "requirepass [masked 1]\n"),
        ("machine x login me password foo\n", "machine x login me password [masked 1]\n"),
        (
            "ExecStart=/usr/bin/x --db-password foo --port 1\n",
            "ExecStart=/usr/bin/x --db-password [masked 1] --port 1\n",
        ),
        ("curl -u me:foo https://x\n", "curl -u me:[masked 1] https://x\n"),
        ("deb https://me:foo@host/x main\n", "deb https://me:[masked 1]@host/x main\n"),
        ("Authorization: Bearer abcdefgh12345\n", "Authorization: Bearer [masked 1]\n"),
        ("ops:$6$salt$0123456789abcdef:1:2\n", "ops:[masked 1]:1:2\n"),
        ("me:{SSHA}0123456789abcdef\n", "me:{SSHA}[masked 1]\n"),
        ("x ghp_0123456789abcdefghij0123456789abcdef y\n", "x [masked 1] y\n"),
        ("PrivateKey = abc=\nPublicKey = def=\n", "PrivateKey = [masked 1]\nPublicKey = def=\n"),
        ("$CONF['password'] = 'x';\n", "$CONF['password'] = [masked 1];\n"),
    ],
)
def test_secrets_are_masked(text: str, masked: str) -> None:
    assert Masks().text(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "PermitEmptyPasswords no\nPasswordAuthentication no\n",
        "password required pam_unix.so\npassword [success=1 default=ignore] pam_unix.so obscure yescrypt\n",
        "ssl_certificate_key /etc/ssl/x.key;\nserver_tokens off;\n",
        "proxy_pass http://127.0.0.1:8000;\n",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB ops@desk\n",
        "net.ipv4.ip_forward = 1\n",
        "token =\nx = 1\n",
        "-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----\n",
    ],
)
def test_what_is_no_secret_is_not(text: str) -> None:
    assert Masks().text(text) == text


def test_private_keys_to_their_end_or_that_of_the_file() -> None:
    masks = Masks()
    text = masks.text("a\n" + KEY.format("secret") + "b\n")
    assert text == "a\n-----BEGIN OPENSSH PRIVATE KEY-----\n[masked 1]\n-----END OPENSSH PRIVATE KEY-----\nb\n"
    assert "secret" not in masks.text("-----BEGIN RSA PRIVATE KEY-----\nsecret, cut short")
    assert "abc" not in masks.text("PuTTY-User-Key-File-3: x\nPrivate-Lines: 1\nabc\n")


@pytest.mark.parametrize("text", ["a", "pwd", "password-", "eyJabcdefgh-", "<token", "-u ", '"', "x:", "  token:\n"])
def test_a_long_text_takes_no_minutes(text: str) -> None:
    """Each of these would, were a repetition without an end tried from every character."""
    masks = Masks()
    masks.text(text * (200_000 // len(text)))


def test_equal_secrets_have_one_number() -> None:
    masks = Masks()
    assert masks.text("password=a\n") == "password=[masked 1]\n"
    assert masks.text("password=b\ntoken=a\n") == "password=[masked 2]\ntoken=[masked 1]\n"


@pytest.fixture
def machines(tmp_path: Path) -> tuple[Path, Path]:
    for side in ("a", "b"):
        (tmp_path / side / "etc").mkdir(parents=True)
    return tmp_path / "a", tmp_path / "b"


def shown(machines: tuple[Path, Path], path: str) -> show.Shown:
    return show.show(f"dir:{machines[0]}", f"dir:{machines[1]}", path)


def test_a_diff_of_two_texts(machines: tuple[Path, Path]) -> None:
    a, b = machines
    (a / "etc/x").write_text("one\npassword=old\ntwo\n")
    (b / "etc/x").write_text("one\npassword=new\n\x1b[31mthree\t\n")
    found = shown(machines, "/etc/x")
    assert not found.equal
    assert found.text.splitlines() == [
        f"--- dir:{a} /etc/x",
        f"+++ dir:{b} /etc/x",
        "@@ -1,3 +1,3 @@",
        " one",
        "-password=[masked 1]",
        "-two",
        "+password=[masked 2]",
        "+\\x1b[31mthree\t",
    ]
    (b / "etc/x").write_bytes((a / "etc/x").read_bytes())
    assert shown(machines, "/etc/x") == show.Shown(True, "/etc/x: the same on both\n")
    (b / "etc/x").write_text("one\r\npassword=old\r\ntwo\r\n")
    assert not shown(machines, "/etc/x").equal
    (b / "etc/x").unlink()
    assert shown(machines, "/etc/x").text.splitlines()[1] == "+++ /dev/null"


def test_links(machines: tuple[Path, Path]) -> None:
    a, b = machines
    (a / "etc/x").symlink_to("/one")
    (b / "etc/x").symlink_to("/two")
    assert shown(machines, "/etc/x").text.splitlines()[-2:] == ["-a link to /one", "+a link to /two"]


def test_what_is_no_text_is_said_and_not_shown(machines: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = machines
    (a / "etc/x").write_bytes(b"\x00one")
    (b / "etc/x").write_text("text")
    assert shown(machines, "/etc/x").text.splitlines() == [
        "/etc/x",
        f"  dir:{a}: binary, 4 bytes, sha256 d0d7360ab79f",
        f"  dir:{b}: text, 4 bytes",
    ]
    (a / "etc/shadow").write_text("root:abc:1\n")
    (b / "etc/shadow").write_text("root:def:1\n")
    text = shown(machines, "/etc/shadow").text
    assert "secrets, which are not shown" in text
    assert "abc" not in text
    monkeypatch.setattr(show, "LIMIT", 10)
    for side in machines:
        (side / "etc/long").write_text("0123456789a")
    found = shown(machines, "/etc/long")
    assert not found.equal, "what was not read to its end is not known to be equal"
    assert "too large to be shown" in found.text


def test_it_never_leaves_the_root(machines: tuple[Path, Path], tmp_path: Path) -> None:
    a, b = machines
    (tmp_path / "host").mkdir()
    (tmp_path / "host/x").write_text("the host's own")
    (a / "link").symlink_to(tmp_path / "host")
    (b / "link").mkdir()
    (b / "link/x").write_text("y")
    text = shown(machines, "/link/x").text
    assert text.startswith("--- /dev/null\n")
    assert "host's own" not in text
    os.mkfifo(a / "etc/pipe")
    assert show.fetch(parse(f"dir:{a}"), "/etc/pipe") == Content("other")


class Hosts:
    """An inventory whose one host is this machine, reached by a shell, as ssh hands its command to one."""

    def ssh(self, _name: str) -> Connection:
        return Connection(argv=("sh", "-c"), python=sys.executable, become=False)


def test_a_host_is_asked_with_its_path_quoted(tmp_path: Path) -> None:
    hosts: Any = Hosts()
    path = tmp_path / "it's a $(name)"
    path.write_text("x")
    assert show.fetch(parse("ssh:web1"), str(path), hosts) == Content("file", b"x")
    assert show.fetch(parse("ssh:web1"), f"{path}y", hosts) == Content("absent")


def test_wrong_usage(machines: tuple[Path, Path]) -> None:
    here = f"dir:{machines[0]}"
    with pytest.raises(UsageError, match=r"web\.json is only a manifest") as caught:
        show.show("web.json", here, "/etc/x")
    assert "docker:web" in caught.value.hint
    for path, message in (
        ("etc/x", "can't be fetched"),
        ("/a\0b", "can't be fetched"),
        ("/etc/none", "neither"),
        ("/etc", "is no file"),
    ):
        with pytest.raises(UsageError, match=message):
            show.show(here, f"dir:{machines[1]}", path)
    with pytest.raises(UsageError, match="there is no folder"):
        show.show(here, "dir:/no/such", "/etc/x")
    with pytest.raises(UsageError, match="contents can't be fetched from it"):
        show.show("ssh:web1", here, "/etc/x")


def test_links_of_an_image_are_not_called_equal_unseen() -> None:
    """An archive's reader does not say where a link leads."""
    link = Content("link")
    assert not show.difference("/x", ("a", link), ("b", link)).equal
