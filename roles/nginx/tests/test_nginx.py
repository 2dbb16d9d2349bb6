"""The role nginx."""

from __future__ import annotations

from typing import Any


def test_nginx_answers_without_telling_its_version(fetch: Any) -> None:
    status, headers, _text = fetch("http://127.0.0.1/")
    assert status == 200
    assert headers["Server"] == "nginx"


def test_nginx_listens_for_both_protocols(host: Any) -> None:
    assert host.socket("tcp://0.0.0.0:80").is_listening
    assert host.socket("tcp://:::80").is_listening


def test_whole_configuration_is_sound(host: Any) -> None:
    assert host.run("/usr/sbin/nginx -t").rc == 0


def test_no_other_site_is_enabled(host: Any) -> None:
    assert host.file("/etc/nginx/sites-enabled").listdir() == ["goldsmith.conf"]


def test_service_comes_back_after_a_boot(host: Any) -> None:
    assert host.service("nginx").is_running
    assert host.service("nginx").is_enabled
