#!/bin/sh
# test-slim.sh: minimal roots of this machine, made of recorded runs of python3
# and, where it is installed, of LAMMPS (lmp), run the same commands with the
# same output, and are small. Needs root and /dev/fuse; COMPAT names the binary.
#
# What is mounted is in a namespace that ends with this script, however it ends.
set -u
here=$(cd "$(dirname "$0")" && pwd)
compat=${COMPAT:-$here/../bin/compat}
passed=0 failed=0

for tool in python3 tar unshare chroot; do
  command -v $tool >/dev/null || { echo "needs $tool"; exit 1; }
done
[ "$(id -u)" = 0 ] && [ -c /dev/fuse ] && [ -x "$compat" ] || { echo "needs root, /dev/fuse and $compat"; exit 1; }
if [ "${COMPAT_TEST_SLIM:-}" != inside ]; then
  COMPAT_TEST_SLIM=inside exec timeout --foreground 900 unshare --mount --pid --fork --mount-proc --kill-child sh "$0"
fi

dir=$(mktemp -d /tmp/test-slim.XXXXXX)
cleanup() {
  trap - EXIT INT TERM
  for m in $(grep -o " $dir/[^ ]*" /proc/self/mountinfo | sort -r); do
    umount "$m"
  done
  if grep -q " $dir/" /proc/self/mountinfo; then
    echo "left as it is: something is mounted below $dir"
  else
    rm -rf --one-file-system "$dir"
  fi
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# check NAME COMMAND...: the command must end with 0.
check() {
  name=$1
  shift
  if "$@" >"$dir/out" 2>&1; then
    echo "ok    $name"
    passed=$((passed + 1))
  else
    echo "FAIL  $name"
    sed 's/^/      /' "$dir/out" | tail -15
    failed=$((failed + 1))
  fi
}

# again ROOT COMMAND...: the same output in a chroot there.
again() {
  root=$1
  shift
  chroot "$root" "$@" >"$dir/again" 2>"$dir/err" || { cat "$dir/err"; return 1; }
  grep -E "$filter" "$dir/again" | diff "$dir/$what.want" -
}

# run NAME FILTER COMMAND...: recorded, slimmed, and run again. FILTER leaves of
# the output what is the same each time.
run() {
  what=$1 filter=$2
  shift 2
  "$compat" record --out "$dir/$what.jsonl.zst" "$@" >"$dir/$what.full" 2>"$dir/err" || { cat "$dir/err"; failed=$((failed + 1)); return; }
  grep -E "$filter" "$dir/$what.full" >"$dir/$what.want"
  check "$what: a minimal root" "$compat" trace slim "$dir/$what.jsonl.zst" --out "$dir/$what"
  sed 's/^/      /' "$dir/out"
  check "$what: every file that the run used is in it" "$compat" check --trace "$dir/$what.jsonl.zst" --root "$dir/$what"
  check "$what: the same output, nothing mounted" again "$dir/$what" "$@"
  for m in proc sys dev; do
    mount --rbind "/$m" "$dir/$what/$m" && mount --make-rslave "$dir/$what/$m" || failed=$((failed + 1))
  done
  check "$what: the same output with /proc, /sys and /dev" again "$dir/$what" "$@"
  for m in proc sys dev; do
    umount -l "$dir/$what/$m"
  done
  check "$what: twice the same tar" tars
  mkdir "$dir/$what.tar.d" && tar -C "$dir/$what.tar.d" -xf "$dir/1.tar.gz"
  check "$what: the same output from the tar" again "$dir/$what.tar.d" "$@"
}

tars() {
  "$compat" trace slim "$dir/$what.jsonl.zst" --no-compare --out "$dir/1.tar.gz" &&
    "$compat" trace slim "$dir/$what.jsonl.zst" --no-compare --out "$dir/2.tar.gz" &&
    cmp "$dir/1.tar.gz" "$dir/2.tar.gz" && ls -l "$dir/1.tar.gz"
}

python=$(command -v /usr/bin/python3 || command -v python3)
run python3 . "$python" -c 'import json, ssl, sqlite3, decimal; print(json.dumps([1]), ssl.OPENSSL_VERSION, sqlite3.sqlite_version, decimal.Decimal(1)/7)'

if command -v lmp >/dev/null; then
  cat >"$dir/in.melt" <<'END'
# A Lennard-Jones crystal of 4000 atoms that melts.
units lj
atom_style atomic
lattice fcc 0.8442
region box block 0 10 0 10 0 10
create_box 1 box
create_atoms 1 box
mass 1 1.0
velocity all create 3.0 87287
pair_style lj/cut 2.5
pair_coeff 1 1 1.0 1.0 2.5
neighbor 0.3 bin
neigh_modify every 20 delay 0 check no
fix 1 all nve
thermo 25
run 100
END
  # Step, temperature, energies, pressure; the rest is times.
  run lammps '^ +[0-9]+ |Created|Total # of neighbors' "$(command -v lmp)" -in "$dir/in.melt" -log none
  [ "$(grep -cE '^ +(0|25|50|75|100) ' "$dir/lammps.want")" = 5 ] || { echo "FAIL  lammps: it did not run"; failed=$((failed + 1)); }
else
  echo "      lmp is not installed: LAMMPS is left out"
fi

echo "$passed passed, $failed failed"
[ $failed = 0 ]
