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
  local script
  for script in packer/base-image.sh scripts/*.sh; do bash -n "$script"; done
  local folder
  for folder in packer packer/plugins packer/targets; do packer fmt -check "$folder"; done
  local target
  for target in packer/targets/*.pkrvars.hcl; do packer validate -var-file="$target" packer/; done
  python scripts/schemas.py --check
  python scripts/role_readme.py --check
}

# What the collection ships, by ansible-test. It wants a path that ends in ansible_collections/goldsmith/core, in git.
# Left out are pslint (no PowerShell here) and shellcheck (no shell script in the collection's plugins).
sanity() {
  local tree=.cache/sanity/ansible_collections/goldsmith/core
  rm -rf .cache/sanity
  mkdir -p "$tree" .cache/sanity/tmp .cache/sanity/.ansible/test/cache
  git archive HEAD galaxy.yml README.md LICENSE meta playbooks plugins roles | tar -x -C "$tree"
  echo tests/output >"$tree/.gitignore"
  # ansible-test would fetch get-pip from its makers' site; the standard library's ensurepip does the same work.
  printf 'import ensurepip\n\nensurepip.bootstrap(default_pip=True)\n' >.cache/sanity/.ansible/test/cache/get_pip_24_2.py
  (
    export HOME="$PWD/.cache/sanity" TMPDIR="$PWD/.cache/sanity/tmp"
    cd "$tree" && git init -q && git add -A . &&
      ansible-test sanity --local --python 3.11 --color no --skip-test pslint --skip-test shellcheck >../../../../sanity.log 2>&1
  ) || { cat .cache/sanity.log; return 1; }
  grep -c '^Running sanity test' .cache/sanity.log | sed 's/$/ sanity tests passed/'
  rm -rf .cache/sanity
}

unit() { pytest tests/unit; }

integration() { pytest tests/integration; }

slow() { pytest tests/slow; }

molecule() { command molecule test; }

# Each role that has a scenario of its own, alone on a machine of its own.
molecule_roles() {
  local scenario
  for scenario in molecule/*/molecule.yml; do
    scenario=$(basename "$(dirname "$scenario")")
    [ "$scenario" = default ] || command molecule test --scenario-name "$scenario"
  done
}

# Nothing that we started may be left: no container, image in the making, mount, process or temporary file.
leftovers() { python scripts/leftovers.py; }

for stage in "$@"; do
  printf '\033[1m==> %s\033[0m\n' "$stage"
  started=$SECONDS
  "$stage"
  printf '==> %s passed in %d s\n' "$stage" $((SECONDS - started))
done
