package slim

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"github.com/compspec/compat/pkg/record/trace"
)

// What several recordings used is kept, also what another of them made; names of
// one file stay names of one, and count once.
func TestUnionAndHardLinks(t *testing.T) {
	root := plant(t, "a=12345", "b==a", "c==a", "lib.o=xyz")
	tree, w := selected(t, root, nil,
		recording(t, &trace.Header{}, events("create /lib.o", "open /a")...),
		recording(t, &trace.Header{Watch: []string{"/x"}}, events("open /lib.o", "open /b")...))
	if got, want := listing(tree), []string{"/a", "/b", "/lib.o"}; !slices.Equal(got, want) {
		t.Fatalf("%q, want %q", got, want)
	}
	r := tree.Report(w)
	if r.Kept != (Size{2, 8}) || r.Recordings != 2 || r.Made != 0 || !r.Partial {
		t.Errorf("%+v", r)
	}
	full, err := tree.Measure(context.Background(), "")
	if err != nil || *full != (Size{2, 8}) {
		t.Errorf("full: %+v, %v", full, err)
	}
	dir := filepath.Join(t.TempDir(), "out")
	if _, err := tree.WriteDir(context.Background(), dir); err != nil {
		t.Fatal(err)
	}
	var a, b syscall.Stat_t
	if err := errors.Join(syscall.Stat(dir+"/a", &a), syscall.Stat(dir+"/b", &b)); err != nil || a.Ino != b.Ino || a.Nlink != 2 {
		t.Errorf("%v: %+v and %+v are no hard links", err, a, b)
	}
	if h := untar(t, pack(t, tree, ""))["/b"]; h.Typeflag != tar.TypeLink || h.Linkname != "./a" {
		t.Errorf("%+v", h)
	}
}

// The same root gives the same tar, whatever else changes in its directories; a
// compressed one holds the same.
func TestTarIsTheSame(t *testing.T) {
	root := plant(t, "d/f=1", "d/g=2", "d/h->f")
	made := func(name string) []byte {
		tree, _ := selected(t, root, nil, recording(t, &trace.Header{Dir: "/d"}, events("open /d/f")...))
		return pack(t, tree, name)
	}
	plain := made("x.tar")
	for name, unpack := range map[string]func(io.Reader) (io.Reader, error){
		"x.tar":     func(r io.Reader) (io.Reader, error) { return r, nil },
		"x.tar.gz":  func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) },
		"x.tgz":     func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) },
		"x.tar.zst": func(r io.Reader) (io.Reader, error) { return zstd.NewReader(r) },
	} {
		first := made(name)
		if err := os.WriteFile(filepath.Join(root, "d", "by-"+name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if !IsTar(name) || !bytes.Equal(first, made(name)) {
			t.Errorf("%s is another one the second time", name)
		}
		r, err := unpack(bytes.NewReader(first))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%s: %v, or another content", name, err)
		}
	}
	if IsTar("tar") || IsTar("x.tar/") || IsTar("x.tar.xz") {
		t.Error("what is no tar is taken for one")
	}
}

// A file that is nothing but a hole takes no room and no time.
func TestHoles(t *testing.T) {
	root := plant(t, "huge", "some=data")
	const size = 1 << 40
	if err := os.Truncate(root+"/huge", size); err != nil {
		t.Skipf("this file system has no files of %d bytes: %v", int64(size), err)
	}
	f, err := os.OpenFile(root+"/huge", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("in the middle"), size/2); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	tree, _ := selected(t, root, nil, recording(t, &trace.Header{}, events("open /huge", "open /some")...))
	dir := filepath.Join(t.TempDir(), "out")
	if _, err := tree.WriteDir(context.Background(), dir); err != nil {
		t.Fatal(err)
	}
	var st syscall.Stat_t
	if err := syscall.Stat(dir+"/huge", &st); err != nil || st.Size != size || st.Blocks > 1<<12 {
		t.Errorf("%v: %d bytes in %d blocks", err, st.Size, st.Blocks)
	}
	got := make([]byte, 13)
	if f, err = os.Open(dir + "/huge"); err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.ReadAt(got, size/2); err != nil || string(got) != "in the middle" {
		t.Errorf("%q, %v", got, err)
	}
	if data, err := os.ReadFile(dir + "/some"); err != nil || string(data) != "data" {
		t.Errorf("%q, %v", data, err)
	}
}

// Modes with set-id bits, owners and attributes are those of the root.
func TestOwnersAndAttributes(t *testing.T) {
	root := plant(t, "su=x", "d/f=y")
	if err := unix.Setxattr(root+"/d/f", "user.of", []byte("a\x00b"), 0); err != nil {
		t.Skipf("no extended attributes here: %v", err)
	}
	uid := os.Geteuid()
	if uid == 0 {
		uid = 12345
		capability := []byte("\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00") // cap_net_raw+ep, VFS_CAP_REVISION_2
		if err := errors.Join(os.Lchown(root+"/su", uid, 54321), os.Lchown(root+"/d/f", uid, 54321), unix.Setxattr(root+"/d/f", "security.capability", capability, 0)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Chmod(root+"/d", 0o2755|fs.ModeSetgid), syscall.Chmod(root+"/su", 0o4755)); err != nil {
		t.Fatal(err)
	}
	tree, _ := selected(t, root, nil, recording(t, &trace.Header{}, events("open /su", "open /d/f")...))
	dir := filepath.Join(t.TempDir(), "out")
	if left, err := tree.WriteDir(context.Background(), dir); err != nil || left != (Unkept{}) {
		t.Fatalf("%v, %+v", err, left)
	}
	var st syscall.Stat_t
	if err := syscall.Stat(dir+"/su", &st); err != nil || st.Mode&0o7777 != 0o4755 || int(st.Uid) != uid {
		t.Errorf("%v, mode %o of %d", err, st.Mode, st.Uid)
	}
	headers := untar(t, pack(t, tree, ""))
	for _, name := range []string{"user.of", "security.capability"} {
		want := make([]byte, 64)
		n, err := unix.Getxattr(root+"/d/f", name, want)
		if err != nil {
			continue // not root
		}
		got := make([]byte, 64)
		m, err := unix.Getxattr(dir+"/d/f", name, got)
		if err != nil || string(got[:m]) != string(want[:n]) {
			t.Errorf("%s: %q, %v", name, got[:m], err)
		}
		if in := headers["/d/f"].PAXRecords["SCHILY.xattr."+name]; in != string(want[:n]) {
			t.Errorf("%s in the tar: %q", name, in)
		}
	}
}

// Whatever goes wrong, nothing is left, and what was there stays.
func TestWholeOrNotAtAll(t *testing.T) {
	root := plant(t, "a/f=1", "a/g=2")
	tree := func() *Tree {
		tree, _ := selected(t, root, nil, recording(t, &trace.Header{}, events("open /a/f", "open /a/g")...))
		return tree
	}
	ctx := context.Background()
	stopped, cancel := context.WithCancel(ctx)
	cancel()
	for _, c := range []struct {
		name string
		ctx  context.Context
		have func(dir string, tree *Tree) error
		want error
	}{
		{"not empty", ctx, func(dir string, _ *Tree) error { return os.MkdirAll(dir+"/out/x", 0o755) }, ErrExists},
		{"a file", ctx, func(dir string, _ *Tree) error { return os.WriteFile(dir+"/out", nil, 0o600) }, ErrExists},
		{"a link to nowhere", ctx, func(dir string, _ *Tree) error { return os.Symlink("nowhere", dir+"/out") }, ErrExists},
		{"a link to what is full", ctx, func(dir string, _ *Tree) error {
			return errors.Join(os.MkdirAll(dir+"/full/x", 0o755), os.Symlink("full", dir+"/out"))
		}, ErrExists},
		{"nowhere", ctx, func(dir string, _ *Tree) error { return os.Symlink("no/where", dir+"/x") }, fs.ErrNotExist},
		{"stopped", stopped, func(string, *Tree) error { return nil }, context.Canceled},
		{"another file", ctx, func(_ string, tree *Tree) error { tree.nodes["/a/g"].info.Ino++; return nil }, ErrChanged},
		{"gone", ctx, func(_ string, tree *Tree) error {
			n := *tree.nodes["/a/g"]
			n.path = "/a/gone"
			tree.nodes["/a/gone"] = &n
			delete(tree.nodes, "/a/g")
			return nil
		}, fs.ErrNotExist},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			tree := tree()
			if err := c.have(dir, tree); err != nil {
				t.Fatal(err)
			}
			before := names(t, dir)
			out := dir + "/out"
			if c.name == "nowhere" {
				out = dir + "/x/out"
			}
			if _, err := tree.WriteDir(c.ctx, out); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
			if after := names(t, dir); !slices.Equal(before, after) {
				t.Errorf("before %q, after %q", before, after)
			}
		})
	}
	t.Run("a link to an empty one", func(t *testing.T) {
		dir := t.TempDir()
		if err := errors.Join(os.Mkdir(dir+"/real", 0o755), os.Symlink("real", dir+"/out")); err != nil {
			t.Fatal(err)
		}
		if _, err := tree().WriteDir(ctx, dir+"/out"); err != nil {
			t.Fatal(err)
		}
		if data, err := os.ReadFile(dir + "/real/a/f"); err != nil || string(data) != "1" {
			t.Errorf("%q, %v", data, err)
		}
	})
}

func names(t *testing.T, dir string) (out []string) {
	t.Helper()
	if err := filepath.WalkDir(dir, func(name string, _ fs.DirEntry, err error) error {
		out = append(out, strings.TrimPrefix(name, dir))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

// A file that ends earlier than it should is no file of zeros.
func TestSteady(t *testing.T) {
	f, err := os.Open(plant(t, "f=123") + "/f")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := io.Copy(io.Discard, &steady{context.Background(), f, 4}); !errors.Is(err, ErrChanged) {
		t.Error(err)
	}
}

func TestPatternsAndWhatTheyMatch(t *testing.T) {
	for glob, ok := range map[string]bool{"/a": true, "/*/x[ab]": true, "a": false, "": false, "/[": false} {
		if Pattern(glob) != ok {
			t.Errorf("%q: %v", glob, !ok)
		}
	}
	root := plant(t, "a/f", "proc/x")
	for glob, want := range map[string]error{"/a/*": nil, "/": nil, "/b": ErrNoMatch, "/a/f/*": ErrNoMatch, "/proc": nil, "/proc/x": nil} {
		tree, err := Select(context.Background(), NewWanted(), Options{Root: root, Also: []string{glob}})
		if !errors.Is(err, want) || (err == nil) != (want == nil) {
			t.Errorf("%s: %v, want %v", glob, err, want)
		}
		if err == nil {
			if tree.nodes["/proc/x"] != nil {
				t.Errorf("%s: what is the kernel's is kept", glob)
			}
			_ = tree.Close()
		}
	}
}
