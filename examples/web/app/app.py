"""A small status page: what greets you, on what it runs, and whether it is well."""

from __future__ import annotations

import os
import platform
import sys
import time
from importlib.metadata import distributions
from typing import Any

from flask import Flask, jsonify, request

VERSION = "1.0.0"
NEEDED = ("flask", "waitress")
STARTED = time.monotonic()

app = Flask(__name__)


def libraries() -> dict[str, str]:
    """Every installed library and its version."""
    return dict(sorted((item.metadata["Name"].lower(), item.version) for item in distributions()))


def health() -> dict[str, Any]:
    """The state of the application and of what it depends on."""
    installed = libraries()
    checks = {name: installed.get(name, "missing") for name in NEEDED}
    checks["greeting"] = "set" if os.environ.get("HELLO_GREETING") else "missing"
    return {
        "status": "missing" if "missing" in checks.values() else "ok",
        "version": VERSION,
        "dependencies": checks,
        "uptime_seconds": round(time.monotonic() - STARTED, 1),
    }


@app.get("/")
def index() -> Any:
    """The greeting, as text or, for who asks for it, as JSON."""
    page = {
        "greeting": os.environ.get("HELLO_GREETING", "Hello"),
        "version": VERSION,
        "python": platform.python_version(),
        "libraries": libraries(),
    }
    if request.accept_mimetypes.best_match(["text/plain", "application/json"]) == "application/json":
        return jsonify(page)
    return f"{page['greeting']}\n", 200, {"Content-Type": "text/plain; charset=utf-8"}


@app.get("/health")
def get_health() -> Any:
    """200 when all is well, else 503."""
    state = health()
    return jsonify(state), 200 if state["status"] == "ok" else 503


if __name__ == "__main__":
    sys.exit("run me with a WSGI server, for example: waitress-serve app:app")
