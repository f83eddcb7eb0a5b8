#!/bin/sh
# test-containers.sh DIR: records programs in containers of podman, with runc and
# with crun, as root and as a user, and LAMMPS alone and under mpirun. Needs root,
# podman, runc, crun, debootstrap and a /dev/fuse; COMPAT names the binary, MIRROR
# another mirror than debootstrap's own, OLAREG a registry to attach to, RUNTIMES
# fewer of them. DIR keeps the image's root and podman's
# storage, apart from the machine's, and nothing on the machine changes.
#
# Flags that are needed for compat:
#
#   --device /dev/fuse    a node that the user may open: mode 666, as udev has it
#
# and no other: with podman's default capabilities and seccomp profile the view is
# made in a user namespace, with --cap-add SYS_ADMIN without one. Those that are
# needed on small virtual machines, for podman:
#
#   --network=none                        without CNI plugins; host works too
#   --ulimit nofile=... --ulimit nproc=...  where root has no CAP_SYS_RESOURCE
#   --cgroups=disabled, and cgroup2 alone on /sys/fs/cgroup (crun_view below):
#                                         crun refuses hybrid cgroups
set -u
dir=$1
compat=${COMPAT:-$(cd "$(dirname "$0")/.." && pwd)/bin/compat}
image=localhost/compat-lammps
port=127.0.0.1:5799
passed=0 failed=0 skipped=0

for tool in podman runc crun debootstrap unshare; do
  command -v $tool >/dev/null || { echo "needs $tool"; exit 1; }
done
[ "$(id -u)" = 0 ] && [ -c /dev/fuse ] && [ -x "$compat" ] || { echo "needs root, /dev/fuse and $compat"; exit 1; }
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)

pod() { timeout 300 podman --root "$dir/storage" --runroot "$dir/run" "$@"; }

# The image: LAMMPS with its examples, and Open MPI.
if [ ! -x "$dir/root/usr/bin/lmp" ]; then
  echo "making $dir/root"
  debootstrap --variant=minbase --include=lammps,lammps-examples,openmpi-bin bookworm "$dir/root" ${MIRROR:+"$MIRROR"} >"$dir/debootstrap.log" || exit 1
fi
if ! pod image exists $image; then
  tar --one-file-system -C "$dir/root" -c . | pod import - $image >/dev/null 2>"$dir/import.log" || { cat "$dir/import.log"; exit 1; }
fi

device=/dev/fuse
if [ "$(stat -c %a /dev/fuse)" != 666 ]; then # podman gives the node the mode that it has here
  device=$dir/fuse:/dev/fuse
  [ -c "$dir/fuse" ] || mknod "$dir/fuse" c 10 229
  chmod 666 "$dir/fuse"
fi

# crun_view runs a command where /sys/fs/cgroup is cgroup2 and nothing else.
crun_view() {
  unshare --mount sh -c 'grep -o " /sys/fs/cgroup[^ ]*" /proc/self/mountinfo | sort -r | while read m; do umount -l "$m"; done
    mount -t cgroup2 none /sys/fs/cgroup; exec timeout 300 podman "$@"' sh --root "$dir/storage" --runroot "$dir/run" "$@"
}

# in_container RUNTIME "FLAGS" SCRIPT: a shell in the image; compat is in its PATH.
in_container() {
  runtime=$1 with=$2 script=$3 cgroups=
  view=pod
  if [ "$runtime" = crun ]; then
    cgroups=--cgroups=disabled
    [ -e /sys/fs/cgroup/cgroup.controllers ] || view=crun_view
  fi
  $view --runtime "$runtime" run --rm --network=${network:-none} $cgroups --ulimit nofile=1024:4096 --ulimit nproc=1024:4096 \
    -v "$compat:/usr/local/bin/compat:ro" $with $image sh -euc "$script" </dev/null >"$dir/out" 2>&1
}

# check NAME RUNTIME "FLAGS" SCRIPT: the script must end with 0.
check() {
  name=$1
  shift
  if in_container "$@"; then
    echo "ok    $name: $1 $2"
    passed=$((passed + 1))
  else
    echo "FAIL  $name: $1 $2"
    sed 's/^/      /' "$dir/out" | tail -15
    failed=$((failed + 1))
  fi
}

skip() {
  echo "skip  $1"
  skipped=$((skipped + 1))
}

# What every way must do; $way is how the view is made there.
ways='cd /tmp
status=0; compat record --out o.jsonl sh -c "cat /etc/debian_version >copy; mkdir d; mv copy d; exit 3" || status=$?
[ $status = 3 ]; cmp d/copy /etc/debian_version
! grep -q fuse.compat /proc/self/mountinfo
head -1 o.jsonl | grep -q "\"view\":\"$way\""
grep -q "\"op\":\"open\",\"path\":\"/etc/debian_version\"" o.jsonl
grep -q "\"op\":\"rename\",\"path\":\"/tmp/copy\",\"path2\":\"/tmp/d/copy\"" o.jsonl
tail -1 o.jsonl | grep -q "\"footer\":.*\"exit\":3,\"dropped\":0"
compat record --out zst.jsonl.zst true
status=0; compat record --read-only --out o.jsonl sh -c "echo x >new" 2>said || status=$?
[ $status != 0 ]; grep -q "Read-only" said; [ ! -e new ]
! grep -q fuse.compat /proc/self/mountinfo
! grep -lzx "compat-recorde[r]" /proc/[0-9]*/cmdline'

nested='cd /tmp
status=0; compat record --out outer.jsonl compat record --out inner.jsonl sh -c "cat /etc/debian_version; exit 4" || status=$?
[ $status = 4 ]
for f in inner outer; do
  grep -q "\"path\":\"/etc/debian_version\"" $f.jsonl
  tail -1 $f.jsonl | grep -q "\"footer\":.*\"exit\":4,\"dropped\":0"
done'

none='cd /tmp
status=0; compat record --out o.jsonl true 2>said || status=$?
cat said; [ $status = 125 ]; grep -q "/dev/fuse is missing" said; grep -q "podman run --device /dev/fuse" said; [ ! -e o.jsonl ]'

lammps='cp -r /usr/share/lammps/examples/melt /tmp/melt; cd /tmp/melt
result() { sed -n "/^ *Step/,/^Loop/p" log.lammps | grep -v ^Loop; }
export OMP_NUM_THREADS=1
lmp -in in.melt >/dev/null; result >alone
compat record --out /tmp/melt.jsonl lmp -in in.melt >/dev/null; result >recorded
cmp alone recorded; [ $(wc -l <recorded) -gt 5 ]
grep -q "\"path\":\"/tmp/melt/in.melt\"" /tmp/melt.jsonl
grep -q "\"path\":\"/[^\"]*/liblammps.so" /tmp/melt.jsonl
tail -1 /tmp/melt.jsonl | grep "\"footer\":.*\"exit\":0,\"dropped\":0"'

mpirun='cp -r /usr/share/lammps/examples/melt /tmp/melt; cd /tmp/melt
export OMP_NUM_THREADS=1
compat record --out /tmp/mpi.jsonl mpirun --allow-run-as-root --oversubscribe -n 2 lmp -in in.melt >out
grep -q "1 by 1 by 2 MPI processor grid\|2 by 1 by 1\|1 by 2 by 1" out
grep -c "\"op\":\"open\",\"path\":\"/tmp/melt/in.melt\"" /tmp/mpi.jsonl
tail -1 /tmp/mpi.jsonl | grep "\"footer\":.*\"exit\":0,\"dropped\":0"'

ranks='cp -r /usr/share/lammps/examples/melt /tmp/melt; cd /tmp/melt
export OMP_NUM_THREADS=1
mkdir /tmp/ranks
mpirun --allow-run-as-root --oversubscribe -n 2 compat record --mpi --out-dir /tmp/ranks lmp -in in.melt >out
[ $(ls /tmp/ranks | wc -l) = 2 ]; [ $(ls /tmp/ranks | grep -c rank[01]) = 2 ]'

for runtime in ${RUNTIMES-runc crun}; do
  check "no device" $runtime "" "$none"
  check "root, default capabilities" $runtime "--device $device" "way=userns; $ways"
  check "root, SYS_ADMIN" $runtime "--device $device --cap-add SYS_ADMIN" "way=root; $ways"
  check "root, privileged" $runtime "--privileged --device $device" "way=root; $ways"
  check "user, default capabilities" $runtime "--device $device --user 1000" "way=userns; $ways"
  check "user, no capability at all" $runtime "--device $device --user 1000 --cap-drop ALL" "way=userns; $ways"
  check "user, no new privileges" $runtime "--device $device --user 1000 --security-opt no-new-privileges" "way=userns; $ways"
  check "root, read-only image" $runtime "--device $device --read-only --read-only-tmpfs" "way=userns; $ways"
  for flags in "" "--cap-add SYS_ADMIN" "--user 1000"; do
    check "nested" $runtime "--device $device $flags" "$nested"
    check "LAMMPS" $runtime "--device $device $flags" "$lammps"
    check "LAMMPS, mpirun" $runtime "--device $device $flags" "$mpirun"
    if "$compat" record --help | grep -q -e --mpi; then
      check "LAMMPS, a recording for each rank" $runtime "--device $device $flags" "$ranks"
    else
      skip "LAMMPS, a recording for each rank: there is no --mpi yet"
    fi
  done
done
# The recording becomes a referrer of the image that it was made in.
attached='cp -r /usr/share/lammps/examples/melt /tmp/melt; cd /tmp/melt
OMP_NUM_THREADS=1 compat record --attach '"$port/lammps:v1"' --plain-http lmp -in in.melt'
read_back() {
  "$compat" discover --plain-http "$port/lammps:v1" && rm -f "$dir/back.jsonl.zst" &&
    "$compat" pull --plain-http --artifact-type application/vnd.compspec.recording.v1 -o "$dir/back.jsonl.zst" "$port/lammps:v1" && [ -s "$dir/back.jsonl.zst" ]
}
if ! "$compat" record --help | grep -q -e --attach; then
  skip "attached to the image: there is no --attach yet"
elif [ -z "${OLAREG:-}" ]; then
  skip "attached to the image: OLAREG names no registry"
else
  "$OLAREG" serve --addr 127.0.0.1 --port "${port#*:}" --store-type mem >"$dir/registry.log" 2>&1 &
  registry=$!
  trap "kill $registry 2>/dev/null" EXIT
  tries=0
  until "$compat" discover --plain-http "$port/none:none" 2>&1 | grep -q 'not found' || [ $tries -ge 600 ]; do
    tries=$((tries + 1))
    sleep 0.1
  done
  if pod push --tls-verify=false --compression-format zstd $image "docker://$port/lammps:v1" >"$dir/push.log" 2>&1; then
    network=host check "LAMMPS, attached to the image" runc "--device $device" "$attached"
    if read_back >"$dir/out" 2>&1; then
      echo "ok    read back from the registry"
      passed=$((passed + 1))
    else
      echo "FAIL  read back from the registry"
      sed 's/^/      /' "$dir/out" | tail -15
      failed=$((failed + 1))
    fi
  else
    cat "$dir/push.log"
    failed=$((failed + 1))
  fi
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
