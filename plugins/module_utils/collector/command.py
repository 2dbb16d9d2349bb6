# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Print the manifest of this machine, of a directory, or of an archive."""

from __future__ import annotations

import gc
import hashlib
import json
import os
import sys
import types

from . import LIVE, REST, cache, expect, record, tree, unchanged
from .canonical import canonical


def arguments():
    # A look at a live host, of which there are many at a time, does without it.
    import argparse  # noqa: PLC0415  # pylint: disable=import-outside-toplevel

    parser = argparse.ArgumentParser(prog="collector", description=__doc__)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--root", default="/", metavar="DIRECTORY", help="root of the machine's files (default: /)")
    what.add_argument("--docker-archive", metavar="FILE", help="what `docker save` wrote: an image at rest")
    what.add_argument("--tar", metavar="FILE", help="a root file system in a tar archive")
    parser.add_argument(
        "--growing",
        type=int,
        metavar="BYTES",
        help="the archive is being written: read the layers in its first bytes, and the rest when a line comes on"
        " standard input",
    )
    parser.add_argument(
        "--scope",
        choices=[LIVE, REST],
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
        help="read every file, and write nothing: use and keep nothing in %s (which only live does)"
        % os.path.dirname(cache.PATH),
    )
    parser.add_argument(
        "--sources",
        metavar="DIGEST",
        help="which version of the collector this is: with --record or --expect on a live machine, let the next one by"
        " the same take this one's sections where no file changed since (see unchanged.py)",
    )
    return parser


def _collect(options, scope):
    """(the tree, its manifest)."""
    # What makes sections takes long to import, and is not needed where nothing changed. So does what reads archives.
    from . import document  # noqa: PLC0415  # pylint: disable=import-outside-toplevel

    if options.docker_archive or options.tar:
        from . import archive  # noqa: PLC0415  # pylint: disable=import-outside-toplevel

        if options.tar:
            opened = archive.RootArchive(options.tar)
        else:
            opened = archive.DockerArchive(options.docker_archive, options.growing, _until_told)
        with opened as source:
            return source, document.collect(source, scope)
    if not os.path.isdir(options.root):
        raise NotADirectoryError(20, "not a directory", options.root)
    kept = cache.load() if scope == LIVE and not options.no_cache else None
    source = tree.DirectoryTree(options.root, kept)
    manifest = document.collect(source, scope)
    if kept:
        cache.save(kept)
    return source, manifest


def _until_told():
    if not sys.stdin.readline():
        raise tree.SourceError("nobody said that the archive is whole")


def _told(options, scope):
    """The manifest, with `sections` as expect.py tells them."""
    asked, expected = "", None
    if options.expect:
        data = sys.stdin.read()
        asked, expected = hashlib.sha256(data.encode("utf-8", "surrogateescape")).hexdigest(), json.loads(data)
    look = unchanged.begin(options.sources) if options.sources and scope == LIVE and not options.no_cache else None
    found = look and look.found(asked, expected)
    if not found:
        source, manifest = _collect(options, scope)
        found = dict(manifest, sections=expected and expect.sections(manifest, expected))
        if look:
            look.keep(source, found["digest"], asked, found["sections"])
    return expect.told(found, expected) if options.expect else found


def main(argv=None):
    """0: the manifest is on standard output; 1: one line on standard error says why not; 2: wrong arguments."""
    parser = arguments()
    options = parser.parse_args(argv)
    own_root = not options.docker_archive and not options.tar and os.path.realpath(options.root) == "/"
    scope = options.scope or (LIVE if own_root else REST)
    if scope == LIVE and not own_root:
        parser.error("--scope live needs --root /: only this machine's own root has something running")
    return _print(options, scope)


def look(told, sources):
    """As `main` with --root / --scope live --sources DIGEST and either --record or --expect."""
    options = types.SimpleNamespace(
        root="/",
        docker_archive=None,
        tar=None,
        no_cache=False,
        sources=sources,
        record=told == "record",
        expect=told == "expect",
    )
    return _print(options, LIVE)


def _print(options, scope):
    sys.dont_write_bytecode = True
    # What is made here is kept to the end: looking for garbage finds none, and takes a tenth of the time.
    gc.disable()
    try:
        if options.record:
            sys.stdout.write(canonical(record.answer(_told(options, scope))))
        elif options.expect:
            sys.stdout.write(canonical(_told(options, scope)))
        else:
            sys.stdout.writelines(_collect(options, scope)[1].pieces())
        sys.stdout.write("\n")
        sys.stdout.flush()
    except (OSError, tree.SourceError) as error:
        sys.stderr.write("collector: %s\n" % error)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
