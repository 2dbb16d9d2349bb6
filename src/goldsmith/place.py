"""Where a project lies, for what begins before its goldsmith.yml is read."""

from __future__ import annotations

import os
from pathlib import Path

FILE_NAME = "goldsmith.yml"


def file(path: Path) -> Path:
    """The project file that is meant: `path` itself, or the one in the folder `path`."""
    return path / FILE_NAME if path.is_dir() else path


def root(path: Path) -> Path:
    """The folder of the project file that is meant, whether or not it is there."""
    return file(path).resolve().parent


def ansible_environment(root: Path) -> dict[str, str]:
    """What Ansible needs to see the project's ansible.cfg from any working directory."""
    config = root / "ansible.cfg"
    return {} if "ANSIBLE_CONFIG" in os.environ or not config.exists() else {"ANSIBLE_CONFIG": str(config)}
