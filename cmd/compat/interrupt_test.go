package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/compspec/compat/pkg/artifact/remote/remotetest"
)

// hanging is a registry that never answers the requests that hold picks, as
// "METHOD /path", while it is on.
type hanging struct {
	next    http.Handler
	hold    string
	on      atomic.Bool
	reached chan struct{}
}

func (h *hanging) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	method, path, _ := strings.Cut(h.hold, " ")
	if !h.on.Load() || r.Method != method || !strings.Contains(r.URL.Path, path) {
		h.next.ServeHTTP(w, r)
		return
	}
	_, _ = io.Copy(io.Discard, r.Body) // only then the server sees the client go
	select {
	case h.reached <- struct{}{}:
	default:
	}
	<-r.Context().Done()
}

// interrupt starts a command, sends SIGINT when ready returns, and wants it to
// end with status 130.
func (u *user) interrupt(ready func(cmd *exec.Cmd, done <-chan struct{}), words ...string) {
	u.Helper()
	u.interruptWith(nil, ready, words...)
}

func (u *user) interruptWith(stdin io.Reader, ready func(cmd *exec.Cmd, done <-chan struct{}), words ...string) {
	u.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var out bytes.Buffer
	cmd := u.command(ctx, words...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &out, &out
	if err := cmd.Start(); err != nil {
		u.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = cmd.Wait()
	}()
	ready(cmd, done)
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		u.Errorf("it ended before the signal: %v", err)
	}
	select {
	case <-done:
	case <-time.After(patience):
		u.Error("the signal does not end it")
		_ = cmd.Process.Kill()
		<-done
	}
	if status := cmd.ProcessState.ExitCode(); status != 130 {
		u.Errorf("%s: exit status %d, want 130\n%s", strings.Join(words, " "), status, out.String())
	}
	if text := out.String(); strings.Contains(text, "context canceled") || !strings.Contains(text, "ended by interrupt") {
		u.Errorf("%s: it says %q, want that the interrupt ended it", strings.Join(words, " "), text)
	}
}

// An interrupted command ends with status 130, and what was there before is
// there after: the tag, the file, the list of referrers.
func TestInterruptLosesNothing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, hold, words string }{
		{"push at the tag", "GET /manifests/t", "push HOST/app:t new.json"},
		{"push at a blob", "PUT /blobs/", "push HOST/app:t new.json"},
		{"push at the manifest", "PUT /manifests/", "push HOST/app:t new.json"},
		{"attach at the manifest", "PUT /manifests/", "attach HOST/app:image new.json"},
		{"attach at the list", "PUT /manifests/sha256-", "attach HOST/app:image new.json"},
		{"discover", "GET /referrers/", "discover HOST/app:image"},
		{"pull at the manifest", "GET /manifests/", "pull HOST/app:t -o out.json"},
		{"pull at the blob", "GET /blobs/", "pull HOST/app:t -o out.json"},
		{"check", "GET /manifests/", "check --ref HOST/app:t"},
		{"validate", "GET /blobs/", "validate HOST/app:t"},
		{"login", "GET /v2/", "login HOST -u me -p secret"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := &hanging{next: remotetest.GGCR(), hold: c.hold, reached: make(chan struct{}, 1)}
			host := remotetest.Serve(t, h)
			u := newUser(t)
			u.writes("old.json", attributes)
			u.writes("new.json", strings.Replace(attributes, `"app"`, `"new"`, 1))
			u.writes("out.json", "what was there")
			if _, err := pushImage(host+"/app:image", machine); err != nil {
				t.Fatal(err)
			}
			u.does("compat", "push", host+"/app:t", "old.json")
			u.does("compat", "attach", host+"/app:image", "old.json")
			h.on.Store(true)
			u.interrupt(func(_ *exec.Cmd, done <-chan struct{}) {
				select {
				case <-h.reached:
				case <-done:
				}
			}, strings.Fields("compat "+strings.ReplaceAll(c.words, "HOST", host))...)
			h.on.Store(false)
			if text := u.reads("out.json"); text != "what was there" {
				t.Errorf("out.json holds %q", text)
			}
			if text := u.does("compat", "pull", host+"/app:t", "-o", "-"); text != attributes {
				t.Errorf("the tag holds %q", text)
			}
			if list := u.does("compat", "discover", host+"/app:image"); strings.Count(list, "── sha256:") < 1 {
				t.Errorf("the artifact attached before is lost:\n%s", list)
			}
			if left := u.leftovers(); len(left) > 0 {
				t.Errorf("temporary files are left: %v", left)
			}
			u.does("compat", "push", host+"/app:t", "new.json")
		})
	}
}

// waitFor polls until the process is in the state that a test needs.
func waitFor(t testing.TB, done <-chan struct{}, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); {
		select {
		case <-done:
			return
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Error("the process does not get there")
			return
		}
	}
}

// A command that waits for another process's lock on the store can be ended.
func TestInterruptWhileTheStoreIsLocked(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	u.writes("compat.json", attributes)
	u.does("compat", "push", "app:t", "compat.json")
	dir := filepath.Join(u.dir, "data", "compat")
	lock, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	u.interrupt(func(cmd *exec.Cmd, done <-chan struct{}) {
		waitFor(t, done, func() bool { // it has the directory open, to lock it
			fds, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", cmd.Process.Pid))
			for _, fd := range fds {
				if to, err := os.Readlink(fd); err == nil && to == dir {
					return true
				}
			}
			return false
		})
	}, "compat", "push", "app:other", "compat.json")
	lock.Close()
	u.does("compat", "pull", "app:t", "-o", "-")
	u.does("compat", "push", "app:other", "compat.json")
}

// A command that waits for a password can be ended.
func TestInterruptWhileReadingThePassword(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	defer out.Close()
	host := remotetest.Serve(t, remotetest.Olareg(t))
	u.interruptWith(in, func(cmd *exec.Cmd, done <-chan struct{}) {
		waitFor(t, done, func() bool { // a thread of it is in read(0, ...)
			tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/syscall", cmd.Process.Pid))
			for _, task := range tasks {
				call, _ := os.ReadFile(task)
				if strings.HasPrefix(string(call), fmt.Sprintf("%d 0x0 ", syscall.SYS_READ)) {
					return true
				}
			}
			return false
		})
	}, "compat", "login", host, "-u", "me", "--password-stdin")
}

// A command that waits for a recording on standard input can be ended, and leaves
// the file that it was to write as it was.
func TestInterruptWhileARecordingComes(t *testing.T) {
	t.Parallel()
	for _, words := range []string{"trace show -", "trace stats -", "trace convert - --to csv --out out.csv", "trace convert - --to native --out out.csv"} {
		t.Run(words, func(t *testing.T) {
			t.Parallel()
			u := newUser(t)
			u.writes("out.csv", "what was there")
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			defer w.Close()
			u.interruptWith(r, func(*exec.Cmd, <-chan struct{}) {
				// more than is looked at to tell what it is, and than a pipe holds: once it is written, much was read
				_ = w.SetWriteDeadline(time.Now().Add(patience))
				if _, err := w.WriteString("2024/11/21 18:34:47 logger.go:63: 1732214087000000000 Lookup    /opt\n" + strings.Repeat("x\n", 80<<10)); err != nil {
					t.Error(err)
				}
			}, strings.Fields("compat "+words)...)
			if text := u.reads("out.csv"); text != "what was there" {
				t.Errorf("out.csv holds %q", text)
			}
			if left := u.leftovers(); len(left) > 0 {
				t.Errorf("temporary files are left: %v", left)
			}
		})
	}
}
