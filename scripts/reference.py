"""Make a browsable reference of every role, module and playbook from what their sources say: .cache/docs/html.

Roles and modules are antsibull-docs' work. A playbook's page is the playbook itself.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / ".cache" / "docs"


def playbook_page(playbook: Path) -> str:
    """How to run the playbook, and the playbook, which begins with what it does."""
    name = f"goldsmith.core.{playbook.stem} playbook"
    source = "\n".join(f"  {line}".rstrip() for line in playbook.read_text(encoding="utf-8").splitlines())
    call = f".. code-block:: shell\n\n  ansible-playbook goldsmith.core.{playbook.stem} --inventory INVENTORY"
    return f"{name}\n{'=' * len(name)}\n\n{call}\n\n.. code-block:: yaml+jinja\n\n{source}\n"


def main() -> int:
    """Write the pages; exit 1 if anything is wrong with what the sources say."""
    shutil.rmtree(WORK, ignore_errors=True)
    pages = WORK / "rst"
    pages.mkdir(parents=True, mode=0o755)
    command = ["antsibull-docs", "collection", "--use-current", "--squash-hierarchy", "--cleanup", "everything"]
    command += ["--fail-on-error", "--no-add-antsibull-docs-version", "--dest-dir", str(pages), "goldsmith.core"]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    playbooks = sorted((ROOT / "playbooks").glob("*.yml"))
    for playbook in playbooks:
        (pages / f"{playbook.stem}_playbook.rst").write_text(playbook_page(playbook), encoding="utf-8")
    with (pages / "index.rst").open("a", encoding="utf-8") as index:
        index.write("\n\nPlaybook Index\n--------------\n\n.. toctree::\n    :maxdepth: 1\n\n")
        index.writelines(f"    {playbook.stem}_playbook\n" for playbook in playbooks)
    command = ["sphinx-build", "--quiet", "--fail-on-warning", "--keep-going", "--builder", "html"]
    command += ["--conf-dir", str(ROOT / "docs/reference"), str(pages), str(WORK / "html")]
    subprocess.run(command, cwd=ROOT, check=True)
    print(f"{(WORK / 'html/index.html').relative_to(ROOT)} is the first of {len(list(pages.iterdir()))} pages")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.CalledProcessError as failed:
        sys.exit(f"{failed.cmd[0]} ended with {failed.returncode}")
