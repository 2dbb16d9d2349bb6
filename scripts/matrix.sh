#!/usr/bin/env bash
# The unit tests and the scenario `default` with each release of ansible-core that we support, or with those named:
#   scripts/matrix.sh [2.17] [2.18] [2.19]
# Each has a virtual environment in .cache/matrix, with exactly the versions of its lock file.
set -euo pipefail
cd "$(dirname "$0")/.."

lock_of() { if [ -f "tests/matrix/$1.lock" ]; then echo "tests/matrix/$1.lock"; else echo requirements.lock; fi; }

# Finds uv in .venv even while another environment is first on PATH.
uv=$(command -v uv)

environment() {
  local folder=.cache/matrix/$1 lock wanted
  lock=$(lock_of "$1")
  wanted=$(cat "$lock" pyproject.toml scripts/matrix.sh | sha256sum | cut -d' ' -f1)
  [ "$(cat "$folder/installed" 2>/dev/null)" = "$wanted" ] && return
  rm -rf "$folder"
  "$uv" venv --quiet --python 3.11 "$folder"
  "$uv" pip sync --quiet --python "$folder/bin/python" --require-hashes "$lock"
  "$uv" pip install --quiet --python "$folder/bin/python" --no-deps --no-build-isolation --editable .
  local collections
  collections=$("$folder/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/ansible_collections
  mkdir -p "$collections/goldsmith"
  ln -sfn "$PWD" "$collections/goldsmith/core"
  echo "$wanted" >"$folder/installed"
}

if [ $# = 0 ]; then set -- 2.17 2.18 2.19; fi
for version in "$@"; do
  environment "$version"
  (
    export PATH=$PWD/.cache/matrix/$version/bin:$PATH
    found=$(ansible --version | sed -n '1s/.*\[core \(.*\)\]/\1/p')
    case $found in
      "$version".*) printf '\033[1m==> ansible-core %s, %s\033[0m\n' "$found" "$(python --version)" ;;
      *) echo "ansible-core is $found, not $version" >&2; exit 1 ;;
    esac
    python -m pytest --quiet tests/unit
    # Without its name, older Molecule does not find the base configuration in a git worktree, and tests nothing.
    molecule --base-config .config/molecule/config.yml test --scenario-name default
  )
done
