"""What a machine made from examples/web must do. Any machine will do: pytest --hosts=docker://NAME tests/roles

What is expected is read from the example's own variables, so that there is one place to change.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

GROUP_VARS = Path(__file__).parents[2] / "examples" / "web" / "inventory" / "group_vars"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without a machine to test there is nothing to run: this laptop must not be taken for one."""
    if not config.getoption("hosts", default=None):
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.skip(reason="give a machine: --hosts=docker://NAME"))


@pytest.fixture(scope="session")
def wanted() -> dict[str, Any]:
    """The variables of the groups all and web."""
    both: dict[str, Any] = {}
    for name in ("all", "web"):
        both.update(yaml.safe_load((GROUP_VARS / f"{name}.yml").read_text(encoding="utf-8")))
    return both


@pytest.fixture
def fetch(host: Any) -> Any:
    """Ask the machine itself for a page: (status, headers, text). No program is needed there besides Python."""
    code = (
        "import json,sys,urllib.request as u,urllib.error as e\n"
        "q=u.Request(sys.argv[1],headers=json.loads(sys.argv[2]))\n"
        "try: r=u.urlopen(q,timeout=10)\n"
        "except e.HTTPError as error: r=error\n"
        "print(json.dumps([r.status,dict(r.headers),r.read().decode()]))\n"
    )

    def get(url: str, **headers: str) -> tuple[int, dict[str, str], str]:
        answer = host.run("/usr/bin/python3 -c %s %s %s", code, url, json.dumps(headers))
        assert answer.rc == 0, answer.stderr
        status, heads, text = json.loads(answer.stdout)
        return status, heads, text

    return get
