#!/bin/sh
# Installs what `make demo` and `make test` need on Debian 12, and starts Docker if it does not answer.
# Says each step; does nothing that is done already. Root, or a user with sudo.
#   scripts/setup.sh [--browser | --vagrant]
#     --browser: also Chromium, for the tests of the page of a fleet; 100 MB to fetch
#     --vagrant: also what `goldsmith up` needs, for `make test-all`: 100 packages more
set -eu
cd "$(dirname "$0")/.."

say() { printf '\033[1m==>\033[0m %s\n' "$*"; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

# 1. Debian packages: the commands that we call, and the package that brings each.
missing=
need() { command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || missing="$missing $2"; }
need dockerd docker.io
need git git
need ip iproute2
need iptables iptables
need mke2fs e2fsprogs
need mmdebstrap mmdebstrap
need mksquashfs squashfs-tools
need packer packer
need ssh openssh-client
need ps procps
need setpriv util-linux
need python3 python3
need shellcheck shellcheck
python3 -c 'import ensurepip, venv' 2>/dev/null || missing="$missing python3-venv"
need qemu-img qemu-utils
need qemu-system-x86_64 qemu-system-x86
need skopeo skopeo
need zstd zstd
[ -e /usr/share/OVMF/OVMF_CODE_4M.fd ] || missing="$missing ovmf"
if [ "${1:-}" = --browser ]; then
  need chromium chromium
  need fc-match fontconfig
  fc-list 2>/dev/null | grep -q . || missing="$missing fonts-dejavu-core"
fi
if [ "${1:-}" = --vagrant ]; then
  need dnsmasq dnsmasq-base
  need docker-compose docker-compose
  need libvirtd libvirt-daemon-system
  need vagrant vagrant
  need virsh libvirt-clients
  dpkg --status vagrant-libvirt >/dev/null 2>&1 || missing="$missing vagrant-libvirt"
  # Without it libvirt would bring a systemd that does not run here.
  [ "$(cat /proc/1/comm)" = systemd ] || command -v libvirtd >/dev/null || missing="$missing libvirt-daemon-system-sysv"
fi
if [ -n "$missing" ]; then
  say "apt-get install$missing"
  as_root apt-get update -qq
  # shellcheck disable=SC2086 # a list of words
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
else
  say "Debian packages: all there"
fi

# 2. Python: .venv with exactly the versions of requirements.lock, and Goldsmith itself from this clone.
wanted=$(cat requirements.lock pyproject.toml scripts/setup.sh | sha256sum | cut -d' ' -f1)
if [ "$(cat .venv/installed 2>/dev/null)" = "$wanted" ]; then
  say ".venv: up to date"
else
  say ".venv: installing requirements.lock (about a minute)"
  [ -x .venv/bin/python ] || python3 -m venv .venv
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
  # The clone is the installed collection, from whatever folder the commands of .venv run.
  collections=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/ansible_collections
  mkdir -p "$collections/goldsmith"
  ln -sfn "$PWD" "$collections/goldsmith/core"
  echo "$wanted" >.venv/installed
fi

# 3. Docker.
if as_root docker version >/dev/null 2>&1; then
  say "Docker: answers"
else
  if [ "$(cat /proc/1/comm)" = systemd ]; then
    say "Docker: systemctl start docker"
    as_root systemctl start docker
  else
    say "Docker: starting dockerd (log: .cache/dockerd.log; make clean stops it)"
    mkdir -p .cache
    # A daemon that was killed leaves these; the number may be another process's by now.
    for file in /var/run/docker.pid /var/run/docker/containerd/containerd.pid; do
      pid=$(as_root cat "$file" 2>/dev/null || :)
      case $(cat "/proc/${pid:-none}/comm" 2>/dev/null) in
        dockerd | containerd) ;;
        *) as_root rm -f "$file" ;;
      esac
    done
    # In parentheses: a redirected function would hand down this script's own output, and `make demo | tee` never end.
    (as_root setsid sh -c 'echo $$ >.cache/dockerd.pid; exec dockerd') >.cache/dockerd.log 2>&1 </dev/null &
  fi
  tries=0
  until as_root docker version >/dev/null 2>&1; do
    tries=$((tries + 1))
    if [ $tries -gt 120 ]; then
      echo "Docker does not answer after 60 s; see .cache/dockerd.log or journalctl -u docker" >&2
      exit 5
    fi
    sleep 0.5
  done
fi
if ! docker version >/dev/null 2>&1 && ! id -nG "$(id -un)" | grep -qw docker; then
  say "adding $(id -un) to the group docker, which may use Docker without sudo"
  as_root usermod -aG docker "$(id -un)"
fi

# 4. libvirt.
[ "${1:-}" = --vagrant ] || exit 0
if as_root virsh --connect qemu:///system list >/dev/null 2>&1; then
  say "libvirt: answers"
elif [ "$(cat /proc/1/comm)" = systemd ]; then
  say "libvirt: systemctl start libvirtd"
  as_root systemctl start libvirtd
else
  say "libvirt: starting libvirtd and virtlogd (make clean stops them)"
  mkdir -p .cache
  for daemon in virtlogd libvirtd; do as_root "$daemon" --daemon --pid-file "$PWD/.cache/$daemon.pid"; done
fi
if ! virsh --connect qemu:///system list >/dev/null 2>&1 && ! id -nG "$(id -un)" | grep -qw libvirt; then
  say "adding $(id -un) to the group libvirt, which may use libvirt without sudo"
  as_root usermod -aG libvirt "$(id -un)"
fi
