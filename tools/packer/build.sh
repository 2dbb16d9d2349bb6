#!/bin/sh
# Builds a current Packer and the plugins that the template has targets and provisioners for, with Go, in the versions
# that go.mod beside this file pins:
#
#   tools/packer/build.sh
#   export PATH="$PWD/.cache/packer-current:$PATH" PACKER_PLUGIN_PATH="$PWD/.cache/packer-current/plugins"
#
# For tests, and for who has Go but doesn't reach HashiCorp's releases; everybody else installs Packer as its makers say.
# Packer from 1.10 on is under the Business Source License, which is no free one. It is a tool that is made here, on your
# machine, for you: nothing of it is in what Goldsmith ships.
# Does nothing if it was built already. Exit: 0 built or there already, 1 failed, 3 there is no Go.
set -eu
cd "$(dirname "$0")"
cache=../../.cache
out=$cache/packer-current

say() { printf 'packer-current: %s\n' "$*" >&2; }

PATH=$PATH:/usr/local/go/bin # where Go's own package lies
command -v go >/dev/null || { say "go is missing: https://go.dev/doc/install"; exit 3; }

wanted=$(cat go.mod go.sum build.sh | sha256sum | cut -d' ' -f1)
if [ "$(cat "$out/built" 2>/dev/null)" = "$wanted" ]; then
  say "$("$out/packer" version | head -n 1) is there"
  exit 0
fi

mkdir -p "$cache"
work=$(mktemp -d "$cache/packer-current.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Some plugins were released with a version that still says "-dev", which no pin accepts.
released=$(go list -f '-X {{ .ImportPath }}/version.VersionPrerelease=' tool)
say "building Packer and its plugins: some minutes, and longer the first time"
CGO_ENABLED=0 go build -trimpath -ldflags "-s -w $(echo "$released" | tr '\n' ' ')" -o "$work/" tool

for file in "$work"/packer-plugin-*; do
  name=${file##*/packer-plugin-}
  case $name in
    digitalocean | parallels) owner=$name ;; # their makers' own now
    *) owner=hashicorp ;;
  esac
  PACKER_PLUGIN_PATH=$work/plugins "$work/packer" plugins install --path "$file" "github.com/$owner/$name" >/dev/null
  rm "$file"
done

echo "$wanted" >"$work/built"
chmod 755 "$work"
rm -rf "$out"
mv "$work" "$out"
say "$("$out/packer" version | head -n 1) and its plugins are ready in .cache/packer-current"
