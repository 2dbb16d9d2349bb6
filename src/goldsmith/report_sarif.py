"""A fleet's judgement as SARIF 2.1.0: one result for each unexplained difference, however many machines have it.

What the policy explains is counted and not listed: services that take SARIF make an alert of every result, and few
of them know which to leave out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

import goldsmith
from goldsmith.compare import rank
from goldsmith.fleet import Fleet
from goldsmith.words import sides, visible

_SAID = {
    "changed": "differs from the reference",
    "only_a": "is missing",
    "only_b": "is there, and not on the reference",
    "unreadable": "can't be read, so that nothing is proven",
    "equal": "is shared by machines that must each have their own",
}
_VALUES = 5
"""Of values that one attribute has on different machines, in one message."""


class _Key(NamedTuple):
    section: str
    key: str
    kind: str
    attribute: str

    @property
    def rule(self) -> str:
        return f"{self.section}/{self.kind}"


def log(fleet: Fleet) -> dict[str, Any]:
    """The log. A machine that could not be read is a notification, and the run is not a successful one. Pure."""
    machines = sorted({name for state in fleet.states for name in state.machines})
    number = {name: index for index, name in enumerate(machines)}
    results = []
    found = _found(fleet)
    for key in sorted(found, key=lambda each: (rank(each.section), each)):
        concerned = sorted({name for names in found[key].values() for name in names})
        results.append(_result(key, _message(fleet.reference, key, found[key]), [number[name] for name in concerned]))
    rules = sorted({key.rule: key for key in found}.items())
    notifications = [
        {"level": "error", "message": {"text": f"{visible(name)} could not be read: {visible(why)}"}}
        for name, why in sorted(fleet.unread)
    ]
    run = {
        "tool": {
            "driver": {
                "name": "Goldsmith",
                "semanticVersion": goldsmith.__version__,
                "rules": [_rule(name, key) for name, key in rules],
            }
        },
        "invocations": [{"executionSuccessful": not fleet.unread, "toolExecutionNotifications": notifications}],
        "logicalLocations": [{"name": visible(name), "kind": "machine"} for name in machines],
        "results": results,
        "properties": {
            "reference": visible(fleet.reference),
            "policies": sorted({visible(state.comparison.policy) for state in fleet.states}),
            "explained": sum(len(state.comparison.explained) * len(state.machines) for state in fleet.states),
        },
    }
    return {"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0", "runs": [run]}


def _found(fleet: Fleet) -> dict[_Key, dict[tuple[str, str], list[str]]]:
    """What is unexplained -> its two sides in words -> the machines."""
    found: dict[_Key, dict[tuple[str, str], list[str]]] = {}
    for state in fleet.states:
        for each in state.comparison.unexplained:
            key = _Key(each.section, each.key, each.kind, each.attribute or "")
            found.setdefault(key, {}).setdefault(sides(each), []).extend(state.machines)
    for shared in fleet.shared:
        if shared.rule is None:
            key = _Key("identity", shared.key, "equal", "sha256")
            found.setdefault(key, {}).setdefault(("", shared.sha256), []).extend(shared.machines)
    return found


def _message(reference: str, key: _Key, values: dict[tuple[str, str], list[str]]) -> str:
    what, reference = visible(key.key), visible(reference)
    everyone = sorted({name for names in values.values() for name in names})
    if key.kind == "changed":
        said = [f"{other} on {_some(names)}" for (_, other), names in sorted(values.items())]
        left = f"; and {len(said) - _VALUES} more values" if len(said) > _VALUES else ""
        one = next(iter(values))[0]
        return f"{what}: {key.attribute} is {one} on {reference}, {'; '.join(said[:_VALUES])}{left}"
    if key.kind == "only_a":
        return f"{what} is on {reference}, and missing on {_some(everyone)}"
    if key.kind == "only_b":
        said = sorted({other for _, other in values})
        return f"{what} ({'; '.join(said[:_VALUES])}) is on {_some(everyone)}, and not on {reference}"
    if key.kind == "equal":
        return f"{what} is shared: {_some(everyone)}"
    return f"{what} can't be read on {reference} and {_some(everyone)}: nothing is proven"


def _some(machines: Sequence[str]) -> str:
    """Machines in a few words: "web1, web2, web3 and 12 others"."""
    shown = ", ".join(visible(name) for name in machines[:3])
    left = len(machines) - 3
    return f"{shown} and {left} other{'s' if left > 1 else ''}" if left > 0 else shown


def _rule(name: str, key: _Key) -> dict[str, Any]:
    return {
        "id": name,
        "shortDescription": {"text": f"{key.section}: something {_SAID[key.kind]}"},
        "help": {"text": "Repair the machine (goldsmith converge), or say in the policy why it may be so."},
        "defaultConfiguration": {"level": "error"},
    }


def _result(key: _Key, message: str, machines: list[int]) -> dict[str, Any]:
    """Its fingerprint holds from run to run: neither values nor machines are in it."""
    fingerprint = hashlib.sha256("\0".join(key).encode("utf-8", "surrogatepass")).hexdigest()
    uri = f"{key.section}/{visible(key.key).lstrip('/')}"
    return {
        "ruleId": key.rule,
        "level": "error",
        "message": {"text": message},
        "locations": [
            {
                "physicalLocation": {"artifactLocation": {"uri": quote(uri)}, "region": {"startLine": 1}},
                "logicalLocations": [{"index": number} for number in machines],
            }
        ],
        "occurrenceCount": len(machines),
        "partialFingerprints": {"goldsmith/v1": fingerprint, "primaryLocationLineHash": f"{fingerprint[:16]}:1"},
    }
