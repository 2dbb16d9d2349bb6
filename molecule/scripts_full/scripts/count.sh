#!/bin/sh
echo run >>"/run/example-$1"
[ ! -e "/var/lib/example/$1" ] || exit 0
touch "/var/lib/example/$1"
echo "made $1"
exit 3
