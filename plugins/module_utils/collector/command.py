# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Print the manifest of this machine, of a directory, or of an image archive."""

from __future__ import annotations

import argparse
import json
import os
import sys

from . import archive, document, expect, record, tree


def arguments():
    parser = argparse.ArgumentParser(prog="collector", description=__doc__)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--root", default="/", metavar="DIRECTORY", help="root of the machine's files (default: /)")
    what.add_argument("--docker-archive", metavar="FILE", help="what `docker save` wrote: an image at rest")
    parser.add_argument(
        "--scope",
        choices=[document.LIVE, document.REST],
        help="live adds what runs now, and needs --root / (default: live for /, else rest)",
    )
    less = parser.add_mutually_exclusive_group()
    less.add_argument(
        "--record",
        action="store_true",
        help="print only a digest of all that the manifest holds, and what the last converge left (see record.py)",
    )
    less.add_argument(
        "--expect",
        action="store_true",
        help="print only what differs from the expectation (see expect.py) on standard input",
    )
    return parser


def main(argv=None):
    """0: the manifest is on standard output; 1: one line on standard error says why not; 2: wrong arguments."""
    sys.dont_write_bytecode = True
    parser = arguments()
    options = parser.parse_args(argv)
    own_root = not options.docker_archive and os.path.realpath(options.root) == "/"
    scope = options.scope or (document.LIVE if own_root else document.REST)
    if scope == document.LIVE and not own_root:
        parser.error("--scope live needs --root /: only this machine's own root has something running")
    try:
        expected = json.load(sys.stdin) if options.expect else None
        if options.docker_archive:
            with archive.DockerArchive(options.docker_archive) as source:
                manifest = document.collect(source, scope)
        else:
            if not os.path.isdir(options.root):
                raise NotADirectoryError(20, "not a directory", options.root)
            manifest = document.collect(tree.DirectoryTree(options.root), scope)
        if expected is not None:
            manifest = expect.answer(manifest, expected)
        if options.record:
            manifest = record.answer(manifest)
        sys.stdout.write(document.canonical(manifest) + "\n")
        sys.stdout.flush()
    except (OSError, archive.ArchiveError) as error:
        sys.stderr.write("collector: %s\n" % error)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
