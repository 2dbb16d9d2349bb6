#!/usr/bin/python3
"""A STAND-IN for Chef, of which there is no package. It runs no recipe, and proves nothing but command lines.

It records its arguments, its environment and the files that it was given in /run/stand-in.json (for --why-run,
/run/stand-in-why.json). It "updates" one resource of two, by making a file. It ends as Chef 17 and 18 do: with the line
"Infra Phase complete, 1/2 resources updated in 01 seconds".
"""

import json
import os
import sys
from pathlib import Path

arguments = sys.argv[1:]
why = "--why-run" in arguments
folder = Path(arguments[arguments.index("--config") + 1]).parent
files = {
    str(path.relative_to(folder)): [oct(path.stat().st_mode & 0o777), path.read_text()]
    for path in sorted(folder.rglob("*"))
    if path.is_file()
}
record = {"arguments": arguments, "environment": dict(os.environ), "folder": str(folder), "files": files}
Path("/run/stand-in-why.json" if why else "/run/stand-in.json").write_text(json.dumps(record))

(folder / "cache").mkdir()
(folder / "cache" / "chef-stacktrace.out").write_text("what Chef keeps goes with the folder\n")
made = Path("/var/lib/stand-in")
updated = int(not made.exists())
print("Infra Phase starting")
if why:
    print(f"Infra Phase complete, {updated}/2 resources would have been updated")
else:
    made.touch()
    print(f"Infra Phase complete, {updated}/2 resources updated in 01 seconds")
