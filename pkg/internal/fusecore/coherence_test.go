package fusecore_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	. "github.com/compspec/compat/pkg/internal/fusecore"
	"github.com/compspec/compat/pkg/record/trace"
)

// soon is how long a change that was made outside of the view may go unseen in it,
// on a machine that does other things too. What the kernel may keep is kept for
// much longer in these tests.
const soon = time.Minute

// inEachMode runs a test on a view of a new directory, which is not in the view.
func inEachMode(t *testing.T, do func(t *testing.T, view, outside string)) {
	for _, mode := range []trace.Mode{trace.ModePaths, trace.ModeReads, trace.ModeFull} {
		t.Run(string(mode), func(t *testing.T) {
			outside := t.TempDir()
			do(t, mount(t, served{Options: Options{Root: outside, Mode: mode}, Short: time.Hour}), outside)
		})
	}
}

// eventually waits for a state of the view.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(soon); ; time.Sleep(time.Millisecond) {
		if is() {
			return
		}
		if time.Now().After(end) {
			t.Errorf("%s: not seen within %v", what, soon)
			return
		}
	}
}

func writeFile(t testing.TB, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func get(name string) string {
	b, err := os.ReadFile(name)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func open(t testing.TB, name string, flags int) *os.File {
	t.Helper()
	f, err := os.OpenFile(name, flags, 0o644)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

func at(f *os.File, n int) string {
	b := make([]byte, n)
	k, _ := f.ReadAt(b, 0)
	return string(b[:k])
}

func isThere(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}

func names(dir string) string {
	entries, _ := os.ReadDir(dir)
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return strings.Join(all, " ")
}

// TestOutsideChanges: the kernel keeps for an hour what it was told, and the
// program sees nevertheless what others do to the files below the view.
func TestOutsideChanges(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(t *testing.T, outside string)
		seen   func(view string, f *os.File) bool // f: "f", open since before
	}{
		{"create", func(t *testing.T, o string) { writeFile(t, o+"/new", "") }, func(v string, _ *os.File) bool { return isThere(v + "/new") }},
		{"list", func(t *testing.T, o string) { writeFile(t, o+"/new", "") }, func(v string, _ *os.File) bool { return names(v) == "d f g l new" }},
		{"mkdir", func(t *testing.T, o string) { must(t, os.Mkdir(o+"/new", 0o755)) }, func(v string, _ *os.File) bool { return isThere(v + "/new") }},
		{"write", func(t *testing.T, o string) { writeFile(t, o+"/f", "xyz") }, func(v string, _ *os.File) bool { return get(v+"/f") == "xyz" }},
		{"write, open file", func(t *testing.T, o string) { writeFile(t, o+"/f", "xyz") }, func(_ string, f *os.File) bool { return at(f, 9) == "xyz" }},
		{"write in place, open file", func(t *testing.T, o string) {
			_, err := open(t, o+"/f", os.O_WRONLY).WriteAt([]byte("X"), 1)
			must(t, err)
		}, func(_ string, f *os.File) bool { return at(f, 9) == "aXc" }},
		{"mapped write", func(t *testing.T, o string) {
			f, err := os.OpenFile(o+"/f", os.O_RDWR, 0)
			must(t, err)
			m, err := unix.Mmap(int(f.Fd()), 0, 3, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
			must(t, err)
			m[1] = 'X'
			must(t, unix.Munmap(m))
			must(t, f.Close())
		}, func(v string, _ *os.File) bool { return get(v+"/f") == "aXc" }},
		{"truncate", func(t *testing.T, o string) { must(t, os.Truncate(o+"/f", 1)) }, func(v string, f *os.File) bool {
			fi, err := os.Stat(v + "/f")
			return err == nil && fi.Size() == 1 && at(f, 9) == "a"
		}},
		{"grow, open file", func(t *testing.T, o string) { must(t, os.Truncate(o+"/f", 5)) }, func(_ string, f *os.File) bool {
			fi, err := f.Stat()
			return err == nil && fi.Size() == 5 && at(f, 9) == "abc\x00\x00"
		}},
		{"chmod", func(t *testing.T, o string) { must(t, os.Chmod(o+"/f", 0o600)) }, func(v string, _ *os.File) bool {
			fi, err := os.Stat(v + "/f")
			return err == nil && fi.Mode() == 0o600
		}},
		{"chmod of a directory", func(t *testing.T, o string) { must(t, os.Chmod(o+"/d", 0o700)) }, func(v string, _ *os.File) bool {
			fi, err := os.Stat(v + "/d")
			return err == nil && fi.Mode().Perm() == 0o700
		}},
		{"rename", func(t *testing.T, o string) { must(t, os.Rename(o+"/f", o+"/new")) }, func(v string, _ *os.File) bool {
			return !isThere(v+"/f") && get(v+"/new") == "abc"
		}},
		{"rename over", func(t *testing.T, o string) { must(t, os.Rename(o+"/g", o+"/f")) }, func(v string, f *os.File) bool {
			return get(v+"/f") == "other" && !isThere(v+"/g") && at(f, 9) == "abc"
		}},
		{"rename of a directory", func(t *testing.T, o string) { must(t, os.Rename(o+"/d", o+"/e")) }, func(v string, _ *os.File) bool {
			return !isThere(v+"/d/x") && get(v+"/e/x") == "deep"
		}},
		{"rename into another directory", func(t *testing.T, o string) { must(t, os.Rename(o+"/f", o+"/d/f")) }, func(v string, f *os.File) bool {
			return !isThere(v+"/f") && get(v+"/d/f") == "abc" && at(f, 9) == "abc"
		}},
		{"remove", func(t *testing.T, o string) { must(t, os.Remove(o+"/f")) }, func(v string, f *os.File) bool {
			return !isThere(v+"/f") && at(f, 9) == "abc"
		}},
		{"remove of a directory", func(t *testing.T, o string) { must(t, os.RemoveAll(o+"/d")) }, func(v string, _ *os.File) bool { return !isThere(v+"/d") && names(v) == "f g l" }},
		{"another target of a link", func(t *testing.T, o string) { must(t, os.Remove(o+"/l")); must(t, os.Symlink("g", o+"/l")) }, func(v string, _ *os.File) bool {
			return get(v+"/l") == "other"
		}},
		{"by another name", func(t *testing.T, o string) { must(t, os.Link(o+"/f", o+"/d/f")); writeFile(t, o+"/d/f", "longer") }, func(v string, _ *os.File) bool {
			return get(v+"/f") == "longer"
		}},
		{"removed and made again", func(t *testing.T, o string) { must(t, os.Remove(o+"/f")); writeFile(t, o+"/f", "ABC") }, func(v string, _ *os.File) bool { return get(v+"/f") == "ABC" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			inEachMode(t, func(t *testing.T, view, outside string) {
				writeFile(t, outside+"/f", "abc")
				writeFile(t, outside+"/g", "other")
				must(t, os.Mkdir(outside+"/d", 0o755))
				writeFile(t, outside+"/d/x", "deep")
				must(t, os.Symlink("f", outside+"/l"))
				// What the kernel then may keep.
				if names(view) != "d f g l" || isThere(view+"/new") || isThere(view+"/d/f") || get(view+"/f") != "abc" || get(view+"/g") != "other" ||
					get(view+"/d/x") != "deep" || get(view+"/l") != "abc" || names(view+"/d") != "x" || names(view) != "d f g l" {
					t.Fatal("the view is not the tree")
				}
				f := open(t, view+"/f", os.O_RDONLY)
				if at(f, 9) != "abc" {
					t.Fatal("the open file is another one")
				}
				time.Sleep(20 * time.Millisecond) // or the file would have the times of before
				c.change(t, outside)
				eventually(t, c.name, func() bool { return c.seen(view, f) })
				f.Close()
			})
		})
	}
}

func TestLocksWithOutside(t *testing.T) {
	lock := func(f *os.File, cmd int, typ int16) error {
		return unix.FcntlFlock(f.Fd(), cmd, &unix.Flock_t{Type: typ, Len: 10})
	}
	inEachMode(t, func(t *testing.T, view, outside string) {
		writeFile(t, outside+"/f", "0123456789")
		in, out := open(t, view+"/f", os.O_RDWR), open(t, outside+"/f", os.O_RDWR)
		for _, x := range []struct {
			name string
			a, b *os.File
		}{{"in the view", in, out}, {"outside", out, in}} {
			must(t, unix.Flock(int(x.a.Fd()), unix.LOCK_EX|unix.LOCK_NB))
			if err := unix.Flock(int(x.b.Fd()), unix.LOCK_SH|unix.LOCK_NB); err != unix.EWOULDBLOCK {
				t.Errorf("flock held %s: %v", x.name, err)
			}
			must(t, unix.Flock(int(x.a.Fd()), unix.LOCK_UN))
			must(t, unix.Flock(int(x.b.Fd()), unix.LOCK_EX|unix.LOCK_NB))
			must(t, unix.Flock(int(x.b.Fd()), unix.LOCK_UN))

			must(t, lock(x.a, unix.F_SETLK, unix.F_WRLCK))
			if err := lock(x.b, unix.F_SETLK, unix.F_RDLCK); err != unix.EAGAIN {
				t.Errorf("fcntl held %s: %v", x.name, err)
			}
			l := unix.Flock_t{Type: unix.F_WRLCK, Len: 5}
			if err := unix.FcntlFlock(x.b.Fd(), unix.F_GETLK, &l); err != nil || l.Type != unix.F_WRLCK {
				t.Errorf("F_GETLK, held %s: %v %+v", x.name, err, l)
			}
			got := make(chan error)
			go func() { got <- lock(x.b, unix.F_SETLKW, unix.F_WRLCK) }()
			select {
			case err := <-got:
				t.Errorf("F_SETLKW did not wait for what is held %s: %v", x.name, err)
			case <-time.After(20 * time.Millisecond):
				must(t, lock(x.a, unix.F_SETLK, unix.F_UNLCK))
				if err := <-got; err != nil {
					t.Errorf("F_SETLKW, held %s: %v", x.name, err)
				}
			}
			must(t, lock(x.b, unix.F_SETLK, unix.F_UNLCK))
		}
	})
}

// TestLockedDataIsFresh: who takes a lock sees all that was written under it
// before, at once. Databases stand on that.
func TestLockedDataIsFresh(t *testing.T) {
	inEachMode(t, func(t *testing.T, view, outside string) {
		writeFile(t, outside+"/f", fmt.Sprintf("%08d", 0))
		writeFile(t, outside+"/lock", "")
		in, out := open(t, view+"/f", os.O_RDWR), open(t, outside+"/f", os.O_RDWR)
		inLock, outLock := open(t, view+"/lock", os.O_RDWR), open(t, outside+"/lock", os.O_RDWR)
		for i := 0; i < 300; i += 2 {
			for k, side := range []struct{ f, lock *os.File }{{in, inLock}, {out, outLock}} {
				must(t, unix.FcntlFlock(side.lock.Fd(), unix.F_SETLKW, &unix.Flock_t{Type: unix.F_WRLCK}))
				if s := at(side.f, 8); s != fmt.Sprintf("%08d", i+k) {
					t.Fatalf("round %d: %q", i+k, s)
				}
				_, err := side.f.WriteAt(fmt.Appendf(nil, "%08d", i+k+1), 0)
				must(t, err)
				must(t, unix.FcntlFlock(side.lock.Fd(), unix.F_SETLK, &unix.Flock_t{Type: unix.F_UNLCK}))
			}
		}
	})
}

func TestAppendWithOutside(t *testing.T) {
	inEachMode(t, func(t *testing.T, view, outside string) {
		writeFile(t, outside+"/log", "")
		var all sync.WaitGroup
		for i, dir := range []string{view, outside, view} {
			f := open(t, dir+"/log", os.O_WRONLY|os.O_APPEND)
			all.Go(func() {
				for k := range 200 {
					fmt.Fprintf(f, "%d %03d\n", i, k)
				}
			})
		}
		all.Wait()
		b, err := os.ReadFile(outside + "/log")
		must(t, err)
		next := [3]int{}
		for line := range bytes.Lines(b) {
			var i, k int
			if _, err := fmt.Sscanf(string(line), "%d %d\n", &i, &k); err != nil || i > 2 || k != next[i] {
				t.Fatalf("line %q, after %v", line, next)
			}
			next[i]++
		}
		if next != [3]int{200, 200, 200} {
			t.Errorf("lines: %v", next)
		}
	})
}

// TestSharedMapping: what is stored through a mapping is there for all in the
// view at once, and outside after msync(2), in paths mode at once.
func TestSharedMapping(t *testing.T) {
	inEachMode(t, func(t *testing.T, view, outside string) {
		writeFile(t, outside+"/f", strings.Repeat("a", 8192))
		f, g := open(t, view+"/f", os.O_RDWR), open(t, view+"/f", os.O_RDWR)
		m, err := unix.Mmap(int(f.Fd()), 0, 8192, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		must(t, err)
		defer unix.Munmap(m)
		m2, err := unix.Mmap(int(g.Fd()), 0, 8192, unix.PROT_READ, unix.MAP_SHARED)
		must(t, err)
		defer unix.Munmap(m2)
		copy(m, "stored")
		if string(m2[:6]) != "stored" {
			t.Error("two mappings differ")
		}
		must(t, unix.Msync(m, unix.MS_SYNC))
		if s := get(outside + "/f")[:6]; s != "stored" {
			t.Errorf("outside there is %q", s)
		}
		if s := at(g, 6); s != "stored" {
			t.Errorf("a read in the view gives %q", s)
		}
		out := open(t, outside+"/f", os.O_RDWR)
		_, err = out.WriteAt([]byte("OUTSIDE"), 4096)
		must(t, err)
		eventually(t, "write outside, mapped in the view", func() bool { return string(m[4096:4103]) == "OUTSIDE" })
	})
}

// TestSharedIndex: SQLite's index of the write-ahead log is memory that
// processes share without a system call that could be seen
// (https://sqlite.org/walformat.html, 2.3): all must have the same pages.
func TestSharedIndex(t *testing.T) {
	inEachMode(t, func(t *testing.T, view, outside string) {
		writeFile(t, outside+"/a.db-shm", strings.Repeat("a", 32768))
		mapped := func(name string) []byte {
			m, err := unix.Mmap(int(open(t, name, os.O_RDWR).Fd()), 0, 32768, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
			must(t, err)
			t.Cleanup(func() { unix.Munmap(m) })
			return m
		}
		in, out := mapped(view+"/a.db-shm"), mapped(outside+"/a.db-shm")
		in[0], out[1] = 'x', 'y'
		if out[0] != 'x' || in[1] != 'y' {
			t.Errorf("stored %q and %q, and there is %q in the view, %q outside", 'x', 'y', in[:2], out[:2])
		}
	})
}

func TestNamelessFiles(t *testing.T) {
	inEachMode(t, func(t *testing.T, view, outside string) {
		// O_TMPFILE, and a name for it.
		fd, err := unix.Open(view, unix.O_TMPFILE|unix.O_RDWR, 0o600)
		must(t, err)
		defer unix.Close(fd)
		_, err = unix.Write(fd, []byte("tmp"))
		must(t, err)
		must(t, unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), unix.AT_FDCWD, view+"/named", unix.AT_SYMLINK_FOLLOW))
		if get(view+"/named") != "tmp" || get(outside+"/named") != "tmp" {
			t.Error("a temporary file did not get its name")
		}
		// Removed, open, and used.
		f := open(t, view+"/f", os.O_RDWR|os.O_CREATE)
		must(t, os.Remove(view+"/f"))
		_, err = f.WriteString("abcdef")
		must(t, err)
		must(t, f.Truncate(3))
		must(t, f.Chmod(0o640))
		fi, err := f.Stat()
		must(t, err)
		if at(f, 9) != "abc" || fi.Size() != 3 || fi.Mode() != 0o640 || isThere(outside+"/f") {
			t.Errorf("a removed file: %q, %v", at(f, 9), fi)
		}
		writeFile(t, view+"/f", "another")
		if at(f, 9) != "abc" || get(view+"/f") != "another" {
			t.Error("a removed file is taken for its successor")
		}
		// A directory that moves while it is open.
		must(t, os.MkdirAll(view+"/a/b", 0o755))
		d := open(t, view+"/a/b", os.O_RDONLY)
		must(t, os.Rename(view+"/a", view+"/c"))
		h, err := unix.Openat(int(d.Fd()), "x", unix.O_CREAT|unix.O_WRONLY, 0o600)
		must(t, err)
		unix.Close(h)
		must(t, os.Rename(outside+"/c/b", outside+"/moved"))
		h, err = unix.Openat(int(d.Fd()), "y", unix.O_CREAT|unix.O_WRONLY, 0o600)
		must(t, err)
		unix.Close(h)
		if names(outside+"/moved") != "x y" {
			t.Errorf("in the directory that was moved: %q", names(outside+"/moved"))
		}
		must(t, os.RemoveAll(outside+"/moved"))
		if _, err := unix.Openat(int(d.Fd()), "z", unix.O_CREAT|unix.O_WRONLY, 0o600); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a new file in a removed directory: %v", err)
		}
	})
}

// TestHardLinksByName: each open is recorded by the name that was used.
func TestHardLinksByName(t *testing.T) {
	for _, mode := range []trace.Mode{trace.ModePaths, trace.ModeReads, trace.ModeFull} {
		t.Run(string(mode), func(t *testing.T) {
			root, events := t.TempDir(), filepath.Join(t.TempDir(), "events")
			writeFile(t, root+"/a", "same")
			must(t, os.Mkdir(root+"/d", 0o755))
			must(t, os.Link(root+"/a", root+"/d/b"))
			view := mount(t, served{Options: Options{Root: root, Mode: mode}, Events: events})
			want := ""
			for _, name := range []string{"/a", "/d/b", "/d/b", "/a", "/a", "/d/b"} {
				if get(view+name) != "same" {
					t.Fatal(name)
				}
				want += name + " "
			}
			var got string
			for line := range strings.Lines(get(events)) {
				var ev trace.Event
				must(t, json.Unmarshal([]byte(line), &ev))
				if ev.Op == trace.OpOpen {
					got += ev.Path + " "
				}
			}
			if got != want {
				t.Errorf("opened %s, recorded %s", want, got)
			}
		})
	}
}
