"""What a scenario's tests have in common: pytest --hosts=docker://NAME molecule/SCENARIO/tests

What is expected is read from the scenario's own inventory, so that there is one place to change.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without a machine to test there is nothing to run: this laptop must not be taken for one."""
    if not config.getoption("hosts", default=None):
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.skip(reason="give a machine: --hosts=docker://NAME"))


@pytest.fixture(scope="module")
def wanted(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The variables that the scenario sets."""
    inventory = request.path.parents[1] / "inventory" / "hosts.yml"
    return dict(yaml.safe_load(inventory.read_text(encoding="utf-8"))["all"]["vars"])
