#!/bin/sh
# make-roots.sh DIR: whole foreign roots with loaders of other versions, and the
# loader cases in each. Needs root, debootstrap, gcc and python3; MIRROR names
# another mirror than debootstrap's own. What is there already is kept.
set -eu
dir=$1
cases=$(cd "$(dirname "$0")/.." && pwd)/pkg/internal/loadertest/testdata/cases.sh
mkdir -p "$dir"
for suite in bullseye bookworm trixie; do # glibc 2.31, 2.36, 2.41
  root=$dir/$suite
  if [ ! -d "$root/cases" ]; then
    [ -x "$root/usr/bin/env" ] || debootstrap --variant=minbase "$suite" "$root" ${MIRROR:+"$MIRROR"} >/dev/null
    bash "$cases" build "$root/cases.new" >/dev/null
    mv "$root/cases.new" "$root/cases"
    bash "$cases" setup "$root/cases" "$root"
  fi
  echo "$root"
done
