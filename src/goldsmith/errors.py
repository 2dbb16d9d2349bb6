"""The errors that a user can act on, and the exit codes that they end in."""

from __future__ import annotations

import difflib
from collections.abc import Collection


class GoldsmithError(Exception):
    """An error that the user can act on.

    ``message`` says what happened and where, ``hint`` what to do about it. The command line prints both
    and ends with ``exit_code``; it never shows a traceback.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "", exit_code: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if exit_code is not None:
            self.exit_code = exit_code


class UsageError(GoldsmithError):
    """Wrong arguments, an unknown name, or an invalid goldsmith.yml or policy."""

    exit_code = 2


class ToolError(GoldsmithError):
    """A program that is needed is missing, or a service that is needed does not answer."""

    exit_code = 5


def nearest(name: str, known: Collection[str]) -> str:
    """A hint for a name that is not known: the nearest one that is, else all of them."""
    near = difflib.get_close_matches(name, known, n=1)
    return f'did you mean "{near[0]}"?' if near else f"it has: {', '.join(known) or 'none'}"
