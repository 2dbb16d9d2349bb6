# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Print the manifest of this machine, of a directory, or of an archive."""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys

from . import cache, document, expect, record, tree


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
    parser.add_argument(
        "--no-cache",
        action="store_true",
        help="read every file, and write nothing: use and keep no digests in %s (which only live does)" % cache.PATH,
    )
    return parser


def _of_archive(name, is_root, scope):
    # What reads archives takes as long to import as everything else, and a live machine does not need it.
    from . import archive  # noqa: PLC0415  # pylint: disable=import-outside-toplevel

    opened = archive.RootArchive if is_root else archive.DockerArchive
    with opened(name) as source:
        return document.collect(source, scope)


def main(argv=None):
    """0: the manifest is on standard output; 1: one line on standard error says why not; 2: wrong arguments."""
    sys.dont_write_bytecode = True
    # What is made here is kept to the end: looking for garbage finds none, and takes a tenth of the time.
    gc.disable()
    parser = arguments()
    options = parser.parse_args(argv)
    archived = options.docker_archive or options.tar
    own_root = not archived and os.path.realpath(options.root) == "/"
    scope = options.scope or (document.LIVE if own_root else document.REST)
    if scope == document.LIVE and not own_root:
        parser.error("--scope live needs --root /: only this machine's own root has something running")
    try:
        expected = json.load(sys.stdin) if options.expect else None
        if archived:
            manifest = _of_archive(archived, options.tar is not None, scope)
        else:
            if not os.path.isdir(options.root):
                raise NotADirectoryError(20, "not a directory", options.root)
            kept = cache.load() if scope == document.LIVE and not options.no_cache else None
            manifest = document.collect(tree.DirectoryTree(options.root, kept), scope)
            if kept:
                cache.save(kept)
        if expected is None and not options.record:
            sys.stdout.writelines(manifest.pieces())
        else:
            answer = manifest if expected is None else expect.answer(manifest, expected)
            sys.stdout.write(document.canonical(record.answer(answer) if options.record else answer))
        sys.stdout.write("\n")
        sys.stdout.flush()
    except (OSError, tree.SourceError) as error:
        sys.stderr.write("collector: %s\n" % error)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
