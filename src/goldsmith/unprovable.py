"""What of a definition depends on more than its own contents and the host: proof of sync does not reach that.

Such a definition may do something else tomorrow though nobody changed it, so it always runs in full. What can't be told
from the text counts as unprovable: too much named costs a run, too little a wrong proof. Pure, but for reading files.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

_CONTROLLER = "reads what lies on the controller outside the definition, or another system"
_HOST = "asks for a fact of the host that its manifest does not hold"
_SAFE_LOOKUPS = frozenset(
    [
        *("cartesian", "dict", "first_found", "fileglob", "flattened", "indexed_items", "items", "list", "nested"),
        *("sequence", "subelements", "together", "varnames", "vars"),
    ]
)
_FILE_LOOKUPS = frozenset({"file", "fileglob", "first_found", "template"})
"""Safe where their argument is a path within the definition."""
_SAFE_FACTS = re.compile(
    r"distribution\w*|os_family|architecture|userspace_architecture|machine|pkg_mgr|service_mgr|system|hostname|nodename"
    r"|python\w*|lsb|packages|services|is_chroot"
)
_OTHER_FACTS = re.compile(
    r"\bansible_(?:all_ipv[46]_addresses|date_time|default_ipv[46]|devices?\w*|dns|domain|env|eth\d+|fqdn|interfaces"
    r"|kernel\w*|local|mem\w+_mb|memory_mb|mounts|processor\w*|proc_cmdline|product\w*|swap\w+|uptime_seconds"
    r"|virtualization\w*|play_hosts|play_hosts_all|play_batch)\b"
)
_TEXTS = (
    (re.compile(r"\bhostvars\b"), "reads variables of other hosts"),
    (re.compile(r"\bnow\s*\("), "depends on the time"),
    (re.compile(r"\|\s*(?:random|shuffle|random_mac)\b"), "depends on chance"),
    (re.compile(r"\bpassword_hash\b(?!\s*\(\s*[^,()]+,)"), "makes a new salt each time"),
    (re.compile(r"\bansible_facts\b(?!\s*[.\[])"), _HOST),
    (_OTHER_FACTS, _HOST),
)
_LOOKUP = re.compile(r"\b(?:lookup|query|q)\s*\(\s*(?:['\"](?P<name>[\w.]+)['\"]\s*(?:,\s*(?P<argument>[^)]*))?)?")
_FACT = re.compile(r"\bansible_facts\s*(?:\.\s*(?P<dotted>\w+)|\[\s*(?:['\"](?P<key>\w+)['\"])?)")
_OUTSIDE = re.compile(
    r"\b(?:curl|wget|git|pip3?|npm|gem|cargo|apt|apt-get|snap|ssh|scp|sftp|rsync|docker (?:pull|run|compose))\s|://"
)
_BUNDLED = re.compile(r"--no-index\b")
_LOOPBACK = re.compile(r"https?://(?:127\.0\.0\.1|localhost|\[::1\])(?:[:/]|$)")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_PINNED = re.compile(r"(?:[^=<>!~\s]+==[^*\s]+\s*)+")
_WANTED = {
    "get_url": "no checksum",
    "git": "its version is not a commit's full digest",
    "pip": "not every version is exact, name==version",
    "copy": "its source lies outside the definition",
    "template": "its source lies outside the definition",
    "assemble": "its source lies outside the definition",
}
"""Module -> why not."""
_PARTS = ("tasks", "handlers", "defaults", "vars", "templates", "meta")
"""What of a role is read as a definition; its files go to hosts as they are."""
_SKIPPED = frozenset({"roles", "files", "molecule", "tests"})
_TRUE = frozenset({"true", "yes", "on", "1"})


Told = tuple[int, str] | tuple[int, str, str]
"""Line, why, url."""


@dataclass(frozen=True, order=True)
class Finding:
    """One place that is beyond proof, and why."""

    file: Path
    line: int
    why: str
    url: str = ""
    """Which other system is asked: where that is the host itself, it is none."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.why}"


def of_project(root: Path, output: Path) -> list[Finding]:
    """Findings in a project's own files, but for roles and `output`."""
    found: list[Finding] = []
    for path in sorted(root.rglob("*")):
        parts = path.relative_to(root).parts
        hidden = any(part.startswith(".") or part in _SKIPPED for part in parts)
        if not hidden and path.is_file() and not path.is_relative_to(output):
            found += of_file(path)
    return found


def of_role(role: Path) -> list[Finding]:
    """Findings in what a role does, wherever it lies."""
    paths = [path for part in _PARTS for path in sorted((role / part).rglob("*")) if path.is_file()]
    return [found for path in paths if path.name != "argument_specs.yml" for found in of_file(path)]


def on_host(findings: Iterable[Finding], variables: Mapping[str, Any]) -> list[Finding]:
    """Those that hold on a host with these variables: a service that is asked on the host itself is no other system."""

    def filled(url: str) -> str:
        return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda match: str(variables.get(match[1], match[0])), url)

    return [each for each in findings if not (each.url and _LOOPBACK.match(filled(each.url)))]


def of_file(path: Path) -> list[Finding]:
    """Findings in one file: YAML by its structure, a template line by line, no other."""
    template = path.suffix == ".j2" or path.parent.name == "templates"
    if not (template or path.suffix in (".yml", ".yaml")):
        return []
    text = path.read_text(errors="replace")
    found = _of_text(text) if template else _of_yaml(text)
    return [Finding(path, *each) for each in dict.fromkeys(found)]


def _of_text(text: str, first: int = 1) -> Iterator[Told]:
    for number, line in enumerate(text.splitlines(), first):
        for pattern, why in _TEXTS:
            if pattern.search(line):
                yield number, why
        for match in _LOOKUP.finditer(line):
            why = _lookup((match["name"] or "").rpartition(".")[2], match["argument"] or "")
            if why:
                yield number, why
        for match in _FACT.finditer(line):
            if not _SAFE_FACTS.fullmatch(match["dotted"] or match["key"] or ""):
                yield number, _HOST


def _lookup(name: str, argument: str) -> str:
    literal = re.match(r"(['\"])(?![/~])(?!\.\.)[^'\"{]*\1", argument.strip())
    if name in _FILE_LOOKUPS:
        return "" if literal else f"lookup {name}: {_CONTROLLER}"
    return "" if name in _SAFE_LOOKUPS else f"lookup {name or 'whose name is not written out'}: {_CONTROLLER}"


def _of_yaml(text: str) -> Iterator[Told]:
    try:
        nodes = list(yaml.compose_all(text, Loader=yaml.SafeLoader))
    except yaml.YAMLError:
        yield 1, "is not valid YAML"
        return
    for node in nodes:
        if node is not None:
            yield from _of_node(node)
            # Which roles a play applies is known; those that tasks and roles bring are not looked at.
            if not _keys_of_items(node) & {"hosts", "import_playbook", "ansible.builtin.import_playbook"}:
                yield from ((line, "brings another role, which is not looked at") for line in _roles_brought(node))


def _keys_of_items(node: yaml.Node) -> set[str]:
    items = node.value if isinstance(node, yaml.SequenceNode) else []
    return {str(key.value) for item in items if isinstance(item, yaml.MappingNode) for key, _ in item.value}


def _roles_brought(node: yaml.Node) -> Iterator[int]:
    for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
        module = str(key.value).rpartition(".")[2]
        if module in ("include_role", "import_role") or (module == "dependencies" and value.value):
            yield key.start_mark.line + 1
        yield from _roles_brought(value)
    for item in node.value if isinstance(node, yaml.SequenceNode) else ():
        yield from _roles_brought(item)


def _of_node(node: yaml.Node) -> Iterator[Told]:
    line = node.start_mark.line + 1
    if isinstance(node, yaml.ScalarNode):
        # The text of a block begins on the line after its indicator.
        yield from _of_text(node.value, line + (node.style in ("|", ">")))
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _of_node(item)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from ((key.start_mark.line + 1, *said) for said in _of_key(str(key.value), value))
            yield from _of_node(value)


def _of_key(key: str, value: yaml.Node) -> Iterator[tuple[str, str]]:
    """(why, url) by what one key of a mapping means: a task's module, or a keyword."""
    module, arguments = key.rpartition(".")[2], _arguments(value)
    if key.startswith("with_") and key.removeprefix("with_") not in _SAFE_LOOKUPS:
        yield f"{key}: {_CONTROLLER}", ""
    if key in ("delegate_to", "local_action", "run_once", "vars_prompt"):
        yield f"{key}: works with more than the host", ""
    if module in ("include_role", "import_role") and "{{" in arguments.get("name", ""):
        yield "which role it is, is known only when it runs", ""
    if arguments.get("state") == "latest":
        yield f"{module} with state: latest: what is latest changes", ""
    if module == "uri":
        yield "uri: asks another system", arguments.get("url") or arguments.get("", "")
    elif _may_change(module, arguments):
        yield f"{module}: what it gets may change ({_WANTED.get(module, 'it asks another system')})", ""
    elif module == "script" or (module == "carried_command" and arguments.get("always", "false").lower() in _TRUE):
        yield f"{module}: runs each time, and may ask another system", ""


def _may_change(module: str, arguments: Mapping[str, str]) -> bool:
    """Whether a module with these arguments gets something that need not be the same tomorrow."""
    if module in _MAY_CHANGE:
        return _MAY_CHANGE[module](arguments)
    return module.startswith("docker_") and arguments.get("pull", "never") not in ("never", "missing", "false", "no")


def _runs_outside(arguments: Mapping[str, str]) -> bool:
    said = " ".join(arguments.values()) + " "
    return bool(_OUTSIDE.search(said)) and not _BUNDLED.search(said)


def _gets_outside(arguments: Mapping[str, str]) -> bool:
    return "upgrade" in arguments or any("://" in value for value in arguments.values())


def _lies_outside(arguments: Mapping[str, str]) -> bool:
    return arguments.get("src", "")[:1] in ("/", "~") and arguments.get("remote_src", "").lower() not in _TRUE


_MAY_CHANGE: dict[str, Callable[[Mapping[str, str]], bool]] = {
    "get_url": lambda given: "checksum" not in given or "://" in given["checksum"],
    "unarchive": lambda given: "://" in given.get("src", "") or _lies_outside(given),
    "git": lambda given: not _COMMIT.fullmatch(given.get("version", "")),
    "pip": lambda given: "requirements" in given or not _PINNED.fullmatch(given.get("name", "")),
    **dict.fromkeys(("apt", "dnf", "yum", "package"), _gets_outside),
    **dict.fromkeys(("command", "shell", "raw", "expect"), _runs_outside),
    **dict.fromkeys(("copy", "template", "assemble"), _lies_outside),
}


def _arguments(node: yaml.Node) -> dict[str, str]:
    """A module's arguments as text; of a free form all of it, under the empty name. `a=b` pairs count too."""
    if isinstance(node, yaml.MappingNode):
        return {str(key.value): _value(value) for key, value in node.value}
    text = _value(node)
    return {"": text, **dict(re.findall(r"(\w+)=(\S+)", text))}


def _value(node: yaml.Node | None) -> str:
    if isinstance(node, yaml.ScalarNode):
        return str(node.value)
    if isinstance(node, yaml.SequenceNode):
        return " ".join(_value(item) for item in node.value)
    return ""
