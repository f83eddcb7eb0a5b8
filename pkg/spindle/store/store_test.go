package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/compspec/compat/pkg/artifact"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newStore(t testing.TB) *Store {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "a", "store"))
	check(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func bytesOf(seed uint64, n int) ([]byte, string) {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(seed, 1))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b, artifact.Digest(b)
}

func add(t testing.TB, s *Store, seed uint64, n int) string {
	t.Helper()
	b, d := bytesOf(seed, n)
	check(t, s.Add(t.Context(), d, int64(n), writes(b)))
	return d
}

func writes(b []byte) func(io.Writer) error {
	return func(w io.Writer) error { _, err := w.Write(b); return err }
}

// entries counts the files of a directory of the store.
func entries(t testing.TB, s *Store, dir string) int {
	t.Helper()
	n, err := s.names(dir)
	check(t, err)
	return len(n)
}

func TestAdd(t *testing.T) {
	s := newStore(t)
	b, d := bytesOf(1, 5000)
	check(t, s.Add(t.Context(), d, 5000, writes(b)))
	check(t, s.Add(t.Context(), d, 5000, func(io.Writer) error { t.Error("asked for it again"); return nil }))
	info, err := os.Stat(s.Path(d))
	check(t, err)
	if info.Mode() != 0o555 || !s.Has(d, 5000) || s.Has(d, 4999) || s.Has(artifact.Digest(nil), 0) {
		t.Errorf("mode %v, Has %t", info.Mode(), s.Has(d, 5000))
	}
	if got, err := os.ReadFile(s.Path(d)); err != nil || !bytes.Equal(got, b) {
		t.Errorf("other content: %v", err)
	}
	check(t, s.Add(t.Context(), artifact.Digest(nil), 0, writes(nil)))
	for _, bad := range []struct {
		name   string
		digest string
		size   int64
		write  func(io.Writer) error
	}{
		{"short", d[:70] + "0", 5000, writes(b[:1])},
		{"long", d[:70] + "0", 10, writes(b)},
		{"of another digest", d[:70] + "0", 5000, writes(b)},
		{"no digest", "sha256:../../x", 5000, writes(b)},
		{"sha512", "sha512:" + strings.Repeat("0", 128), 5000, writes(b)},
	} {
		if err := s.Add(t.Context(), bad.digest, bad.size, bad.write); !errors.Is(err, artifact.ErrInvalid) {
			t.Errorf("%s: %v", bad.name, err)
		}
		if s.Path(bad.digest) != "" && s.Has(bad.digest, bad.size) {
			t.Errorf("%s: it is there", bad.name)
		}
	}
	if err := s.Add(t.Context(), d[:70]+"0", 5000, func(io.Writer) error { return io.ErrUnexpectedEOF }); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
	if n := entries(t, s, tempDir) + entries(t, s, locksDir); n != 0 {
		t.Errorf("%d files left behind", n)
	}
}

func TestDamagedIsReplaced(t *testing.T) {
	s := newStore(t)
	b, d := bytesOf(1, 5000)
	damage := func(content []byte) {
		check(t, os.Remove(s.Path(d)))
		check(t, os.WriteFile(s.Path(d), content, 0o555))
	}
	add(t, s, 1, 5000)
	check(t, s.Verify(d, 5000))
	damage(b[:100])
	if s.Has(d, 5000) {
		t.Error("another size")
	}
	add(t, s, 1, 5000)
	check(t, s.Verify(d, 5000))
	damage(bytes.Repeat([]byte("x"), 5000))
	if err := s.Verify(d, 5000); !errors.Is(err, artifact.ErrInvalid) {
		t.Error(err)
	}
	if err := s.Verify(d, 5000); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is there still: %v", err)
	}
	add(t, s, 1, 5000)
	check(t, s.Verify(d, 5000))
	// What is no file of the user's own counts as absent.
	check(t, os.Chmod(s.Path(d), 0o775))
	if s.Has(d, 5000) {
		t.Error("writable by others")
	}
	add(t, s, 1, 5000)
	elsewhere := filepath.Join(t.TempDir(), "elsewhere")
	check(t, os.WriteFile(elsewhere, b, 0o555))
	check(t, os.Remove(s.Path(d)))
	check(t, os.Symlink(elsewhere, s.Path(d)))
	if f, err := s.OpenBlob(d); s.Has(d, 5000) || err == nil {
		t.Errorf("a link counts: %v", f)
	}
	add(t, s, 1, 5000)
	if info, err := os.Lstat(s.Path(d)); err != nil || !info.Mode().IsRegular() {
		t.Errorf("%v, %v", info, err)
	}
}

func TestUnsafeStoresAreRefused(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(t *testing.T, dir string)
	}{
		{"link", func(t *testing.T, d string) { check(t, os.Mkdir(d+"x", 0o700)); check(t, os.Symlink(d+"x", d)) }},
		{"dangling link", func(t *testing.T, d string) { check(t, os.Symlink(d+"y", d)) }},
		{"file", func(t *testing.T, d string) { check(t, os.WriteFile(d, nil, 0o600)) }},
		{"writable by the group", func(t *testing.T, d string) { check(t, os.Mkdir(d, 0o700)); check(t, os.Chmod(d, 0o770)) }},
		{"writable by all", func(t *testing.T, d string) { check(t, os.Mkdir(d, 0o700)); check(t, os.Chmod(d, 0o707)) }},
		{"in a directory writable by all", func(t *testing.T, d string) { check(t, os.Chmod(filepath.Dir(d), 0o777)) }},
		{"link inside", func(t *testing.T, d string) { check(t, os.Mkdir(d, 0o700)); check(t, os.Symlink("/tmp", d+"/tmp")) }},
		{"blobs writable by all", func(t *testing.T, d string) {
			check(t, os.MkdirAll(d+"/blobs/sha256", 0o700))
			check(t, os.Chmod(d+"/blobs/sha256", 0o777))
		}},
		{"of somebody else", func(t *testing.T, d string) {
			if os.Getuid() != 0 {
				t.Skip("not root")
			}
			check(t, os.Mkdir(d, 0o700))
			check(t, os.Chown(d, 12345, -1))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "store")
			c.make(t, dir)
			if s, err := Open(dir); !errors.Is(err, ErrUnsafe) {
				t.Errorf("%v, %v", s, err)
			}
		})
	}
}

func TestPrune(t *testing.T) {
	s := newStore(t)
	var digests []string
	for i := range 6 {
		d := add(t, s, uint64(i), 1000)
		digests = append(digests, d)
		check(t, os.Chtimes(s.Path(d), time.Unix(int64(1000*(6-i)), 0), time.Unix(1, 0))) // the last is the oldest
	}
	lease, err := s.Use(t.Context(), digests[5:])
	check(t, err)
	once, err := s.Use(t.Context(), digests[4:5])
	check(t, err)
	once.Release() // used now, so it is not the oldest
	got, err := s.Prune(t.Context(), 3500, func(d string) bool { return d == digests[3] })
	check(t, err)
	if got.Removed != 3 || got.Left != 3000 || got.InUse != 1000 || got.Freed != 3000 {
		t.Errorf("%+v", got)
	}
	for i, want := range []bool{false, false, false, true, true, true} {
		if s.Has(digests[i], 1000) != want {
			t.Errorf("content %d: there %t", i, !want)
		}
	}
	if got, err = s.Prune(t.Context(), 0, nil); err != nil || got.Left != 1000 || entries(t, s, leasesDir) != 1 {
		t.Errorf("%+v, %v: what is in use stays, and its lease alone", got, err)
	}
	items, err := s.List(t.Context())
	check(t, err)
	if len(items) != 1 || !items[0].InUse || items[0].Digest != digests[5] || time.Since(items[0].Used) > time.Minute {
		t.Errorf("%+v", items)
	}
	lease.Release()
	if got, err = s.Prune(t.Context(), 0, nil); err != nil || got.Left != 0 {
		t.Errorf("%+v, %v", got, err)
	}
}

// A lease covers what is added later, and is held by each of many that share it.
func TestLeaseCoversWhatComesLater(t *testing.T) {
	s := newStore(t)
	_, d := bytesOf(1, 1000)
	var wg sync.WaitGroup
	leases := make([]*Lease, 20)
	for i := range leases {
		wg.Go(func() {
			var err error
			if leases[i], err = s.Use(t.Context(), []string{d}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	add(t, s, 1, 1000)
	for i, l := range leases {
		if p, err := s.Prune(t.Context(), 0, nil); err != nil || p.Left != 1000 {
			t.Fatalf("lease %d of %d: %+v, %v", i, len(leases), p, err)
		}
		l.Release()
	}
	if p, err := s.Prune(t.Context(), 0, nil); err != nil || p.Left != 0 {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestCancelledContextEndsTheWait(t *testing.T) {
	s := newStore(t)
	_, d := bytesOf(1, 10)
	unlock, err := s.Lock(t.Context(), d)
	check(t, err)
	defer unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := s.Add(ctx, d, 10, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

// TestMain is, in a process of its own, a writer that is killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv("STORE_TEST_WRITER"); dir != "" {
		s, err := Open(dir)
		if err == nil {
			_, err = s.Use(context.Background(), []string{artifact.Digest([]byte("lease"))})
		}
		_, d := bytesOf(1, 1000)
		if err == nil {
			err = s.Add(context.Background(), d, 1000, func(w io.Writer) error {
				_, _ = w.Write([]byte("half"))
				fmt.Println("writing")
				time.Sleep(time.Hour)
				return nil
			})
		}
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func TestKilledWriterLeavesNothing(t *testing.T) {
	s := newStore(t)
	exe, err := os.Executable()
	check(t, err)
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), "STORE_TEST_WRITER="+s.Dir())
	out, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	word := make([]byte, 7)
	if _, err := io.ReadFull(out, word); err != nil || string(word) != "writing" {
		t.Fatalf("%q, %v", word, err)
	}
	if p, err := s.Prune(t.Context(), 0, nil); err != nil || p.Swept != 0 {
		t.Errorf("swept under a writer that lives: %+v, %v", p, err)
	}
	_, d := bytesOf(1, 1000)
	added := make(chan error, 1)
	go func() {
		b, _ := bytesOf(1, 1000)
		added <- s.Add(t.Context(), d, 1000, writes(b))
	}()
	select {
	case err := <-added:
		t.Fatalf("did not wait for the other process: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	check(t, cmd.Process.Signal(syscall.SIGKILL))
	_ = cmd.Wait()
	check(t, <-added)
	if n := entries(t, s, tempDir); n != 1 {
		t.Errorf("%d temporary files", n)
	}
	if p, err := s.Prune(t.Context(), 1<<20, nil); err != nil || p.Swept != 1 || entries(t, s, tempDir)+entries(t, s, locksDir)+entries(t, s, leasesDir) != 0 {
		t.Errorf("%+v, %v", p, err)
	}
}

// A file that a process was about to give its name is swept, too.
func TestSweepOfAFinishedFile(t *testing.T) {
	s := newStore(t)
	name := filepath.Join(s.Dir(), tempDir, "x")
	check(t, os.WriteFile(name, nil, 0o555))
	if n, err := s.Sweep(); err != nil || n != 1 {
		t.Errorf("%d, %v", n, err)
	}
}

func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("mounting a small file system: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	s, err := Open(filepath.Join(dir, "store"))
	check(t, err)
	defer s.Close()
	kept := add(t, s, 1, 50_000)
	b, d := bytesOf(2, 1<<20)
	err = s.Add(t.Context(), d, 1<<20, writes(b))
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "COMPAT_CACHE") || !strings.Contains(err.Error(), s.Dir()) {
		t.Errorf("%v", err)
	}
	if s.Has(d, 1<<20) || !s.Has(kept, 50_000) || entries(t, s, tempDir)+entries(t, s, locksDir) != 0 {
		t.Error("something is left behind")
	}
	add(t, s, 3, 50_000)
}

func BenchmarkHas500(b *testing.B) {
	s := newStore(b)
	var digests []string
	for i := range 500 {
		digests = append(digests, add(b, s, uint64(i), 100))
	}
	b.Run("has", func(b *testing.B) {
		for b.Loop() {
			for _, d := range digests {
				if !s.Has(d, 100) {
					b.Fatal(d)
				}
			}
		}
	})
	b.Run("use", func(b *testing.B) {
		for b.Loop() {
			l, err := s.Use(b.Context(), digests)
			check(b, err)
			l.Release()
		}
	})
	b.Run("open", func(b *testing.B) {
		for b.Loop() {
			s, err := Open(s.Dir())
			check(b, err)
			s.Close()
		}
	})
}
