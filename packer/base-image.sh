#!/bin/sh
# Makes a machine of a base image: systemd as PID 1, Python for Ansible, sshd, sudo.
#
#   packer/base-image.sh [--pull] IMAGE TAG
#   packer/base-image.sh --disk IMAGE TAG
#
# IMAGE  where to start, e.g. debian:bookworm
# TAG    the name that the result gets, e.g. goldsmith/base:debian-bookworm
# --pull look for a newer IMAGE and prepare it again, even if TAG is there
# --disk of such a result make what a disk is made of: with kernel, boot loader, DHCP, cloud-init, host keys; and
#        TAG-tools, in which disks are put together
#
# It pulls IMAGE. Where no registry answers and IMAGE is debian:SUITE, it makes the same
# system with mmdebstrap from Debian's archive and says so. Exit: 0 made or there already, 1 failed, 2 usage.
set -eu

packages="ca-certificates dbus iproute2 openssh-server python3 python3-apt sudo systemd systemd-sysv"
disk_packages="cloud-guest-utils cloud-init e2fsprogs systemd-resolved udev"
# Every card of a real or virtual machine, and no end of a container's cable.
network="[Match] Type=ether 'Kind=!*' '' [Network] DHCP=yes"
# A definition may have something better (first_boot, cloud-init): this comes after it, and finds nothing to do then.
host_keys="[Unit] 'Description=Make host keys where there are none' 'ConditionPathExistsGlob=!/etc/ssh/ssh_host_*_key' \
  'After=cloud-init.service goldsmith-first-boot.service' Before=ssh.service '' \
  [Service] Type=oneshot 'ExecStart=/usr/bin/ssh-keygen -A' '' [Install] WantedBy=ssh.service"
# A base belongs to no machine: what makes a machine its own is made at its first boot.
unmake="rm -f /etc/ssh/ssh_host_*_key /etc/ssh/ssh_host_*_key.pub /var/lib/dbus/machine-id && : > /etc/machine-id"
unmake="$unmake && find /var/log -type f -exec truncate --size=0 {} +"

config='ENV container=docker
STOPSIGNAL SIGRTMIN+3
LABEL org.goldsmith.owner=base
CMD ["/lib/systemd/systemd"]'

say() { printf 'base-image: %s\n' "$*" >&2; }

# The tag, of the Dockerfile on standard input.
make_tag() {
  docker build --quiet --force-rm --tag "$tag" - >"$work/build.log" 2>&1 && return
  cat "$work/build.log" >&2
  say "cannot prepare $image: it must be a Debian whose package archive answers"
  exit 1
}

usage() { sed -n '2,14s/^# \{0,1\}//p' "$0" >&2; exit 2; }

pull='' disk=''
case ${1:-} in
  --pull) pull=1; shift ;;
  --disk) disk=1; shift ;;
esac
[ $# -eq 2 ] || usage
image=$1 tag=$2

work=$(mktemp -d "${TMPDIR:-/tmp}/goldsmith-base.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

if [ -z "$pull" ] && docker image inspect "$tag" >/dev/null 2>&1; then
  say "$tag is there (--pull makes it again)"
  exit 0
fi

if [ -n "$disk" ]; then
  say "adding a kernel and a boot loader to $image"
  make_tag <<EOF
FROM $image
RUN printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d && chmod 755 /usr/sbin/policy-rc.d \\
 && apt-get update \\
 && architecture=\$(dpkg --print-architecture) \\
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $disk_packages \\
    linux-image-\$architecture grub-cloud-\$architecture \\
 && apt-get clean && rm -rf /var/lib/apt/lists/* /usr/sbin/policy-rc.d && $unmake \\
 && printf '%s\n' $network > /etc/systemd/network/80-dhcp.network && systemctl enable systemd-networkd.service \\
 && printf '%s\n' $host_keys > /etc/systemd/system/ssh-host-keys.service && systemctl enable ssh-host-keys.service
EOF
  image=$tag tag=$tag-tools
  make_tag <<EOF
FROM $image
RUN apt-get update && apt-get install -y --no-install-recommends mtools
EOF
  say "$image is ready"
  exit 0
fi

have=
if [ -z "$pull" ] && docker image inspect "$image" >/dev/null 2>&1; then
  say "$image is on this machine"
  have=1
elif say "docker pull $image" && timeout 600 docker pull "$image" >"$work/pull.log" 2>&1; then
  have=1
fi

if [ -n "$have" ]; then
  say "adding systemd, Python and sshd to $image"
  # Services must not start while packages are laid down in a build step that has no init.
  make_tag <<EOF
FROM $image
RUN printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d && chmod 755 /usr/sbin/policy-rc.d \\
 && apt-get update \\
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $packages \\
 && apt-get clean && rm -rf /var/lib/apt/lists/* /usr/sbin/policy-rc.d && $unmake
$config
EOF
else
  reason=$(tail -n 1 "$work/pull.log")
  case $image in
    debian:*) suite=${image#debian:} ;;
    *) say "only debian:SUITE can be made without a registry; cannot pull $image: $reason"; exit 1 ;;
  esac
  command -v mmdebstrap >/dev/null || {
    say "cannot pull $image: $reason; to make it here: apt-get install mmdebstrap"
    exit 1
  }
  say "cannot pull it: $reason"
  say "making Debian $suite with mmdebstrap instead"
  # A user with sudo needs no more; without it mmdebstrap makes do with what the package uidmap allows.
  sudo=
  if [ "$(id -u)" != 0 ] && sudo -n true 2>/dev/null; then sudo=sudo; fi
  # shellcheck disable=SC2016 # it is the hook's own shell that knows $1, the new tree
  $sudo mmdebstrap --quiet --variant=minbase --include="$(echo "$packages" | tr ' ' ,)" \
    --customize-hook="chroot \"\$1\" sh -c '$unmake'" \
    --customize-hook='rm -f "$1/etc/hostname" "$1/etc/resolv.conf"' \
    --customize-hook='rm -rf "$1"/var/lib/apt/lists/*' \
    "$suite" "$work/rootfs.tar" 2>"$work/mmdebstrap.log" || {
    cat "$work/mmdebstrap.log" >&2
    say "mmdebstrap failed: $(tail -n 1 "$work/mmdebstrap.log")"
    exit 1
  }
  id=$(docker import "$work/rootfs.tar")
  printf 'FROM %s\n%s\n' "$id" "$config" | make_tag
fi
say "$tag is ready"
