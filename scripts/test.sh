#!/usr/bin/env bash
# Runs the named stages one after the other, says how long each took, and stops at the first that fails.
#   scripts/test.sh lint unit integration molecule leftovers
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p .cache

lint() {
  ruff check .
  ruff format --check .
  mypy
  yamllint --strict .
  ansible-lint --offline
  sh -n packer/base-image.sh scripts/setup.sh scripts/clean.sh && bash -n scripts/test.sh
  local folder
  for folder in packer packer/plugins packer/targets; do packer fmt -check "$folder"; done
  local target
  for target in packer/targets/*.pkrvars.hcl; do packer validate -var-file="$target" packer/; done
  python scripts/schemas.py --check
  python scripts/role_readme.py --check
}

# ansible-test wants the collection at a path that ends in ansible_collections/goldsmith/core, and in git.
sanity() {
  local tree=.cache/sanity/ansible_collections/goldsmith/core
  rm -rf .cache/sanity
  mkdir -p "$tree"
  git archive HEAD | tar -x -C "$tree"
  (cd "$tree" && git init -q && git add -A . && ansible-test sanity --local --python 3.11 --requirements --color no)
  rm -rf .cache/sanity
}

unit() { pytest tests/unit; }

integration() { pytest tests/integration; }

molecule() { command molecule test; }

# Nothing that we started may be left: no container, image in the making, mount, process or temporary file.
leftovers() { python scripts/leftovers.py; }

for stage in "$@"; do
  printf '\033[1m==> %s\033[0m\n' "$stage"
  started=$SECONDS
  "$stage"
  printf '==> %s passed in %d s\n' "$stage" $((SECONDS - started))
done
