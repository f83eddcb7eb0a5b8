package rootfs

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// dirs gives the view of a tree by openat2(2) and by looking at components.
func dirs(t *testing.T, root string) map[string]*Dir {
	t.Helper()
	out := map[string]*Dir{}
	for _, how := range []string{"openat2", "walk"} {
		d, err := NewDir(root)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { d.Close() })
		if how == "walk" {
			d.walk = true
		} else if d.walk {
			t.Log("no openat2 here")
		}
		out[how] = d
	}
	return out
}

// What is outside is not reached, neither by absolute links nor by "..".
func TestDirNeverLeavesItsRoot(t *testing.T) {
	top := t.TempDir()
	root := filepath.Join(top, "root")
	for _, d := range []string{"usr/lib", "etc", "a/b"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{"outside": "outside", "root/usr/lib/x.so": "x", "root/outside": "inside", "root/etc/passwd": "inside"} {
		if err := os.WriteFile(filepath.Join(top, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{
		"lib": "usr/lib", "abs": "/usr/lib", "passwd": "/etc/passwd", "up": "../../../../outside", "a/b/up": "../../../../etc/passwd",
		"self": "self", "one": "two", "two": "one", "gone": "/nowhere", "out": top + "/outside",
	} {
		if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(root, "fifo"), 0o644); err != nil {
		t.Fatal(err)
	}
	for how, d := range dirs(t, root) {
		for _, c := range []struct {
			name, text string
			err        syscall.Errno
		}{
			{"/lib/x.so", "x", 0}, {"abs/x.so", "x", 0}, {"/passwd", "inside", 0}, {"/up", "inside", 0}, {"/a/b/up", "inside", 0},
			{"/../../outside", "inside", 0}, {"/a/b/../../../../outside", "inside", 0},
			{"/self", "", syscall.ELOOP}, {"/one", "", syscall.ELOOP}, {"/gone", "", syscall.ENOENT}, {"/out", "", syscall.ENOENT},
			{"/lib/x.so/", "", syscall.ENOTDIR}, {"/lib/x.so/y", "", syscall.ENOTDIR}, {"/" + strings.Repeat("a/", 2100), "", syscall.ENAMETOOLONG},
			{"/" + strings.Repeat("n", 300), "", syscall.ENAMETOOLONG},
		} {
			b, err := ReadFile(d, c.name, 1<<10)
			if string(b) != c.text || c.err == 0 && err != nil || c.err != 0 && Errno(err) != c.err {
				t.Errorf("%s: %.40s: %q, %v; want %q, %v", how, c.name, b, err, c.text, c.err)
			}
			if _, err := d.Stat(c.name); c.err == 0 && err != nil || c.err != 0 && Errno(err) != c.err {
				t.Errorf("%s: stat %.40s: %v; want %v", how, c.name, err, c.err)
			}
		}
		if info, err := d.Lstat("/abs"); err != nil || !info.IsSymlink() {
			t.Errorf("%s: lstat /abs: %+v, %v", how, info, err)
		}
		if target, err := d.Readlink("/out"); err != nil || target != top+"/outside" {
			t.Errorf("%s: readlink: %q, %v", how, target, err)
		}
		if _, err := d.Readlink("/etc"); Errno(err) != syscall.EINVAL && Errno(err) != syscall.ENOENT {
			t.Errorf("%s: readlink of a directory: %v", how, err)
		}
		if names, err := d.ReadDir("/abs"); err != nil || !slices.Equal(names, []string{"x.so"}) {
			t.Errorf("%s: readdir: %q, %v", how, names, err)
		}
		if f, err := d.Open("/fifo"); err != nil { // and does not wait for a writer
			t.Errorf("%s: %v", how, err)
		} else {
			f.Close()
		}
		if real, _, err := Resolve(d, "/passwd"); err != nil || real != "/etc/passwd" {
			t.Errorf("%s: resolve: %q, %v", how, real, err)
		}
	}
	if _, err := NewDir(filepath.Join(top, "outside")); Errno(err) != syscall.ENOTDIR {
		t.Errorf("a file as a root: %v", err)
	}
}
