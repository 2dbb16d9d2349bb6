"""A comparison in words."""

from __future__ import annotations

import io
import json
from typing import Any

from rich.console import Console

from goldsmith import report, words
from goldsmith.compare import Comparison, Difference, Refused
from goldsmith.policy import Rule

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
        "packages  1 unexplained",
        "files  3 unexplained",
        "/etc/motd sha256",
        "333333333333",
        "machine_id cloned",
        "same on both machines",
        "can't be read",
        "file 0644 root",
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
    assert text.index("packages  1") < text.index("files  3") < text.index("identity  1") < text.index("Explained by")
    assert "/e1" not in text
    assert "\x1b" not in text


def test_verdicts() -> None:
    assert "EQUAL: no difference at all" in rendered(comparison())
    assert "EQUAL: 0 unexplained, 1 explained" in rendered(comparison(EXPLAINED))
    assert "DIFFERENT: 1 unexplained difference, 0 explained" in rendered(comparison(CHANGED))


def test_long_names_stay_within_the_width_and_whole() -> None:
    text = rendered(comparison(Difference("files", LONG, "mode", "changed", "0644", "0600")))
    assert max(map(len, text.splitlines())) <= 80
    assert "0644" in text
    column = "".join(line[2:].split("  ")[0].strip() for line in text.splitlines() if line.startswith("  "))
    assert LONG in column


def test_many_are_counted_not_listed() -> None:
    many = [Difference("files", f"/f{n:03}", "mode", "changed", "1", "2") for n in range(30)]
    text = rendered(comparison(*many))
    assert "/f019" in text
    assert "/f020" not in text
    assert "… and 10 more" in text
    assert "/f029" in rendered(comparison(*many), limit=100)


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
    assert words.say("xattrs", {"user.b": "sha256:" + "9" * 64, "a": "x"}) == "a=x, user.b=999999999999"
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
