"""The role updates. It listed hostname, gzip and tar before, and somebody held sed and hostname by hand."""

from __future__ import annotations

from typing import Any


def test_held_is_what_is_listed_and_what_somebody_held_by_hand(host: Any, variables: dict[str, Any]) -> None:
    held = set(host.check_output("apt-mark showhold").split())
    assert held == {*variables["updates_held_packages"], "hostname", "sed"}


def test_recorded_is_what_the_role_holds(host: Any) -> None:
    lines = host.file("/var/lib/goldsmith/held-packages").content_string.splitlines()
    assert [line for line in lines if line and not line.startswith("#")] == ["sudo", "tar"]
