#!/bin/sh
# The main verbs on a program of this machine, against the local store: a
# directory, no server. compat must be in PATH: `make demo` sees to it.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
XDG_DATA_HOME=$dir/data
COMPAT_CACHE=$dir/cache
export XDG_DATA_HOME COMPAT_CACHE
cd "$dir"
sh "$here/tiny-image.sh" "$XDG_DATA_HOME/compat" demo/app:v1

for name in xz git tar ls; do
  if command -v "$name" >/dev/null; then program=$name; break; fi
done

run() {
  printf '\n$ %s\n' "$*"
  "$@"
}
say() {
  echo
  printf '# %s\n' "$@"
}

say "What does $program need from a machine? Nothing is executed to find out."
run compat gen "$program" --out compat.json
run compat gen "$program" --format text

say "The statement is an OCI artifact: it goes where images go. A name without a host" \
  "is in the local store, an OCI layout on this disk; with one, in that registry."
run compat push "demo/$program:compat" compat.json
run compat pull "demo/$program:compat" -o pulled.json
run cmp compat.json pulled.json

say "Or it hangs on the image that it is about: demo/app:v1, a tiny image in the store."
run compat attach demo/app:v1 compat.json
run compat discover demo/app:v1

say "Will $program start here? By the artifact, then by the image."
run compat check --ref "demo/$program:compat"
run compat check --ref demo/app:v1

say "And on a machine that lacks something? The same statement, asking for a libc of the future."
sed 's/libc\.so\.6/libc.so.7/g' compat.json > future.json
printf '\n$ compat check future.json\n'
status=0
compat check future.json || status=$?
echo "(exit status $status)"
[ "$status" -eq 1 ]

say "What would it be on other machines? An index says all that a check asks of a machine: this" \
  "one's, and that of a root with nothing in it."
run compat host index --name node1 --symbols --out node1.json.zst
mkdir empty-root
run compat host index --root empty-root --name bare1 --symbols --out bare1.json.zst
run compat check compat.json --host node1.json.zst
run compat host push hosts:node1 node1.json.zst
run compat host push hosts:bare1 bare1.json.zst
printf '\n$ compat matrix demo/%s:compat --hosts hosts\n' "$program"
status=0
compat matrix "demo/$program:compat" --hosts hosts || status=$?
echo "(exit status $status)"
[ "$status" -eq 1 ]
status=0
compat matrix "demo/$program:compat" --hosts hosts --format html --out matrix.html || status=$?
[ "$status" -eq 1 ] && [ -s matrix.html ]
say "The same as a page that needs nothing else: --format html --out matrix.html"

say "How is $program launched? A plan says what the loader maps; a launch has it found without a search."
run compat spindle plan "$program"
run compat spindle --stats "$program" --version

say "What does a run touch, and what has changed since? A recording says, where this machine lets a" \
  "program have a view of its files (/dev/fuse)."
if compat record --out old.jsonl.zst sh -c "$program --version" >/dev/null 2>&1; then
  printf '\n$ compat record --out old.jsonl.zst sh -c "%s --version"\n' "$program"
  printf '$ compat record --out new.jsonl.zst sh -c "%s --version; cat /etc/os-release"\n' "$program"
  compat record --out new.jsonl.zst sh -c "$program --version; cat /etc/os-release" >/dev/null
  run compat trace stats new.jsonl.zst --top 3
  printf '\n$ compat trace diff --baseline old.jsonl.zst new.jsonl.zst\n'
  status=0
  compat trace diff --baseline old.jsonl.zst new.jsonl.zst || status=$?
  echo "(exit status $status)"
  [ "$status" -eq 1 ]
  run compat trace plot old.jsonl.zst new.jsonl.zst --out runs.html
  run compat trace slim new.jsonl.zst --out slim --no-compare
else
  say "It does not here: compat record says why."
fi
