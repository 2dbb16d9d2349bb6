"""How large is an exported disk? Its compressed qcow2 against the same files packed by mksquashfs with zstd.

    python benchmarks/export_size.py artifacts/images/web/qemu/web.qcow2 [--json]

Prints a row: bytes of both, their ratio, and the target. Needs squashfs-tools, and what `goldsmith export` and
`goldsmith collect disk:` need. Exit: 0 the target is met, 1 it is not, or something failed.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from goldsmith import at_rest, export, proc
from goldsmith.errors import GoldsmithError
from goldsmith.progress import Progress

TARGET = 1.15
PACK = 'mksquashfs - "$2" -tar -comp zstd -quiet -no-progress <"$1"'


def exported(path: Path, folder: Path) -> int:
    """Bytes of the disk as `goldsmith export --format qcow2 --compress zstd` writes it."""
    with Progress(Console(stderr=True), "export") as progress:
        [made] = export.export(
            export.disk(path), "disk", export.formats(["qcow2"], "zstd"), folder, progress, compress="zstd"
        )
    return made.bytes


def packed(path: Path, folder: Path) -> int:
    """Bytes of the files of its root file system, packed by mksquashfs."""
    target = folder / "tree.squashfs"
    with at_rest.opened("disk", str(path)) as system:
        proc.run(["sh", "-c", PACK, "sh", str(system.path), str(target)])
    return target.stat().st_size


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("disk", type=Path)
    parser.add_argument("--json", action="store_true", help="JSON on standard output")
    given = parser.parse_args()
    proc.require("mksquashfs")
    with tempfile.TemporaryDirectory(prefix="goldsmith-export-size-") as name:
        qcow2, squashfs = exported(given.disk, Path(name)), packed(given.disk, Path(name))
    ratio = qcow2 / squashfs
    if given.json:
        found = {"qcow2": qcow2, "squashfs": squashfs, "ratio": round(ratio, 3), "target": TARGET}
        print(json.dumps(found, indent=2, sort_keys=True))
    else:
        print(f"qcow2 {qcow2:,} B, squashfs {squashfs:,} B: {ratio:.3f} (at most {TARGET})")
    return 0 if ratio <= TARGET else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except GoldsmithError as error:
        print(f"error: {error.message}", file=sys.stderr)
        sys.exit(1)
