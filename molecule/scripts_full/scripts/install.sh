#!/bin/bash
set -euo pipefail
. lib/say.sh
{
  say "license" "$(printf %s "$LICENSE" | sha256sum | cut -d' ' -f1)"
  say verbose "$VERBOSE"
  say arguments "$1|$2"
  say environment "$(env | cut -d= -f1 | grep -vE '^(_|SHLVL|OLDPWD|.*_(proxy|PROXY))$' | sort | paste -sd' ')"
  say folder "${PWD%-*}"
  say mode "$(stat -c %a:%U .)"
  say umask "$(umask)"
  say input "$(wc -c)"
  say shell "${BASH_VERSION:+bash}"
} >/var/lib/example/installed
echo "the license is $LICENSE"
