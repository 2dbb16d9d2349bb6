# The reference definition on Debian 12, from this clone:
#   packer/base-image.sh debian:bookworm goldsmith/base:debian-bookworm
#   packer build -var-file=packer/targets/debian-12-amd64.pkrvars.hcl packer/
name       = "web"
base_image = "goldsmith/base:debian-bookworm"
groups     = ["web"]
inventory  = "examples/web/inventory"
