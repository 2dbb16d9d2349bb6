#!/bin/sh
# Removes what was created from this clone: containers, images, and files. Images of projects elsewhere stay, and so do
# the Debian packages that were installed.
set -eu
cd "$(dirname "$0")/.."

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

if [ -d .cache/vm ] && [ -x .venv/bin/python ]; then .venv/bin/python examples/vm.py stop --all; fi

# Not every image with our label: those of projects elsewhere are their owners'.
if as_root docker version >/dev/null 2>&1; then
  label=label=org.goldsmith.owner
  containers=$(for owner in build export lab molecule; do as_root docker ps --all --quiet --filter "$label=$owner"; done)
  [ -z "$containers" ] || echo "$containers" | as_root xargs docker rm --force --volumes
  images=$(
    cat .cache/demo/web/artifacts/images/*/provenance.json examples/web/artifacts/images/*/provenance.json 2>/dev/null |
      sed -n 's/^  "image_id": "\(.*\)".*/\1/p'
    find .cache/demo examples/web/artifacts -name stages.jsonl -exec sed -n 's/^{"image": "\([^"]*\)".*/\1/p' {} + 2>/dev/null
    as_root docker images --quiet --filter "$label=base"
  )
  for image in $images; do
    as_root docker rmi --force "$image" || :
  done
  as_root docker volume ls --quiet --filter "$label=cache" | as_root xargs --no-run-if-empty docker volume rm || :
fi
for daemon in dockerd libvirtd virtlogd; do
  pid=$(cat ".cache/$daemon.pid" 2>/dev/null || :)
  if [ "$(cat "/proc/${pid:-none}/comm" 2>/dev/null)" = "$daemon" ]; then
    echo "stopping the $daemon that we started"
    as_root kill "$pid"
    while [ -d "/proc/$pid" ]; do sleep 0.1; done
  fi
done
rm -rf "${XDG_CACHE_HOME:-$HOME/.cache}/goldsmith"
rm -rf .venv .cache dist artifacts examples/web/artifacts .pytest_cache .mypy_cache .ruff_cache .ansible/tmp
find . -name __pycache__ -type d -prune -exec rm -rf {} +
