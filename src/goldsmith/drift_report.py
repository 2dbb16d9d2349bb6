"""What was seen of a fleet in words: for people, for programs (JSON, JUnit), and for Prometheus."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from goldsmith import causes, drift, report
from goldsmith.drift import VERDICTS, Host, Result
from goldsmith.words import visible

if TYPE_CHECKING:
    from goldsmith.remedies import Remedy

SCHEMA = "goldsmith.drift/1"
COLOURS = {"in sync": "green", "drifted": "bold red", "unprovable": "yellow", "unreachable": "bold red"}


def why(host: Host) -> list[str]:
    """Why the host is not in sync: a line for each cause, where A is the reference and B the host. Else empty."""
    if host.verdict == "in sync":
        return []
    if host.problem:
        return [host.problem.what]
    lines = [cause.line for cause in causes.group(host.differences)]
    if host.remedies:
        lines = [f"{remedy.cause.line}: {remedy}" for remedy in host.remedies]
    if host.stopped:
        lines.append(f"what comes after it is not known: in check mode the definition stops at {host.stopped}")
    for shared in host.clones:
        others = ", ".join(name for name in shared.machines if name != host.name)
        lines.append(f"identity {shared.key}: the same as on {others}; no two machines may share it")
    if host.comparison:
        lines += [f"{section}: not compared: {because}" for section, because in drift.unproven(host.comparison)]
    return lines


def render(result: Result, console: Console, *, limit: int = 20) -> None:
    """Print the verdicts, and the causes of those that are not in sync: of hosts that say the same, once."""

    def say(text: str, style: str = "") -> None:
        console.print(escape(text), style=style, highlight=False, soft_wrap=True)

    table = Table(box=None, pad_edge=False)
    for column in ("host", "verdict"):
        table.add_column(column)
    for column in ("differences", "explained"):
        table.add_column(column, justify="right")
    for host in result.hosts.values():
        compared = host.comparison
        counts = [str(len(host.differences)), str(len(compared.explained))] if compared else ["-", "-"]
        table.add_row(escape(host.name), f"[{COLOURS[host.verdict]}]{host.verdict}[/]", *counts)
    console.print(table)
    if result.names("drifted"):
        say(f"A is {result.reference}, B the host.", "dim")
    for names, lines in _together(result):
        first = result.hosts[names[0]]
        say(f"\n{', '.join(names)} {first.verdict}:", "bold")
        hidden = [f"… and {len(lines) - limit} more: --json has them all"] if len(lines) > limit else []
        hint = [f"hint: {first.problem.hint}"] if first.problem and first.problem.hint else []
        for each in (*lines[:limit], *hidden, *hint):
            say(f"  {each}")
    for note in notes(result):
        say(note, "yellow")
    say(summary(result), "bold green" if result.exit_code == 0 else "bold red")


def _together(result: Result) -> Iterator[tuple[list[str], list[str]]]:
    """(hosts, what is said of each) of those that are not in sync."""
    groups: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for host in result.hosts.values():
        if host.verdict != "in sync":
            groups.setdefault((host.verdict, tuple(why(host))), []).append(host.name)
    for (_, lines), names in groups.items():
        yield names, list(lines)


def notes(result: Result) -> list[str]:
    """What no host's verdict says: sections that a reference at rest does not have, and machines' own warnings."""
    found: dict[str, list[str]] = {}
    for host in result.hosts.values():
        if host.comparison:
            for each in host.comparison.not_compared:
                if each not in drift.unproven(host.comparison):
                    found.setdefault(f"Not compared: {': '.join(each)}", []).append(host.name)
            for warning in host.comparison.warnings:
                found.setdefault(f"Warning: {visible(warning)}", []).append(host.name)
    everywhere = len([host for host in result.hosts.values() if host.comparison])
    return [text if len(names) == everywhere else f"{text} ({', '.join(names)})" for text, names in found.items()]


def summary(result: Result) -> str:
    """The last line: how many hosts of each verdict."""
    counts = [f"{len(result.names(verdict))} {verdict}" for verdict in VERDICTS if result.names(verdict)]
    return f"{', '.join(counts)}; against {result.reference}, {result.seconds:.1f} s"


def changes(before: Result, now: Result) -> list[str]:
    """What changed between two looks, one line for each host with another verdict, or with other causes."""
    lines = []
    for name, host in now.hosts.items():
        was = before.hosts[name]
        if (was.verdict, why(was)) != (host.verdict, why(host)):
            causes_of_it = "".join(f"\n  {each}" for each in why(host))
            lines.append(f"{now.began:%Y-%m-%dT%H:%M:%SZ} {name}: {was.verdict} -> {host.verdict}{causes_of_it}")
    return lines


def to_json(result: Result) -> dict[str, Any]:
    """The form of `goldsmith drift --json`; docs/drift.md describes it."""
    return {
        "schema": SCHEMA,
        "reference": result.reference,
        "began": result.began.isoformat(),
        "seconds": round(result.seconds, 2),
        "exit_code": result.exit_code,
        "hosts": {name: _host(host) for name, host in result.hosts.items()},
    }


def _host(host: Host) -> dict[str, Any]:
    return {
        "verdict": host.verdict,
        "causes": why(host),
        "hint": host.problem.hint if host.problem else "",
        "comparison": report.to_json(host.comparison) if host.comparison else None,
        "plan": [_remedy(remedy) for remedy in host.remedies],
        "plan_stopped": host.stopped,
        "shared_identities": [{"key": each.key, "hosts": list(each.machines)} for each in host.clones],
    }


def _remedy(remedy: Remedy) -> dict[str, Any]:
    return {
        "cause": remedy.cause.line,
        "repaired_by": [{"role": each.role, "task": each.task} for each in remedy.steps],
    }


def to_junit(result: Result) -> bytes:
    """A JUnit report: a test for each host. A drifted one has failed, an unprovable or unreachable one is an error."""
    counts = {
        "tests": len(result.hosts),
        "failures": len(result.names("drifted")),
        "errors": len(result.names("unprovable")) + len(result.names("unreachable")),
        "skipped": 0,
    }
    totals = {name: str(count) for name, count in counts.items()}
    suites = ET.Element("testsuites", {"name": "goldsmith drift", **totals})
    taken = {"time": f"{result.seconds:.3f}", "timestamp": f"{result.began:%Y-%m-%dT%H:%M:%S}"}
    suite = ET.SubElement(suites, "testsuite", {"name": result.reference, **totals, **taken})
    for host in result.hosts.values():
        case = ET.SubElement(suite, "testcase", classname="goldsmith.drift", name=host.name)
        if host.verdict != "in sync":
            kind = "failure" if host.verdict == "drifted" else "error"
            lines = why(host)
            said = ET.SubElement(case, kind, type=host.verdict, message=f"{host.verdict}: {lines[0]}")
            said.text = "\n".join(lines)
    return bytes(ET.tostring(suites, encoding="utf-8", xml_declaration=True))


def to_metrics(result: Result) -> str:
    """Prometheus's text format, for node_exporter's textfile collector."""
    hosts = result.hosts.values()
    values: dict[str, tuple[str, Mapping[str, float]]] = {
        "goldsmith_host_in_sync": (
            "Whether the host is proven to be as the reference says.",
            {_labels(host=host.name): host.verdict == "in sync" for host in hosts},
        ),
        "goldsmith_host_verdict": (
            "1 for the verdict that the host has, 0 for the others.",
            {
                _labels(host=host.name, verdict=verdict): host.verdict == verdict
                for host in hosts
                for verdict in VERDICTS
            },
        ),
        "goldsmith_host_differences": (
            "Differences of the host that no policy explains.",
            {_labels(host=host.name): len(host.differences) + len(host.clones) for host in hosts if host.comparison},
        ),
        "goldsmith_drift_last_run_timestamp_seconds": (
            "When the fleet was last looked at.",
            {_labels(reference=result.reference): round(result.began.timestamp(), 3)},
        ),
        "goldsmith_drift_duration_seconds": (
            "How long the last look at the fleet took.",
            {_labels(reference=result.reference): round(result.seconds, 3)},
        ),
    }
    lines = []
    for name, (what, samples) in values.items():
        lines += [f"# HELP {name} {what}", f"# TYPE {name} gauge"]
        lines += [f"{name}{labels} {value:.15g}" for labels, value in samples.items()]
    return "".join(f"{each}\n" for each in lines)


def _labels(**labels: str) -> str:
    def escaped(value: str) -> str:
        return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

    return "{" + ",".join(f'{name}="{escaped(value)}"' for name, value in labels.items()) + "}"
