#!/bin/sh
# test-nodes.sh: a program with 60 libraries is launched from a registry on nodes
# that do not have it. Each node is a network namespace on a bridge, with a mount
# namespace where the program's directory is empty, and a home and a cache of its
# own. Needs root, iproute2, gcc, curl and /dev/fuse; COMPAT names the binary,
# OLAREG the registry, NODES another number of nodes than 8.
#
# All of it is in namespaces that end with this script, however it ends: the
# machine's network and mounts do not change, and no process is left.
set -u
here=$(cd "$(dirname "$0")" && pwd)
compat=${COMPAT:-$here/../bin/compat}
olareg=${OLAREG:-$here/../bin/olareg}
nodes=${NODES:-8}
libraries=60
at_once=3 # launches on each node
passed=0 failed=0

for tool in ip gcc curl unshare nsenter; do
  command -v $tool >/dev/null || { echo "needs $tool"; exit 1; }
done
[ "$(id -u)" = 0 ] && [ -c /dev/fuse ] && [ -x "$compat" ] && [ -x "$olareg" ] || { echo "needs root, /dev/fuse, $compat and $olareg"; exit 1; }
if [ "${COMPAT_TEST_NODES:-}" != inside ]; then
  COMPAT_TEST_NODES=inside exec timeout --foreground 600 unshare --net --mount --pid --fork --mount-proc --kill-child sh "$0"
fi

dir=$(mktemp -d /tmp/test-nodes.XXXXXX)
registry='' mirror='' holders=''

# Processes first, then the links, which hold nothing any more; the directory last.
# Mounts of nodes end with the last process of each, and none is in this namespace.
cleanup() {
  trap - EXIT INT TERM
  for pid in $registry $mirror $holders; do
    kill -9 "$pid" 2>/dev/null
    wait "$pid" 2>/dev/null
  done
  ip link del compat0 2>/dev/null
  if grep -q " $dir/" /proc/self/mountinfo; then
    echo "left as it is: something is mounted below $dir"
  else
    rm -rf --one-file-system "$dir"
  fi
}
trap cleanup EXIT
trap 'exit 130' INT TERM

ok() {
  echo "ok    $1"
  passed=$((passed + 1))
}

fail() {
  echo "FAIL  $1"
  [ ! -s "$dir/out" ] || sed 's/^/      /' "$dir/out" | tail -15
  failed=$((failed + 1))
}

# check NAME COMMAND...: the command must end with 0.
check() {
  name=$1
  shift
  if "$@" >"$dir/out" 2>&1; then ok "$name"; else fail "$name"; fi
}

# The program: a sum of what its libraries say, and what the loader has mapped.
app=$dir/app
mkdir -p "$app/bin"
links='' rpath=''
i=0
: >"$dir/main.c"
while [ $i -lt $libraries ]; do
  n=$(printf %02d $i)
  mkdir "$app/lib$n"
  # Something to download: no two libraries the same, not to be compressed, and
  # some large enough for a layer of their own.
  head -c $((i % 10 ? 60000 : 200000)) /dev/urandom >"$dir/noise"
  printf '__asm__(".section .rodata\\n.incbin \"%s\"\\n.text");\nint f%s(void) { return %s; }\n' "$dir/noise" "$n" "$((i * i + 1))" >"$dir/l.c"
  gcc -shared -fPIC -o "$app/lib$n/libn$n.so" -Wl,-soname,libn$n.so "$dir/l.c" || exit 1
  printf 'int f%s(void);\n' "$n" >>"$dir/main.c"
  links="$links $app/lib$n/libn$n.so" rpath="$rpath:$app/lib$n"
  i=$((i + 1))
done
{
  cat <<'END'
#define _GNU_SOURCE
#include <link.h>
#include <stdio.h>
static int show(struct dl_phdr_info *i, size_t n, void *p) { return printf("%d %s\n", i->dlpi_phnum, i->dlpi_name) < 0; }
int main(int argc, char **argv) {
  int sum = argc;
END
  i=0
  while [ $i -lt $libraries ]; do
    printf '  sum += f%02d();\n' $i
    i=$((i + 1))
  done
  cat <<'END'
  printf("sum %d\n", sum);
  dl_iterate_phdr(show, 0);
  return 7;
}
END
} >>"$dir/main.c"
# shellcheck disable=SC2086
gcc -o "$app/bin/app" "$dir/main.c" -Wl,--enable-new-dtags,-rpath,"${rpath#:}" $links || exit 1
"$app/bin/app" a b >"$dir/plain"
[ $? = 7 ] && [ "$(grep -c "$app/lib" "$dir/plain")" = $libraries ] || { cat "$dir/plain"; exit 1; }

# holder NAME ADDRESS: a namespace on the bridge; $holder is the process in it.
self=$(readlink /proc/self/ns/net)
holder() {
  unshare --net --mount sleep 600 &
  holder=$!
  holders="$holders $holder"
  tries=0
  while [ "$(readlink /proc/$holder/ns/net)" = "$self" ] || [ "$(readlink /proc/$holder/ns/mnt)" = "$(readlink /proc/self/ns/mnt)" ]; do
    tries=$((tries + 1))
    [ $tries -lt 6000 ] || return 1
    sleep 0.01
  done
  ip link add "$1" type veth peer name eth0 netns "$holder" && ip link set "$1" master compat0 up &&
    nsenter -t "$holder" -n sh -c "ip link set lo up; ip addr add $2/24 dev eth0; ip link set eth0 up"
}

# serve PID DIR LOG: a registry in that namespace; $server is its process.
serve() {
  nsenter -t "$1" -n "$olareg" -v trace serve --port 5000 --store-type dir --dir "$2" >"$3" 2>&1 &
  server=$!
  tries=0
  until nsenter -t "$1" -n curl -s -o "$dir/ping" 127.0.0.1:5000/v2/; do
    tries=$((tries + 1))
    [ $tries -lt 6000 ] || return 1
    sleep 0.02
  done
}

stop() {
  kill "$1"
  wait "$1" 2>/dev/null
}

ip link set lo up
{ ip link add compat0 type bridge && ip link set compat0 up; } || exit 1
mkdir "$dir/origin" "$dir/mirror"
holder origin 10.77.0.1 || exit 1
origin_node=$holder
holder mirror 10.77.0.2 || exit 1
mirror_node=$holder
holder build 10.77.0.3 || exit 1
build_node=$holder
serve "$origin_node" "$dir/origin" "$dir/origin.log" || { cat "$dir/origin.log"; exit 1; }
registry=$server
ref=10.77.0.1:5000/team/app:launch

mkdir "$dir/build"
nsenter -t "$build_node" -n -m env HOME="$dir/build" COMPAT_CACHE="$dir/build/cache" XDG_DATA_HOME="$dir/build/data" \
  timeout 60 "$compat" spindle pack --plain-http "$app/bin/app" --push $ref >"$dir/packed" 2>&1 || { cat "$dir/packed"; exit 1; }

# The nodes. The directory of the program is empty there.
node_pids='' i=1
while [ $i -le "$nodes" ]; do
  holder node$i 10.77.0.$((10 + i)) || exit 1
  node_pids="$node_pids $holder"
  mkdir "$dir/node$i"
  nsenter -t "$holder" -m sh -c "mount -t tmpfs -o size=64k hidden '$app' && [ -z \"\$(ls -A '$app')\" ]" || exit 1
  i=$((i + 1))
done

# on N ENV... -- COMMAND...: in the namespaces of node N, with its homes.
on() {
  n=$1
  shift
  # shellcheck disable=SC2086
  set -- "$(echo $node_pids | cut -d' ' -f"$n")" env HOME="$dir/node$n" COMPAT_CACHE="$dir/node$n/cache" XDG_DATA_HOME="$dir/node$n/data" "$@"
  pid=$1
  shift
  nsenter -t "$pid" -n -m timeout 120 "$@"
}

# everywhere TAG COUNT ENV... COMMAND...: on all nodes, COUNT times at once on
# each; the outputs are $dir/TAG-NODE-TIME.
everywhere() {
  tag=$1 count=$2
  shift 2
  waiting='' i=1
  while [ $i -le "$nodes" ]; do
    k=1
    while [ $k -le "$count" ]; do
      { on $i "$@" >"$dir/$tag-$i-$k" 2>"$dir/$tag-$i-$k.err"; echo "status $?" >>"$dir/$tag-$i-$k.err"; } &
      waiting="$waiting $!"
      k=$((k + 1))
    done
    i=$((i + 1))
  done
  # shellcheck disable=SC2086
  wait $waiting
}

# same TAG COUNT: all outputs and statuses are those of the plain start.
same() {
  [ "$(ls "$dir" | grep -c "^$1-[0-9]*-[0-9]*$")" = $(($2 * nodes)) ] || { echo "runs are missing"; return 1; }
  for f in "$dir/$1"-*.err; do
    cmp "$dir/plain" "${f%.err}" && [ "$(cat "$f")" = "status 7" ] || { cat "$f"; return 1; }
  done
}

# clean: nothing of any launch is left, on no node, nor here. The server of a view
# may end a moment after the launch.
clean() {
  tries=0
  until nothing_left >"$dir/left" 2>&1; do
    tries=$((tries + 1))
    [ $tries -lt 600 ] || { cat "$dir/left"; return 1; }
    sleep 0.1
  done
}

nothing_left() {
  ! grep -lzxE 'compat-(viewer|recorder).*|compat: keeper' /proc/[0-9]*/cmdline || return 1
  for p in $node_pids; do
    ! grep -E 'fuse\.compat' "/proc/$p/mountinfo" || return 1
    space=$(readlink "/proc/$p/ns/mnt")
    for other in /proc/[0-9]*; do
      [ "$other" = "/proc/$p" ] || [ "$(readlink "$other/ns/mnt")" != "$space" ] || { echo "left in a node: $(tr '\0' ' ' <"$other/cmdline")"; return 1; }
    done
  done
  ! find "$dir"/node*/cache/tmp "$dir"/node*/cache/locks -type f | grep . || return 1
  [ -z "$(find "$dir"/node*/cache/images -name '*.[0-9]*')" ]
}

# downloads LOG: each blob of the layers' with how often it was asked for. The
# plan itself is no content of the cache.
downloads() {
  grep -o 'method=GET url="\{0,1\}/v2/team/app/blobs/[^ ]* status=20[06]' "$1" | sed 's/.*blobs.//; s/[ ?"].*//' | sort | uniq -c
}

launched="$compat spindle --require --ref $ref --plain-http $app/bin/app a b"

# shellcheck disable=SC2086
everywhere first $at_once $launched
check "$nodes nodes, $at_once launches at once on each: as plain" same first $at_once
downloads "$dir/origin.log" >"$dir/downloads"
layers=$(nsenter -t "$build_node" -n curl -s -H 'Accept: application/vnd.oci.image.manifest.v1+json' http://10.77.0.1:5000/v2/team/app/manifests/launch |
  grep -o '"mediaType":"[^"]*","digest":"sha256:[0-9a-f]*"' | grep -v 'launch.plan\|empty' | grep -o 'sha256:[0-9a-f]*')
once() {
  cat "$dir/downloads"
  [ -n "$layers" ] || { echo "no layers"; return 1; }
  for d in $layers; do
    grep -q "^ *$nodes $d\$" "$dir/downloads" || { echo "$d is not asked for $nodes times"; return 1; }
  done
}
check "each layer is downloaded once per node" once
echo "      $(echo "$layers" | wc -l) layers, $(du -sk "$dir/node1/cache/blobs" | cut -f1) KiB of contents on each node"
check "nothing is left of the launches" clean

stop "$registry"
registry=''
# shellcheck disable=SC2086
everywhere second 1 $launched
check "the registry is gone: as plain, from the cache" same second 1
check "nothing is left, with the registry gone" clean
fresh_fails() {
  on 1 env COMPAT_CACHE="$dir/none" XDG_DATA_HOME="$dir/none.data" $launched
  [ $? = 125 ] && ! grep -q '^sum' "$dir/out"
}
check "the registry is gone and nothing is there: 125" fresh_fails

# A mirror: the contents of the origin in another registry, and the origin down.
cp -r "$dir/origin/." "$dir/mirror/"
serve "$mirror_node" "$dir/mirror" "$dir/mirror.log" || { cat "$dir/mirror.log"; exit 1; }
mirror=$server
mkdir -p "$dir/certs.d/10.77.0.1:5000"
cat >"$dir/certs.d/10.77.0.1:5000/hosts.toml" <<END
server = "http://10.77.0.1:5000"
[host."http://10.77.0.2:5000"]
  capabilities = ["pull", "resolve"]
END
# emptied: as on a node that has launched nothing.
emptied() {
  for n in $(seq "$nodes"); do
    rm -rf --one-file-system "$dir/node$n"
    mkdir "$dir/node$n"
  done
}
emptied
# shellcheck disable=SC2086
everywhere mirrored $at_once COMPAT_CERTS_D="$dir/certs.d" $launched
check "a mirror by COMPAT_CERTS_D, the origin down: as plain" same mirrored $at_once
downloads "$dir/mirror.log" >"$dir/downloads"
check "each layer is downloaded once per node, from the mirror" once

cp -a /etc "$dir/etc"
mkdir -p "$dir/etc/containerd/certs.d"
cp -r "$dir/certs.d/." "$dir/etc/containerd/certs.d/"
for p in $node_pids; do
  nsenter -t "$p" -m mount --bind "$dir/etc" /etc || exit 1
done
emptied
# shellcheck disable=SC2086
everywhere usual 1 $launched
check "a mirror by /etc/containerd/certs.d, the origin down: as plain" same usual 1
check "nothing is left at the end" clean

echo "$passed passed, $failed failed"
[ $failed = 0 ]
