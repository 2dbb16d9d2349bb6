"""Write the table of variables in each role's README from its argument specification.

scripts/role_readme.py            write
scripts/role_readme.py --check    change nothing; exit 1 and show the difference if a README is not current
"""

from __future__ import annotations

import difflib
import json
import re
import sys
from pathlib import Path
from typing import Any

import yaml

ROLES = Path(__file__).resolve().parents[1] / "roles"
START, END = "<!-- variables: written by scripts/role_readme.py -->", "<!-- end of variables -->"


def marked_up(text: str) -> str:
    """Ansible's markup as Markdown, fit for a cell of a table."""
    text = re.sub(r"C\(([^)]*(?:\([^)]*\))?[^)]*)\)", r"`\1`", text)
    text = re.sub(r"I\(([^)]*)\)", r"*\1*", text)
    return " ".join(text.split()).replace("|", "\\|")


def described(option: dict[str, Any]) -> str:
    """The description and, if there are any, the choices."""
    lines = option["description"] if isinstance(option["description"], list) else [option["description"]]
    words = " ".join(marked_up(line) for line in lines)
    if "choices" in option:
        words += " One of " + ", ".join(f"`{choice}`" for choice in option["choices"]) + "."
    return words


def kind(option: dict[str, Any]) -> str:
    """The type; of a list with that of its members."""
    name = str(option.get("type", "str"))
    return f"{name} of {option['elements']}" if "elements" in option else name


def default(option: dict[str, Any]) -> str:
    """What holds where nothing is said."""
    if option.get("required"):
        return "*required*"
    if "default" not in option:
        return ""
    return f"`{json.dumps(option['default'], ensure_ascii=False)}`"


def rows(options: dict[str, Any], prefix: str = "") -> list[str]:
    """A row for each variable, followed by those of its parts."""
    lines = []
    for name, option in options.items():
        cells = (f"`{prefix}{name}`", kind(option), default(option), described(option))
        lines.append(f"| {' | '.join(cells)} |")
        inner = "[]." if option.get("type") == "list" else "."
        lines += rows(option.get("options", {}), f"{prefix}{name}{inner}")
    return lines


def table(spec: dict[str, Any]) -> str:
    """All variables of a role."""
    head = ["| variable | type | default | meaning |", "|---|---|---|---|"]
    return "\n".join([START, "", *head, *rows(spec["options"]), "", END])


def current(role: Path) -> str:
    """The README as it should be."""
    text = (role / "README.md").read_text(encoding="utf-8")
    spec = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not (start and end):
        raise SystemExit(f"{role.name}/README.md: the marks {START} and {END} are needed")
    return before + table(spec["argument_specs"]["main"]) + after


def main(arguments: list[str]) -> int:
    """Write, or with --check compare."""
    if arguments not in ([], ["--check"]):
        print(__doc__, file=sys.stderr)
        return 2
    stale = 0
    for role in sorted(path for path in ROLES.iterdir() if (path / "meta").is_dir()):
        readme = role / "README.md"
        old, new = readme.read_text(encoding="utf-8"), current(role)
        if old == new:
            continue
        stale += 1
        if arguments:
            name = str(readme.relative_to(ROLES.parent))
            lines = difflib.unified_diff(old.splitlines(True), new.splitlines(True), name, "as it should be")
            sys.stdout.writelines(lines)
        else:
            readme.write_text(new, encoding="utf-8")
    if stale and arguments:
        print("run scripts/role_readme.py", file=sys.stderr)
    return 1 if stale and arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
