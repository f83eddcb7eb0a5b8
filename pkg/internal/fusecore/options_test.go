package fusecore_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	. "github.com/compspec/compat/pkg/internal/fusecore"
	"github.com/compspec/compat/pkg/record/trace"
)

func put(t *testing.T, dir, name, text string) string {
	t.Helper()
	full := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return full
}

// Every change of a read-only view ends in EROFS, and nothing below changes.
func TestReadOnly(t *testing.T) {
	root := t.TempDir()
	put(t, root, "f", "text")
	if err := os.Mkdir(filepath.Join(root, "d"), 0o777); err != nil {
		t.Fatal(err)
	}
	mnt := mount(t, served{Options: Options{Root: root, Mode: trace.ModePaths, ReadOnly: true}})
	f, d := filepath.Join(mnt, "f"), filepath.Join(mnt, "d")
	for name, do := range map[string]func() error{
		"create":   func() error { _, err := os.Create(filepath.Join(mnt, "new")); return err },
		"write":    func() error { _, err := os.OpenFile(f, os.O_WRONLY, 0); return err },
		"append":   func() error { _, err := os.OpenFile(f, os.O_WRONLY|os.O_APPEND, 0); return err },
		"truncate": func() error { return os.Truncate(f, 0) },
		"mkdir":    func() error { return os.Mkdir(filepath.Join(mnt, "new"), 0o777) },
		"mknod":    func() error { return unix.Mknod(filepath.Join(mnt, "new"), unix.S_IFIFO|0o666, 0) },
		"symlink":  func() error { return os.Symlink("f", filepath.Join(mnt, "new")) },
		"link":     func() error { return os.Link(f, filepath.Join(mnt, "new")) },
		"rename":   func() error { return os.Rename(f, filepath.Join(mnt, "new")) },
		"unlink":   func() error { return os.Remove(f) },
		"rmdir":    func() error { return unix.Rmdir(d) },
		"chmod":    func() error { return os.Chmod(f, 0o600) },
		"chown":    func() error { return os.Chown(f, 1, 1) },
		"times":    func() error { return os.Chtimes(f, time.Now(), time.Now()) },
		"setxattr": func() error { return unix.Setxattr(f, "user.x", []byte("y"), 0) },
		"tmpfile":  func() error { _, err := unix.Open(mnt, unix.O_TMPFILE|unix.O_RDWR, 0o600); return err },
	} {
		if err := do(); !errors.Is(err, unix.EROFS) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if b, err := os.ReadFile(f); string(b) != "text" {
		t.Errorf("the file reads %q, %v", b, err)
	}
}

// What the kernel knows stays bounded, however many files are looked at.
func TestTableIsBounded(t *testing.T) {
	root := t.TempDir()
	const dirs, files, most = 20, 200, 500
	for i := range dirs {
		for j := range files {
			put(t, root, fmt.Sprintf("d%d/f%d", i, j), "x")
		}
	}
	count := filepath.Join(t.TempDir(), "nodes")
	mnt := mount(t, served{Options: Options{Root: root, Mode: trace.ModePaths, MaxNodes: most}, Nodes: count})
	held, err := os.Open(filepath.Join(mnt, "d0/f0")) // stays known while it is open
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	for i := range dirs {
		for j := range files {
			if _, err := os.Lstat(filepath.Join(mnt, fmt.Sprintf("d%d/f%d", i, j))); err != nil {
				t.Fatal(err)
			}
		}
	}
	deadline := time.Now().Add(2 * time.Minute)
	for nodes := -1; ; time.Sleep(20 * time.Millisecond) {
		b, _ := os.ReadFile(count)
		if n, err := strconv.Atoi(strings.TrimSpace(string(b))); err == nil {
			nodes = n
		}
		if nodes > 0 && nodes <= most {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d nodes are known, of %d at most", nodes, most)
		}
	}
	if b := make([]byte, 1); true {
		if _, err := held.ReadAt(b, 0); err != nil || b[0] != 'x' {
			t.Errorf("the open file reads %q, %v", b, err)
		}
	}
	if _, err := os.Lstat(filepath.Join(mnt, "d0/f1")); err != nil { // forgotten, and found again
		t.Error(err)
	}
}

// A hard link is recorded under the name that was used, whichever was used last.
func TestHardLinksKeepTheirNames(t *testing.T) {
	root := t.TempDir()
	put(t, root, "a", "x")
	if err := os.Link(filepath.Join(root, "a"), filepath.Join(root, "b")); err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(t.TempDir(), "events")
	mnt := mount(t, served{Options: Options{Root: root, Mode: trace.ModePaths}, Events: log})
	want := []string{"/a", "/b", "/a", "/a", "/b"}
	for _, name := range want {
		if _, err := os.ReadFile(filepath.Join(mnt, name)); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, ev := range events(t, log) {
		if ev.Op == trace.OpOpen {
			got = append(got, ev.Path)
		}
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("opens of %q, want %q", got, want)
	}
}

// Each open has a release with its handle, and the process that asked.
func TestEventsPair(t *testing.T) {
	root := t.TempDir()
	put(t, root, "d/f", "four")
	log := filepath.Join(t.TempDir(), "events")
	mnt := mount(t, served{Options: Options{Root: root, Mode: trace.ModeReads}, Events: log})
	if b, err := os.ReadFile(filepath.Join(mnt, "d/f")); string(b) != "four" {
		t.Fatal(err)
	}
	os.ReadDir(filepath.Join(mnt, "d"))
	os.Stat(filepath.Join(mnt, "d/absent"))
	open, absent := map[uint64]string{}, false
	for range 6000 { // a release comes when it comes
		open = map[uint64]string{}
		for _, ev := range events(t, log) {
			switch ev.Op {
			case trace.OpOpen, trace.OpOpendir:
				open[ev.Handle] = ev.Path
				if ev.TGID != os.Getpid() || ev.Comm == "" {
					t.Fatalf("%+v", ev)
				}
			case trace.OpRelease:
				if open[ev.Handle] != ev.Path {
					t.Fatalf("%+v closes %q", ev, open[ev.Handle])
				}
				delete(open, ev.Handle)
			case trace.OpRead:
				if ev.Path != "/d/f" || ev.Size != 4 && ev.Size != 0 {
					t.Fatalf("%+v", ev)
				}
			}
			absent = absent || ev.Path == "/d/absent" && ev.Errno == "ENOENT"
		}
		if len(open) == 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if len(open) > 0 || !absent {
		t.Errorf("never released: %v; absent seen: %v", open, absent)
	}
}

func events(t *testing.T, log string) (out []trace.Event) {
	t.Helper()
	b, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(b) {
		var ev trace.Event
		if json.Unmarshal(line, &ev) == nil {
			out = append(out, ev)
		}
	}
	return out
}
