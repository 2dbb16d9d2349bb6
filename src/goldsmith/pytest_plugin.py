"""What the assertions of roles have in common: `roles/ROLE/tests/test_ROLE.py` runs on any machine.

    pytest --hosts=ansible://web1 --ansible-inventory=inventory roles/nginx/tests

pytest-testinfra reaches the machine and gives the fixture `host`. pytest loads this plugin by itself where Goldsmith
is installed. What is expected of a machine is read from its inventory, so that there is one place to change.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

FETCH = """
import json, sys, urllib.error, urllib.request
request = urllib.request.Request(sys.argv[1], headers=json.loads(sys.argv[2]))
try:
    answer = urllib.request.urlopen(request, timeout=10)
except urllib.error.HTTPError as error:
    answer = error
print(json.dumps([answer.status, dict(answer.headers), answer.read().decode()]))
"""

Fetch = Callable[..., tuple[int, dict[str, str], str]]


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers",
        "not_in_container(why): provable only on a machine with a kernel of its own; skipped in a container",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without a machine to test there is nothing to run: this laptop must not be taken for one."""
    if not config.getoption("hosts", default=None):
        for item in items:
            if "variables" in getattr(item, "fixturenames", ()) or item.path.match("roles/*/tests/*.py"):
                item.add_marker(pytest.mark.skip(reason="give a machine: --hosts=ansible://NAME"))


@pytest.fixture(autouse=True)
def _provable_here(request: pytest.FixtureRequest) -> None:
    marker = request.node.get_closest_marker("not_in_container")
    if marker and request.getfixturevalue("host").run("systemd-detect-virt --container --quiet").rc == 0:
        pytest.skip(f"not provable in a container: {marker.args[0]}")


@pytest.fixture(scope="module")
def role_path(request: pytest.FixtureRequest) -> Path:
    """The folder of the role whose tests these are."""
    return request.path.parents[1]


@pytest.fixture(scope="module")
def variables(host: Any, role_path: Path, request: pytest.FixtureRequest) -> dict[str, Any]:
    """The role's variables as this machine has them: the inventory's before the role's defaults.

    Of an inventory of several sources (ANSIBLE_INVENTORY) the last is the project's. A variable whose template needs
    facts, or anything else that only a running play knows, is left out.
    """
    from goldsmith.inventory import Inventory  # noqa: PLC0415 - Ansible takes 0.3 s to import

    given = request.config.getoption("ansible_inventory", default=None) or os.environ.get("ANSIBLE_INVENTORY")
    sources = [Path(source) for source in given.split(",")] if given else []
    name = host.backend.get_pytest_id().partition("://")[2]
    return Inventory(sources, Path.cwd()).role_variables(name, role_path)


@pytest.fixture(scope="module")
def fetch(host: Any) -> Fetch:
    """Ask the machine itself for a page: fetch(url, **headers) gives status, headers, text.

    No program is needed there besides Python.
    """

    def get(url: str, **headers: str) -> tuple[int, dict[str, str], str]:
        answer = host.run("/usr/bin/python3 -c %s %s %s", FETCH, url, json.dumps(headers))
        assert answer.rc == 0, answer.stderr  # noqa: S101 - this is a test's
        status, heads, text = json.loads(answer.stdout)
        return status, heads, text

    return get
