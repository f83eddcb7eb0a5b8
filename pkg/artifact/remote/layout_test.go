package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/artifact/layout"
	"github.com/compspec/compat/pkg/artifact/remote/remotetest"
)

// A process that the tests start again to have a second one.
func TestMain(m *testing.M) {
	dir, what := os.Getenv("COMPAT_TEST_STORE"), os.Getenv("COMPAT_TEST_DO")
	switch what {
	case "push":
		_, err := Push(context.Background(), Options{StoreDir: dir, LockTimeout: 5 * time.Minute}, "app:"+os.Getenv("COMPAT_TEST_TAG"), spec("{}"), PushOptions{})
		exit(err)
	case "hold": // the lock, until killed
		_, err := lock(context.Background(), dir, time.Second)
		fmt.Println("held")
		if err == nil {
			time.Sleep(time.Minute)
		}
		exit(err)
	}
	os.Exit(m.Run())
}

func blobPath(t *testing.T, l *layoutDir, digest string) string {
	t.Helper()
	path, err := l.Blob(digest)
	check(t, err)
	return path
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func child(t *testing.T, env ...string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = os.Stderr
	return cmd
}

func TestProcessesShareTheStore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	const processes = 8
	var wg sync.WaitGroup
	errs := make([]error, processes)
	for i := range processes {
		cmd := child(t, "COMPAT_TEST_DO=push", "COMPAT_TEST_STORE="+dir, fmt.Sprintf("COMPAT_TEST_TAG=t%d", i))
		wg.Go(func() { errs[i] = cmd.Run() })
	}
	wg.Wait()
	check(t, errors.Join(errs...))
	for i := range processes {
		if _, err := Fetch(t.Context(), Options{StoreDir: dir}, fmt.Sprintf("app:t%d", i), artifact.TypeSpec, PullMissing); err != nil {
			t.Errorf("tag t%d was lost: %v", i, err)
		}
	}
}

func TestLockedStoreEndsInAClearErrorAndDeathFreesIt(t *testing.T) {
	dir := t.TempDir()
	holder := child(t, "COMPAT_TEST_DO=hold", "COMPAT_TEST_STORE="+dir)
	out, err := holder.StdoutPipe()
	check(t, err)
	check(t, holder.Start())
	_, err = out.Read(make([]byte, 5))
	check(t, err)
	o := Options{StoreDir: dir, LockTimeout: 50 * time.Millisecond}
	_, err = Push(t.Context(), o, "app:t", spec("{}"), PushOptions{})
	var e *Error
	if !errors.Is(err, ErrLocked) || !errors.Is(err, ErrRegistry) || !strings.Contains(err.Error(), dir) || !errors.As(err, &e) || e.Hint == "" {
		t.Errorf("while another process holds it: %v; want ErrLocked with the directory and a hint", err)
	}
	check(t, holder.Process.Kill())
	_ = holder.Wait()
	if _, err := Push(t.Context(), o, "app:t", spec("{}"), PushOptions{}); err != nil {
		t.Errorf("after its death: %v", err)
	}
}

func TestReadersNeedNoLock(t *testing.T) {
	dir := t.TempDir()
	o := Options{StoreDir: dir, LockTimeout: time.Millisecond}
	_, err := Push(t.Context(), o, "app:t", spec("{}"), PushOptions{})
	check(t, err)
	unlock, err := lock(t.Context(), dir, time.Second)
	check(t, err)
	defer unlock()
	if _, err := Fetch(t.Context(), o, "app:t", artifact.TypeSpec, PullNever); err != nil {
		t.Error(err)
	}
}

// A blob that a crash left short is written again, and read as invalid until then.
func TestDamagedStoreIsSeenAndMended(t *testing.T) {
	o := Options{StoreDir: t.TempDir()}
	content := spec(`{"long":"enough"}`)
	done, err := Push(t.Context(), o, "app:t", content, PushOptions{})
	check(t, err)
	l, err := o.store()
	check(t, err)
	path := blobPath(t, l, done.Layer.Digest)
	for _, damage := range []string{`{"long"`, `{"long":"ENOUGH"}`} {
		check(t, os.Chmod(path, 0o644))
		check(t, os.WriteFile(path, []byte(damage), 0o644))
		if _, err := Fetch(t.Context(), o, "app:t", artifact.TypeSpec, PullNever); !errors.Is(err, artifact.ErrInvalid) {
			t.Errorf("read of %s: %v; want ErrInvalid", damage, err)
		}
		_, err := Push(t.Context(), o, "app:other", content, PushOptions{})
		check(t, err)
		doc, err := Fetch(t.Context(), o, "app:t", artifact.TypeSpec, PullNever)
		check(t, err)
		if !bytes.Equal(doc.Data, content.Data) {
			t.Errorf("mended to %s", doc.Data)
		}
	}
	check(t, os.WriteFile(filepath.Join(l.root(), "index.json"), []byte("{"), 0o644))
	if _, err := Push(t.Context(), o, "app:t", content, PushOptions{}); !errors.Is(err, artifact.ErrInvalid) {
		t.Errorf("index cut short: %v; want ErrInvalid", err)
	}
}

// A layout that somebody else made may lead anywhere by its links.
func TestLayoutIsWrittenThroughNoLink(t *testing.T) {
	victim := filepath.Join(t.TempDir(), "victim")
	check(t, os.WriteFile(victim, []byte("precious"), 0o600))
	o := Options{OCILayout: true}
	root := filepath.Join(t.TempDir(), "layout")
	done, err := Push(t.Context(), o, root+":t", spec("{}"), PushOptions{})
	check(t, err)
	l := newLayout(layout.Dir(root), "", 0)
	for _, path := range []string{blobPath(t, l, done.Digest), blobPath(t, l, done.Layer.Digest), filepath.Join(root, "oci-layout")} {
		check(t, os.Remove(path))
		check(t, os.Symlink(victim, path))
	}
	_, err = Push(t.Context(), o, root+":t", spec("{}"), PushOptions{})
	check(t, err)
	index := filepath.Join(root, "index.json")
	check(t, os.Rename(index, victim+".json"))
	check(t, os.Symlink(victim+".json", index))
	before, err := os.ReadFile(victim + ".json")
	check(t, err)
	_, err = Push(t.Context(), o, root+":other", spec("[]"), PushOptions{})
	check(t, err)
	for _, tag := range []string{":t", ":other"} {
		if _, err := Fetch(t.Context(), o, root+tag, artifact.TypeSpec, PullAlways); err != nil {
			t.Error(err)
		}
	}
	for path, want := range map[string]string{victim: "precious", victim + ".json": string(before)} {
		if data, err := os.ReadFile(path); err != nil || string(data) != want {
			t.Errorf("%s holds %s, %v", path, data, err)
		}
	}
}

// The config and the layer of a manifest may be the same blob, and are written
// at the same time.
func TestLinkIsReplacedByManyAtOnce(t *testing.T) {
	dir := t.TempDir()
	for i := range 200 {
		path := filepath.Join(dir, strconv.Itoa(i))
		check(t, os.Symlink("nowhere", path))
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if err := writeFile(path, []byte("{}"), 0o444); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
}

// A pull mends what a damaged store cannot give.
func TestPullMissingMendsADamagedStore(t *testing.T) {
	o, base := one(t, remotetest.Olareg(t))
	_, err := Push(t.Context(), o, base+":t", spec("{}"), PushOptions{})
	check(t, err)
	doc, err := Fetch(t.Context(), o, base+":t", artifact.TypeSpec, PullMissing)
	check(t, err)
	l, err := o.store()
	check(t, err)
	check(t, os.Remove(blobPath(t, l, doc.LayerDigest)))
	for i, cached := range []bool{false, true} {
		doc, err := Fetch(t.Context(), o, base+":t", artifact.TypeSpec, PullMissing)
		check(t, err)
		if doc.Cached != cached {
			t.Errorf("fetch %d: cached %t, want %t", i, doc.Cached, cached)
		}
	}
}

func TestFullDiskLosesNothing(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("COMPAT_NO_SKIP") == "1" {
			t.Fatal("needs root to mount a small tmpfs")
		}
		t.Skip("needs root to mount a small tmpfs")
	}
	dir := t.TempDir()
	check(t, syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=128k"))
	t.Cleanup(func() { check(t, syscall.Unmount(dir, 0)) })
	o := Options{StoreDir: filepath.Join(dir, "store")}
	_, err := Push(t.Context(), o, "app:first", spec("{}"), PushOptions{})
	check(t, err)
	big := spec(strings.Repeat("x", 256<<10))
	if _, err := Push(t.Context(), o, "app:second", big, PushOptions{}); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("push of more than fits: %v; want ENOSPC", err)
	}
	// Until the last page is taken the small writes fail too, index.json's among them.
	fill, err := os.Create(filepath.Join(dir, "fill"))
	check(t, err)
	for err == nil {
		_, err = fill.Write(make([]byte, 4096))
	}
	check(t, fill.Close())
	if _, err := Push(t.Context(), o, "app:first,third", spec("{}"), PushOptions{}); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("push with no page left: %v; want ENOSPC", err)
	}
	if _, err := Fetch(t.Context(), o, "app:first", artifact.TypeSpec, PullNever); err != nil {
		t.Errorf("what was there is lost: %v", err)
	}
	check(t, os.Remove(fill.Name()))
	if _, err := Push(t.Context(), o, "app:first,third", spec("{}"), PushOptions{}); err != nil {
		t.Errorf("with room again: %v", err)
	}
	left := 0
	check(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if strings.HasPrefix(d.Name(), ".compat-") {
			left++
		}
		return err
	}))
	if left > 0 {
		t.Errorf("%d temporary files are left", left)
	}
}

func TestWriteFileKeepsTheOldOnFailure(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dir")
	check(t, os.Mkdir(path, 0o777)) // a rename over a directory fails
	if err := artifact.WriteFile(path, []byte("x"), 0o666, true); err == nil {
		t.Fatal("a directory was replaced")
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	check(t, err)
	if len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
}

func TestReadingCreatesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "no", "such")
	for _, o := range []Options{{StoreDir: dir}, {OCILayout: true}} {
		ref := "app:t"
		if o.OCILayout {
			ref = dir + ":t"
		}
		if _, err := Fetch(t.Context(), o, ref, artifact.TypeSpec, PullMissing); !errors.Is(err, artifact.ErrNotFound) {
			t.Errorf("%s: %v; want ErrNotFound", ref, err)
		}
		if _, err := os.Stat(filepath.Dir(dir)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: a read made a directory", ref)
		}
	}
}
