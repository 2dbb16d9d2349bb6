#!/bin/sh
# Writes again all that is generated from elsewhere.
set -eu
cd "$(dirname "$0")/.."
python scripts/schemas.py
python scripts/role_readme.py
