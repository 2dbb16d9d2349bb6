# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Goldsmith's collector: the canonical record of a machine's state.

Standard library only, Python 3.8 and later; reads, and writes nothing. The same sections are made from the root of
a live host, from a directory, and from an image archive: see tree.py for what they have in common.
"""

from __future__ import annotations

SCHEMA = "goldsmith.manifest/1"

# What a manifest tells of: a machine that runs, or one at rest.
LIVE = "live"
REST = "rest"
