package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/compspec/compat/pkg/artifact/remote/remotetest"
)

// Whole processes, in turn with the peer in one run: an op is one run of each,
// and what counts is the ratio of the medians.

// process runs a command to its end.
func process(b *testing.B, env []string, name string, args ...string) {
	b.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		b.Fatalf("%s %q: %v\n%s", name, args, err, out.String())
	}
}

// versus times ours and the peer in turn and reports both medians and by how
// much the peer is slower.
func versus(b *testing.B, peer string, ours, theirs func(i int)) {
	var a, p []time.Duration
	timed := func(f func(int), i int) time.Duration {
		start := time.Now()
		f(i)
		return time.Since(start)
	}
	ours(-1) // both warm
	theirs(-1)
	n := 0
	for b.Loop() {
		a = append(a, timed(ours, n))
		p = append(p, timed(theirs, n))
		n++
	}
	slices.Sort(a)
	slices.Sort(p)
	median := func(d []time.Duration) float64 { return float64(d[len(d)/2]) / 1e6 }
	b.ReportMetric(median(a), "compat-ms")
	b.ReportMetric(median(p), peer+"-ms")
	b.ReportMetric(median(p)/median(a), peer+"/compat")
}

// binary builds compat as `make build` does.
func binary(b *testing.B) string {
	b.Helper()
	bin := filepath.Join(b.TempDir(), "compat")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", bin, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	return bin
}

func find(b *testing.B, names ...string) string {
	b.Helper()
	for _, n := range names {
		if p, err := exec.LookPath(n); err == nil {
			return p
		}
	}
	b.Skipf("needs one of %q", names)
	return ""
}

// The tools that people list libraries with. Each says less than gen, which
// reads symbols and digests and validates what it writes.
func BenchmarkGen(b *testing.B) {
	bin, program := binary(b), find(b, "xz", "git", "ls")
	env := []string{"XDG_CACHE_HOME=" + b.TempDir()}
	for _, peer := range []string{"ldd", "libtree", "lddtree"} {
		b.Run("vs-"+peer, func(b *testing.B) {
			tool := find(b, peer)
			if out, err := exec.Command(tool, program).CombinedOutput(); err != nil {
				b.Skipf("%s does not work here: %v: %s", peer, err, out)
			}
			versus(b, peer,
				func(int) { process(b, env, bin, "gen", program) },
				func(int) { process(b, env, tool, program) })
		})
	}
}

// A stored spec, by file and by a reference that was pulled once.
func BenchmarkCheck(b *testing.B) {
	bin, program := binary(b), find(b, "xz", "git", "ls")
	dir := b.TempDir()
	env := []string{"XDG_CACHE_HOME=" + dir, "XDG_DATA_HOME=" + dir, "DOCKER_CONFIG=" + dir}
	spec := filepath.Join(dir, "compat.json")
	process(b, env, bin, "gen", program, "--out", spec)
	process(b, env, bin, "push", "app:compat", spec)
	ldd := find(b, "ldd")
	b.Run("file", func(b *testing.B) {
		versus(b, "ldd-r", func(int) { process(b, env, bin, "check", spec) }, func(int) { process(b, env, ldd, "-r", program) })
	})
	b.Run("ref", func(b *testing.B) {
		versus(b, "ldd-r", func(int) { process(b, env, bin, "check", "--ref", "app:compat") }, func(int) { process(b, env, ldd, "-r", program) })
	})
}

// The same bytes to the same registry, each time under a new tag, with one byte
// changed so that the blob is sent.
func BenchmarkPush(b *testing.B) {
	oras := find(b, "oras")
	bin := binary(b)
	dir := b.TempDir()
	env := []string{"XDG_CACHE_HOME=" + dir, "XDG_DATA_HOME=" + dir, "DOCKER_CONFIG=" + dir}
	process(b, env, bin, "gen", find(b, "xz", "git", "ls"), "--out", filepath.Join(dir, "compat.json"))
	text, err := os.ReadFile(filepath.Join(dir, "compat.json"))
	if err != nil {
		b.Fatal(err)
	}
	registry := remotetest.Serve(b, remotetest.Olareg(b))
	b.Chdir(dir)
	versus(b, "oras", func(i int) {
		name := change(b, text, "compat", i)
		process(b, env, bin, "push", fmt.Sprintf("%s/a:t%d", registry, i+1), name)
	}, func(i int) {
		name := change(b, text, "oras", i)
		process(b, env, oras, "push", "--plain-http", "--artifact-type", "application/vnd.compspec.compat.v1",
			fmt.Sprintf("%s/b:t%d", registry, i+1), name+":application/vnd.compspec.compat.spec.v1+json")
	})
}

// change writes the document with blanks at its end, as many as make it new.
func change(b *testing.B, text []byte, who string, i int) string {
	b.Helper()
	name := who + ".json"
	if err := os.WriteFile(name, append(bytes.TrimSpace(text), bytes.Repeat([]byte("\n"), i+2)...), 0o666); err != nil {
		b.Fatal(err)
	}
	return name
}
