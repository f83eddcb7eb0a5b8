#!/bin/sh
# make-roots.sh DIR: whole foreign roots with loaders of other versions, and the
# loader cases in each. Needs root, debootstrap, gcc and python3; MIRROR names
# another mirror than debootstrap's own. What is there already is kept.
set -eu
dir=$1
cases=$(cd "$(dirname "$0")/.." && pwd)/pkg/internal/loadertest/testdata/cases.sh
# Some hundred programs with many libraries, of which releases change names,
# versions and symbols; some find theirs by RUNPATH.
packages="bind9-dnsutils binutils cmake curl e2fsprogs gdb-minimal gettext
ghostscript git gnupg graphviz groff imagemagick iproute2 krb5-user ldap-utils
libarchive-tools librsvg2-bin nano openssh-client openssl poppler-utils
postgresql-client python3 rsync samba-common-bin smbclient sqlite3 strace tmux
xz-utils"

install() { # ROOT: the packages; no service is started, /proc ends with the namespace
  printf '#!/bin/sh\nexit 101\n' >"$1/usr/sbin/policy-rc.d"
  chmod +x "$1/usr/sbin/policy-rc.d"
  # shellcheck disable=SC2016
  unshare --mount sh -euc 'mount -t proc proc "$1/proc"; shift
    export DEBIAN_FRONTEND=noninteractive LC_ALL=C
    chroot "$1" apt-get -qq update
    chroot "$@"' sh "$1" "$1" apt-get -qq install -y --no-install-recommends $packages </dev/null >"$1/packages.log" 2>&1
  chroot "$1" apt-get clean
  echo $packages >"$1/packages"
}

mkdir -p "$dir"
for suite in bullseye bookworm trixie; do # glibc 2.31, 2.36, 2.41
  root=$dir/$suite
  [ -x "$root/usr/bin/env" ] || debootstrap --variant=minbase "$suite" "$root" ${MIRROR:+"$MIRROR"} >/dev/null
  fresh=
  if [ "$(cat "$root/packages" 2>/dev/null)" != "$(echo $packages)" ]; then
    install "$root"
    fresh=yes # its ldconfig has made another cache than the cases need
  fi
  if [ ! -d "$root/cases" ]; then
    bash "$cases" build "$root/cases.new" >/dev/null
    mv "$root/cases.new" "$root/cases"
    fresh=yes
  fi
  if [ "$fresh" ]; then
    rm -f "$root/usr/lib/libstale.so" "$root/usr/lib/libcor.so" # in the cache they would not be stale
    bash "$cases" setup "$root/cases" "$root"
  fi
  echo "$root"
done
