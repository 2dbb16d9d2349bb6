#!/usr/bin/env bash
# Runs the named stages one after the other, says how long each took, and stops at the first that fails.
#   scripts/test.sh lint unit integration molecule leftovers
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p .cache

# The template and all that belongs to it, by the Packer on PATH.
templates() {
  local folder
  for folder in packer packer/plugins packer/plugins/legacy packer/targets; do packer fmt -check "$folder"; done
  scripts/validate-targets.sh
}

lint() {
  ruff check .
  ruff format --check .
  mypy
  yamllint --strict .
  ansible-lint --offline
  shellcheck packer/*.sh scripts/*.sh tools/*/*.sh roles/*/files/*.sh .ci/run
  templates
  python scripts/schemas.py --check
  python scripts/role_readme.py --check
}

# The tarball of the collection, from the files of this folder that git knows, as users get it.
tarball() {
  rm -rf .cache/tarball
  mkdir -p .cache/tarball/source
  git ls-files -z -co --exclude-standard |
    while IFS= read -r -d '' file; do if [ -f "$file" ] && [ ! -L "$file" ]; then printf '%s\0' "$file"; fi; done |
    tar --create --null --files-from=- | tar --extract --directory .cache/tarball/source
  ansible-galaxy collection build --output-path .cache/tarball .cache/tarball/source >/dev/null
}

# The tarball as Galaxy takes it in: names, metadata, documentation, and its own ansible-lint. A warning fails.
galaxy() {
  tarball
  (
    cd .cache/tarball
    export GALAXY_IMPORTER_RUN_ANSIBLE_TEST=False GALAXY_IMPORTER_ANSIBLE_LOCAL_TMP=$PWD/tmp
    python -m galaxy_importer.main goldsmith-core-*.tar.gz >importer.log 2>&1 && ! grep -E '^(WARNING|ERROR)' importer.log
  ) || { cat .cache/tarball/importer.log; return 1; }
  grep -c '^Loading' .cache/tarball/importer.log | sed 's/$/ plugins, roles and playbooks imported/'
  rm -rf .cache/tarball
}

# Whether every role, module and option is described, references among them lead somewhere, and pages can be made of it.
reference() {
  antsibull-docs lint-collection-docs --plugin-docs --validate-collection-refs self .
  python scripts/reference.py
}

# What the collection ships, by ansible-test. It wants a path that ends in ansible_collections/goldsmith/core, in git.
sanity() {
  local tree=.cache/sanity/ansible_collections/goldsmith/core
  rm -rf .cache/sanity
  mkdir -p "$tree" .cache/sanity/tmp .cache/sanity/.ansible/test/cache
  tarball
  tar --extract --directory "$tree" --file .cache/tarball/goldsmith-core-*.tar.gz
  echo tests/output >"$tree/.gitignore"
  # ansible-test would fetch get-pip from its makers' site; the standard library's ensurepip does the same work.
  printf 'import ensurepip\n\nensurepip.bootstrap(default_pip=True)\n' >.cache/sanity/.ansible/test/cache/get_pip_24_2.py
  (
    export HOME="$PWD/.cache/sanity" TMPDIR="$PWD/.cache/sanity/tmp"
    cd "$tree" && git init -q && git add -A . &&
      ansible-test sanity --local --python 3.11 --color no >../../../../sanity.log 2>&1
  ) || { cat .cache/sanity.log; return 1; }
  grep -c '^Running sanity test' .cache/sanity.log | sed 's/$/ sanity tests passed/'
  rm -rf .cache/sanity .cache/tarball
}

unit() { pytest tests/unit; }

integration() { pytest tests/integration; }

# The page of a fleet's judgement, in Chromium.
browser() {
  scripts/setup.sh --browser
  pytest tests/browser
}

# The template, by a current Packer and plugins of the pinned versions. Only where there is Go to build them with.
packer_current() (
  status=0
  tools/packer/build.sh || status=$?
  if [ $status = 3 ]; then
    echo "skipped: without Go there is no current Packer here"
    return
  fi
  [ $status = 0 ]
  export PATH="$PWD/.cache/packer-current:$PATH" PACKER_PLUGIN_PATH="$PWD/.cache/packer-current/plugins"
  # Behind each plugin that a pin accepts stands its file.
  for folder in packer/plugins packer/plugins/legacy; do
    if packer plugins required "$folder" | grep -v ' /'; then
      echo "$folder/plugins.pkr.hcl: no plugin that tools/packer/go.mod names fits these pins"
      return 1
    fi
  done
  templates
)

# Who was put into the group libvirt just now has it here without logging in again.
slow() {
  scripts/setup.sh --vagrant
  if virsh --connect qemu:///system list >/dev/null 2>&1; then pytest tests/slow; else sg libvirt -c "pytest tests/slow"; fi
}

molecule() { command molecule test; }

# Unit tests and the scenario `default` with each release of ansible-core that we support.
matrix() { scripts/matrix.sh; }

# The roles that changed, or their scenarios, since this branch left origin's main (on main itself, by the last commit; or
# since CHANGED_SINCE); each with almost everything overridden. What changes in plugins/ or molecule/shared concerns
# every role, and is what the scenario `default` is for. No more than four, for time's sake; it says which it leaves.
molecule_changed() {
  local since=${CHANGED_SINCE:-} role roles=()
  if [ -z "$since" ]; then
    since=$(git merge-base HEAD origin/main 2>/dev/null || true)
    if [ -z "$since" ] || [ "$since" = "$(git rev-parse HEAD)" ]; then since=HEAD~1; fi
  fi
  if ! git rev-parse --quiet --verify "$since^{commit}" >/dev/null; then
    echo "skipped: there is no $since in this clone, so no role counts as changed"
    return
  fi
  while read -r role; do
    [ ! -d "molecule/${role}_full" ] || roles+=("${role}_full")
  done < <(git diff --name-only "$since" -- roles molecule | cut -d/ -f2 | sed -E 's/_(full|off)$//' | sort -u)
  for role in "${roles[@]:0:4}"; do command molecule test --scenario-name "$role"; done
  [ ${#roles[@]} -le 4 ] || echo "changed too, but left to \`make test-all\`: ${roles[*]:4}"
}

# Real machines, on QEMU: what no container can prove.
vm() { pytest tests/vm; }

# Out of every role one task is taken, and an assertion must notice. All tasks: scripts/mutation.py ROLE...
mutation() { python scripts/mutation.py --sample 1 --seed "$(git rev-parse HEAD 2>/dev/null)"; }

# Each role alone on a machine of its own; Debian 12 and 13 on real ones; and the upgrade from the release before.
molecule_roles() {
  local scenario
  for scenario in molecule/*/molecule.yml; do
    scenario=$(basename "$(dirname "$scenario")")
    [ "$scenario" = default ] || command molecule test --scenario-name "$scenario"
  done
}

# Nothing that we started may be left: no container, image in the making, mount, process or temporary file.
leftovers() { python scripts/leftovers.py .cache/before; }

[[ " $* " != *" leftovers "* ]] || python scripts/leftovers.py --before .cache/before

for stage in "$@"; do
  printf '\033[1m==> %s\033[0m\n' "$stage"
  started=$SECONDS
  "$stage"
  printf '==> %s passed in %d s\n' "$stage" $((SECONDS - started))
done
