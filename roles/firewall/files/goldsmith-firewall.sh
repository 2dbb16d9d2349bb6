#!/bin/sh
# Puts rules in force on trial. Laid down by Goldsmith on images and on live hosts alike.
#
#   goldsmith-firewall in-force            whether the rules are in force, and are those of the next boot: exit 0 or 1
#   goldsmith-firewall try SECONDS [FILE]  load them; take them back after this time
#   goldsmith-firewall keep                do not take them back, and load them at every boot
#   goldsmith-firewall back                take them back now
set -eu

rules=/etc/goldsmith/firewall.nft
at_boot=/etc/nftables.conf
state=/run/goldsmith-firewall
unit=goldsmith-firewall-back
PATH=/usr/sbin:/usr/bin:/sbin:/bin

die() { echo "goldsmith-firewall: $*" >&2; exit 2; }

# The table's comment holds the digest of the rules that it was made from.
name_of() { sed -n 's/^[[:space:]]*comment "\(goldsmith [0-9a-f]*\)"$/\1/p' "$1" | head -n 1; }

loaded() { nft list table inet goldsmith 2>/dev/null | grep -qF "comment \"$(name_of "$1")\""; }

in_force() { [ -e "$rules" ] && cmp -s "$rules" "$at_boot" && loaded "$rules"; }

try() {
  seconds=$1 file=${2:-$rules}
  [ ! -e "$state/file" ] || die "a trial is going on; keep it, or take it back"
  install -d -m 0700 "$state"
  {
    printf 'table inet goldsmith\ndelete table inet goldsmith\n'
    nft list table inet goldsmith 2>/dev/null || :
  } >"$state/former.nft"
  printf '%s\n' "$file" >"$state/file"
  # The way back is there before the rules are.
  systemd-run --quiet --collect --unit="$unit" --on-active="$seconds" --timer-property=AccuracySec=1s "$0" back || {
    rm -rf "$state"
    die "cannot arrange the way back; nothing was changed"
  }
  nft -f "$file" || { back; die "nft refuses $file; nothing was changed"; }
}

keep() {
  [ -e "$state/file" ] || die "no trial is going on; the rules were taken back"
  file=$(cat "$state/file")
  systemctl stop "$unit.timer" "$unit.service" 2>/dev/null || :
  loaded "$file" || { rm -rf "$state"; die "the rules were taken back"; }
  install -m 0644 "$file" "$at_boot.new"
  mv "$at_boot.new" "$at_boot"
  rm -rf "$state"
}

back() {
  [ -e "$state/former.nft" ] || die "no trial is going on"
  nft -f "$state/former.nft"
  rm -rf "$state"
  systemctl stop "$unit.timer" 2>/dev/null || :
}

case "${1:-} $#" in
  "in-force 1") in_force ;;
  "try 2" | "try 3") shift; try "$@" ;;
  "keep 1") keep ;;
  "back 1") back ;;
  *) sed -n '4,7s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
