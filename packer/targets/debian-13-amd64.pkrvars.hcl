# The reference definition on Debian 13, amd64; run from this clone:
#   packer/base-image.sh debian:trixie goldsmith/base:debian-trixie
#   packer build -only=docker.image -var-file=packer/targets/debian-13-amd64.pkrvars.hcl packer/
name               = "web"
groups             = ["web"]
inventory          = "examples/web/inventory"
base_image         = "goldsmith/base:debian-trixie"
architecture       = "amd64"
iso_url            = "https://cdimage.debian.org/cdimage/archive/13.1.0/amd64/iso-cd/debian-13.1.0-amd64-netinst.iso"
iso_checksum       = "file:https://cdimage.debian.org/cdimage/archive/13.1.0/amd64/iso-cd/SHA256SUMS"
disk_url           = "https://cloud.debian.org/images/cloud/trixie/latest/debian-13-genericcloud-amd64.qcow2"
disk_checksum      = "file:https://cloud.debian.org/images/cloud/trixie/latest/SHA512SUMS"
amazon_image       = "debian-13-amd64-*"
digitalocean_image = "debian-13-x64"
