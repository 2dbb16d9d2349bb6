"""What only this scenario knows: the password. It had other options before."""

from __future__ import annotations

import base64
from typing import Any

ME = "Basic " + base64.b64encode(b"prometheus:let me see").decode()


def test_who_is_known_is_served_at_each_address(fetch: Any, variables: dict[str, Any]) -> None:
    for listen in variables["node_exporter_listen"]:
        status, headers, text = fetch(f"http://{listen}/metrics", Authorization=ME)
        assert status == 200
        assert "node_exporter_build_info" in text
        assert headers["X-Frame-Options"] == "deny"


def test_earlier_options_are_gone(host: Any) -> None:
    assert ":9300" not in host.check_output("ss -Hlnt")
