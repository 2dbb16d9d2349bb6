# Copyright (c) 2026 The Goldsmith authors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The one form of a manifest's text."""

from __future__ import annotations

import json
from collections.abc import Mapping


def canonical(value):
    """JSON with one form for one value: sorted keys, no spaces, ASCII only. For what holds itself it has no end."""
    return json.dumps(
        value,
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=True,
        allow_nan=False,
        check_circular=False,
        default=_mapping,
    )


def _mapping(value):
    """A section whose things are made when they are asked for."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError("no part of a manifest: %r" % (value,))
