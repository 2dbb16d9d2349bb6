# The reference definition on Debian 12, arm64; run from this clone:
#   packer/base-image.sh debian:bookworm goldsmith/base:debian-bookworm
#   packer build -only=docker.image -var-file=packer/targets/debian-12-arm64.pkrvars.hcl packer/
name          = "web"
groups        = ["web"]
inventory     = "examples/web/inventory"
base_image    = "goldsmith/base:debian-bookworm"
architecture  = "arm64"
iso_url       = "https://cdimage.debian.org/cdimage/archive/12.11.0/arm64/iso-cd/debian-12.11.0-arm64-netinst.iso"
iso_checksum  = "file:https://cdimage.debian.org/cdimage/archive/12.11.0/arm64/iso-cd/SHA256SUMS"
disk_url      = "https://cloud.debian.org/images/cloud/bookworm/latest/debian-12-genericcloud-arm64.qcow2"
disk_checksum = "file:https://cloud.debian.org/images/cloud/bookworm/latest/SHA512SUMS"
amazon_image  = "debian-12-arm64-*"
