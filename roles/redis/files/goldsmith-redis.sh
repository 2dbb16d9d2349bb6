#!/bin/sh
# What must happen around Redis. Laid down by Goldsmith on images and on live hosts alike.
#
#   goldsmith-redis test FILE        is this configuration sound? A server that nobody reaches says so
#   goldsmith-redis carry-over FILE  before the start: have the data in the form that this configuration reads
#
# Redis reads either the log or the snapshot, and takes a missing log for no data: without the second command, data
# would be gone after a start with the other setting.
set -eu

PATH=/usr/sbin:/usr/bin:/sbin:/bin
data=/var/lib/redis
die() { echo "goldsmith-redis: $*" >&2; exit 1; }

work=$(mktemp -d /tmp/goldsmith-redis.XXXXXX)
pid=
finish() {
  if [ -n "$pid" ]; then kill "$pid" 2>/dev/null || :; wait "$pid" 2>/dev/null || :; fi
  rm -rf "$work"
}
trap finish EXIT
chown redis:redis "$work"

# What Redis said. It repeats lines that it refuses: of these the setting's name is enough, for values may be secret, and
# of a user's rules what is no password.
said() { sed -E "s/^(>>> '[^ ']*) .*/\1 ...'/; s/^(Error in user declaration ')[<>#!][^']*'/\1...'/" "$work/log"; }

ask() { redis-cli -s "$work/socket" "$@" 2>&1; }

# Starts a server of our own, which is reached by its socket only, and waits until it has read what it reads.
serve() {
  runuser -u redis -- redis-server "$@" --port 0 --unixsocket "$work/socket" --unixsocketperm 700 --daemonize no \
    --supervised no --pidfile "$work/pid" --logfile "" >"$work/log" 2>&1 &
  pid=$!
  until ask ping | grep -qE '^(PONG|NOAUTH)'; do
    if ! kill -0 "$pid" 2>/dev/null; then pid=; said >&2; die "Redis refuses this"; fi
    sleep 0.1
  done
}

case "${1:-} $#" in
  "test 2")
    install -o redis -g redis -m 0600 "$2" "$work/candidate"
    serve "$work/candidate" --dir "$work" --save "" --appendonly no
    ;;
  "carry-over 2")
    log=$data/appendonlydir
    logged=
    for path in "$log"/*.manifest; do [ ! -e "$path" ] || logged=1; done
    case "$(sed -n 's/^appendonly //p' "$2" | tail -n 1)$logged" in
      yes)
        [ -e "$data/dump.rdb" ] || exit 0
        serve --dir "$data" --save "" --appendonly no
        ask config set appendonly yes >/dev/null
        until ask info persistence | tr -d '\r' | grep -qx 'aof_rewrite_in_progress:0' &&
              ask info persistence | tr -d '\r' | grep -qx 'aof_rewrite_scheduled:0'; do sleep 0.1; done
        ask info persistence | tr -d '\r' | grep -qx 'aof_last_bgrewrite_status:ok' || die "cannot write the log"
        ;;
      no1)
        serve --dir "$data" --save "" --appendonly yes
        [ "$(ask save)" = OK ] || die "cannot write the snapshot"
        kill "$pid"; wait "$pid" || :; pid=
        rm -rf "$log.former"
        mv "$log" "$log.former"
        ;;
    esac
    ;;
  *) sed -n '4,5s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
