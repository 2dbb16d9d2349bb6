"""The role logging. What is sent is received by listeners on the machine itself."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

RECEIVE = """
import socket, ssl, sys
port, certificate, word = int(sys.argv[1]), sys.argv[2], sys.argv[3]
listener = socket.create_server(("127.0.0.1", port))
listener.settimeout(40)
print("listening", flush=True)
text = ""
while word not in text:
    link, _ = listener.accept()
    link.settimeout(40)
    if certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)
        try:
            link = context.wrap_socket(link, server_side=True)
        except (ssl.SSLError, OSError):
            continue
    while word not in text:
        got = link.recv(65536)
        if not got:
            break
        text += got.decode(errors="replace")
print(text)
"""


def received(host: Any, port: int, certificate: str = "", priority: str = "user.notice") -> str:
    """What a receiver gets when something is logged, that message last."""
    word = uuid.uuid4().hex
    shell = (
        "out=$(mktemp); /usr/bin/python3 -c %s %s %s %s >$out 2>&1 & "
        "for try in $(seq 50); do grep -qs listening $out && break; sleep 0.1; done; "
        "logger -p %s %s; wait; cat $out"
    )
    text = str(host.check_output(shell, RECEIVE, str(port), certificate, word, priority, word))
    assert word in text
    return text[: text.index(word) + len(word)]


def test_messages_arrive_in_the_format_of_rfc_5424(host: Any) -> None:
    name = host.check_output("hostname")
    assert f" {name} root - - " in received(host, 5140).strip().splitlines()[-1]


@pytest.fixture
def certificate(host: Any) -> Any:
    """A certificate for localhost, and the authority that the machine believes."""
    make = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost "
        "-addext subjectAltName=DNS:localhost -keyout /root/test.key -out /etc/ssl/certs/goldsmith-test.pem 2>&1 && "
        "cat /root/test.key /etc/ssl/certs/goldsmith-test.pem >/root/test.both && systemctl restart rsyslog.service"
    )
    host.check_output(make)
    yield "/root/test.both"
    host.check_output("rm -f /root/test.key /root/test.both /etc/ssl/certs/goldsmith-test.pem")


def test_by_tls_only_what_is_selected_is_sent(host: Any, certificate: str) -> None:
    other = uuid.uuid4().hex
    host.check_output("logger -p user.notice %s", other)
    assert other not in received(host, 6514, certificate, "authpriv.notice")


def test_own_files_are_rotated_and_those_of_packages_too(host: Any) -> None:
    state = "$(mktemp)"
    host.check_output("mkdir -p /var/log/goldsmith-test && head -c 2000 /dev/zero >/var/log/goldsmith-test/a.log")
    try:
        said = host.run(f"logrotate --verbose --state {state} /etc/logrotate.conf")
        assert (said.rc, "error" in said.stderr) == (0, False), said.stderr
        assert host.file("/var/log/goldsmith-test/a.log.1").size == 2000
        assert "/var/log/dpkg.log" in said.stderr
    finally:
        host.check_output("rm -rf /var/log/goldsmith-test")
