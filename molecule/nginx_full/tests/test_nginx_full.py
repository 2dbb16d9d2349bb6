"""The role nginx with sites whose contents are known."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

SCENARIO = Path(__file__).parents[1]
PROJECT = SCENARIO.parents[1]


def check() -> str:
    """The role once more, as a check, without facts."""
    argv = ["ansible-playbook", "--check", "--inventory", str(SCENARIO / "inventory"), "molecule/shared/role.yml"]
    env = {
        **os.environ,
        "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"),
        "ANSIBLE_GATHERING": "explicit",
        "MOLECULE_SCENARIO_NAME": SCENARIO.name,
    }
    done = subprocess.run(argv, cwd=PROJECT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_each_site_answers_for_itself(fetch: Any) -> None:
    for name, port, text in [
        ("files.example.org", 80, "files\n"),
        ("deep.files.example.org", 80, "files\n"),
        ("any.example.org", 8080, "everybody"),
    ]:
        assert fetch(f"http://127.0.0.1:{port}/", Host=name)[::2] == (200, text)


def test_locations_hold(host: Any) -> None:
    code = (
        "import http.client as h; c = h.HTTPConnection('127.0.0.1'); c.request('GET', '/moved', headers={'Host':"
        " 'files.example.org'}); r = c.getresponse(); print(r.status, r.headers['Location'])"
    )
    assert host.check_output("/usr/bin/python3 -c %s", code) == "302 http://files.example.org/elsewhere"


def test_the_application_learns_who_asked_and_how(host: Any) -> None:
    code = (
        "import ssl, urllib.request as u; c = ssl._create_unverified_context();"
        "print(u.urlopen(u.Request('https://127.0.0.1:8443/', headers={'Host': 'app.example.org'}), context=c)"
        ".read().decode())"
    )
    # Without the name in the handshake nginx refuses it.
    assert "unrecognized" in host.run("/usr/bin/python3 -c %s", code).stderr.lower()
    code = code.replace(
        "print(",
        "import socket; o = socket.getaddrinfo;socket.getaddrinfo = lambda h, *a, **k: o('127.0.0.1', *a, **k);print(",
        1,
    )
    heads = host.check_output("/usr/bin/python3 -c %s", code.replace("//127.0.0.1:", "//app.example.org:")).splitlines()
    assert {
        "host: app.example.org",
        "x-real-ip: 127.0.0.1",
        "x-forwarded-for: 127.0.0.1",
        "x-forwarded-proto: https",
    } <= set(heads)


def test_listed_types_are_compressed_and_no_others(host: Any) -> None:
    ask = (
        "import sys, urllib.request as u; print(u.urlopen(u.Request('http://127.0.0.1/' + sys.argv[1], headers="
        "{'Host': 'files.example.org', 'Accept-Encoding': 'gzip'})).headers['Content-Encoding'])"
    )
    assert host.check_output("/usr/bin/python3 -c %s style.css", ask) == "gzip"
    assert host.check_output("/usr/bin/python3 -c %s notes.txt", ask) == "None"


def test_nothing_redirects_a_site_that_wants_none(host: Any) -> None:
    code = (
        "import http.client as h; c = h.HTTPConnection('127.0.0.1'); c.request('GET', '/', headers={'Host':"
        " 'plain.example.org'}); c.getresponse()"
    )
    assert "RemoteDisconnected" in host.run("/usr/bin/python3 -c %s", code).stderr


def test_the_test_of_the_candidate_leaves_nothing_behind(host: Any) -> None:
    assert host.check_output("find /etc/nginx -name '.goldsmith*'") == ""


def test_a_check_says_that_another_site_would_go(host: Any) -> None:
    host.check_output("touch /etc/nginx/sites-enabled/other")
    try:
        assert "changed=2 " in check()  # nginx would be reloaded, too
        assert host.file("/etc/nginx/sites-enabled/other").exists
    finally:
        host.check_output("rm /etc/nginx/sites-enabled/other")
    assert "changed=0 " in check()
