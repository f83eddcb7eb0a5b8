package record

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/compspec/compat/pkg/record/trace"
)

func sumOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// What has no content that the run can have read has no digest.
func TestDigestOfAFile(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		return name
	}
	plain, link, fifo, large := write("plain", "text"), filepath.Join(dir, "link"), filepath.Join(dir, "fifo"), write("large", "")
	if err := os.Symlink(plain, link); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(fifo, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(large, maxDigested+1); err != nil {
		t.Fatal(err)
	}
	empty := write("empty", "")
	later := time.Now().Add(time.Second)
	never, now := func() bool { return false }, func() bool { return true }
	calls := 0
	for _, c := range []struct {
		name  string
		file  trace.File
		start time.Time
		hurry func() bool
		want  string
	}{
		{"a file", trace.File{Path: plain, Size: 4}, later, never, sumOf("text")},
		{"a file whose size is not known", trace.File{Path: plain}, later, never, sumOf("text")},
		{"of another size when opened", trace.File{Path: plain, Size: 3}, later, never, ""},
		{"changed since the start", trace.File{Path: plain, Size: 4}, later.Add(-time.Hour), never, ""},
		{"empty", trace.File{Path: empty}, later, never, ""},
		{"of /proc", trace.File{Path: "/proc/self/status"}, later, never, ""},
		{"too large", trace.File{Path: large}, later, never, ""},
		{"a symbolic link", trace.File{Path: link}, later, never, ""},
		{"a FIFO without a writer", trace.File{Path: fifo}, later, never, ""},
		{"a directory", trace.File{Path: dir}, later, never, ""},
		{"not there", trace.File{Path: dir + "/nosuch"}, later, never, ""},
		{"asked to hurry", trace.File{Path: plain}, later, now, ""},
		{"asked to hurry meanwhile", trace.File{Path: plain}, later, func() bool { calls++; return calls > 1 }, ""},
	} {
		size := c.file.Size
		if got := digest(&c.file, c.start, c.hurry, make([]byte, 3)); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		} else if want := max(size, 4); got != "" && c.file.Size != want {
			t.Errorf("%s: size %d, want %d", c.name, c.file.Size, want)
		}
	}
}

// Each file that was read and not changed is summed once, in the order of their
// paths, and times do not go back.
func TestDigestsAreOfWhatWasRead(t *testing.T) {
	dir := t.TempDir()
	u := used{using: trace.NewUsing()}
	var want []string
	for _, name := range []string{"d", "a", "c", "written", "moved", "b", "removed", "only-looked-for"} {
		name := filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(name), 0o666); err != nil {
			t.Fatal(err)
		}
		op := trace.OpOpen
		if filepath.Base(name) == "only-looked-for" {
			op = trace.OpLookup
		}
		u.add(&trace.Event{Op: op, Path: name})
		u.add(&trace.Event{Op: op, Path: name})
		if len(filepath.Base(name)) == 1 {
			want = append(want, name)
		}
	}
	u.add(&trace.Event{Op: trace.OpOpen, Path: dir + "/written", Flags: unix.O_RDWR})
	u.add(&trace.Event{Op: trace.OpRename, Path: dir + "/x", Path2: dir + "/moved"})
	u.add(&trace.Event{Op: trace.OpUnlink, Path: dir + "/removed"})
	slices.Sort(want)
	var got []string
	last := int64(-1 << 62)
	u.digests(time.Now().Add(time.Second), func() bool { return false }, func(ev *trace.Event) {
		got = append(got, ev.Path)
		if ev.Op != trace.OpDigest || ev.Digest != sumOf(ev.Path) || ev.Size != int64(len(ev.Path)) || ev.Time < last {
			t.Errorf("%+v", ev)
		}
		last = ev.Time
	})
	if !slices.Equal(got, want) {
		t.Errorf("digests of %q, want %q", got, want)
	}
}
