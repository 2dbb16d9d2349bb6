"""Writes the published JSON schemas of goldsmith.yml and of policies; with --check fails where one is not current."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from goldsmith.config import Config
from goldsmith.policy import PolicyFile

FOLDER = Path(__file__).parents[1] / "docs/schema"


def schemas() -> dict[str, dict[str, Any]]:
    """File name -> schema."""
    config = Config.model_json_schema()
    # pydantic says what a name looks like, but not that no other may stand there.
    config["properties"]["images"]["additionalProperties"] = False
    return {
        "goldsmith.schema.json": {**config, "title": "goldsmith.yml"},
        "policy.schema.json": {**PolicyFile.model_json_schema(), "title": "A policy"},
    }


def text(schema: dict[str, Any]) -> str:
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return json.dumps({**schema, **head}, indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    for name, schema in schemas().items():
        file = FOLDER / name
        if "--check" not in sys.argv:
            file.write_text(text(schema))
        elif not file.exists() or file.read_text() != text(schema):
            sys.exit(f"{file} is not current: run `make docs`")
