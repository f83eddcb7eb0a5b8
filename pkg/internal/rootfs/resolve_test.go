package rootfs

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// tree makes files below a new directory and returns its real path. A text
// that begins with "-> " is a symbolic link, "/" is a directory, "|" a FIFO.
func tree(t testing.TB, files map[string]string) string {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		p := filepath.Join(root, name)
		err := os.MkdirAll(filepath.Dir(p), 0o755)
		target, link := strings.CutPrefix(text, "-> ")
		switch {
		case err != nil:
		case link:
			err = os.Symlink(strings.ReplaceAll(target, "ROOT", root), p)
		case text == "/":
			err = os.MkdirAll(p, 0o755)
		case text == "|":
			err = syscall.Mkfifo(p, 0o644)
		default:
			err = os.WriteFile(p, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// kernel says where a name leads: the path of the file that an open gets, or
// its error number.
func kernel(t testing.TB, name string) (string, syscall.Errno) {
	t.Helper()
	const oPath = 0x200000 // O_PATH
	fd, err := syscall.Open(name, oPath|syscall.O_CLOEXEC, 0)
	if err != nil {
		return "", Errno(err)
	}
	defer syscall.Close(fd)
	real, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
	if err != nil {
		t.Fatal(err)
	}
	return real, 0
}

func host(t testing.TB, wd string) *Host {
	t.Helper()
	h, err := NewHost(wd)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

var crossroads = map[string]string{
	"f":          "text",
	"d/f":        "text",
	"d/e/f":      "text",
	"empty":      "/",
	"to-f":       "-> f",
	"to-d":       "-> d",
	"d/up":       "-> ..",
	"d/up-f":     "-> ../f",
	"d/abs":      "-> ROOT/d/e",
	"d/e/abs-f":  "-> ROOT/to-d/f",
	"to-to-d":    "-> to-d/../to-d",
	"slash":      "-> d/",
	"file-slash": "-> f/",
	"dangling":   "-> nowhere",
	"far":        "-> nowhere/at/all",
	"through-f":  "-> f/x",
	"loop":       "-> loop",
	"ping":       "-> pong",
	"pong":       "-> ping",
	"root":       "-> /",
	"dot":        "-> .",
	"d/...":      "text",
	"fifo":       "|",
}

func TestResolveAsTheKernel(t *testing.T) {
	root := tree(t, crossroads)
	h := host(t, root)
	names := []string{
		"", "/", "//", "/.", "/..", "f", "f/", "f/.", "f/..", "f//", "f/x", "./f", "d/../f", "d//e///f", "to-f", "to-f/", "to-f/.",
		"to-d", "to-d/", "to-d/..", "to-d/../f", "to-d/f", "to-to-d/f", "d/up/d/up/f", "d/up-f", "d/abs/abs-f", "slash", "slash/", "slash/f",
		"file-slash", "file-slash/x", "dangling", "dangling/", "dangling/..", "dangling/x", "far", "through-f", "loop", "loop/", "loop/x", "ping",
		"missing", "missing/..", "missing/../f", "empty", "empty/..", "empty/f", "root" + root + "/f", "dot/dot/dot/f", "to-d/...", "fifo", "fifo/",
		strings.Repeat("a", 255), strings.Repeat("a", 256), strings.Repeat("a", 256) + "/../f", strings.Repeat("./", 2040) + "f",
	}
	// All sorts of ways through the tree, the same ones in each run.
	parts := []string{"", ".", "..", "f", "e", "d", "empty", "missing"}
	for _, name := range slices.Sorted(maps.Keys(crossroads)) {
		parts = append(parts, filepath.Base(name))
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 4000 {
		way := make([]string, 1+r.IntN(7))
		for i := range way {
			way[i] = parts[r.IntN(len(parts))]
		}
		names = append(names, strings.Join(way, "/"))
	}
	found := 0
	for _, name := range names {
		want, wantErr := kernel(t, Abs(h, name))
		got, _, err := Resolve(h, name)
		if err != nil && Errno(err) != wantErr || err == nil && wantErr != 0 || got != want {
			t.Errorf("%q: got %q, %v; the kernel: %q, %v", name, got, err, want, wantErr)
		}
		if err == nil {
			found++
		}
	}
	if found < 100 || found > len(names)-100 {
		t.Errorf("%d of %d names lead somewhere: too few of one kind", found, len(names))
	}
}

func TestResolveNamesTooLong(t *testing.T) {
	h := host(t, "/")
	for _, n := range []int{4094, 4095, 4096, 5000} {
		name := strings.Repeat("/", n-3) + "etc"
		_, wantErr := kernel(t, name)
		if _, _, err := Resolve(h, name); (err == nil) != (wantErr == 0) || err != nil && Errno(err) != wantErr {
			t.Errorf("%d bytes: %v, the kernel says %v", n, err, wantErr)
		}
	}
}

// 40 links are followed, a 41st is not, wherever in the path they are.
func TestResolveFortyLinks(t *testing.T) {
	files := map[string]string{"l0": "/", "l0/f": "text"}
	for i := range 41 {
		files[fmt.Sprintf("l%d", i+1)] = fmt.Sprintf("-> l%d", i)
	}
	root := tree(t, files)
	h := host(t, root)
	for _, c := range []struct {
		name string
		want syscall.Errno
	}{
		{"l39", 0}, {"l40", 0}, {"l40/", 0}, {"l40/f", 0}, {"l41", syscall.ELOOP}, {"l41/f", syscall.ELOOP},
		{"l20/../l20/f", 0}, {"l20/../l21/f", syscall.ELOOP},
	} {
		if _, errno := kernel(t, root+"/"+c.name); errno != c.want {
			t.Fatalf("%s: the kernel says %v, want %v", c.name, errno, c.want)
		}
		_, links, err := Resolve(h, c.name)
		if (err == nil) != (c.want == 0) || err != nil && Errno(err) != c.want {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if c.name == "l40" && len(links) != 40 {
			t.Errorf("%s: %d links", c.name, len(links))
		}
	}
}

// Links come in the order in which they are followed. Dir tells whether the
// path goes on behind the link.
func TestResolveReportsLinks(t *testing.T) {
	root := tree(t, map[string]string{
		"usr/lib/libx.so.1.2": "x", "usr/lib/libx.so.1": "-> libx.so.1.2", "usr/lib/libx.so": "-> libx.so.1",
		"lib": "-> usr/lib", "opt": "-> ROOT/lib", "usr/lib/...": "dots", "sub": "-> lib/../lib", "here": "-> .",
	})
	h := host(t, root)
	for _, c := range []struct {
		name, real string
		links      []Link
	}{
		{"usr/lib/libx.so.1.2", "/usr/lib/libx.so.1.2", nil},
		{"usr/lib/libx.so", "/usr/lib/libx.so.1.2", []Link{
			{"/usr/lib/libx.so", "libx.so.1", false}, {"/usr/lib/libx.so.1", "libx.so.1.2", false}}},
		{"opt/libx.so.1", "/usr/lib/libx.so.1.2", []Link{
			{"/opt", "ROOT/lib", true}, {"/lib", "usr/lib", true}, {"/usr/lib/libx.so.1", "libx.so.1.2", false}}},
		// "lib/.." is usr, and its lib is no link.
		{"sub/libx.so.1.2", "/usr/lib/libx.so.1.2", []Link{{"/sub", "lib/../lib", true}, {"/lib", "usr/lib", true}}},
		{"lib/...", "/usr/lib/...", []Link{{"/lib", "usr/lib", true}}},
		{"lib/..", "/usr", []Link{{"/lib", "usr/lib", true}}},
		{"lib", "/usr/lib", []Link{{"/lib", "usr/lib", false}}},
		{"lib/", "/usr/lib", []Link{{"/lib", "usr/lib", false}}},
		{"here/here/lib/libx.so.1.2", "/usr/lib/libx.so.1.2", []Link{
			{"/here", ".", true}, {"/here", ".", true}, {"/lib", "usr/lib", true}}},
	} {
		real, links, err := Resolve(h, c.name)
		for i := range links {
			links[i].Path = strings.TrimPrefix(links[i].Path, root)
			links[i].Target = strings.ReplaceAll(links[i].Target, root, "ROOT")
		}
		if err != nil || strings.TrimPrefix(real, root) != c.real || !reflect.DeepEqual(links, c.links) {
			t.Errorf("%s: got %s, %+v, %v\nwant %s, %+v", c.name, real, links, err, c.real, c.links)
		}
	}
}

// A link may say anything, where its text comes from a document.
type oddLinks map[string]string

func (l oddLinks) Lstat(name string) (Info, error) {
	if _, ok := l[name]; ok {
		return Info{Mode: syscall.S_IFLNK}, nil
	}
	return Info{Mode: syscall.S_IFDIR}, nil
}

func (l oddLinks) Readlink(name string) (string, error) { return l[name], nil }

// The kernel has no link to nothing, and none of PATH_MAX or more bytes: one
// of a document is an error, not a wrong turn or megabytes of work.
func TestWalkRefusesImpossibleLinks(t *testing.T) {
	for _, c := range []struct {
		target string
		want   error
	}{
		{"", syscall.ENOENT}, {strings.Repeat("a/", 2048), syscall.ENAMETOOLONG}, {strings.Repeat("a/", 1<<22), syscall.ENAMETOOLONG},
		{strings.Repeat("a/", 2047), nil},
	} {
		if _, _, err := walk(oddLinks{"/l": c.target}, "/l/x", true); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("a link of %d bytes: %v, want %v", len(c.target), err, c.want)
		}
	}
}
