package spindle

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/internal/rootfs"
)

// contents keeps contents in a directory, by digest.
type contents string

func (c contents) Path(digest string) string { return filepath.Join(string(c), digest) }

func (c contents) Verify(digest string, size int64) error {
	b, err := os.ReadFile(c.Path(digest))
	if err == nil && (artifact.Digest(b) != digest || int64(len(b)) != size) {
		err = fmt.Errorf("%w: %s", artifact.ErrInvalid, digest)
	}
	return err
}

func (c contents) keep(t *testing.T, p *Plan) {
	t.Helper()
	for _, f := range p.Files {
		if f.Type != TypeFile {
			continue
		}
		b, err := os.ReadFile(f.Path)
		if err == nil {
			err = os.WriteFile(c.Path(f.Digest), b, 0o555)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func carried(t *testing.T, rec *Recorded) (app string, p *Plan) {
	t.Helper()
	app, _ = searching(t)
	digests, err := artifact.OpenDigestCache(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { digests.Close() })
	if rec != nil {
		dir := filepath.Dir(app)
		rec.Files = []artifact.RunFile{{Path: dir + "/a.c"}, {Path: "/etc/hostname"}, {Path: dir + "/gone"}, {Path: dir + "/made", Changed: true}}
		rec.Missing = []string{dir + "/nosuch", "/etc/nosuch", dir + "/other"}
		rec.Listed = []string{dir, "/etc"}
	}
	if p, err = Carry(Request{Program: app}, CarryOptions{Digests: digests, Recorded: rec, Bundle: []string{filepath.Dir(app)}}); err != nil {
		t.Fatal(err)
	}
	return app, p
}

// A plan carries the program, what is found by its own directories, and those
// with their names; what the system has found stays the node's.
func TestCarry(t *testing.T) {
	rec := &Recorded{Dir: "/"}
	app, p := carried(t, rec)
	dir := filepath.Dir(app)
	kinds := map[string]string{}
	for _, f := range p.Files {
		kinds[f.Path] = f.Type
		if f.Path == dir && (!f.Whole || !slices.Contains(f.Names, "other")) {
			t.Errorf("the directory that was listed: %+v", f)
		}
		if strings.Contains(f.Path, "libc.so") || strings.HasPrefix(f.Path, "/etc") {
			t.Errorf("%s is carried", f.Path)
		}
	}
	for path, kind := range map[string]string{app: TypeFile, dir + "/d39/libsays.so": TypeFile, dir + "/d00": TypeDir, dir: TypeDir, dir + "/a.c": TypeFile, dir + "/made": "", dir + "/other": ""} {
		if kinds[path] != kind {
			t.Errorf("%s: %q, want %q", path, kinds[path], kind)
		}
	}
	if !slices.Equal(p.Absent, []string{dir + "/nosuch"}) {
		t.Errorf("absent: %q", p.Absent)
	}
	b, err := Encode(p)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Decode(b)
	if err != nil || len(again.Files) != len(p.Files) {
		t.Errorf("it is read as %d files, %v; want %d", len(again.Files), err, len(p.Files))
	}
}

// With the plan's files in their places a machine answers as the one that they
// come from, where it has none of them itself and is not asked.
func TestPlanFSAnswersAsTheMachine(t *testing.T) {
	app, p := carried(t, &Recorded{Dir: "/"})
	dir := filepath.Dir(app)
	store := contents(t.TempDir())
	store.keep(t, p)
	host, err := rootfs.NewHost("/")
	if err != nil {
		t.Fatal(err)
	}
	c := &counted{FS: host}
	v := newPlanFS(c, p, store.Path)
	names := []string{app, dir + "/d39/libsays.so", dir + "/d39/nosuch", dir + "/d00", dir + "/d00/glibc-hwcaps/x86-64-v3/libsays.so", dir + "/nosuch", dir + "//app", app + "/", app + "/x"}
	for _, name := range names {
		c.opens, c.stats, c.lists = 0, 0, 0
		_, werr := host.Stat(name)
		info, err := v.Stat(name)
		f, oerr := v.Open(name)
		if rootfs.Errno(err) != rootfs.Errno(werr) || rootfs.Errno(oerr) != rootfs.Errno(werr) {
			t.Errorf("%s: %v, %v; on the machine %v", name, err, oerr, werr)
		}
		if c.asked() != 0 {
			t.Errorf("%s: the machine was asked", name)
		}
		if oerr != nil || info.IsDir() {
			continue
		}
		want, _ := os.ReadFile(name)
		got, _ := io.ReadAll(io.NewSectionReader(f, 0, 1<<20))
		if string(got) != string(want) {
			t.Errorf("%s: %d bytes, want %d", name, len(got), len(want))
		}
		f.Close()
	}
	want, _ := host.ReadDir(dir)
	if got, err := v.ReadDir(dir); err != nil || !slices.Equal(got, want) {
		t.Errorf("names %q, %v; want %q", got, err, want)
	}
}

// The launch of what is carried is prepared where the files are not, and again
// where a content has been damaged.
func TestPrepareWithoutTheFiles(t *testing.T) {
	t.Setenv("COMPAT_CACHE", t.TempDir()+"/cache")
	app, p := carried(t, nil)
	store := contents(t.TempDir())
	store.keep(t, p)
	time.Sleep(2 * quiet)
	if err := os.Rename(filepath.Dir(app), filepath.Dir(app)+".away"); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		c, err := p.Prepare("test", store)
		if err != nil || c.Reason != "" || c.Target != app || c.Search.Missing < 39 || c.Cached != (i == 1) {
			t.Fatalf("preparation %d: %+v, %v", i, c, err)
		}
		if st, err := os.Stat(c.Image); err != nil || st.Size() != c.ImageSize {
			t.Errorf("the image: %v", err)
		}
	}
	for _, f := range p.Files {
		if strings.HasSuffix(f.Path, "libsays.so") {
			if err := os.Chmod(store.Path(f.Digest), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(store.Path(f.Digest), make([]byte, f.Size), 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	if c, err := p.Prepare("test", store); !errors.Is(err, artifact.ErrInvalid) {
		t.Errorf("with a damaged content: %+v, %v", c, err)
	}
}

// What would not start is said, with the loader's reason.
func TestPrepareOfWhatDoesNotStart(t *testing.T) {
	t.Setenv("COMPAT_CACHE", t.TempDir()+"/cache")
	app, p := carried(t, nil)
	store := contents(t.TempDir())
	store.keep(t, p)
	p.Files = slices.DeleteFunc(p.Files, func(f File) bool { return strings.HasSuffix(f.Path, "libsays.so") })
	if err := os.Rename(filepath.Dir(app), filepath.Dir(app)+".away"); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Prepare("test", store); !errors.Is(err, artifact.ErrUnsupported) || !strings.Contains(err.Error(), "libsays.so") {
		t.Errorf("%v", err)
	}
}
