#!/bin/sh
# Takes out of a machine what must not be in an image of it. Names each path that it empties or removes, and nothing
# if there is nothing to do.
#
#   seal.sh [--check] [--keep-package-lists] [--keep-data] [ACCOUNT...]
#
# --check    change nothing, only name
# ACCOUNT    whose authorized keys go
# SEAL_ROOT  the root of the machine; by default /
set -eu

root=${SEAL_ROOT:-}
check='' keep_lists='' keep_data=''
while [ $# -gt 0 ]; do
  case $1 in
    --check) check=1 ;;
    --keep-package-lists) keep_lists=1 ;;
    --keep-data) keep_data=1 ;;
    -*) echo "seal.sh: unknown option $1" >&2; exit 2 ;;
    *) break ;;
  esac
  shift
done

# Each takes paths; a pattern that matched nothing is no path.
remove() {
  for path; do
    [ -e "$path" ] || [ -L "$path" ] || continue
    echo "removed ${path#"$root"}"
    [ -n "$check" ] || rm -rf "$path"
  done
}
empty() {
  for path; do
    if [ ! -f "$path" ] || [ -L "$path" ] || [ ! -s "$path" ]; then continue; fi
    echo "emptied ${path#"$root"}"
    [ -n "$check" ] || : >"$path"
  done
}

# Host keys. Without the unit a machine that boots this image would have no SSH daemon.
set_keys() {
  for path in "$root"/etc/ssh/ssh_host_*_key "$root"/etc/ssh/ssh_host_*_key.pub; do
    [ -e "$path" ] && return 0
  done
  return 1
}
if set_keys; then
  wants=$root/etc/systemd/system/multi-user.target.wants/goldsmith-first-boot.service
  # A link to a path of the machine, which need not be there when it is looked at from outside.
  if { [ ! -e "$wants" ] && [ ! -L "$wants" ]; } || [ ! -x "$root/usr/local/sbin/goldsmith-first-boot" ]; then
    echo "seal.sh: host keys are here, but goldsmith-first-boot.service is not enabled, and nothing else would make" \
      "new ones: apply the role first_boot before seal" >&2
    exit 1
  fi
  remove "$root"/etc/ssh/ssh_host_*_key "$root"/etc/ssh/ssh_host_*_key.pub
fi

# Keys of the builder.
for account; do
  home=$(awk -F: -v name="$account" '$1 == name { print $6 }' "$root/etc/passwd")
  [ -n "$home" ] || { echo "seal.sh: there is no account $account" >&2; exit 1; }
  remove "$root$home/.ssh/authorized_keys" "$root$home/.ssh/authorized_keys2"
done

# Cloud-init must see a first boot. It removes its logs itself.
if [ -d "$root/var/lib/cloud/instances" ] && [ -n "$(ls -A "$root/var/lib/cloud/instances")" ]; then
  echo "cleaned cloud-init"
  if [ -z "$check" ]; then
    if [ -z "$root" ]; then cloud-init clean --logs; else rm -rf "$root/var/lib/cloud/instances" "$root/var/lib/cloud/instance"; fi
  fi
fi

# A running server would write again what is taken from under it.
stop() {
  if [ -z "$root$check" ] && [ -d /run/systemd/system ]; then systemctl stop "$@" 2>/dev/null || :; fi
}

# What Docker works with, its engine's key and id among it.
if [ -z "$root$check" ] && [ -d /var/lib/docker ] && [ -d /run/systemd/system ]; then
  docker ps --all --quiet 2>/dev/null | xargs --no-run-if-empty docker rm --force >/dev/null
  for unit in docker.socket docker.service containerd.service; do stop "$unit"; done
fi
remove "$root"/etc/docker/key.json "$root"/var/lib/docker/* "$root"/var/lib/containerd/*

# Data of databases, and Debian's self-signed certificate, where a unit makes them anew.
enabled() { [ -e "$root/etc/systemd/system/$1" ] || [ -L "$root/etc/systemd/system/$1" ]; }
if [ -z "$keep_data" ] && enabled postgresql.service.wants/goldsmith-postgresql.service; then
  stop 'postgresql@*.service' postgresql.service
  for mark in "$root"/var/lib/goldsmith/postgresql-*-main; do
    [ -e "$mark" ] || continue
    version=${mark##*/postgresql-} version=${version%-main}
    remove "$root/var/lib/postgresql/$version/main" "$mark"
  done
  remove "$root/etc/ssl/private/ssl-cert-snakeoil.key" "$root/etc/ssl/certs/ssl-cert-snakeoil.pem"
fi
if [ -z "$keep_data" ] && enabled redis-server.service.d/goldsmith.conf; then
  stop redis-server.service
  remove "$root/var/lib/redis/dump.rdb" "$root"/var/lib/redis/appendonlydir*
fi

# What programs wrote while the machine was made.
remove "$root"/var/cache/apt/archives/*.deb "$root"/var/cache/apt/archives/partial/* "$root"/var/cache/apt/*.bin
[ -n "$keep_lists" ] || remove "$root"/var/lib/apt/lists/*
remove "$root"/var/lib/dhcp/*.leases "$root"/var/lib/dhcpcd/*.lease "$root"/var/lib/NetworkManager/*.lease
# A service's private folder is found there under the name of this boot; no later boot uses it.
remove "$root"/var/tmp/systemd-private-*
remove "$root"/var/lib/systemd/random-seed "$root"/var/lib/systemd/credential.secret
# While Ansible runs this script, it lies in a folder that Ansible made for it: that alone is not worth a word.
here=$(dirname "$0")
for home in "$root/root" "$root"/home/*; do
  remove "$home"/.*_history "$home/.lesshst" "$home/.viminfo" "$home/.wget-hsts" "$home/.cache/pip"
  [ -d "$home/.ansible" ] || continue
  others=$(find "$home/.ansible" -mindepth 1 ! -path "$home/.ansible/tmp" ! -path "$here" ! -path "$here/*" | head -n 1)
  if [ -n "$others" ]; then
    remove "$home/.ansible"
  elif [ -z "$check" ]; then
    rm -rf "$home/.ansible"
  fi
done

# The journal lets go of its files before they are removed.
if [ -z "$root$check" ] && [ -d /var/log/journal ] && [ -d /run/systemd/system ]; then
  journalctl --relinquish-var 2>/dev/null || :
fi
remove "$root"/var/log/journal/*
old='-name *.gz -o -name *.[0-9] -o -name *.old'
set -f
# shellcheck disable=SC2086  # the words of the expression are wanted apart
find "$root/var/log" -type f \( $old \) | sort | while read -r path; do remove "$path"; done
# shellcheck disable=SC2086
find "$root/var/log" -type f -size +0 ! \( $old -o -path '*/journal/*' \) | sort | while read -r path; do empty "$path"; done
set +f
# Messages that wait to be sent would be sent by every machine.
find "$root/var/spool/rsyslog" -type f 2>/dev/null | sort | while read -r path; do remove "$path"; done

# A name that the machine made for itself would be every machine's.
if [ -z "$root" ] && [ -x /usr/local/sbin/goldsmith-first-boot ] && /usr/local/sbin/goldsmith-first-boot named; then
  empty /etc/hostname
fi

# The identity. The file stays, empty: with none at all systemd would take the image for one that was never set up.
empty "$root/etc/machine-id"
if [ ! -L "$root/var/lib/dbus/machine-id" ]; then remove "$root/var/lib/dbus/machine-id"; fi
