"""Writes the published JSON schema of goldsmith.yml; with --check fails where it is not current."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from goldsmith.config import Config

FILE = Path(__file__).parents[1] / "docs/schema/goldsmith.schema.json"


def text() -> str:
    schema = Config.model_json_schema()
    # pydantic says what a name looks like, but not that no other may stand there.
    schema["properties"]["images"]["additionalProperties"] = False
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "goldsmith.yml"}
    return json.dumps({**schema, **head}, indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    if "--check" not in sys.argv:
        FILE.write_text(text())
    elif FILE.read_text() != text():
        sys.exit(f"{FILE} is not current: run `make docs`")
