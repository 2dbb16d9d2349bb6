# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What a converge left on a machine about itself, and what the machine is now, in one number."""

from __future__ import annotations

import os
import stat

from . import paths
from .expect import digest

_LIMIT = 1 << 16


def state(manifest):
    """One digest (hex) of all that the manifest holds, identity and what runs too.

    None where something could not be read or recorded: of such a machine nothing is known to be unchanged.
    """
    if manifest["warnings"]:
        return None
    return digest([manifest["schema"], manifest["digest"], manifest["identity"], manifest["runtime"]])


def answer(manifest):
    """{"state": "<sha256>", "record": "<what the file holds>"}; None for what there is not."""
    return {"state": state(manifest), "record": read(paths.RECORD)}


def read(path, owner=0):
    """The record's text; None if there is none, or if anybody but root could have written or read it."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        info = os.fstat(handle)
        if not stat.S_ISREG(info.st_mode) or info.st_uid != owner or info.st_mode & 0o077:
            return None
        return os.read(handle, _LIMIT).decode("utf-8", "replace")
    finally:
        os.close(handle)
