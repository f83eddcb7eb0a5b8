package pack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/artifact/remote"
	"github.com/compspec/compat/pkg/artifact/remote/remotetest"
	"github.com/compspec/compat/pkg/spindle"
	"github.com/compspec/compat/pkg/spindle/store"
)

// TestMain is, in a process of its own, a launch that fetches what it needs.
func TestMain(m *testing.M) {
	if ref := os.Getenv("PACK_TEST_REF"); ref != "" {
		if err := fetchAll(context.Background(), ref, os.Getenv("PACK_TEST_DIR"), os.Getenv("PACK_TEST_CACHE")); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func fetchAll(ctx context.Context, ref, dir, cache string) error {
	o := remote.Options{StoreDir: filepath.Join(dir, "oci"), Configs: []string{filepath.Join(dir, "config.json")}, HostsDir: dir, LockTimeout: 5 * time.Minute}
	a, err := remote.OpenArtifact(ctx, o, ref, artifact.TypeLaunch, remote.PullMissing)
	if err != nil {
		return err
	}
	plan, err := spindle.Decode(a.Data)
	if err != nil {
		return err
	}
	st, err := store.Open(cache)
	if err != nil {
		return err
	}
	defer st.Close()
	lease, err := Fetch(ctx, plan, a, st, FetchOptions{})
	if err != nil {
		return err
	}
	defer lease.Release()
	for d, size := range plan.Sizes() {
		if err := st.Verify(d, size); err != nil {
			return err
		}
	}
	return nil
}

// push pushes a tree to a registry and returns its reference.
func (tr *tree) push(t testing.TB, host string) string {
	t.Helper()
	dir := t.TempDir()
	packed, err := Pack(t.Context(), tr.plan, tr.open, dir)
	check(t, err)
	text, err := spindle.Encode(tr.plan)
	check(t, err)
	files := []remote.FileLayer{{Data: text, MediaType: artifact.MediaTypeLaunch, Title: "launch.json"}}
	for _, l := range packed {
		files = append(files, remote.FileLayer{Path: l.Path, MediaType: l.MediaType, Digest: l.Digest, Size: l.Size})
	}
	o := remote.Options{StoreDir: filepath.Join(dir, "oci"), Configs: []string{filepath.Join(dir, "config.json")}, HostsDir: dir}
	_, err = remote.PushFiles(t.Context(), o, host+"/app:t", artifact.TypeLaunch, files, remote.PushOptions{})
	check(t, err)
	return host + "/app:t"
}

func launchProcess(t *testing.T, ref, dir, cache string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	check(t, err)
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), "PACK_TEST_REF="+ref, "PACK_TEST_DIR="+dir, "PACK_TEST_CACHE="+cache)
	cmd.Stdout = new(bytes.Buffer)
	cmd.Stderr = cmd.Stdout
	check(t, cmd.Start())
	return cmd
}

func wait(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v: %s", err, cmd.Stdout)
	}
}

// blobs counts the downloads of blobs in a log of requests.
func blobs(lines []string) map[string]int {
	n := map[string]int{}
	for _, l := range lines {
		if at, digest, ok := strings.Cut(l, "/blobs/"); ok && strings.HasPrefix(at, "GET ") {
			n[digest]++
		}
	}
	return n
}

// Twelve launches at once fetch each layer once; afterwards the registry may go.
func TestManyProcessesFetchOnce(t *testing.T) {
	var down atomic.Bool
	log := &remotetest.Log{}
	inner := remotetest.Slow(remotetest.Olareg(t), 20*time.Millisecond)
	log.Next = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if down.Load() {
			panic(http.ErrAbortHandler)
		}
		inner.ServeHTTP(w, r)
	})
	tr := newTree(append(someSizes, 200_000, 300_000, 400_000)...)
	ref := tr.push(t, remotetest.Serve(t, log))
	log.Take()
	dir, cache := t.TempDir(), filepath.Join(t.TempDir(), "cache")
	var all []*exec.Cmd
	for range 12 {
		all = append(all, launchProcess(t, ref, dir, cache))
	}
	for _, cmd := range all {
		wait(t, cmd)
	}
	got := blobs(log.Take())
	for _, l := range tr.plan.Layers {
		if got[l.Digest] != 1 {
			t.Errorf("%s was fetched %d times", l.Digest, got[l.Digest])
		}
	}
	down.Store(true)
	wait(t, launchProcess(t, ref, dir, cache))
}

// The one that fetches is killed in the middle: another one does it.
func TestKilledFetchIsTakenOver(t *testing.T) {
	h := remotetest.Olareg(t)
	var stuck atomic.Bool
	half := make(chan struct{}, 100)
	log := &remotetest.Log{Next: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !stuck.Load() || r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/blobs/") || !strings.HasPrefix(r.Header.Get("User-Agent"), "compat") {
			h.ServeHTTP(w, r)
			return
		}
		h.ServeHTTP(&halfWriter{w, r, half, 1 << 20}, r)
	})}
	tr := newTree(4 << 20)
	ref := tr.push(t, remotetest.Serve(t, log))
	dir, cache := t.TempDir(), filepath.Join(t.TempDir(), "cache")
	stuck.Store(true)
	first := launchProcess(t, ref, dir, cache)
	<-half
	// It has begun to write, too: what it was sent may lie in the socket still.
	left := ""
	for begun := time.Now(); left == ""; time.Sleep(5 * time.Millisecond) {
		files, err := filepath.Glob(filepath.Join(cache, "tmp", "*"))
		check(t, err)
		for _, f := range files {
			if info, err := os.Stat(f); err == nil && info.Size() > 0 {
				left = f
			}
		}
		if time.Since(begun) > time.Minute {
			t.Fatal("the first one writes nothing")
		}
	}
	second := launchProcess(t, ref, dir, cache)
	time.Sleep(300 * time.Millisecond)
	stuck.Store(false)
	check(t, first.Process.Signal(syscall.SIGKILL))
	_ = first.Wait()
	wait(t, second)
	st, err := store.Open(cache)
	check(t, err)
	defer st.Close()
	want := 1
	if _, err := os.Stat(left); err != nil {
		want = 0 // the second one began late, and has swept it
	}
	if p, err := st.Prune(t.Context(), 1<<30, nil); err != nil || p.Swept != want || p.Left != 4<<20 {
		t.Errorf("%+v, %v; want the killed one's file swept", p, err)
	}
	if _, err := os.Stat(left); err == nil {
		t.Errorf("%s is left", left)
	}
}

// halfWriter stops after some bytes, until the client goes.
type halfWriter struct {
	http.ResponseWriter
	r    *http.Request
	half chan struct{}
	left int
}

func (w *halfWriter) Write(b []byte) (int, error) {
	if w.left -= len(b); w.left > 0 {
		return w.ResponseWriter.Write(b)
	}
	_ = http.NewResponseController(w.ResponseWriter).Flush()
	w.half <- struct{}{}
	<-w.r.Context().Done()
	return 0, io.ErrClosedPipe
}

// A registry that breaks each first download in the middle costs a second one;
// one that dies leaves an error that names the layer, and nothing half.
func TestRegistryThatBreaks(t *testing.T) {
	for _, c := range []struct {
		name   string
		breaks int // downloads of each blob that break
		err    error
	}{{"once", 1, nil}, {"for good", 1000, remote.ErrRegistry}} {
		t.Run(c.name, func(t *testing.T) {
			h := remotetest.Olareg(t)
			var mu sync.Mutex
			n := map[string]int{}
			tr := newTree(1<<20, 2<<20, 100, 200)
			plan := ""
			ref := tr.push(t, remotetest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				n[r.URL.Path]++
				breaks := r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") && !strings.HasSuffix(r.URL.Path, plan) && n[r.URL.Path] <= c.breaks
				mu.Unlock()
				if breaks {
					w = &breakWriter{w, 50}
				}
				h.ServeHTTP(w, r)
			})))
			text, err := spindle.Encode(tr.plan)
			check(t, err)
			mu.Lock()
			plan = artifact.Digest(text)
			clear(n)
			mu.Unlock()
			dir, cache := t.TempDir(), filepath.Join(t.TempDir(), "cache")
			err = fetchAll(t.Context(), ref, dir, cache)
			if !errors.Is(err, c.err) || err != nil && !strings.Contains(err.Error(), "layer sha256:") {
				t.Errorf("%v; want %v", err, c.err)
			}
			st, err := store.Open(cache)
			check(t, err)
			defer st.Close()
			if p, err := st.Prune(t.Context(), 0, nil); err != nil || p.Swept != 0 || (p.Removed == 4) != (c.err == nil) {
				t.Errorf("%+v, %v", p, err)
			}
		})
	}
}

type breakWriter struct {
	http.ResponseWriter
	left int
}

func (w *breakWriter) Write(b []byte) (int, error) {
	if w.left -= len(b); w.left < 0 {
		_, _ = w.ResponseWriter.Write(b[:len(b)/2])
		_ = http.NewResponseController(w.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	return w.ResponseWriter.Write(b)
}

// BenchmarkPull fetches and unpacks 300 libraries of 1 MiB on average.
func BenchmarkPull(b *testing.B) {
	dir := b.TempDir()
	h := remotetest.Serve(b, remotetest.Olareg(b))
	var files []string
	var total int64
	for _, glob := range []string{"/usr/lib/x86_64-linux-gnu/*.so*", "/usr/lib/x86_64-linux-gnu/*/*.so*"} {
		m, _ := filepath.Glob(glob)
		files = append(files, m...)
	}
	tr := newTree()
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil || len(tr.contents) == 300 {
			continue
		}
		d := artifact.Digest(data)
		if tr.contents[d] != nil {
			continue
		}
		tr.contents[d] = data
		total += int64(len(data))
		tr.plan.Files = append(tr.plan.Files, spindle.File{Path: fmt.Sprintf("/%05d", len(tr.contents)), Type: spindle.TypeFile, Mode: 0o644, Size: int64(len(data)), Digest: d})
	}
	start := time.Now()
	ref := tr.push(b, h)
	b.Logf("%d libraries, %d MiB; packed and pushed in %s, %d layers", len(tr.contents), total>>20, time.Since(start), len(tr.plan.Layers))
	n := 0
	b.Run("first", func(b *testing.B) {
		b.SetBytes(total)
		for b.Loop() {
			n++
			check(b, pullOnly(b.Context(), ref, dir, filepath.Join(dir, fmt.Sprint(n))))
		}
	})
	b.Run("again", func(b *testing.B) {
		for b.Loop() {
			check(b, pullOnly(b.Context(), ref, dir, filepath.Join(dir, "1")))
		}
	})
}

func pullOnly(ctx context.Context, ref, dir, cache string) error {
	o := remote.Options{StoreDir: filepath.Join(dir, "oci"), Configs: []string{filepath.Join(dir, "config.json")}, HostsDir: dir}
	a, err := remote.OpenArtifact(ctx, o, ref, artifact.TypeLaunch, remote.PullMissing)
	if err != nil {
		return err
	}
	plan, err := spindle.Decode(a.Data)
	if err != nil {
		return err
	}
	st, err := store.Open(cache)
	if err != nil {
		return err
	}
	defer st.Close()
	lease, err := Fetch(ctx, plan, a, st, FetchOptions{})
	lease.Release()
	return err
}
