"""A comparison in words."""

from __future__ import annotations

import io
import json
from typing import Any

from rich.console import Console

from goldsmith import report, words
from goldsmith.compare import Comparison, Difference, Refused
from goldsmith.policy import Rule

FILE = {"type": "file"}
RULE = Rule(section="files", key="/e*", reason="expected, and that is why it is so")
LONG = "/usr/lib/python3/dist-packages/" + "a-very-long-name/" * 8 + "x.py"


def comparison(*differences: Difference, **more: Any) -> Comparison:
    plain = {
        "a": "image",
        "b": "web1",
        "scopes": ("rest", "live"),
        "digests": ("sha256:" + "1" * 64, "sha256:" + "2" * 64),
    }
    return Comparison(**{**plain, "differences": differences, "counts": {"files": 12345}, **more})


def rendered(found: Comparison, width: int = 80, **how: Any) -> str:
    out = io.StringIO()
    report.render(found, Console(file=out, width=width), **how)
    return out.getvalue()


CHANGED = Difference("files", "/etc/motd", "sha256", "changed", "3" * 64, "4" * 64)
ONLY_A = Difference("packages", "nginx", None, "only_a", {"version": "1.22", "architecture": "amd64"}, None)
ONLY_B = Difference("files", "/b", None, "only_b", None, {"type": "file", "mode": "0644", "owner": "root"})
CLONE = Difference("identity", "machine_id", "sha256", "equal", "5" * 64, "5" * 64)
HIDDEN = Difference("files", "/h", None, "unreadable", {"type": "file"}, {"type": "file"})
EXPIRED = Refused(RULE, "expired", "its day is over", 2)
EXPLAINED = Difference("files", "/e1", "mode", "changed", "0644", "0600", RULE.reason, RULE)


def test_everything_is_said() -> None:
    text = rendered(
        comparison(
            *(ONLY_A, CHANGED, ONLY_B, HIDDEN, CLONE, EXPLAINED, EXPLAINED),
            not_compared=(("runtime.units", "A at rest: nothing runs"),),
            unused=(RULE,),
            refused=(EXPIRED,),
            unowned=(RULE,),
            unused_reference=(RULE, RULE),
            warnings=("B: /x: can't be read",),
        )
    )
    for said in (
        "image",
        "at rest  111111111111",
        "Not explained  5 differences, 5 causes",
        "package nginx 1.22 only on A",
        "file /etc/motd, contents",
        "file /b only on B",
        "identity machine_id, cloned: the same on both machines (555555555555)",
        "file /h, can't be read on either side",
        "2  files  expected, and that is why it is so",
        "Not compared: runtime.units: A at rest: nothing runs",
        "Unused rule: files /e*",
        "Rule files /e* explains nothing: its day is over; 2 differences it would explain",
        "1 rule of the policy without an owner",
        "2 rules of the reference policy fitted nothing here",
        "Warning: B: /x: can't be read",
        "DIFFERENT: 5 unexplained differences, 2 explained; 12,345 facts compared",
    ):
        assert said in text, said
    assert text.index("package nginx") < text.index("/etc/motd") < text.index("machine_id") < text.index("Explained by")
    assert "/e1" not in text
    assert "333333333333" not in text
    assert "\x1b" not in text


def test_files_stand_below_their_cause_on_demand() -> None:
    brought = Difference(
        "files", "/usr/sbin/nginx", None, "only_a", {"type": "file"}, None, about={"package": ("nginx",)}
    )
    found = comparison(ONLY_A, brought, CHANGED, HIDDEN, CLONE, EXPLAINED)
    text = rendered(found)
    assert "package nginx 1.22 only on A: 1 file" in text
    assert "--files lists them" in text
    assert "/usr/sbin/nginx" not in text
    text = rendered(found, files=True)
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert lines.index("/usr/sbin/nginx file -") == lines.index("packages nginx 1.22 -") + 1
    for said in ("/etc/motd sha256 333333333333 444444444444", "/h can't be read can't be read"):
        assert said in lines, said
    assert "identity machine_id cloned same on both machines" in lines
    assert "--files" not in text
    assert "/e1" not in text


def test_verdicts() -> None:
    assert "EQUAL: no difference at all" in rendered(comparison())
    assert "EQUAL: 0 unexplained, 1 explained" in rendered(comparison(EXPLAINED))
    assert "DIFFERENT: 1 unexplained difference, 0 explained" in rendered(comparison(CHANGED))


def test_long_names_stay_within_the_width_and_whole() -> None:
    text = rendered(comparison(Difference("files", LONG, "mode", "changed", "0644", "0600")))
    assert max(map(len, text.splitlines())) <= 80
    assert "0644" in text
    assert LONG in text.replace("\n", "").replace("  ", "")


def test_many_are_counted_not_listed() -> None:
    many = [Difference("files", f"/f{n:03}", "sha256", "changed", "1", "2") for n in range(60)]
    text = rendered(comparison(*many))
    assert "/f039" in text
    assert "/f040" not in text
    assert "… and 20 more causes: --json has them all" in text
    assert "/f059" in rendered(comparison(*many), limit=100)
    folder = [Difference("files", f"/d/f{n:03}", None, "only_b", None, {"type": "file"}) for n in range(30)]
    top = Difference("files", "/d", None, "only_b", None, {"type": "directory"})
    text = rendered(comparison(top, *folder), files=True, limit=2)
    assert "folder /d only on B: 30 files" in text
    assert "/d/f008" in text
    assert "/d/f009" not in text
    assert "… and 21 more: --json has them all" in text


def test_markup_and_control_characters_in_names_are_only_text() -> None:
    text = rendered(comparison(Difference("files", "/[red]x\n\x1b[31m", "mode", "changed", "[bold]", "\x07")))
    assert "/[red]x\\n\\x1b[31m" in text
    assert "[bold]" in text
    assert "\\x07" in text
    assert "\x1b" not in text


def test_values_in_words() -> None:
    assert words.say("hold", True) == "yes"
    assert words.say("hold", None) == "-"
    assert words.say("groups", []) == "none"
    assert words.say("groups", ["a", "b"]) == "a, b"
    assert words.say("comment", "") == '""'
    assert words.say("uid", 0) == "0"
    assert words.say("xattrs", {"user.b": "sha256:" + "9" * 64, "a": "cap_net_raw=ep"}) == (
        "a=cap_net_raw=ep, user.b=999999999999"
    )
    assert words.summary({}) == "there"
    assert words.summary({"uid": 0, "gid": 0}) == "0 0"


def test_json_holds_all_of_it() -> None:
    found = comparison(
        *(CHANGED, EXPLAINED),
        not_compared=(("runtime.units", "why"),),
        unused_reference=(RULE,),
        refused=(EXPIRED,),
        unowned=(RULE,),
    )
    assert json.loads(json.dumps(report.to_json(found))) == {
        "schema": "goldsmith.comparison/1",
        "a": {"name": "image", "scope": "rest", "digest": "sha256:" + "1" * 64},
        "b": {"name": "web1", "scope": "live", "digest": "sha256:" + "2" * 64},
        "policy": "none",
        "equal": False,
        "unexplained": 1,
        "explained": 1,
        "compared": {"files": 12345},
        "causes": [
            {
                "kind": "file",
                "name": "/etc/motd",
                "what": "file /etc/motd, contents",
                "brings": "",
                "differences": 1,
                "files": ["/etc/motd"],
            }
        ],
        "differences": [
            {
                "section": "files",
                "key": "/etc/motd",
                "attribute": "sha256",
                "kind": "changed",
                "a": "3" * 64,
                "b": "4" * 64,
                "explained": False,
                "reason": None,
                "rule": None,
                "owner": None,
            },
            {
                "section": "files",
                "key": "/e1",
                "attribute": "mode",
                "kind": "changed",
                "a": "0644",
                "b": "0600",
                "explained": True,
                "reason": RULE.reason,
                "rule": "files /e*",
                "owner": None,
            },
        ],
        "not_compared": [{"section": "runtime.units", "why": "why"}],
        "unused_rules": [{"rule": "files /e*", "reason": RULE.reason, "reference": True}],
        "refused_rules": [
            {
                "rule": "files /e*",
                "reason": RULE.reason,
                "owner": None,
                "kind": "expired",
                "why": "its day is over",
                "differences": 2,
            }
        ],
        "rules_without_owner": ["files /e*"],
        "warnings": [],
    }
