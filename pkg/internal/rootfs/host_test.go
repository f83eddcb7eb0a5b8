package rootfs

import (
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// within fails a test whose work does not end: a FIFO without a writer blocks
// who opens it for reading.
func within(t *testing.T, d time.Duration, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
	case <-time.After(d):
		t.Fatalf("%s blocks", what)
	}
}

func TestHostNeverBlocksOnFIFO(t *testing.T) {
	h := host(t, tree(t, map[string]string{"fifo": "|", "to-fifo": "-> fifo"}))
	for _, name := range []string{"fifo", "to-fifo"} {
		within(t, time.Minute, "Open", func() {
			f, err := h.Open(name)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				return
			}
			defer f.Close()
			if f.Info().Mode&syscall.S_IFMT != syscall.S_IFIFO {
				t.Errorf("%s: mode %o", name, f.Info().Mode)
			}
		})
		within(t, time.Minute, "ReadFile", func() {
			if _, err := ReadFile(h, name, 10); Errno(err) != syscall.EINVAL {
				t.Errorf("%s: ReadFile: %v", name, err)
			}
		})
		within(t, time.Minute, "ReadDir", func() {
			if _, err := h.ReadDir(name); Errno(err) != syscall.ENOTDIR {
				t.Errorf("%s: ReadDir: %v", name, err)
			}
		})
	}
}

// Every error of every call unwraps to what the system call gives.
func TestHostErrorsAreErrnos(t *testing.T) {
	root := tree(t, map[string]string{"f": "text", "loop": "-> loop", "dangling": "-> gone"})
	socket, err := net.Listen("unix", filepath.Join(root, "socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	h := host(t, root)
	calls := map[string]func(string) error{
		"open":     func(n string) error { f, err := h.Open(n); return closing(f, err) },
		"stat":     func(n string) error { _, err := h.Stat(n); return err },
		"lstat":    func(n string) error { _, err := h.Lstat(n); return err },
		"readlink": func(n string) error { _, err := h.Readlink(n); return err },
		"readdir":  func(n string) error { _, err := h.ReadDir(n); return err },
		"resolve":  func(n string) error { _, _, err := Resolve(h, n); return err },
	}
	const e0, noent, notdir, loop, inval = syscall.Errno(0), syscall.ENOENT, syscall.ENOTDIR, syscall.ELOOP, syscall.EINVAL
	for _, c := range []struct {
		name                                          string
		open, stat, lstat, readlink, readdir, resolve syscall.Errno
	}{
		{"f", e0, e0, e0, inval, notdir, e0},
		{"", noent, noent, noent, noent, noent, noent},
		{".", e0, e0, e0, inval, e0, e0},
		{"gone", noent, noent, noent, noent, noent, noent},
		{"f/x", notdir, notdir, notdir, notdir, notdir, notdir},
		{"f/", notdir, notdir, notdir, notdir, notdir, notdir},
		{"loop", loop, loop, e0, e0, loop, loop},
		{"dangling", noent, noent, e0, e0, noent, noent},
		{"socket", syscall.ENXIO, e0, e0, inval, notdir, e0},
		{strings.Repeat("a", 256), syscall.ENAMETOOLONG, syscall.ENAMETOOLONG, syscall.ENAMETOOLONG, syscall.ENAMETOOLONG, syscall.ENAMETOOLONG, syscall.ENAMETOOLONG},
	} {
		for call, want := range map[string]syscall.Errno{
			"open": c.open, "stat": c.stat, "lstat": c.lstat, "readlink": c.readlink, "readdir": c.readdir, "resolve": c.resolve,
		} {
			err := calls[call](c.name)
			if want == 0 && err == nil {
				continue
			}
			if !errors.Is(err, want) || Errno(err) != want {
				t.Errorf("%s %.20q: %v (errno %v), want %v", call, c.name, err, Errno(err), want)
			}
		}
	}
	if got := Errno(errors.New("of our own")); got != syscall.EIO {
		t.Errorf("an error without a number: %v", got)
	}
}

func closing(f File, err error) error {
	if err == nil {
		return f.Close()
	}
	return err
}

func TestHostSaysWhatStatSays(t *testing.T) {
	root := tree(t, map[string]string{"f": "text", "to-f": "-> f"})
	f := filepath.Join(root, "f")
	if err := errors.Join(os.Chmod(f, 0o750|fs.ModeSetgid), os.Link(f, filepath.Join(root, "g"))); err != nil {
		t.Fatal(err)
	}
	h := host(t, root)
	var ids []ID
	for _, name := range []string{"f", "g", "to-f"} {
		file, err := h.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		info, err := h.Stat(name)
		if err != nil || info != file.Info() {
			t.Errorf("%s: Stat says %+v, %v; the open file %+v", name, info, err, file.Info())
		}
		ids = append(ids, info.ID)
		if info.Size != 4 || !info.IsRegular() || info.IsDir() || info.IsSymlink() || !info.Executable() || !info.SetID() {
			t.Errorf("%s: %+v", name, info)
		}
	}
	if ids[0] != ids[1] || ids[0] != ids[2] {
		t.Errorf("one file, several identities: %v", ids)
	}
	link, err := h.Lstat("to-f")
	if err != nil || !link.IsSymlink() || link.ID == ids[0] {
		t.Errorf("Lstat of a link: %+v, %v", link, err)
	}
	names, err := h.ReadDir("")
	if err == nil {
		t.Errorf("the empty name is a directory: %v", names)
	}
	if names, err = h.ReadDir("."); err != nil || !slices.Equal(names, []string{"f", "g", "to-f"}) {
		t.Errorf("ReadDir: %v, %v", names, err)
	}
}

func TestHostReadAt(t *testing.T) {
	h := host(t, tree(t, map[string]string{"f": "0123456789"}))
	f, err := h.Open("f")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, c := range []struct {
		n, off int
		want   string
		err    error
	}{
		{4, 3, "3456", nil}, {4, 8, "89", io.EOF}, {4, 10, "", io.EOF}, {4, 1 << 40, "", io.EOF}, {0, 0, "", nil}, {4, -1, "", syscall.EINVAL},
	} {
		b := make([]byte, c.n)
		n, err := f.ReadAt(b, int64(c.off))
		if string(b[:n]) != c.want || !errors.Is(err, c.err) {
			t.Errorf("%d at %d: %q, %v; want %q, %v", c.n, c.off, b[:n], err, c.want, c.err)
		}
	}
}

// The limit holds for files that tell their size and for those that do not.
func TestReadFileLimit(t *testing.T) {
	root := tree(t, map[string]string{"ten": "0123456789", "none": ""})
	version, err := os.ReadFile("/proc/version") // its size is 0
	if err != nil || len(version) < 20 {
		t.Fatalf("/proc/version: %q, %v", version, err)
	}
	h := host(t, root)
	for _, c := range []struct {
		name  string
		limit int64
		want  string
		errno syscall.Errno
	}{
		{"ten", 10, "0123456789", 0}, {"ten", 9, "", syscall.EFBIG}, {"none", 0, "", 0}, {"gone", 10, "", syscall.ENOENT},
		{".", 10, "", syscall.EINVAL}, {"/dev/null", 10, "", syscall.EINVAL},
		{"/proc/version", int64(len(version)), string(version), 0}, {"/proc/version", int64(len(version)) - 1, "", syscall.EFBIG},
	} {
		b, err := ReadFile(h, c.name, c.limit)
		if string(b) != c.want || (err == nil) != (c.errno == 0) || err != nil && Errno(err) != c.errno {
			t.Errorf("%s, limit %d: %q, %v; want %q, %v", c.name, c.limit, b, err, c.want, c.errno)
		}
	}
}

func TestSetID(t *testing.T) {
	for mode, want := range map[uint32]bool{0o755: false, 0o4755: true, 0o4000: true, 0o2755: true, 0o2705: false} {
		if got := (Info{Mode: RegularMode(mode)}).SetID(); got != want {
			t.Errorf("%o: %t", mode, got)
		}
	}
}
