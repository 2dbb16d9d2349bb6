"""The role scripts. What a script does is its own affair: that its guard holds is the role's."""

from __future__ import annotations

import shlex
from typing import Any


def test_guards_hold(host: Any, variables: dict[str, Any]) -> None:
    for script in variables["scripts_run"]:
        if script.get("creates"):
            found = host.check_output(
                "/usr/bin/python3 -c %s %s", "import glob,sys;print(glob.glob(sys.argv[1]))", script["creates"]
            )
            assert found != "[]", script["name"]
        if script.get("unless"):
            shell = f"cd {shlex.quote(script.get('chdir') or '/')} && {script['unless']}"
            account = script.get("user", "root")
            assert host.run("runuser --user %s -- /bin/sh -c %s", account, shell).rc == 0, script["name"]


def test_no_script_is_left_behind(host: Any) -> None:
    assert host.check_output("ls -d /var/lib/goldsmith-run-* 2>/dev/null || :") == ""
