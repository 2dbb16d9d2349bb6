#!/usr/bin/env bash
# Runs a command that uses Docker: scripts/with-docker.sh COMMAND [ARGUMENT...]
# Who was put into the group docker just now has it here without logging in again.
set -euo pipefail
docker version >/dev/null 2>&1 && exec "$@"
exec sg docker -c "exec $(printf '%q ' "$@")"
