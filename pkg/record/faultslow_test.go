package record_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/compspec/compat/pkg/record/trace"
)

// slowStart is a recorder that mounts, whose recording cannot begin: it goes to a
// FIFO that is full.
type slowStart struct {
	*run
	mnt string
	pipe
}

func slowMount(t *testing.T) *slowStart {
	t.Helper()
	r := faultRig(t, "root")
	mnt, out := r.path("view"), r.path("out.jsonl")
	if err := errors.Join(os.Mkdir(mnt, 0o755), syscall.Mkfifo(out, 0o600)); err != nil {
		t.Fatal(err)
	}
	u := &slowStart{r.command(asRecorder, "fault-record", "-o", out, "-mount", mnt), mnt, fill(t, out)}
	if err := u.Start(); err != nil {
		t.Fatal(err)
	}
	within(t, "mounted", func() bool { return len(viewsAt(t, mnt)) > 0 })
	u.w.Close() // the recorder has opened it
	t.Cleanup(func() {
		for len(viewsAt(t, mnt)) > 0 && syscall.Unmount(mnt, unix.MNT_DETACH) == nil {
			t.Error(mnt, "is still mounted")
		}
	})
	return u
}

// Nothing but the view itself tells that it is there: what is asked as soon as it
// answers is recorded, however long the recording takes to begin.
func TestFaultSlowStart(t *testing.T) {
	u := slowMount(t)
	answered := make(chan error, 1)
	go func() {
		_, err := os.ReadFile(filepath.Join(u.mnt, "etc/passwd"))
		answered <- err
	}()
	select {
	case err := <-answered:
		t.Error("the view answers, and is not recorded:", err)
		answered <- err
	case <-time.After(time.Second): // with less a fault would be seen less often
	}
	recorded := u.drain()
	if err := <-answered; err != nil {
		t.Error(err)
	}
	u.Process.Signal(syscall.SIGTERM)
	u.status(0)
	got := readFrom(t, <-recorded)
	if got.footer == nil || !got.paths(trace.OpOpen)["/etc/passwd"] {
		t.Errorf("footer %+v, %d events", got.footer, len(got.events))
	}
}

// A signal has the view unmounted at once, though it does not answer yet.
func TestFaultSlowStartSignal(t *testing.T) {
	u := slowMount(t)
	u.Process.Signal(syscall.SIGTERM)
	within(t, "unmounted", func() bool { return len(viewsAt(t, u.mnt)) == 0 })
	recorded := u.drain()
	// Where the kernel's first question was not answered there is nothing to record.
	if u.end(); strings.Contains(u.stderr.String(), "before the view was there") {
		if text := <-recorded; u.ProcessState.ExitCode() != 125 || text.Len() > 0 {
			t.Errorf("%s, recorded %q; %s", u.ProcessState, text, &u.stderr)
		}
		return
	}
	if got := readFrom(t, <-recorded); got.footer == nil || u.ProcessState.ExitCode() != 0 {
		t.Errorf("%s, footer %+v; %s", u.ProcessState, got.footer, &u.stderr)
	}
}

// Who mounted has been killed, and nothing can be recorded: the server unmounts.
func TestFaultSlowStartKilled(t *testing.T) {
	u := slowMount(t)
	u.Process.Kill()
	u.status(137)
	u.r.Close() // EPIPE
	within(t, "unmounted", func() bool { return len(viewsAt(t, u.mnt)) == 0 })
}

// pipe are the ends of a FIFO that is full.
type pipe struct{ r, w *os.File }

const pipeSize = 1 << 20

func fill(t *testing.T, fifo string) (p pipe) {
	t.Helper()
	var err error
	if p.r, err = os.OpenFile(fifo, os.O_RDONLY|syscall.O_NONBLOCK, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.r.Close() })
	if p.w, err = os.OpenFile(fifo, os.O_WRONLY, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.w.Close() })
	if n, err := unix.FcntlInt(p.w.Fd(), unix.F_SETPIPE_SZ, pipeSize); err != nil || n != pipeSize {
		t.Fatal(n, err)
	}
	if _, err := p.w.Write(make([]byte, pipeSize)); err != nil {
		t.Fatal(err)
	}
	return p
}

// drain gives what comes after that which filled it, when all writers have ended.
func (p pipe) drain() <-chan *bytes.Buffer {
	out := make(chan *bytes.Buffer, 1)
	go func() {
		var b bytes.Buffer
		io.CopyN(io.Discard, p.r, pipeSize)
		b.ReadFrom(p.r)
		out <- &b
	}()
	return out
}
