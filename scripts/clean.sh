#!/bin/sh
# Removes what Goldsmith created: containers and images with its label, and what was written in this clone.
# Debian packages that were installed stay.
set -eu
cd "$(dirname "$0")/.."

if docker version >/dev/null 2>&1; then
  for kind in ps images; do
    found=$(docker $kind --all --quiet --filter label=org.goldsmith.owner | sort -u)
    [ -n "$found" ] || continue
    # shellcheck disable=SC2086 # a list of words
    if [ $kind = ps ]; then docker rm --force --volumes $found; else docker rmi --force $found; fi
  done
fi
if [ -f .cache/dockerd.pid ]; then
  pid=$(cat .cache/dockerd.pid)
  if [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = dockerd ]; then
    echo "stopping the dockerd that we started"
    kill "$pid"
    while [ -d "/proc/$pid" ]; do sleep 0.1; done
  fi
fi
rm -rf "${XDG_CACHE_HOME:-$HOME/.cache}/goldsmith"
rm -rf .venv .cache dist artifacts examples/web/artifacts .pytest_cache .mypy_cache .ruff_cache .ansible/tmp
find . -name __pycache__ -type d -prune -exec rm -rf {} +
