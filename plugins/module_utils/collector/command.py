# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Print the manifest of this machine, of a directory, or of an archive."""

from __future__ import annotations

import argparse
import os
import sys

from . import archive, document, tree


def arguments():
    parser = argparse.ArgumentParser(prog="collector", description=__doc__)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--root", default="/", metavar="DIRECTORY", help="root of the machine's files (default: /)")
    what.add_argument("--docker-archive", metavar="FILE", help="what `docker save` wrote: an image at rest")
    what.add_argument("--tar", metavar="FILE", help="a root file system in a tar archive")
    parser.add_argument(
        "--scope",
        choices=[document.LIVE, document.REST],
        help="live adds what runs now, and needs --root / (default: live for /, else rest)",
    )
    return parser


def main(argv=None):
    """0: the manifest is on standard output; 1: one line on standard error says why not; 2: wrong arguments."""
    sys.dont_write_bytecode = True
    parser = arguments()
    options = parser.parse_args(argv)
    archived = options.docker_archive or options.tar
    own_root = not archived and os.path.realpath(options.root) == "/"
    scope = options.scope or (document.LIVE if own_root else document.REST)
    if scope == document.LIVE and not own_root:
        parser.error("--scope live needs --root /: only this machine's own root has something running")
    try:
        if archived:
            opened = archive.DockerArchive if options.docker_archive else archive.RootArchive
            with opened(archived) as source:
                manifest = document.collect(source, scope)
        else:
            if not os.path.isdir(options.root):
                raise NotADirectoryError(20, "not a directory", options.root)
            manifest = document.collect(tree.DirectoryTree(options.root), scope)
        sys.stdout.write(document.canonical(manifest) + "\n")
        sys.stdout.flush()
    except (OSError, archive.ArchiveError) as error:
        sys.stderr.write("collector: %s\n" % error)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
