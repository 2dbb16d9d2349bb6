#!/usr/bin/env bash
# Validates the template: every target, with every file in packer/targets. Nothing is fetched, started or paid for.
#   scripts/validate-targets.sh [FOLDER]    FOLDER holds the template; by default packer
set -euo pipefail
folder=${1:-packer}

work=$(mktemp -d "${TMPDIR:-/tmp}/goldsmith-validate.XXXXXX")
trap 'rm -rf "$work"' EXIT

# The template asks for Ansible's version once for each target. It is asked once here, and the answer repeated.
ansible-playbook --version >"$work/version"
printf '#!/bin/sh\ncat "%s"\n' "$work/version" >"$work/ansible-playbook"
chmod +x "$work/ansible-playbook"
export PATH="$work:$PATH" DIGITALOCEAN_API_TOKEN=none

# What a user has: a key, and machines to start from. A checksum that is a URL would be fetched.
ssh-keygen -q -t ed25519 -N '' -C '' -f "$work/key"
touch "$work/machine.ovf" "$work/machine.vmx"
none=sha256:$(printf '%064d' 0)

for file in "$folder"/targets/*.pkrvars.hcl; do
  # What has no machine of that architecture, and is refused: tests/unit/test_packer.py.
  case $file in
    *-arm64.pkrvars.hcl) without=virtualbox-iso.image,hyperv-iso.image,digitalocean.image ;;
    *) without= ;;
  esac
  packer validate -except="$without" -var-file="$file" \
    -var "ssh_private_key_file=$work/key" -var "iso_checksum=$none" -var "disk_checksum=$none" \
    -var "virtualbox_source=$work/machine.ovf" -var "vmware_source=$work/machine.vmx" "$folder"
done
