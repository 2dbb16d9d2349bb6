"""Of whom nothing was said, the keys stay."""

from __future__ import annotations

from typing import Any


def test_keys_of_others_stay(host: Any) -> None:
    assert host.file("/root/.ssh/authorized_keys").exists
