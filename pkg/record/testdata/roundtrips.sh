# Copies of a tree with all that a file can have, by several programs, and a
# repository's and a database's life. One line for each check.
LC_ALL=C
export LC_ALL GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
top=$(mktemp -d "$TMPDIR/trips.XXXXXX") && cd "$top" || exit 1
check() { name=$1; shift; if "$@" >"$top/log" 2>&1; then echo "ok $name"; else echo "not ok $name"; sed 's/^/# /' "$top/log"; fi; }

mkdir -p src/dir/deep src/empty
echo text >src/file; ln src/file src/dir/hard; ln -s ../file src/dir/soft; ln -s nowhere src/dangling
truncate -s 4M src/sparse; printf end | dd of=src/sparse bs=1 seek=2000000 conv=notrunc 2>/dev/null
dd if=/dev/urandom of=src/large bs=64k count=40 2>/dev/null
mkfifo src/pipe; chmod 4755 src/large; chmod 2775 src/dir; chmod 1777 src/empty; touch -d '2001-02-03 04:05:06.789' src/file
: >"src/name with
newline"
check setfattr setfattr -n user.one -v value src/file
check setfacl setfacl -m u:$(id -u):r src/dir/deep
check 'default acl' setfacl -d -m u:$(id -u):rwx src/dir
: >src/dir/inherits
[ "$(id -u)" = 0 ] && { chown 123:456 src/large; chmod 4755 src/large; }

# All that is to be the same: type, mode, owner, size, links, times, target, attributes.
facts() { (cd "$1" && find . -printf '%p %y %m %U:%G %n %l ' \( \( -type d -o -type l \) -printf '\n' -o -printf '%s %TY%Tm%Td%TH%TM%TS\n' \) | sort
	find . -type f | sort | while IFS= read -r f; do [ -f "$f" ] && sha256sum "$f"; done; getfattr -R -d . | grep -v '^$' | sort; getfacl -R -n . | sort) >"$2" 2>/dev/null; }
same() { facts src a; facts "$1" b; diff a b; }
holes() { [ $(( $(stat -c %b "$1") * 512 )) -lt 1000000 ]; }
check 'sparse file' holes src/sparse
check 'cp -a' cp -a src cp; check 'cp -a, same' same cp
check 'cp sparse' cp --sparse=always src/sparse cp/again; check 'cp sparse, holes' holes cp/again; rm -f cp/again
check tar tar --xattrs --acls --sparse -cf t.tar src; mkdir tar
check untar tar --xattrs --acls --same-permissions -xf t.tar -C tar; check 'tar, same' same tar/src; check 'tar, holes' holes tar/src/sparse
check rsync rsync -aHAXS src/ rsync/; check 'rsync, same' same rsync; check 'rsync, holes' holes rsync/sparse
check 'rsync again' sh -c '[ -z "$(rsync -aHAXS --itemize-changes src/ rsync/)" ]'
check 'mv' mv rsync moved; check 'rm -r' rm -r moved
check 'tar reads what was moved' tar -cf /dev/null cp
check flock flock -n src/file true
check 'find -samefile' sh -c '[ "$(find src -samefile src/file | wc -l)" = 2 ]'
check 'du counts links once' sh -c '[ "$(du -sk src | cut -f1)" -lt 4000 ]'
echo '#!/bin/sh
echo "$0 $*"' >script; chmod +x script
check 'script' sh -c '[ "$(./script a)" = "./script a" ]'
check 'text busy' sh -c 'cp /bin/sleep s; ./s 1 & sleep 0.3; ! sh -c ": >>s"'
check 'umask' sh -c 'umask 027; : >u; [ "$(stat -c %a u)" = 640 ]'
check 'noclobber' sh -c 'set -C; : >n; ! sh -c "set -C; : >n"'

check 'git init' git init -q repo; cd repo
for i in 1 2 3 4 5; do echo $i >f$i; git add . && git commit -qm $i; done
check 'git log' sh -c '[ "$(git log --oneline | wc -l)" = 5 ]'
check 'git clone' git clone -q . ../clone; check 'git clone local' git clone -q -l . ../hard
check 'git gc' git gc -q; check 'git fsck' git fsck --strict; check 'git status' sh -c '[ -z "$(git status --porcelain)" ]'
check 'git branch, merge' sh -c 'git checkout -qb b HEAD~2 && echo x >x && git add x && git commit -qm x && git merge -qm m @{-1}'
check 'git rebase' sh -c 'git checkout -qb c HEAD~1 && git rebase -q b'
check 'git stash' sh -c 'echo y >>f1 && git stash -q && git stash pop -q && git diff --quiet; [ $? = 1 ] && git checkout -q f1'
check 'git worktree' git worktree add -q ../tree HEAD; check 'git mv' sh -c 'git mv f1 g1 && git commit -qm mv'
check 'git pull' sh -c 'cd ../clone && git pull -q'; check 'git bisect' sh -c 'git bisect start HEAD HEAD~1 && git bisect reset'
check 'git clean' sh -c ': >junk; git clean -qfdx && [ ! -e junk ]'; check 'git grep' git grep -q x; check 'git archive' sh -c 'git archive HEAD | tar tf -'
cd ..

for journal in delete truncate persist wal; do
	rm -f d.db*; sqlite3 d.db "pragma journal_mode=$journal; create table t(w, i);" >/dev/null
	writer() { for i in $(seq 25); do printf '.timeout 20000\nbegin immediate; insert into t values(%s, %s); commit;\n' $1 $i; done | sqlite3 d.db; }
	writer 1 & writer 2 & writer 3 & wait
	check "sqlite $journal, three writers" sh -c '[ "$(sqlite3 d.db "pragma integrity_check; select count(*), count(distinct w * 100 + i) from t")" = "ok
75|75" ]'
done
check vacuum sqlite3 d.db vacuum
