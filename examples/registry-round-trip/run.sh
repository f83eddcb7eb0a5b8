#!/bin/sh
# push, pull, attach and discover. See README.md.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

if [ -n "${REGISTRY:-}" ]; then
  flags=${COMPAT_FLAGS:-}
  ref=$REGISTRY/ls:compat
  image=${IMAGE:-}
else
  sh "$here/../../scripts/tiny-image.sh" layout app
  flags=--oci-layout
  ref=layout:compat
  image=layout:app
fi

compat gen ls --out compat.json

# $flags is a list of words.
# shellcheck disable=SC2086
{
  echo "== push, pull"
  compat push $flags "$ref" compat.json
  compat pull $flags "$ref" -o pulled.json
  cmp compat.json pulled.json && echo "the same bytes came back"

  if [ -n "$image" ]; then
    echo "== attach, discover"
    compat attach $flags "$image" compat.json
    compat discover $flags "$image"
  fi
}
