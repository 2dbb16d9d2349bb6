#!/bin/sh -eu
install -d -o "$2" -m 0755 "$1"
