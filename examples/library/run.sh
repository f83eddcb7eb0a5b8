#!/bin/sh
# States and checks a program with the library. See README.md.
set -eu
# go run wants to be inside the module.
cd "$(dirname "$0")"
go run . "${@:-ls}"
