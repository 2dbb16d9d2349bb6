#!/usr/bin/env bash
# Validates the template with the Packer on PATH: every target, with every file in packer/targets, and with all hooks.
# Nothing is fetched, started or paid for.
#   scripts/validate-targets.sh [FOLDER]    FOLDER holds the template; by default packer
set -euo pipefail
folder=${1:-packer}

work=$(mktemp -d "${TMPDIR:-/tmp}/goldsmith-validate.XXXXXX")
trap 'rm -rf "$work"' EXIT

# The template asks for Ansible's version once for each target. It is asked once here, and the answer repeated.
ansible-playbook --version >"$work/version"
printf '#!/bin/sh\ncat "%s"\n' "$work/version" >"$work/ansible-playbook"
chmod +x "$work/ansible-playbook"
export PATH="$work:$PATH" DIGITALOCEAN_API_TOKEN=none DIGITALOCEAN_TOKEN=none # Packer 1.6.6, current

# What a user has: a key, machines to start from, scripts, manifests. A checksum that is a URL would be fetched.
ssh-keygen -q -t ed25519 -N '' -C '' -f "$work/key"
touch "$work/machine.ovf" "$work/machine.vmx" "$work/hook.sh" "$work/site.pp"
none=sha256:$(printf '%064d' 0)

# Every target that has a machine of the file's architecture; others are refused: tests/unit/test_packer.py.
validate() {
  local file=$1 without=
  shift
  case $file in *-arm64.pkrvars.hcl) without=virtualbox-iso.image,hyperv-iso.image,digitalocean.image ;; esac
  packer validate ${without:+"-except=$without"} -var-file="$file" \
    -var "ssh_private_key_file=$work/key" -var "iso_checksum=$none" -var "disk_checksum=$none" \
    -var "virtualbox_source=$work/machine.ovf" -var "vmware_source=$work/machine.vmx" "$@" "$folder"
}

for file in "$folder"/targets/*.pkrvars.hcl; do validate "$file"; done

validate "$folder/targets/debian-12-amd64.pkrvars.hcl" \
  -var "scripts_before=[\"$work/hook.sh\"]" -var "scripts_after=[\"$work/hook.sh\"]" \
  -var "puppet_manifest=$work/site.pp" -var "puppet_modules=[\"$work\"]" \
  -var 'chef_run_list=["recipe[web]"]' -var "chef_cookbooks=[\"$work\"]"
