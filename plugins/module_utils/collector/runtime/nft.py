# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""nft's record of its rules, in words: what `nft --json list ruleset` prints, for the section firewall.

No counters, no handles, no elements of sets that programs fill: these follow from use.
"""

from __future__ import annotations

import json

from .. import paths

# What follows from use.
_USE = frozenset(["handle", "bytes", "packets", "used", "expires", "index"])


def ruleset(document, bans):
    """{"chain inet filter input": {"hook": "input", "policy": "drop", "rules": ["tcp dport 22 accept"]}}

    Sets whose name matches the pattern `bans` are taken as filled by use, as are those that nft itself calls so.
    """
    found = {}
    rules = []
    for each in document["nftables"]:
        ((kind, body),) = each.items()
        if kind == "rule":
            rules.append(body)
        elif kind != "metainfo":
            where = "" if kind == "table" else body["table"] + " "
            key = "%s %s %s%s" % (kind, body["family"], where, body["name"])
            found[paths.printable(key)] = _fact(body, bans)
    for rule in rules:
        chain = "chain %s %s %s" % (rule["family"], rule["table"], rule["chain"])
        text = " ".join(words(part) for part in rule["expr"])
        if rule.get("comment"):
            text += " # " + rule["comment"]
        found[paths.printable(chain)].setdefault("rules", []).append(text)
    return found


def of_iptables(document):
    """{("ip", "filter")}: the tables with rules that only iptables can tell whole."""
    rules = [each["rule"] for each in document["nftables"] if "rule" in each]
    return {(rule["family"], rule["table"]) for rule in rules if any("xt" in part for part in rule["expr"])}


def _fact(body, bans):
    kept = {name: each for name, each in _plain(body).items() if name not in ("family", "table", "name", "elem")}
    fact = {name: each if isinstance(each, int) else paths.printable(words(each)) for name, each in kept.items()}
    if {"dynamic", "timeout"} & set(body.get("flags") or ()) or bans.match(body["name"]):
        fact["elem"] = ["(by use)"]
    elif "elem" in body:
        fact["elem"] = sorted(map(_element, body["elem"]))
    return fact


def _element(value):
    """An element of a set; of a map its key and what that leads to."""
    return paths.printable(" : ".join(map(words, value)) if isinstance(value, list) else words(value))


def _plain(value):
    """A value of nft's without what follows from use; sets have no order."""
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if not isinstance(value, dict):
        return value
    kept = {name: _plain(each) for name, each in value.items() if name not in _USE}
    if isinstance(kept.get("set"), list):
        kept["set"].sort(key=_text)
    return kept


def _text(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def words(expression):
    """A part of a rule, as nft itself writes it where that is simple, else as the JSON that it is."""
    if isinstance(expression, list):
        return ",".join(map(words, expression))
    if not isinstance(expression, dict):
        return str(expression)
    if len(expression) != 1:
        return _text(_plain(expression))
    ((kind, body),) = expression.items()
    if body is None:
        return kind
    try:
        return _SHORT[kind](body)
    except (KeyError, TypeError):
        return "%s %s" % (kind, _text(_plain(body)))


def _match(body):
    operator = "" if body["op"] == "==" else body["op"] + " "
    return "%s %s%s" % (words(body["left"]), operator, words(body["right"]))


def _only(kind, body):
    """`meta iif`; a KeyError where there is more than a key, so that nothing is left out."""
    if set(body) != {"key"}:
        raise KeyError(kind)
    return "%s %s" % (kind, body["key"])


def _counter(body):
    return "counter " + body if isinstance(body, str) else "counter"


def _set(body):
    return "{%s}" % ", ".join(sorted(map(_element, body))) if isinstance(body, list) else "set " + _text(_plain(body))


def _commented(body):
    return words(body["val"]) + (" # " + body["comment"] if "comment" in body else "")


_SHORT = {
    "match": _match,
    "payload": lambda body: "%s %s" % (body["protocol"], body["field"]),
    "meta": lambda body: _only("meta", body),
    "ct": lambda body: _only("ct", body),
    "prefix": lambda body: "%s/%s" % (words(body["addr"]), body["len"]),
    "range": lambda body: "-".join(map(words, body)),
    "concat": lambda body: " . ".join(map(words, body)),
    "set": _set,
    "elem": _commented,
    "counter": _counter,
    "jump": lambda body: "jump " + body["target"],
    "goto": lambda body: "goto " + body["target"],
}
