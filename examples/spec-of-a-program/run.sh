#!/bin/sh
# The spec of a program of this machine. See README.md.
set -eu
program=${1:-ls}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

echo "== $program, in short"
compat gen --format text "$program"

echo "== the whole spec"
compat gen --out "$dir/compat.json" "$program"
echo "$(wc -c < "$dir/compat.json") bytes"

echo "== it fits its schema"
compat validate "$dir/compat.json"

echo "== once more: the same bytes"
compat gen --out "$dir/again.json" "$program"
cmp "$dir/compat.json" "$dir/again.json" && echo identical

echo "== in the project's first format"
compat gen --format attributes "$program"
