package slim

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/compspec/compat/pkg/record/trace"
	"github.com/compspec/compat/pkg/record/trace/tracetest"
	"github.com/compspec/compat/schemas"
)

// recording makes one of events that went well, in the order given.
func recording(t *testing.T, h *trace.Header, events ...trace.Event) *trace.Reader {
	t.Helper()
	h.Start, h.Mode = "2026-01-02T03:04:05.000000006Z", trace.ModePaths
	b := tracetest.Recording(t, h, trace.Footer{}, events...)
	r, err := trace.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// events are written "op path", with !ERRNO behind where it failed; exec is an
// open to be executed, rename has two paths.
func events(lines ...string) (out []trace.Event) {
	for _, line := range lines {
		op, path, _ := strings.Cut(line, " ")
		e := trace.Event{Op: trace.Op(op), TGID: 5, Comm: "x"}
		if op == "exec" {
			e.Op, e.Exec = trace.OpOpen, true
		}
		path, e.Errno, _ = strings.Cut(path, " !")
		if e.Op == trace.OpRename {
			path, e.Path2, _ = strings.Cut(path, " ")
		}
		e.Path = path
		out = append(out, e)
	}
	return out
}

// old is when all files of the test's root were changed.
var old = time.Unix(1_600_000_000, 123_456_789)

// plant makes a root: "DIR/", "FILE", "FILE=CONTENT", "LINK->TARGET" or
// "NAME==OTHER", a hard link.
func plant(t *testing.T, files ...string) string {
	t.Helper()
	root := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range files {
		name, target, link := strings.Cut(f, "->")
		name, other, hard := strings.Cut(name, "==")
		name, content, _ := strings.Cut(name, "=")
		at := filepath.Join(root, name)
		must(os.MkdirAll(filepath.Dir(at), 0o755))
		switch {
		case link:
			must(os.Symlink(target, at))
		case hard:
			must(os.Link(filepath.Join(root, other), at))
		case strings.HasSuffix(name, "/"):
			must(os.MkdirAll(at, 0o755))
		default:
			must(os.WriteFile(at, []byte(content), 0o644))
			must(os.Chtimes(at, old, old))
		}
	}
	return root
}

func selected(t *testing.T, root string, also []string, readers ...*trace.Reader) (*Tree, *Wanted) {
	t.Helper()
	w := NewWanted()
	for _, r := range readers {
		if err := w.Add(context.Background(), r); err != nil {
			t.Fatal(err)
		}
	}
	tree, err := Select(context.Background(), w, Options{Root: root, Also: also})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tree.Close() })
	return tree, w
}

// listing is what a tree has, without the mount points that each has.
func listing(tree *Tree) (out []string) {
	for _, n := range tree.sorted() {
		switch {
		case n.path == "/" || isMount(n.path):
		case n.info.IsDir():
			out = append(out, n.path+"/")
		case n.info.IsSymlink():
			out = append(out, n.path+"->"+n.target)
		default:
			out = append(out, n.path)
		}
	}
	return out
}

func missing(tree *Tree) (out []string) {
	for _, m := range tree.missing {
		out = append(out, fmt.Sprintf("%s %s: %s", m.Use, m.Path, m.Reason))
	}
	return out
}

// TestLongNamesTakeNoTime: what no kernel takes is not compared with all that the
// run made, directory by directory.
func TestLongNamesTakeNoTime(t *testing.T) {
	long := strings.Repeat("/a", 100_000)
	began := time.Now()
	tree, _ := selected(t, plant(t), nil, recording(t, &trace.Header{}, events("mkdir /x", "lookup "+long)...))
	if took := time.Since(began); took > time.Minute { // once it was minutes
		t.Errorf("one name took %v", took)
	}
	if len(tree.missing) != 1 || tree.missing[0].Path != long {
		t.Errorf("%d names are missing, want the long one", len(tree.missing))
	}
}

func TestAddStops(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := NewWanted().Add(ctx, recording(t, &trace.Header{}, events("open /a")...)); !errors.Is(err, context.Canceled) {
		t.Errorf("a recording was read on: %v", err)
	}
}

// TestInterpretersOfInterpreters: a script's interpreter may be a script.
func TestInterpretersOfInterpreters(t *testing.T) {
	const n = 100
	var files []string
	for i := range n {
		files = append(files, fmt.Sprintf("s%d=#!/s%d\n", i, i+1))
	}
	root := plant(t, files...)
	for i := range n {
		if err := os.Chmod(filepath.Join(root, fmt.Sprintf("s%d", i)), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	tree, _ := selected(t, root, nil, recording(t, &trace.Header{}, events("exec /s0")...))
	if got := len(listing(tree)); got != n {
		t.Errorf("%d scripts are kept, want %d", got, n)
	}
}

func TestMeasureLeavesOutWhatWasWritten(t *testing.T) {
	root := plant(t, "a=12345", "b=123")
	tree, _ := selected(t, root, nil, recording(t, &trace.Header{}, events("open /a")...))
	out := filepath.Join(root, "out")
	if _, err := tree.WriteDir(context.Background(), out); err != nil {
		t.Fatal(err)
	}
	if full, err := tree.Measure(context.Background(), out); err != nil || *full != (Size{2, 8}) {
		t.Errorf("%v %v, want two files of 8 bytes", full, err)
	}
}

func TestSelect(t *testing.T) {
	chain := []string{}
	for i := range 41 {
		chain = append(chain, fmt.Sprintf("l%d->l%d", i, i+1))
	}
	for _, c := range []struct {
		name    string
		root    []string
		also    []string
		header  trace.Header
		events  []string
		want    []string
		missing []string
	}{
		{name: "a file", root: []string{"a/b/f", "a/other", "c/"}, events: []string{"open /a/b/f"}, want: []string{"/a/", "/a/b/", "/a/b/f"}},
		{name: "what was asked about", root: []string{"a/f", "d/x"}, events: []string{"lookup /a", "lookup /a/f", "opendir /d"}, want: []string{"/a/", "/a/f", "/d/"}},
		{name: "what failed", root: []string{"f"}, events: []string{"open /f !EACCES", "lookup /no !ENOENT"}},
		{name: "a link to a file", root: []string{"lib/z.so.1.2", "lib/z.so.1->z.so.1.2"}, events: []string{"readlink /lib/z.so.1", "open /lib/z.so.1.2"},
			want: []string{"/lib/", "/lib/z.so.1->z.so.1.2", "/lib/z.so.1.2"}},
		{name: "links that no event names", root: []string{"usr/lib/z.so.1.2", "usr/lib/z.so.1->z.so.1.2", "usr/lib/z.so->z.so.1", "usr/lib/y.so->nowhere", "lib->usr/lib", "out->/no"},
			events: []string{"open /usr/lib/z.so.1.2"},
			want:   []string{"/lib->usr/lib", "/usr/", "/usr/lib/", "/usr/lib/z.so->z.so.1", "/usr/lib/z.so.1->z.so.1.2", "/usr/lib/z.so.1.2"}},
		{name: "an absolute link through a directory", root: []string{"usr/lib/ld.so", "lib->/usr/lib", "etc/ld->/lib/ld.so"}, events: []string{"readlink /etc/ld"},
			want: []string{"/etc/", "/etc/ld->/lib/ld.so", "/lib->/usr/lib", "/usr/", "/usr/lib/", "/usr/lib/ld.so"}},
		{name: "a link that leaves a directory again", root: []string{"b/f", "a/x/", "l->a/x/../../b/f"}, events: []string{"readlink /l"},
			want: []string{"/a/", "/a/x/", "/b/", "/b/f", "/l->a/x/../../b/f"}},
		{name: "a link that climbs out", root: []string{"etc/passwd", "a/l->../../../../etc/passwd"}, events: []string{"open /a/l"},
			want: []string{"/a/", "/a/l->../../../../etc/passwd", "/etc/", "/etc/passwd"}},
		{name: "a link to nowhere", root: []string{"l->no/where"}, events: []string{"readlink /l"}, want: []string{"/l->no/where"},
			missing: []string{"looked up /l: no such file or directory"}},
		{name: "a circle", root: []string{"a->b", "b->a"}, events: []string{"open /a"}, want: []string{"/a->b", "/b->a"},
			missing: []string{"opened /a: too many levels of symbolic links"}},
		{name: "40 links", root: append(slices.Clone(chain[:40]), "l40"), events: []string{"open /l0"}, want: func() (out []string) {
			for _, l := range append(slices.Clone(chain[:40]), "l40") {
				out = append(out, "/"+l)
			}
			slices.SortFunc(out, func(a, b string) int {
				a, _, _ = strings.Cut(a, "->")
				b, _, _ = strings.Cut(b, "->")
				return strings.Compare(a, b)
			})
			return out
		}()},
		{name: "a path that climbs out", root: []string{"f"}, events: []string{"open /../../etc/passwd", "open /../../f"}, want: []string{"/f"},
			missing: []string{"opened /../../etc/passwd: no such file or directory"}},
		{name: "paths that are none", root: []string{"f"}, events: []string{"open f", "open ../f", "opendir ./", "open /f/", "open /f/x", "open /f/..", "open /f/.", "open //f"},
			want:    []string{"/f"},
			missing: []string{"opened /f/: not a directory", "opened /f/.: not a directory", "opened /f/..: not a directory", "opened /f/x: not a directory"}},
		{name: "any bytes", root: []string{"a\nb/\xff\x1b[2J"}, events: []string{"open /a\nb/\xff\x1b[2J", "open /\xfe", "open /" + strings.Repeat("n", 300), "open /" + strings.Repeat("d/", 3000)},
			want: []string{"/a\nb/", "/a\nb/\xff\x1b[2J"},
			missing: []string{"opened /" + strings.Repeat("d/", 3000) + ": file name too long", "opened /" + strings.Repeat("n", 300) + ": file name too long",
				"opened /\xfe: no such file or directory"}},
		{name: "what the run made", root: []string{"out", "d/x", "new", "kept", "emptied"},
			events: []string{"create /out", "open /out", "mkdir /d", "opendir /d", "open /d/x", "rename /tmpname /new", "lookup /new", "lookup /kept", "rename /tmpname /kept", "lookup /emptied", "create /emptied"},
			want:   []string{"/emptied", "/kept"}},
		{name: "a working directory and a program by a link", root: []string{"usr/bin/py3.11", "usr/bin/py->py3.11", "calc/in", "run/x"},
			header: trace.Header{Argv: []string{"../usr/bin/py"}, Dir: "/calc", Program: "/usr/bin/py3.11", Unrecorded: []string{"/run", "/sys", "/mnt/x"}},
			want:   []string{"/calc/", "/run/", "/usr/", "/usr/bin/", "/usr/bin/py->py3.11", "/usr/bin/py3.11"}},
		{name: "a script of a script", root: []string{"bin/sh", "bin/run=#! /bin/sh -e\n", "opt/s=#!/bin/run\n", "opt/none=#!", "opt/rel=#!sh\n"},
			events: []string{"exec /opt/s", "exec /opt/none", "exec /opt/rel"},
			want:   []string{"/bin/", "/bin/run", "/bin/sh", "/opt/", "/opt/none", "/opt/rel", "/opt/s"}},
		{name: "also", root: []string{"share/zone/UTC", "share/zone/deep/er", "share/zone/l->/etc/zone", "etc/zone", "share/zap", "share/other"}, also: []string{"/share/z*", "/etc/../etc/zone"},
			want: []string{"/etc/", "/etc/zone", "/share/", "/share/zap", "/share/zone/", "/share/zone/UTC", "/share/zone/deep/", "/share/zone/deep/er", "/share/zone/l->/etc/zone"}},
		{name: "of the kernel", root: []string{"proc/meminfo", "dev/null", "sys/x", "p->/proc/meminfo"}, events: []string{"open /proc/meminfo", "open /dev/null", "lookup /sys/x", "open /p"},
			want: []string{"/p->/proc/meminfo"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := plant(t, c.root...)
			for _, name := range []string{"bin/run", "opt/s", "opt/none", "opt/rel"} {
				if err := os.Chmod(filepath.Join(root, name), 0o755); err != nil && !errors.Is(err, fs.ErrNotExist) {
					t.Fatal(err)
				}
			}
			tree, w := selected(t, root, c.also, recording(t, &c.header, events(c.events...)...))
			if got := listing(tree); !slices.Equal(got, c.want) {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
			if got := missing(tree); !slices.Equal(got, c.missing) {
				t.Errorf("missing %q\nwant    %q", got, c.missing)
			}
			if c.name == "of the kernel" {
				if r := tree.Report(w); !slices.Equal(r.Provided, []string{"/dev/null", "/p", "/proc/meminfo"}) {
					t.Errorf("provided: %q", r.Provided)
				}
			}
			fits(t, tree, w)
			same(t, tree, c.name)
		})
	}
}

// fits holds the JSON of a report to its schema.
func fits(t *testing.T, tree *Tree, w *Wanted) {
	t.Helper()
	full, err := tree.Measure(context.Background(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []*Size{nil, full} {
		r := tree.Report(w)
		r.Full = f
		doc, err := json.Marshal(r)
		if err == nil {
			err = schemas.Validate("traceslim.v1.json", doc)
		}
		if err != nil {
			t.Errorf("%v: %s", err, doc)
		}
	}
}

// same writes a tree both ways, and compares what is there with what is meant.
func same(t *testing.T, tree *Tree, name string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "out")
	left, err := tree.WriteDir(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 && left != (Unkept{}) {
		t.Errorf("%s: %+v", name, left)
	}
	onDisk := 0
	if err := filepath.WalkDir(dir, func(string, fs.DirEntry, error) error { onDisk++; return nil }); err != nil {
		t.Fatal(err)
	}
	packed := untar(t, pack(t, tree, ""))
	if len(packed) != len(tree.nodes) || onDisk != len(tree.nodes) {
		t.Errorf("%d nodes, %d in the directory, %d in the tar", len(tree.nodes), onDisk, len(packed))
	}
	for path, n := range tree.nodes {
		var st syscall.Stat_t
		if err := syscall.Lstat(dir+path, &st); err != nil {
			t.Fatalf("%q: %v", path, err)
		}
		h := packed[path]
		if h == nil {
			t.Fatalf("%q is not in the tar", path)
		}
		if st.Mode&syscall.S_IFMT != n.info.Mode&syscall.S_IFMT || !n.info.IsSymlink() && st.Mode != n.info.Mode || h.Mode != int64(n.info.Mode&0o7777) {
			t.Errorf("%q: mode %o, in the tar %o, want %o", path, st.Mode, h.Mode, n.info.Mode)
		}
		if st.Mtim.Nano() != n.info.MTime || h.ModTime.UnixNano() != n.info.MTime {
			t.Errorf("%q: time %d, in the tar %d, want %d", path, st.Mtim.Nano(), h.ModTime.UnixNano(), n.info.MTime)
		}
		if n.info.IsRegular() && (st.Size != n.info.Size || h.Typeflag == tar.TypeReg && h.Size != st.Size) {
			t.Errorf("%q: size %d, in the tar %d, want %d", path, st.Size, h.Size, n.info.Size)
		}
		if target, _ := os.Readlink(dir + path); target != n.target || h.Typeflag == tar.TypeSymlink && h.Linkname != target {
			t.Errorf("%q: leads to %q, in the tar %q, want %q", path, target, h.Linkname, n.target)
		}
	}
}

func pack(t *testing.T, tree *Tree, name string) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := tree.WriteTar(context.Background(), &b, name); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// untar are the headers of a tar by their canonical paths. What a tar has twice,
// or before the directory that it is in, fails the test.
func untar(t *testing.T, data []byte) map[string]*tar.Header {
	t.Helper()
	out := map[string]*tar.Header{}
	r := tar.NewReader(bytes.NewReader(data))
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Clean("/" + h.Name)
		if out[path] != nil || path != "/" && out[filepath.Dir(path)] == nil {
			t.Errorf("%q is there twice, or before its directory", path)
		}
		out[path] = h
	}
}
