#!/bin/sh
# The exit statuses of check, as a CI job meets them. See README.md.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

# check FILE: what a job does with each exit status.
check() {
  status=0
  compat check "$1" || status=$?
  case $status in
    0) echo "$1: goes on" ;;
    1) echo "$1: job fails: it will not start here" ;;
    3) echo "$1: job fails: there is no spec" ;;
    4) echo "$1: job may try again" ;;
    5) echo "$1: job fails: the spec is broken" ;;
    *) echo "$1: unexpected status $status"; exit 1 ;;
  esac
}

compat gen ls --out compat.json
check compat.json

# The same spec, as if ls had been built against a libc of the future.
sed 's/libc\.so\.6/libc.so.7/g' compat.json > future.json
check future.json

head -c 100 compat.json > cut.json
check cut.json

check missing.json
