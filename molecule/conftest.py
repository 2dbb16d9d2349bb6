"""The tests of a scenario see the variables of the role that the scenario is about."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def role_path(request: pytest.FixtureRequest) -> Path:
    """The folder of that role."""
    scenario = request.path.parents[1].name
    return Path(__file__).parents[1] / "roles" / scenario.removesuffix("_full").removesuffix("_off")
