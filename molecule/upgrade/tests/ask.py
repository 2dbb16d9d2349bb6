"""Runs on the machine: asks for the application's page again and again, and counts the answers of each kind."""

import collections
import json
import time
import urllib.request
from pathlib import Path

told: collections.Counter[str] = collections.Counter()
while True:
    try:
        with urllib.request.urlopen("http://127.0.0.1/health", timeout=5) as answer:
            told[str(answer.status)] += 1
    except OSError as error:
        told[str(error)] += 1
    new = Path("/run/asked.new")
    new.write_text(json.dumps(told), encoding="utf-8")
    new.replace("/run/asked.json")
    time.sleep(0.1)
