"""Write what follows from the roles' argument specifications: the table of variables in each README, and docs/roles.md.

scripts/role_readme.py            write
scripts/role_readme.py --check    change nothing; exit 1 and show the difference if a file is not current
"""

from __future__ import annotations

import difflib
import json
import re
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
ROLES = ROOT / "roles"
INDEX = ROOT / "docs" / "roles.md"
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


def scenarios(role: str, reference: set[str]) -> str:
    """The Molecule scenarios that are about a role."""
    names = ["default"] if role in reference else []
    names += [
        name for name in (role, f"{role}_full", f"{role}_off") if (ROOT / "molecule" / name / "molecule.yml").exists()
    ]
    return ", ".join(f"[{name}](../molecule/{name})" for name in names)


def index(roles: list[Path]) -> str:
    """All roles; first those of the reference definition, in its order."""
    site = yaml.safe_load((ROOT / "playbooks" / "site.yml").read_text(encoding="utf-8"))
    reference = [entry["role"].removeprefix("goldsmith.core.") for entry in site[0]["roles"]]
    known = {role.name: role for role in roles}
    lines = [
        "# Roles",
        "",
        "<!-- written by scripts/role_readme.py -->",
        "",
        "Each role's README has its variables, two examples, and what it will not do. A scenario is run by",
        "`molecule test --scenario-name NAME`. `make reference` makes pages of the same roles for a browser.",
    ]
    parts = {
        "Applied by the playbook `goldsmith.core.site`, in this order": reference,
        "Others": [name for name in known if name not in reference],
    }
    for title, members in parts.items():
        lines += ["", f"## {title}", "", "| role | what it does | Molecule scenarios |", "|---|---|---|"]
        for name in members:
            spec = yaml.safe_load((known[name] / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))
            cells = (
                f"[{name}](../roles/{name}/README.md)",
                marked_up(spec["argument_specs"]["main"]["short_description"]),
                scenarios(name, set(reference)),
            )
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def main(arguments: list[str]) -> int:
    """Write, or with --check compare."""
    if arguments not in ([], ["--check"]):
        print(__doc__, file=sys.stderr)
        return 2
    stale = 0
    roles = sorted(path for path in ROLES.iterdir() if (path / "meta").is_dir())
    wanted = {role / "README.md": current(role) for role in roles}
    wanted[INDEX] = index(roles)
    for path, new in wanted.items():
        old = path.read_text(encoding="utf-8") if path.exists() else ""
        if old == new:
            continue
        stale += 1
        if arguments:
            name = str(path.relative_to(ROOT))
            lines = difflib.unified_diff(old.splitlines(True), new.splitlines(True), name, "as it should be")
            sys.stdout.writelines(lines)
        else:
            path.write_text(new, encoding="utf-8")
    if stale and arguments:
        print("run scripts/role_readme.py", file=sys.stderr)
    return 1 if stale and arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
