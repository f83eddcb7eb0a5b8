#!/bin/sh
# fuzz.sh TIME: each fuzz target below the current directory for TIME, a Go
# duration. A finding ends it: go test names the file that it wrote.
#
# Until Go 1.27 the coordinator may take the end of the time for a failure, and
# say nothing but "context deadline exceeded" (golang/go#75804). A target that
# ends so runs once more, for all of its time; one that hangs does so each time.
set -eu
go=${GO:-go} time=${1:?usage: fuzz.sh TIME} tries=3
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# timed_out: the log has one failure, and it is the deadline alone.
timed_out() {
	awk '
		/^--- FAIL: / { failures++; getline; if ($0 == "    context deadline exceeded") deadline++; getline; if ($0 != "FAIL") other++ }
		/Failing input written to/ { other++ }
		END { exit !(failures == 1 && deadline == 1 && !other) }' "$log"
}

targets=$(grep -ro --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' . | sed 's/func //' | sort)
[ -n "$targets" ] || { echo "no fuzz target found" >&2; exit 1; }
for target in $targets; do
	dir=$(dirname "${target%%:*}") name=${target##*:} try=1
	echo "fuzz $dir $name for $time"
	until "$go" test -run '^$' -fuzz "^$name\$" -fuzztime "$time" -fuzzminimizetime 1s "$dir" >"$log" 2>&1; do
		if [ $try -eq $tries ] || ! timed_out; then
			cat "$log"
			exit 1
		fi
		try=$((try + 1))
		grep '^fuzz: ' "$log" || true
		echo "fuzz $dir $name again: the end of the time was taken for a failure (golang/go#75804)"
	done
	cat "$log"
done
