"""Files that come with Goldsmith: from the installed package, or from the clone when it runs from there."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parent / "data"
_CLONE = Path(__file__).parents[2]

_IN_CLONE = {
    "collector": "plugins/module_utils/collector",
    "packer": "packer",
    "example": "examples/web",
}


def folder(name: str) -> Path:
    """The folder of that name: collector, packer, example, policy or report."""
    packaged = _PACKAGE / name
    return packaged if packaged.is_dir() else _CLONE / _IN_CLONE[name]
