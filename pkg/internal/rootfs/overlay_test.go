package rootfs

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The machine below: usr-merged, with a link to nowhere, a file and a
// directory in the way.
var below = map[string]string{
	"usr/lib/libc.so.6": "libc", "lib": "-> usr/lib", "etc/passwd": "root", "opt/old/x": "x", "opt/cur": "-> old",
	"gone": "-> usr/gone/deep", "usr/lib/libx.so.1": "-> libc.so.6", "abs": "-> ROOT/usr", "loop": "-> loop", "sub": "/",
}

// An overlaid file is found as if it had been copied there: the oracle is a
// tree into which it was copied.
func TestOverlayIsAsACopy(t *testing.T) {
	for _, c := range []struct {
		name    string
		add     []string // files
		links   []Link
		nothing bool // no file can be there
	}{
		{name: "into a directory", add: []string{"/usr/lib/libn.so"}},
		{name: "into a new directory", add: []string{"/opt/app/lib/liba.so"}},
		{name: "usr-merge: /lib/x is /usr/lib/x", add: []string{"/lib/libn.so"}},
		{name: "through an absolute link", add: []string{"/abs/lib/libn.so"}},
		{name: "through two links and a new directory", add: []string{"/abs/../lib/new/libn.so"}},
		{name: "over a file", add: []string{"/etc/passwd"}},
		{name: "over a link to a file", add: []string{"/usr/lib/libx.so.1"}},
		{name: "twice the same", add: []string{"/opt/app/a", "/opt/app/a"}},
		{name: "several", add: []string{"/opt/app/bin/a", "/opt/app/lib/b", "/opt/app/c", "/usr/d"}},
		{name: "a link to the file", add: []string{"/opt/app/a.1"}, links: []Link{{"/opt/app/a", "a.1", false}}},
		{name: "a link over a file", add: []string{"/usr/lib/y"}, links: []Link{{"/usr/lib/libx.so.1", "y", false}}},
		{name: "a link to the directory", add: []string{"/data/app/a"}, links: []Link{{"/opt/app", "../data/app", true}}},
		{name: "links through links", add: []string{"/data/a"}, links: []Link{{"/l1", "data", true}, {"/l1/b", "a", false}, {"/usr/l2", "../l1/b", false}}},
		{name: "over a directory", add: []string{"/usr/lib"}, nothing: true},
		{name: "over a link to a directory", add: []string{"/lib"}, nothing: true},
		{name: "below a file", add: []string{"/etc/passwd/x"}, nothing: true},
		{name: "below a loop", add: []string{"/loop/x"}, nothing: true},
		{name: "a link over a directory", links: []Link{{"/usr", "opt", false}}, nothing: true},
		{name: "a link over a link to a directory", links: []Link{{"/lib", "opt", false}}, nothing: true},
		{name: "a directory's link over a file", links: []Link{{"/etc/passwd", "../opt", true}}, nothing: true},
		{name: "a link to nothing", links: []Link{{"/opt/l", "", false}}, nothing: true},
		{name: "a link of PATH_MAX bytes", links: []Link{{"/opt/l", strings.Repeat("x/", 2048), false}}, nothing: true},
		{name: "names of no file", add: []string{"", "/", "//", "/opt/", "/opt/.", "/opt/..", "/opt/" + strings.Repeat("n", 256), "opt/x", "/opt/a\x00b"}, nothing: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			lower, copied := tree(t, below), tree(t, below)
			o := NewOverlay(host(t, lower))
			real := func(root, name string) string {
				if c.nothing && !strings.HasPrefix(name, "/") {
					return name
				}
				return root + name
			}
			for _, name := range c.add {
				id := o.Add(real(lower, name), 0o755, 3)
				if c.nothing {
					continue
				}
				p := copied + name
				if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.RemoveAll(p), os.WriteFile(p, []byte("new"), 0o755)); err != nil {
					t.Fatal(err)
				}
				if info, err := o.Stat(lower + name); err != nil || info.ID != id && c.name != "twice the same" || info.Size != 3 || !info.IsRegular() || info.Mode&0o7777 != 0o755 {
					t.Errorf("%s: %+v, %v", name, info, err)
				}
			}
			for _, l := range c.links {
				o.AddLink(Link{lower + l.Path, l.Target, l.Dir})
				if c.nothing {
					continue
				}
				if err := errors.Join(os.RemoveAll(copied+l.Path), os.Symlink(l.Target, copied+l.Path)); err != nil {
					t.Fatal(err)
				}
			}
			sameTree(t, o, lower, copied)
		})
	}
}

// sameTree compares every file, and the way to it, in the overlay at one root
// with the copy at another.
func sameTree(t *testing.T, o *Overlay, lower, copied string) {
	t.Helper()
	h := host(t, copied)
	there := func(s string) string { return strings.ReplaceAll(s, lower, copied) }
	var visit func(dir string)
	visit = func(dir string) {
		want, wantErr := h.ReadDir(copied + dir)
		got, err := o.ReadDir(lower + dir)
		if !slices.Equal(got, want) || Errno(err) != Errno(wantErr) {
			t.Errorf("ReadDir %s: %q, %v; copied %q, %v", dir, got, err, want, wantErr)
		}
		for _, n := range want {
			p := dir + "/" + n
			l, err := o.Lstat(lower + p)
			cl, cerr := h.Lstat(copied + p)
			s, serr := o.Stat(lower + p)
			cs, cserr := h.Stat(copied + p)
			if l.Mode&syscall.S_IFMT != cl.Mode&syscall.S_IFMT || s.Mode&syscall.S_IFMT != cs.Mode&syscall.S_IFMT ||
				s.IsRegular() && s.Size != cs.Size || Errno(err) != Errno(cerr) || Errno(serr) != Errno(cserr) {
				t.Errorf("%s: %+v, %v, %+v, %v\ncopied %+v, %v, %+v, %v", p, l, err, s, serr, cl, cerr, cs, cserr)
			}
			got, links, err := Resolve(o, lower+p)
			want, wantLinks, wantErr := Resolve(h, copied+p)
			if there(got) != want || there(fmt.Sprint(links)) != fmt.Sprint(wantLinks) || Errno(err) != Errno(wantErr) {
				t.Errorf("Resolve %s: %s, %v, %v; copied %s, %v, %v", p, got, links, err, want, wantLinks, wantErr)
			}
			target, err := o.Readlink(lower + p)
			if ctarget, cerr := h.Readlink(copied + p); there(target) != ctarget || Errno(err) != Errno(cerr) {
				t.Errorf("Readlink %s: %s, %v; copied %s, %v", p, target, err, ctarget, cerr)
			}
			f, err := o.Open(lower + p)
			cf, cerr := h.Open(copied + p)
			if Errno(err) != Errno(cerr) || err == nil && f.Info().Mode&syscall.S_IFMT != cf.Info().Mode&syscall.S_IFMT {
				t.Errorf("Open %s: %v; copied %v", p, err, cerr)
			}
			for _, open := range []File{f, cf} {
				if open != nil {
					open.Close()
				}
			}
			if cl.IsDir() {
				visit(p)
			}
		}
	}
	visit("")
}

// What "mkdir -p" cannot do is left out of the comparison with a copy.
func TestOverlayBelowALinkToNowhere(t *testing.T) {
	root := tree(t, below)
	o := NewOverlay(host(t, root))
	id := o.Add(root+"/gone/app/a", 0o755, 1)
	for _, name := range []string{"/gone/app/a", "/usr/gone/deep/app/a", "/abs/gone/deep/app/../app/a"} {
		if info, err := o.Stat(root + name); err != nil || info.ID != id {
			t.Errorf("%s: %+v, %v", name, info, err)
		}
	}
}

// A spec made on a usr-merged machine says /usr/lib/x, reached as /lib/x. It
// works on a machine where /lib is a directory of its own.
func TestOverlayUsrMergeTheOtherWay(t *testing.T) {
	root := tree(t, map[string]string{"usr/lib/libc.so.6": "libc", "lib/ld.so": "ld"})
	o := NewOverlay(host(t, root))
	id := o.Add(root+"/usr/lib/x.so", 0o644, 1)
	o.AddLink(Link{root + "/lib", "usr/lib", true})
	o.AddAlias(root+"/lib/x.so", id)
	for name, want := range map[string]bool{"/lib/ld.so": true, "/lib/x.so": true, "/usr/lib/x.so": true, "/usr/lib/ld.so": false} {
		if _, err := o.Stat(root + name); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
	if info, err := o.Lstat(root + "/lib/x.so"); err != nil || info.ID != id {
		t.Errorf("the alias is another file: %+v, %v", info, err)
	}
}

func TestOverlayAlias(t *testing.T) {
	root := tree(t, below)
	o := NewOverlay(host(t, root))
	id := o.Add(root+"/data/lib/liba.so", 0o644, 1)
	other := o.Add(root+"/data/lib/libb.so", 0o644, 1)
	o.Add(root+"/data/bin/app", 0o755, 1)
	o.AddLink(Link{root + "/data/lib/l", "liba.so", false})
	before := len(o.nodes)
	// These lead to the file: nothing is laid.
	for _, name := range []string{"/data/lib/liba.so", "/data/bin/../lib/liba.so", "/data/lib/l", "/data/lib/./l"} {
		if o.AddAlias(root+name, id); len(o.nodes) != before {
			t.Errorf("%s: laid again", name)
		}
	}
	for name, want := range map[string]ID{
		"/new/dir/liba.so":      id,    // beside
		"/lib/liba.so":          id,    // in a directory of the machine
		"/data/lib/libb.so":     other, // taken
		"/usr/lib/libx.so.1":    id,    // over a file of the machine
		"/data/no/../lib/a2.so": id,    // through a directory that only had to be there
	} {
		o.AddAlias(root+name, id)
		if info, err := o.Stat(root + name); err != nil || info.ID != want {
			t.Errorf("%s: %+v, %v, want %v", name, info, err, want)
		}
	}
	for _, name := range []string{"/usr", "/lib", "/data", "/data/lib"} {
		if o.AddAlias(root+name, id); !isDir(o, root+name) {
			t.Errorf("%s: a directory is hidden", name)
		}
	}
	// The file is where the name leads to, but for a directory on the way.
	o.AddAlias(root+"/data/other/../lib/liba.so", id)
	if info, err := o.Stat(root + "/data/other/../lib/liba.so"); err != nil || info.ID != id {
		t.Errorf("through a new directory: %+v, %v", info, err)
	}
	o.AddAlias(root+"/data/lib/nobody", ID{1, 2})
	if _, err := o.Stat(root + "/data/lib/nobody"); Errno(err) != syscall.ENOENT {
		t.Errorf("an alias of no file: %v", err)
	}
}

func isDir(fsys FS, name string) bool {
	info, err := fsys.Stat(name)
	return err == nil && info.IsDir()
}

func TestOverlaidFileHasNoContent(t *testing.T) {
	root := tree(t, below)
	o := NewOverlay(host(t, root))
	o.Add(root+"/a", 0o755, 4)
	o.Add(root+"/none", 0o755, 0)
	for name, want := range map[string]error{"/a": syscall.ENODATA, "/none": syscall.ENODATA, "/etc/passwd": nil} {
		if _, err := ReadFile(o, root+name, 100); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
	f, err := o.Open(root + "/a")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := f.ReadAt(make([]byte, 1), 0); n != 0 || err == nil || err == io.EOF {
		t.Errorf("ReadAt: %d, %v", n, err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if o.Getwd() != root {
		t.Errorf("Getwd: %s", o.Getwd())
	}
}

// Thousands of files, aliases and links take time in proportion.
func TestOverlayOfThousands(t *testing.T) {
	root := tree(t, below)
	o := NewOverlay(host(t, root))
	start := time.Now()
	id := o.Add(root+"/data/lib/liba.so", 0o644, 1)
	for i := range 40000 {
		o.AddAlias(fmt.Sprintf("%s/data/lib/a%d", root, i), id)
	}
	deep := strings.Repeat("/d", 1500)
	for range 5 {
		o.Add(root+deep+"/f", 0o644, 1)
		deep = strings.Replace(deep, "d", "dd", 1)
	}
	for range 1000 {
		if names, err := o.ReadDir(root + "/etc"); err != nil || len(names) != 1 {
			t.Fatalf("%q, %v", names, err)
		}
	}
	if names, err := o.ReadDir(root + "/data/lib"); err != nil || len(names) != 40001 {
		t.Errorf("%d names, %v", len(names), err)
	}
	if d := time.Since(start); d > time.Minute {
		t.Errorf("took %v", d)
	}
}

// What is laid below and what is laid above are different files.
func TestOverlayOverAnOverlay(t *testing.T) {
	lower := NewOverlay(host(t, t.TempDir()))
	a := lower.Add("/opt/a", 0o755, 1)
	upper := NewOverlay(lower)
	b := upper.Add("/opt/b", 0o755, 2)
	for name, want := range map[string]ID{"/opt/a": a, "/opt/b": b} {
		if info, err := upper.Stat(name); err != nil || info.ID != want {
			t.Errorf("%s: %+v, %v; want ID %v", name, info, err, want)
		}
	}
	if a == b {
		t.Errorf("both are %v", a)
	}
}
