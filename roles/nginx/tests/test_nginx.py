"""The role nginx: each site is asked on the machine itself, by its names and where it listens."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import pytest

# One question. TLS takes any certificate: whether it is the right one is a test of its own.
ASK = """
import http.client, json, socket, ssl, sys
asked = json.loads(sys.argv[1])
link = socket.create_connection((asked["address"], asked["port"]), 10)
told = {}
try:
    if asked["tls"]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(asked.get("speaks", ["http/1.1"]))
        if "ciphers" in asked:
            context.set_ciphers(asked["ciphers"])
        if "version" in asked:
            context.minimum_version = context.maximum_version = getattr(ssl.TLSVersion, asked["version"])
        link = context.wrap_socket(link, server_hostname=asked["host"])
        told["certificate"] = ssl.DER_cert_to_PEM_cert(link.getpeercert(True))
        told["speaks"] = link.selected_alpn_protocol()
    if asked.get("speaks", ["http/1.1"]) == ["http/1.1"]:
        heads = {"Host": asked["host"], "Connection": "close", **asked.get("heads", {})}
        lines = [f"{asked.get('method', 'GET')} {asked.get('path', '/')} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in heads.items()]
        link.sendall(("\\r\\n".join(lines) + "\\r\\n\\r\\n").encode())
        answer = http.client.HTTPResponse(link)
        answer.begin()
        told.update(status=answer.status, heads={k.lower(): v for k, v in answer.getheaders()})
except (OSError, http.client.HTTPException) as error:
    told["refused"] = type(error).__name__
print(json.dumps(told))
"""
STRANGER = "nobody-has-this-name.invalid"
WEAK = ["ECDHE-ECDSA-AES128-SHA", "ECDHE-RSA-AES128-SHA", "ECDHE-ECDSA-AES128-SHA256", "ECDHE-RSA-AES128-SHA256"]
EVERYWHERE = "0.0.0.0"  # noqa: S104 - nothing is bound here
UNITS = {"k": 1024, "m": 1024**2, "g": 1024**3}


class Place(NamedTuple):
    """Where a site is asked: by which name, at which address of the machine."""

    site: dict[str, Any]
    host: str
    listen: str
    address: str
    port: int
    tls: bool


def listens(site: dict[str, Any]) -> list[str]:
    default = ["443 ssl", "[::]:443 ssl"] if "certificate" in site else ["80", "[::]:80"]
    return [str(each) for each in site.get("listen", default)]


def socket_of(listen: str) -> tuple[str, int]:
    """Address and port of nginx's `listen`."""
    where = listen.split(maxsplit=1)[0]
    has_port = ":" in where.rpartition("]")[2] or where.isdigit()
    address, _colon, port = where.rpartition(":") if has_port else (where, "", 80)
    return address.strip("[]") or EVERYWHERE, int(port)


def names_of(site: dict[str, Any]) -> list[str]:
    """Names that may be asked for; regular expressions are left out."""
    names = [str(name) for name in site.get("server_names", ["_"]) if not str(name).startswith("~")]
    return [STRANGER if name == "_" else name.replace("*", "test").lstrip(".") for name in names]


@pytest.fixture(scope="module")
def sites(variables: dict[str, Any]) -> list[dict[str, Any]]:
    if not variables["nginx_sites"]:
        pytest.skip("this machine has no sites, so the role does nothing")
    return list(variables["nginx_sites"])


@pytest.fixture(scope="module")
def places(sites: list[dict[str, Any]]) -> list[Place]:
    found = []
    for site in sites:
        for listen in listens(site):
            if listen.startswith("unix:") or "proxy_protocol" in listen:
                continue
            address, port = socket_of(listen)
            if ":" in address:  # whether it has an address of this family, another test asks
                continue
            address = "127.0.0.1" if address in {EVERYWHERE, "*"} else address
            found += [Place(site, host, listen, address, port, "ssl" in listen.split()) for host in names_of(site)]
    return found


@pytest.fixture(scope="module")
def ask(host: Any) -> Any:
    answers: dict[str, dict[str, Any]] = {}

    def question(place: Place, **more: Any) -> dict[str, Any]:
        base = {"host": place.host, "address": place.address, "port": place.port, "tls": place.tls}
        asked = json.dumps({**base, **more})
        if asked not in answers:
            answers[asked] = json.loads(host.check_output("/usr/bin/python3 -c %s %s", ASK, asked))
        return answers[asked]

    return question


def own(place: Place, word: str) -> bool:
    """Whether the site has a directive of its own for this."""
    return any(line.startswith(word) for line in place.site.get("directives", []))


def test_each_site_answers_to_each_of_its_names(ask: Any, places: list[Place]) -> None:
    for place in places:
        assert ask(place).get("status", 599) < 500, place


def test_no_answer_tells_the_version(ask: Any, places: list[Place]) -> None:
    for place in places:
        assert ask(place)["heads"]["server"] == "nginx", place


def test_each_answer_bears_the_headers(ask: Any, places: list[Place], variables: dict[str, Any]) -> None:
    for place in places:
        if own(place, "add_header"):
            continue
        heads = ask(place)["heads"]
        for name, value in variables["nginx_headers"].items():
            assert heads[name.lower()] == str(value), place
        told = heads.get("strict-transport-security")
        wanted = f"max-age={variables['nginx_hsts']}" if variables["nginx_hsts"] else None
        assert told == (wanted if "certificate" in place.site else None), place


def test_it_listens_where_the_sites_say(host: Any, sites: list[dict[str, Any]]) -> None:
    for site in sites:
        for listen in listens(site):
            if not listen.startswith("unix:"):
                address, port = socket_of(listen)
                assert host.socket(f"tcp://{address.replace('*', EVERYWHERE)}:{port}").is_listening, listen


def test_names_that_no_site_has_are_refused(ask: Any, places: list[Place], variables: dict[str, Any]) -> None:
    caught = {(place.address, place.port) for place in places if place.host == STRANGER}
    caught |= {(place.address, place.port) for place in places if "default_server" in place.listen.split()}
    for place in places:
        told = ask(place, host=STRANGER)
        if (place.address, place.port) in caught or not variables["nginx_refuse_unknown_hosts"]:
            assert "status" in told, place
        else:
            assert "refused" in told, place
            assert "certificate" not in told, place


def test_sites_with_a_certificate_show_it(host: Any, ask: Any, places: list[Place]) -> None:
    for place in places:
        if place.tls:
            file = host.file(place.site["certificate"]).content_string
            first, end, _rest = file.partition("-----END CERTIFICATE-----")
            assert "".join(ask(place)["certificate"].split()) == "".join((first + end).split()), place


def test_tls_is_spoken_in_the_versions_that_are_listed(
    ask: Any, places: list[Place], variables: dict[str, Any]
) -> None:
    for place in places:
        if place.tls and not own(place, "ssl_"):
            for name, version in (("TLSv1.2", "TLSv1_2"), ("TLSv1.3", "TLSv1_3")):
                assert ("status" in ask(place, version=version)) == (name in variables["nginx_tls_protocols"]), place


def test_ciphers_that_are_not_listed_are_refused(ask: Any, places: list[Place], variables: dict[str, Any]) -> None:
    listed = variables["nginx_tls_ciphers"]
    other = ":".join(name for name in WEAK if name not in listed)
    for place in places:
        if place.tls and "TLSv1.2" in variables["nginx_tls_protocols"] and not own(place, "ssl_"):
            assert "status" in ask(place, version="TLSv1_2", ciphers=":".join(listed)), place
            assert "refused" in ask(place, version="TLSv1_2", ciphers=other), place


def test_tls_leads_to_http_2(ask: Any, places: list[Place]) -> None:
    for place in places:
        if place.tls:
            assert ask(place, speaks=["h2"])["speaks"] == "h2", place


def test_who_comes_without_tls_is_sent_to_it(ask: Any, places: list[Place]) -> None:
    for place in places:
        if "certificate" in place.site and place.site.get("redirect_http", True) and place.tls:
            port = socket_of(listens(place.site)[0])[1]
            told = ask(place, address="127.0.0.1", port=80, tls=False, path="/a?b=c")
            assert told["status"] == 301, place
            there = place.host if port == 443 else f"{place.host}:{port}"
            assert told["heads"]["location"] == f"https://{there}/a?b=c", place
            assert told["heads"]["server"] == "nginx", place


def test_requests_may_bring_so_much_and_no_more(ask: Any, places: list[Place], variables: dict[str, Any]) -> None:
    for place in places:
        size = str(place.site.get("max_body_size", variables["nginx_max_body_size"])).lower()
        most = int(size.rstrip("kmg")) * UNITS.get(size[-1], 1)
        if "proxy_pass" in place.site and most:
            heads = {"Content-Length": str(most + 1)}
            assert ask(place, method="POST", heads=heads)["status"] == 413, place


def test_whole_configuration_is_sound(host: Any, sites: list[dict[str, Any]]) -> None:
    said = host.run("/usr/sbin/nginx -t")
    assert said.rc == 0
    assert "[warn]" not in said.stderr


def test_what_stands_before_all_sites_is_read(host: Any, sites: Any, variables: dict[str, Any]) -> None:
    lines = [line.strip() for line in host.check_output("/usr/sbin/nginx -T 2>/dev/null").splitlines()]
    for directive in variables["nginx_directives"]:
        assert f"{directive};" in lines


def test_no_other_site_is_enabled(host: Any, sites: list[dict[str, Any]], variables: dict[str, Any]) -> None:
    enabled = host.file("/etc/nginx/sites-enabled").listdir()
    assert "goldsmith.conf" in enabled
    if variables["nginx_remove_other_sites"]:
        assert enabled == ["goldsmith.conf"]


def test_only_root_writes_the_sites(host: Any, sites: list[dict[str, Any]]) -> None:
    file = host.file("/etc/nginx/sites-enabled/goldsmith.conf")
    assert (file.user, file.group, file.mode) == ("root", "root", 0o644)


def test_it_runs_now_and_after_a_boot(host: Any, sites: list[dict[str, Any]]) -> None:
    assert host.service("nginx").is_running
    assert host.service("nginx").is_enabled
