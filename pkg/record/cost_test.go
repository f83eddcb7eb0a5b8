//go:build cost

package record_test

import (
	"cmp"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compspec/compat/pkg/internal/sandbox/sandboxtest"
	"github.com/compspec/compat/pkg/record/trace"
)

var (
	bin  = flag.String("compat", "", "the binary to measure")
	runs = flag.Int("runs", 5, "of each workload under each recorder, in turn")
)

// TestCost prints what a recording costs, beside strace, as ratios of wall times
// in one run: medians of runs that take turns, so that a machine whose speed
// drifts is fair to all. Below, the requests that it came from.
func TestCost(t *testing.T) {
	sandboxtest.RequireRoot(t)
	sandboxtest.RequireFUSE(t)
	sandboxtest.Require(t, "strace", "python3", "gcc", "make", "tar", "setpriv")
	if *bin == "" {
		t.Fatal("name the binary: -compat")
	}
	dir := t.TempDir()
	os.Chmod(filepath.Dir(dir), 0o755)
	os.Chmod(dir, 0o777)
	for i := range 30 {
		text := "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n#include <unistd.h>\n#include <sys/stat.h>\n#include <math.h>\n#include <errno.h>\n#include <signal.h>\n"
		write(t, dir, fmt.Sprintf("f%d.c", i), text+fmt.Sprintf("int f%d(int x) { return x + (int)strlen(\"%d\"); }\n", i, i))
	}
	write(t, dir, "Makefile", "OBJECTS = $(patsubst %.c,%.o,$(wildcard *.c))\nall: $(OBJECTS)\n\tar rcs lib.a $(OBJECTS)\n")
	big := filepath.Join(dir, "big")
	if out, err := exec.Command("dd", "if=/dev/zero", "of="+big, "bs=1M", "count=1024").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	imports := "import json, re, subprocess, socket, ssl, email, http.client, urllib.request, xml.etree.ElementTree, sqlite3, ctypes, asyncio, logging, unittest, decimal, csv, argparse, multiprocessing, zipfile, tempfile"
	work := []struct {
		name string
		argv []string
	}{
		{"python, 20 imports", []string{"/usr/bin/python3", "-c", imports}},
		{"make of 30 files", []string{"sh", "-c", "rm -f *.o lib.a; make -s"}},
		{"tar of /usr/include", []string{"sh", "-c", "tar cf - /usr/include 2>/dev/null | cat >/dev/null"}},
		{"read of 1 GiB", []string{"cat", big}},
	}
	recording := filepath.Join(dir, "r.jsonl")
	strace := []string{"strace", "-f", "--seccomp-bpf", "-o", filepath.Join(dir, "st")}
	ways := []struct {
		name string
		argv []string
	}{
		{"native", nil},
		{"compat", []string{*bin, "record", "--out", recording + ".zst"}},
		{"native, user", nil},
		{"compat, user", []string{*bin, "record", "--out", filepath.Join(dir, "u.jsonl.zst")}},
		{"strace %file", append(slices.Clone(strace), "-e", "trace=%file")},
		{"strace %file,close", append(slices.Clone(strace), "-e", "trace=%file,close")},
	}
	for _, w := range work {
		times := map[string][]time.Duration{}
		for range *runs {
			for _, way := range ways {
				for _, left := range []string{"lib.a", "f0.o", "u.jsonl.zst"} { // of another user
					os.Remove(filepath.Join(dir, left))
				}
				exec.Command("sh", "-c", "rm -f "+dir+"/*.o").Run()
				argv := append(slices.Clone(way.argv), w.argv...)
				cmd := exec.Command(argv[0], argv[1:]...)
				cmd.Dir = dir
				if strings.HasSuffix(way.name, "user") {
					sandboxtest.AsUser(cmd, 1000, true)
				}
				start := time.Now()
				if out, err := cmd.CombinedOutput(); err != nil && !strings.HasPrefix(w.name, "read") {
					t.Fatalf("%s, %s: %v\n%s", w.name, way.name, err, out)
				}
				times[way.name] = append(times[way.name], time.Since(start))
			}
		}
		line := fmt.Sprintf("%-20s", w.name)
		for _, way := range ways {
			base := times["native"]
			if strings.HasSuffix(way.name, "user") {
				base = times["native, user"]
			}
			line += fmt.Sprintf(" | %s %d ms, %.2f", way.name, median(times[way.name]).Milliseconds(), float64(median(times[way.name]))/float64(median(base)))
		}
		t.Log(line)
		again := exec.Command(*bin, append([]string{"record", "--out", recording}, w.argv...)...)
		again.Dir = dir
		again.Run()
		if r, err := trace.Open(recording); err == nil {
			var ev trace.Event
			for r.Next(&ev) == nil {
			}
			if f := r.Footer(); f != nil {
				names := slices.SortedFunc(maps.Keys(f.Requests), func(a, b string) int { return cmp.Compare(f.Requests[b], f.Requests[a]) })
				line = "  requests:"
				for _, n := range names {
					line += fmt.Sprintf(" %s %d", n, f.Requests[n])
				}
				t.Log(line)
			}
			r.Close()
		}
	}
}

func median(d []time.Duration) time.Duration {
	d = slices.Sorted(slices.Values(d))
	return d[len(d)/2]
}
