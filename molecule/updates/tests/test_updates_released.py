"""The role updates, where it held gzip before and nothing is listed now."""

from __future__ import annotations

from typing import Any


def test_nothing_is_held_any_more_and_nothing_recorded(host: Any) -> None:
    assert host.check_output("apt-mark showhold") == ""
    assert not host.file("/var/lib/goldsmith/held-packages").exists
