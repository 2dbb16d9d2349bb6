"""What only the sample application of examples/web answers, through nginx."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def pinned(variables: dict[str, Any]) -> dict[str, str]:
    """What the application's requirements.txt says, by name."""
    text = Path(variables["python_app_source"], "requirements.txt").read_text(encoding="utf-8")
    return {name.lower(): version for name, version in re.findall(r"^([A-Za-z0-9_.-]+)==(\S+)", text, re.MULTILINE)}


def test_application_is_healthy_behind_nginx(fetch: Any, pinned: dict[str, str]) -> None:
    status, headers, text = fetch("http://127.0.0.1/health")
    assert (status, headers["Content-Type"]) == (200, "application/json")
    state = json.loads(text)
    assert state["status"] == "ok"
    assert state["dependencies"]["flask"] == pinned["flask"]


def test_application_greets_as_its_environment_says(fetch: Any, variables: dict[str, Any]) -> None:
    assert fetch("http://127.0.0.1/")[2] == f"{variables['python_app_environment']['HELLO_GREETING']}\n"


def test_application_sees_exactly_the_pinned_libraries(fetch: Any, pinned: dict[str, str]) -> None:
    page = json.loads(fetch("http://127.0.0.1/", Accept="application/json")[2])
    assert page["libraries"] == dict(sorted(pinned.items()))


def test_application_is_reached_through_nginx_only(host: Any) -> None:
    assert host.socket("tcp://127.0.0.1:8000").is_listening
    assert not host.socket("tcp://0.0.0.0:8000").is_listening
