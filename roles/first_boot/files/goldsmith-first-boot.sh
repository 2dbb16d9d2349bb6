#!/bin/sh
# Makes what makes this machine its own, where it is missing. Laid down by Goldsmith on images and on live hosts alike.
#
#   goldsmith-first-boot           make what is missing, and name it
#   goldsmith-first-boot --check   change nothing, only name
#   goldsmith-first-boot named     whether the host name is of this program's making: exit 0 or 1
#   goldsmith-first-boot renew     for a copy of another machine: forget what is that machine's
set -eu

PATH=/usr/sbin:/usr/bin:/sbin:/bin
host_key_types='' hostname='' hostname_instead_of=''
# shellcheck source=/dev/null # the role writes it
. /etc/goldsmith/first-boot.conf
check=

say() { printf '%s\n' "$*"; }

# The name that the pattern gives. Not the machine id itself, which is nobody's business.
own_name() {
  number=$(systemd-id128 machine-id --app-specific=5b0c4c7e2f1d4d0a9d53a1d7c3f6e8b2) || return 1
  digits=$(printf %s "$hostname" | sed -n 's/.*{machine_id:\([0-9]*\)}.*/\1/p')
  start=${hostname%%\{*} end=${hostname#*\}}
  if [ -n "$digits" ]; then printf '%s%.*s%s\n' "$start" "$digits" "$number" "$end"; else say "$hostname"; fi
}

# What the kernel says is the name that anybody gave: a file, the kernel's command line, a cloud, a network.
make_hostname() {
  [ -n "$hostname" ] || return 0
  now=$(uname -n)
  given=1
  for name in '' '(none)' localhost $hostname_instead_of; do
    if [ "$now" = "$name" ]; then given=; fi
  done
  [ -z "$given" ] || return 0
  # Without a name the machine is reached, without host keys it is not: those come next.
  own=$(own_name) || { echo "goldsmith-first-boot: no machine id to make a name from" >&2; return 0; }
  [ "$now" != "$own" ] || return 0
  say "hostname $own"
  [ -z "$check" ] || return 0
  printf '%s\n' "$own" >/etc/hostname
  hostname "$own"
}

named() {
  [ -n "$hostname" ] && [ -s /etc/hostname ] && [ "$(cat /etc/hostname)" = "$(own_name)" ]
}

# A key is whole when it gets its name.
make_host_keys() {
  [ -x /usr/sbin/sshd ] || return 0
  for type in $host_key_types; do
    key=/etc/ssh/ssh_host_${type}_key
    [ ! -s "$key" ] || continue
    say "host key $key"
    [ -z "$check" ] || continue
    rm -f "$key.new" "$key.new.pub"
    ssh-keygen -q -t "$type" -N '' -f "$key.new"
    sync "$key.new" "$key.new.pub"
    mv "$key.new.pub" "$key.pub"
    mv "$key.new" "$key"
  done
}

# The machine id is systemd's to make. D-Bus looks at its own copy first, and a copy does not follow.
link_machine_id() {
  link=/var/lib/dbus/machine-id
  [ -d /var/lib/dbus ] || return 0
  [ "$(readlink "$link")" != /etc/machine-id ] || return 0
  say "link $link"
  [ -z "$check" ] || return 0
  ln -sfn /etc/machine-id "$link.new"
  mv -T "$link.new" "$link"
}

renew() {
  if named; then : >/etc/hostname; fi
  rm -f /etc/ssh/ssh_host_*_key /etc/ssh/ssh_host_*_key.pub /var/lib/systemd/random-seed /var/lib/dhcp/*.leases
  : >/etc/machine-id
  say "Restart this machine now: it then makes a machine id and host keys of its own."
}

case "$#${1:-}" in
  0) ;;
  1--check) check=1 ;;
  1named) named; exit ;;
  1renew) renew; exit ;;
  *) sed -n '4,7s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
make_hostname
make_host_keys
link_machine_id
