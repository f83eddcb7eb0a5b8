package hostindex_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/compspec/compat/pkg/artifact"
	. "github.com/compspec/compat/pkg/hostindex"
)

// Warm: the files are in the page cache.
func BenchmarkIndexMachine(b *testing.B) {
	opts := BuildOptions{Codec: codec(b)}
	var first *Built
	for b.Loop() {
		var err error
		if first, err = Build(context.Background(), opts); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(first.Objects), "files")
}

// Cold: nothing of the files is in the page cache, which only root can drop.
func BenchmarkIndexMachineCold(b *testing.B) {
	if os.Geteuid() != 0 || os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0) != nil {
		b.Skip("the page cache cannot be dropped")
	}
	opts := BuildOptions{Codec: codec(b)}
	for b.Loop() {
		b.StopTimer()
		if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if _, err := Build(context.Background(), opts); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkIndexAgainUnchanged(b *testing.B) {
	opts := BuildOptions{Codec: codec(b)}
	first := build(b, opts)
	opts.Previous = first.Data
	for b.Loop() {
		again, err := Build(context.Background(), opts)
		if err != nil || !again.Unchanged {
			b.Fatalf("unchanged %t, %v", again.Unchanged, err)
		}
	}
}

// All programs of /usr/bin against an index in one process, opened anew each
// time.
func BenchmarkCheckAllAgainstIndex(b *testing.B) {
	data := build(b, BuildOptions{Symbols: true, Include: []string{"/usr/bin"}}).Data
	z := codec(b)
	for _, noSymbols := range []bool{true, false} {
		b.Run(fmt.Sprintf("symbols=%t", !noSymbols), func(b *testing.B) {
			n := 0
			for b.Loop() {
				x, err := Decode(z, data, "", nil)
				if err != nil {
					b.Fatal(err)
				}
				paths, err := x.Find(context.Background(), []string{"/usr/bin"}, CheckOptions{})
				if err != nil {
					b.Fatal(err)
				}
				if _, err := CheckPrograms(context.Background(), paths, x, CheckOptions{NoSymbols: noSymbols}); err != nil {
					b.Fatal(err)
				}
				n = len(paths)
			}
			b.ReportMetric(float64(n), "programs")
		})
	}
}

// thousand are indexes of a thousand machines that differ in their names, and
// every tenth in its libraries too.
func thousand(b *testing.B) (apps []App, targets []Target) {
	spec, err := artifact.Generate(context.Background(), artifact.GenerateOptions{Targets: []string{"/usr/bin/git"}})
	if err != nil {
		b.Skip(err)
	}
	z, pool := codec(b), NewPool()
	for i := range 1000 {
		opts := BuildOptions{Codec: z, Name: fmt.Sprintf("node%04d", i)}
		if i%10 == 9 { // another set of directories: nothing of it is shared
			dir := b.TempDir()
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("lib%d.so", i)), []byte("x"), 0o644); err != nil {
				b.Fatal(err)
			}
			opts.Include = []string{dir}
		}
		built, err := Build(context.Background(), opts)
		if err != nil {
			b.Fatal(err)
		}
		data := bytes.Clone(built.Data)
		targets = append(targets, Target{Name: opts.Name, Open: func() (*Index, error) { return Decode(z, data, "", pool) }})
	}
	return []App{{Name: "git", Spec: spec}}, targets
}

func BenchmarkOneAppThousandIndexes(b *testing.B) {
	apps, targets := thousand(b)
	for b.Loop() {
		m, err := Compare(context.Background(), apps, targets, CheckOptions{NoSymbols: true})
		if err != nil || m.Verdict() != Compatible {
			b.Fatal(m.Verdict(), err)
		}
	}
}

// The same without anything shared between the indexes.
func BenchmarkOneAppThousandIndexesUnshared(b *testing.B) {
	apps, _ := thousand(b)
	z := codec(b)
	data := build(b, BuildOptions{}).Data
	for b.Loop() {
		targets := make([]Target, 1000)
		for i := range targets {
			targets[i] = Target{Name: fmt.Sprint(i), Open: func() (*Index, error) { return Decode(z, data, "", nil) }}
		}
		m, err := Compare(context.Background(), apps, targets, CheckOptions{NoSymbols: true})
		if err != nil || m.Verdict() != Compatible {
			b.Fatal(m.Verdict(), err)
		}
	}
}

// What an index with symbols holds in memory, once every program of /usr/bin
// was checked against it.
func BenchmarkIndexMemory(b *testing.B) {
	data := build(b, BuildOptions{Symbols: true, Include: []string{"/usr/bin"}}).Data
	z := codec(b)
	live := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	for b.Loop() {
		before := live()
		x, err := Decode(z, bytes.Clone(data), "", nil)
		if err != nil {
			b.Fatal(err)
		}
		opened := live()
		paths, err := x.Find(context.Background(), []string{"/usr/bin"}, CheckOptions{})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := CheckPrograms(context.Background(), paths, x, CheckOptions{}); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(opened-before)/(1<<20), "MiB-opened")
		b.ReportMetric(float64(live()-before)/(1<<20), "MiB-all-read")
		runtime.KeepAlive(x)
	}
}

// Peers over the same programs, each in its own process.
func BenchmarkPeersOverAllPrograms(b *testing.B) {
	dir := b.TempDir()
	compat := filepath.Join(dir, "compat")
	if out, err := exec.Command("go", "build", "-o", compat, "../../cmd/compat").CombinedOutput(); err != nil {
		b.Skipf("%v: %s", err, out)
	}
	index := filepath.Join(dir, "index.json.zst")
	if err := os.WriteFile(index, build(b, BuildOptions{Symbols: true, Include: []string{"/usr/bin"}}).Data, 0o644); err != nil {
		b.Fatal(err)
	}
	live, err := Live()
	if err != nil {
		b.Fatal(err)
	}
	programs, err := live.Find(context.Background(), []string{"/usr/bin"}, CheckOptions{})
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name string
		args []string
	}{
		{"compat-no-symbols", []string{compat, "check", "--host", index, "--installed", "--no-symbols", "/usr/bin"}},
		{"compat", []string{compat, "check", "--host", index, "--installed", "/usr/bin"}},
		{"libtree", append([]string{"libtree"}, programs...)},
		{"ldd", append([]string{"ldd"}, programs...)},
		{"ldd-r", append([]string{"ldd", "-r"}, programs...)},
	} {
		b.Run(c.name, func(b *testing.B) {
			if _, err := exec.LookPath(c.args[0]); err != nil {
				b.Skip(err)
			}
			for b.Loop() {
				_ = exec.Command(c.args[0], c.args[1:]...).Run() // a no is an answer too
			}
			b.ReportMetric(float64(len(programs)), "programs")
		})
	}
}
