package view

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/compspec/compat/pkg/internal/fusecore"
	"github.com/compspec/compat/pkg/spindle"
)

// tree has n files, 20 in a directory, in directories that no machine has.
func tree(n int) *Tree {
	t := &Tree{Content: func(digest string) string { return "/cache/" + strings.Replace(digest, ":", "/", 1) }}
	for i := range n {
		t.Files = append(t.Files, spindle.File{
			Path: fmt.Sprintf("/compat-none/lib/%03d/lib%05d.so", i/20, i), Type: spindle.TypeFile, Mode: 0o755, Size: int64(i), MTime: int64(i),
			Digest: fmt.Sprintf("sha256:%064d", i),
		})
	}
	return t
}

func tableOf(t testing.TB, tree *Tree) *table {
	t.Helper()
	b, err := tree.encode()
	if err != nil {
		t.Fatal(err)
	}
	tab, err := newTable(b, 7, 8)
	if err != nil {
		t.Fatal(err)
	}
	return tab
}

func small() *Tree {
	return &Tree{
		Files: []spindle.File{
			{Path: "/compat-none/a/whole", Type: spindle.TypeDir, Mode: 0o700, Whole: true, MTime: 5},
			{Path: "/compat-none/a/whole/f", Type: spindle.TypeFile, Mode: 0o4755, Size: 3, Digest: "sha256:f"},
			{Path: "/compat-none/a/whole/l", Type: spindle.TypeLink, Mode: 0o644, Link: "f"},
			{Path: "/compat-none/a/part/f", Type: spindle.TypeFile, Mode: 0o644, Digest: "sha256:g"},
			{Path: "/", Type: spindle.TypeDir, Mode: 0o755},
			{Path: "/tmp/compat-none-file", Type: spindle.TypeFile, Mode: 0o644, Digest: "sha256:g"},
		},
		Absent:  []string{"/compat-none/a/part/no", "/etc/compat-none"},
		Content: func(digest string) string { return "/cache/" + digest },
	}
}

func TestLookup(t *testing.T) {
	tab := tableOf(t, small())
	const file, dir, link = syscall.S_IFREG, syscall.S_IFDIR, syscall.S_IFLNK
	for _, c := range []struct {
		dir, name string
		answer    fusecore.Answer
		mode      uint32
	}{
		{"/compat-none/a/whole", "f", fusecore.Planned, file | 0o4755},
		{"/compat-none/a/whole", "l", fusecore.Planned, link | 0o777},
		{"/compat-none/a/whole", "g", fusecore.Absent, 0},
		{"/compat-none/a/part", "f", fusecore.Planned, file | 0o644},
		{"/compat-none/a/part", "no", fusecore.Absent, 0},
		{"/compat-none/a/part", "yes", fusecore.Pass, 0},
		// Directories that lead there, and that the machine has not.
		{"/compat-none/a", "whole", fusecore.Planned, dir | 0o700},
		{"/compat-none/a", "part", fusecore.Planned, dir | 0o755},
		{"/compat-none", "a", fusecore.Planned, dir | 0o755},
		{"/", "compat-none", fusecore.Planned, dir | 0o755},
		// Those that it has are its own.
		{"/", "tmp", fusecore.Pass, 0},
		{"/", "etc", fusecore.Pass, 0},
		{"/tmp", "compat-none-file", fusecore.Planned, file | 0o644},
		{"/etc", "compat-none", fusecore.Absent, 0},
		{"/etc", "passwd", fusecore.Pass, 0},
		{"/usr", "bin", fusecore.Pass, 0},
	} {
		answer, e := tab.Lookup(c.dir, c.name)
		if answer != c.answer || (e != nil) != (c.answer == fusecore.Planned) || e != nil && e.Mode != c.mode {
			t.Errorf("%s in %s: %v, %+v", c.name, c.dir, answer, e)
		}
		if e != nil && (e.UID != 7 || e.GID != 8) {
			t.Errorf("%s in %s has the owner %d:%d", c.name, c.dir, e.UID, e.GID)
		}
	}
	_, e := tab.Lookup("/compat-none/a/whole", "f")
	if want := (fusecore.Entry{Mode: file | 0o4755, UID: 7, GID: 8, Size: 3, Content: "/cache/sha256:f"}); *e != want {
		t.Errorf("the entry is %+v, want %+v", *e, want)
	}
}

// What a program has changed is not planned any more.
func TestChanged(t *testing.T) {
	tab := tableOf(t, small())
	const whole = "/compat-none/a/whole"
	list := func() (names string, all bool) {
		l, all := tab.List(whole)
		for _, x := range l {
			names += x.Name + " "
		}
		return names, all
	}
	if names, all := list(); names != "f l " || !all {
		t.Errorf("before: %q, %v", names, all)
	}
	tab.Changed(whole + "/f")
	if answer, e := tab.Lookup(whole, "f"); answer != fusecore.Pass || e != nil {
		t.Errorf("a changed file: %v, %v", answer, e)
	}
	if answer, _ := tab.Lookup(whole, "l"); answer != fusecore.Planned {
		t.Errorf("another one: %v", answer)
	}
	tab.Changed(whole + "/new")
	if answer, _ := tab.Lookup(whole, "new"); answer != fusecore.Pass {
		t.Errorf("a new file: %v", answer)
	}
	if answer, _ := tab.Lookup(whole, "none"); answer != fusecore.Absent {
		t.Errorf("a name that is still not there: %v", answer)
	}
	if names, all := list(); names != "l " || all {
		t.Errorf("after: %q, %v", names, all)
	}
	tab.Changed("/top")
	if answer, _ := tab.Lookup("/", "top"); answer != fusecore.Pass {
		t.Errorf("in the root: %v", answer)
	}
	if names, all := tab.List("/compat-none/nowhere"); names != nil || all {
		t.Errorf("of no directory: %v, %v", names, all)
	}
}

// Under the race detector.
func TestChangedMeanwhile(t *testing.T) {
	tab := tableOf(t, tree(200))
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for k := range 200 {
				dir, name := fmt.Sprintf("/compat-none/lib/%03d", k/20), fmt.Sprintf("lib%05d.so", k)
				tab.Lookup(dir, name)
				if k%4 == i {
					tab.Changed(dir + "/" + name)
				}
				tab.List(dir)
			}
		})
	}
	wg.Wait()
	if answer, _ := tab.Lookup("/compat-none/lib/003", "lib00077.so"); answer != fusecore.Pass {
		t.Errorf("got %v", answer)
	}
}

func TestLookupAllocatesNothing(t *testing.T) {
	tab := tableOf(t, tree(1000))
	tab.Changed("/compat-none/lib/001/other")
	dir, names := "/compat-none/lib/003", []string{"lib00077.so", "none"}
	if n := testing.AllocsPerRun(100, func() {
		for _, name := range names {
			tab.Lookup(dir, name)
			tab.Lookup("/usr", name)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// All of / goes through the view where the trees alone would not show the plan.
func TestWatched(t *testing.T) {
	dir := t.TempDir()
	in := func(paths ...string) *Tree {
		t := &Tree{}
		for _, p := range paths {
			kind := spindle.TypeFile
			if name, ok := strings.CutSuffix(p, "/"); ok {
				p, kind = name, spindle.TypeDir
			}
			t.Files = append(t.Files, spindle.File{Path: p, Type: kind})
		}
		return t
	}
	for _, c := range []struct {
		name  string
		trees []string
		tree  *Tree
		all   bool
	}{
		{"none", nil, nil, true},
		{"no plan", []string{dir}, nil, false},
		{"below", []string{dir}, in("/tmp/", dir+"/f"), false},
		{"outside", []string{dir}, in(dir+"/f", "/usr/f"), true},
		{"a longer name", []string{dir}, in(dir + "x/f"), true},
		{"two", []string{"/usr", dir}, in(dir+"/f", "/usr/f"), false},
		{"one is not there", []string{dir, "/compat-none"}, in(dir + "/f"), true},
		{"the root", []string{"/"}, in(dir + "/f"), true},
		{"unclean", []string{dir + "/"}, nil, true},
	} {
		if got := watched(c.trees, c.tree); (len(got) == 0) != c.all {
			t.Errorf("%s: %q", c.name, got)
		}
	}
}

func TestResultCoding(t *testing.T) {
	var r Result
	if err := r.decode(nil); err == nil {
		t.Error("nothing is a result")
	}
}

// An error means no table; a table has what was decoded, once.
func FuzzTable(f *testing.F) {
	for _, t := range []*Tree{nil, small(), tree(3)} {
		b, err := t.encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		tab, err := newTable(bytes.Clone(b), 1, 1)
		if (err == nil) != (tab != nil) {
			t.Fatalf("%v, %v", tab, err)
		}
		if tab == nil {
			return
		}
		for dir, d := range tab.dirs {
			tab.List(dir)
			for _, e := range tab.entries[d.first:d.end] {
				tab.Lookup(dir, e.name)
			}
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	t := tree(10_000)
	for b.Loop() {
		if _, err := t.encode(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	text, err := tree(10_000).encode()
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, err := newTable(slices.Clone(text), 0, 0); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLookup(b *testing.B) {
	tab := tableOf(b, tree(10_000))
	for b.Loop() {
		tab.Lookup("/compat-none/lib/003", "lib00077.so")
	}
}
