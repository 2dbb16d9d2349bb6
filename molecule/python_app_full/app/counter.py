"""Counts who asks, and signs the count: an application with a library, a secret and a place of its own."""

from __future__ import annotations

import http.server
import os
import sys
from pathlib import Path

from itsdangerous import Signer

SIGNER = Signer(os.environ["COUNTER_SECRET"])
FILE = Path(os.environ["COUNTER_FILE"])


class Handler(http.server.BaseHTTPRequestHandler):
    """`/health` says that all is well, everything else counts."""

    def do_GET(self) -> None:
        """Answer in one line."""
        text = "ok"
        if self.path != "/health":
            count = int(FILE.read_text(encoding="utf-8")) + 1 if FILE.exists() else 1
            FILE.write_text(str(count), encoding="utf-8")
            text = SIGNER.sign(str(count)).decode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"{text}\n".encode())

    def log_message(self, *_arguments: object) -> None:
        """Say nothing: the journal is for what went wrong."""


if __name__ == "__main__":
    http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
