#!/bin/sh
# Puts rules in force on trial. Laid down by Goldsmith on images and on live hosts alike.
#
#   goldsmith-firewall in-force            whether the rules are in force, and are those of the next boot: exit 0 or 1
#   goldsmith-firewall try SECONDS [FILE]  load them; take them back after this time
#   goldsmith-firewall keep                do not take them back, and load them at every boot
#   goldsmith-firewall back                take them back now
set -eu

PATH=/usr/sbin:/usr/bin:/sbin:/bin
rules=/etc/goldsmith/firewall.nft
kept=/etc/goldsmith/firewall-at-boot.nft
told=/etc/goldsmith/firewall-in-force.nft
packaged=/etc/nftables.conf
at_boot=$(readlink -f "$packaged")
line="include \"$kept\""
state=/run/goldsmith-firewall
unit=goldsmith-firewall-back

die() { echo "goldsmith-firewall: $*" >&2; exit 2; }

# The table's comment holds the digest of the rules that it was made from.
name_of() { sed -n 's/^[[:space:]]*comment "\(goldsmith [0-9a-f]*\)"$/\1/p' "$1" | head -n 1; }

loaded() { nft list table inet goldsmith 2>/dev/null | grep -qF "comment \"$(name_of "$1")\""; }

# The table as the kernel has it, without what it counts and what sets learn from traffic.
listed() { nft --stateless --terse list table inet goldsmith 2>/dev/null; }

# Whether the table is what it was when it was kept: a rule by hand leaves the comment as it is.
untouched() { listed | cmp -s - "$told"; }

runs() { systemctl --quiet is-active nftables.service; }

# Whether the service loads what is kept, and nothing after that takes it away again.
included() {
  awk -v line="$line" '/^[[:space:]]*flush ruleset/ { last = 0 } $0 == line { last = 1 } END { exit !last }' \
    "$at_boot" 2>/dev/null
}

in_force() { [ -e "$rules" ] && cmp -s "$rules" "$kept" && included && loaded "$rules" && untouched && runs; }

# What people wrote into the file that the service loads. As Debian's package brings it, there is nothing of theirs in
# it, but a flush that would remove the tables of others. Former releases of this role wrote their whole table there.
theirs() {
  [ -e "$at_boot" ] || return 0
  digest=$(md5sum <"$at_boot")
  ! dpkg-query --show --showformat='${Conffiles}\n' nftables | grep -qF " $packaged ${digest%% *}" || return 0
  text=$(grep -vxF "$line" "$at_boot" || :)
  if printf '%s\n' "$text" | grep -qx 'table inet goldsmith'; then
    text=$(printf '%s\n' "$text" | sed '/^table inet goldsmith$/,/^}$/d')
    printf '%s\n' "$text" | grep -qv '^[[:space:]]*\(#.*\)\{0,1\}$' || return 0
  fi
  printf '%s\n' "$text"
}

include() {
  ! included || return 0
  text=$(theirs)
  if [ -n "$text" ]; then
    cp -p "$at_boot" "$at_boot.new"
  else
    install -m 0644 /dev/null "$at_boot.new"
    text=$(printf '#!/usr/sbin/nft -f\n# What you write here stays, and is loaded together with the rules of Goldsmith.')
  fi
  printf '%s\n%s\n' "$text" "$line" >"$at_boot.new"
  mv "$at_boot.new" "$at_boot"
}

try() {
  seconds=$1 file=${2:-$rules}
  [ ! -e "$state/file" ] || die "a trial is going on; keep it, or take it back"
  install -d -m 0700 "$state"
  {
    printf 'table inet goldsmith\ndelete table inet goldsmith\n'
    nft list table inet goldsmith 2>/dev/null || :
  } >"$state/former.nft"
  # Both are one step at a boot: if nft refused what people wrote, there would be no rules at all.
  theirs >"$state/new.nft"
  cat "$file" >>"$state/new.nft"
  nft -c -f "$state/new.nft" || { rm -rf "$state"; die "nft refuses $file together with $at_boot; nothing was changed"; }
  # Where the service does not run, what people wrote is about to be loaded too. So it is on trial as well.
  ! runs || cat "$file" >"$state/new.nft"
  nft list tables >"$state/tables"
  printf '%s\n' "$file" >"$state/file"
  # The way back is there before the rules are.
  systemd-run --quiet --collect --unit="$unit" --on-active="$seconds" --timer-property=AccuracySec=1s "$0" back || {
    rm -rf "$state"
    die "cannot arrange the way back; nothing was changed"
  }
  nft -f "$state/new.nft" || { back; die "nft refuses $file; nothing was changed"; }
  nft list tables | grep -vxF -e 'table inet goldsmith' -f "$state/tables" | sed 's/.*/&\ndelete &/' >>"$state/former.nft"
}

keep() {
  [ -e "$state/file" ] || die "no trial is going on; the rules were taken back"
  file=$(cat "$state/file")
  systemctl stop "$unit.timer" "$unit.service" 2>/dev/null || :
  loaded "$file" || { rm -rf "$state"; die "the rules were taken back"; }
  install -m 0644 /dev/null "$told.new"
  listed >"$told.new"
  mv "$told.new" "$told"
  install -m 0644 "$file" "$kept.new"
  mv "$kept.new" "$kept"
  include
  rm -rf "$state"
}

back() {
  [ -e "$state/former.nft" ] || die "no trial is going on"
  nft -f "$state/former.nft"
  rm -rf "$state"
  systemctl stop "$unit.timer" 2>/dev/null || :
}

case "${1:-} $#" in
  "in-force 1") in_force || exit 1 ;;
  "try 2" | "try 3") shift; try "$@" ;;
  "keep 1") keep ;;
  "back 1") back ;;
  *) sed -n '4,7s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
