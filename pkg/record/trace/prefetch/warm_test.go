package prefetch

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/compspec/compat/schemas"
)

// resident says which pages of a file are in the page cache (mincore(2)).
func resident(t *testing.T, name string) []bool {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	data, err := syscall.Mmap(int(f.Fd()), 0, int(info.Size()), syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Munmap(data)
	pages := make([]byte, (len(data)+os.Getpagesize()-1)/os.Getpagesize())
	if _, _, errno := syscall.Syscall(syscall.SYS_MINCORE, uintptr(unsafe.Pointer(&data[0])), uintptr(len(data)), uintptr(unsafe.Pointer(&pages[0]))); errno != 0 {
		t.Fatal(errno)
	}
	out := make([]bool, len(pages))
	for i, p := range pages {
		out[i] = p&1 != 0
	}
	return out
}

// cold makes a file of which nothing is in the page cache. It is in the
// directory of the test, which must not be in memory.
func cold(t *testing.T, name string, size int) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	// The kernel keeps pages that it is just about to do something with.
	kept := true
	for begun := time.Now(); kept && time.Since(begun) < 5*time.Second; time.Sleep(time.Millisecond) {
		if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
			t.Fatal(err)
		}
		kept = slices.Contains(resident(t, name), true)
	}
	if kept {
		if os.Getenv("COMPAT_NO_SKIP") != "1" {
			t.Skip("the file system of the temporary directory keeps files in memory")
		}
		t.Fatal("the file system of the temporary directory keeps files in memory: set TMPDIR to another")
	}
}

func warm(t *testing.T, l *List, opts WarmOptions) *Warmed {
	t.Helper()
	w, err := l.Warm(context.Background(), opts)
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(w)
	if err != nil {
		t.Fatal(err)
	}
	if err := schemas.Validate("tracewarm.v1.json", data); err != nil {
		t.Errorf("%s: %v", data, err)
	}
	return w
}

func TestWarmMakesResident(t *testing.T) {
	root := t.TempDir()
	const size = 5<<20 + 17
	for _, name := range []string{"whole", "part"} {
		cold(t, filepath.Join(root, name), size)
	}
	l := &List{Files: []File{{Path: "/whole"}, {Path: "/part", Ranges: []Range{{4 << 20, 4096}, {size - 5, 100}, {size + 1, 5}}}}}
	if w := warm(t, l, WarmOptions{Root: root, DryRun: true}); w.Files != 2 || w.Bytes != size+4096+5 || slices.Contains(resident(t, root+"/whole"), true) {
		t.Errorf("dry: %+v, or it was read", w)
	}
	w := warm(t, l, WarmOptions{Root: root})
	if w.Files != 2 || w.Bytes != size+4096+5 {
		t.Errorf("%+v", w)
	}
	if pages := resident(t, root+"/whole"); slices.Contains(pages, false) {
		t.Errorf("not all is resident: %v", pages)
	}
	page := os.Getpagesize()
	if pages := resident(t, root+"/part"); !pages[4<<20/page] || !pages[len(pages)-1] || pages[0] {
		t.Errorf("not the ranges are resident, or all: %v", pages)
	}
}

// watchOpens tells whether a file was opened since (inotify(7)). To look at it
// with O_PATH is not to open it.
func watchOpens(t *testing.T, name string) func() bool {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if _, err := unix.InotifyAddWatch(fd, name, unix.IN_OPEN); err != nil {
		t.Fatal(err)
	}
	return func() bool {
		n, err := unix.Read(fd, make([]byte, 4096))
		return err == nil && n > 0
	}
}

// Links stay inside the root, and what is no regular file is not opened: a FIFO
// without a writer would be waited for, and to open a device may do something.
func TestWarmStaysInside(t *testing.T) {
	root, outside := t.TempDir(), t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(name, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	write(outside+"/secret", "secret")
	write(root+"/file", "12345")
	for name, target := range map[string]string{"abs": outside + "/secret", "up": "../../../../../../../.." + outside + "/secret", "in": "/file", "loop": "loop"} {
		if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(root+"/fifo", 0o666); err != nil {
		t.Fatal(err)
	}
	l := &List{}
	for _, name := range []string{"/abs", "/up", "/in", "/file", "/fifo", "/", "/none", "/file/x", "/loop"} {
		l.Files = append(l.Files, File{Path: name})
	}
	opened := watchOpens(t, root+"/fifo")
	w := warm(t, l, WarmOptions{Root: root, Jobs: 64})
	if opened() {
		t.Error("the FIFO was opened")
	}
	if w.Files != 2 || w.Bytes != 10 || !slices.Equal(w.Missing, []string{"/abs", "/up", "/none", "/file/x"}) || !slices.Equal(w.Special, []string{"/fifo", "/"}) {
		t.Errorf("%+v", w)
	}
	if !slices.Equal(w.Failed, []Failure{{"/loop", syscall.ELOOP.Error()}}) {
		t.Errorf("failed: %+v", w.Failed)
	}
}

func TestParts(t *testing.T) {
	for _, c := range []struct {
		ranges []Range
		size   int64
		want   []part
	}{
		{nil, 10, []part{{0, 10}}}, {[]Range{}, 10, nil}, {[]Range{{0, 4}, {8, 4}, {12, 1}}, 10, []part{{0, 4}, {8, 10}}},
		{[]Range{{5, 1<<63 - 1}}, 10, []part{{5, 10}}},
	} {
		if got := parts(&File{Ranges: c.ranges}, c.size); !slices.Equal(got, c.want) {
			t.Errorf("%v of %d bytes: %v, want %v", c.ranges, c.size, got, c.want)
		}
	}
}

func TestWarmErrors(t *testing.T) {
	if _, err := (&List{}).Warm(context.Background(), WarmOptions{Root: t.TempDir() + "/none"}); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := (&List{Files: []File{{Path: "/x"}}}).Warm(ctx, WarmOptions{Root: t.TempDir()}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
