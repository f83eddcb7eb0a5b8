package trace

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func sample(i int) Event {
	return Event{
		Time: int64(i) * 1500, Op: OpOpen, Path: fmt.Sprintf("/usr/lib/python3/dist-packages/module%d/__init__.py", i%500),
		Handle: uint64(i), PID: 1234, TGID: 1234, Comm: "python3", Flags: 0o100000, Size: 4096, Duration: 25000,
	}
}

// fickle fails from the limit on, having written up to it, until it is mended.
type fickle struct {
	bytes.Buffer
	limit int // bytes; below 0: none
}

func (f *fickle) Write(b []byte) (int, error) {
	if f.limit >= 0 && f.Len()+len(b) > f.limit {
		n, _ := f.Buffer.Write(b[:f.limit-f.Len()])
		return n, &os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}
	}
	return f.Buffer.Write(b)
}

// Where the disk is full, the first error is kept and later events are counted
// as dropped. If there is room for a footer in the end, then nothing else is
// missing; if not, the recording is truncated.
func TestFullDisk(t *testing.T) {
	for _, compress := range []bool{false, true} {
		for _, mended := range []bool{false, true} {
			t.Run(fmt.Sprintf("compress=%v,mended=%v", compress, mended), func(t *testing.T) {
				out := &fickle{limit: 1000}
				w, err := NewWriter(out, plainHeader(), WriterOptions{compress})
				if err != nil {
					t.Fatal(err)
				}
				written, dropped := 0, 0
				for i := 0; dropped < 7; i++ {
					e := sample(i)
					if err := w.Write(&e); err == nil {
						written++
					} else if dropped++; !errors.Is(err, syscall.ENOSPC) {
						t.Fatal(err)
					}
				}
				if w.Dropped() != int64(dropped) || !errors.Is(w.Err(), syscall.ENOSPC) {
					t.Errorf("%d dropped, want %d; error %v", w.Dropped(), dropped, w.Err())
				}
				if mended {
					out.limit = -1
				}
				for range 2 {
					if err := w.Close(Footer{}); !errors.Is(err, syscall.ENOSPC) {
						t.Errorf("Close: %v", err)
					}
				}
				r, err := NewReader(&out.Buffer)
				if err != nil {
					t.Fatal(err)
				}
				events, err := readAll(r)
				if !errors.Is(err, io.EOF) || r.Truncated() == mended {
					t.Errorf("ends with %v, truncated %v", err, r.Truncated())
				}
				if mended && (len(events) != written || r.Footer().Dropped != 7 || r.Footer().Counts[OpOpen] != int64(written)) {
					t.Errorf("%d events of %d, footer %+v", len(events), written, r.Footer())
				}
			})
		}
	}
}

// A device that is always full is told at once, before a program is started.
func TestFullFromTheStart(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	if _, err := NewWriter(full, plainHeader(), WriterOptions{true}); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v, want ENOSPC", err)
	}
}

// An event that no recording can have is dropped alone, and after Close nothing
// is written.
func TestWriteRefuses(t *testing.T) {
	var out bytes.Buffer
	w, err := NewWriter(&out, plainHeader(), WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []Event{{Op: "dance"}, {Op: OpDigest, Path: "/a"}, {Op: OpOpen, Digest: "sha256:00"}, {Op: OpOpen, Path: strings.Repeat("x", maxLine)}} {
		if w.Write(&e) == nil {
			t.Errorf("wrote %.40v", e)
		}
	}
	if err := w.Write(&Event{Op: OpOpen, Path: strings.Repeat("\xff", 32<<10), Path2: strings.Repeat("\xff", 32<<10)}); err != nil {
		t.Error(err)
	}
	if err := w.Close(Footer{}); err != nil {
		t.Error(err)
	}
	if w.Write(&Event{Op: OpOpen}) == nil {
		t.Error("wrote after Close")
	}
	r, err := NewReader(&out)
	if err != nil {
		t.Fatal(err)
	}
	if events, err := readAll(r); len(events) != 1 || !errors.Is(err, io.EOF) || r.Footer() == nil || r.Footer().Dropped != 4 {
		t.Errorf("%d events, %v, footer %+v", len(events), err, r.Footer())
	}
	if _, err := NewWriter(io.Discard, &Header{Argv: []string{strings.Repeat("x", maxHeader)}}, WriterOptions{}); err == nil {
		t.Error("wrote a header that is too long")
	}
}

// Many goroutines write; each one's events stay in their order.
func TestConcurrent(t *testing.T) {
	const writers, each = 16, 2000
	var out bytes.Buffer
	w, err := NewWriter(&out, plainHeader(), WriterOptions{true})
	if err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	for pid := range writers {
		wait.Go(func() {
			for i := range each {
				e := sample(i)
				e.PID = pid + 1
				if err := w.Write(&e); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	if err := w.Close(Footer{}); err != nil {
		t.Fatal(err)
	}
	r, err := NewReader(&out)
	if err != nil {
		t.Fatal(err)
	}
	next := map[int]uint64{}
	events, _ := readAll(r)
	for _, e := range events {
		if e.Handle != next[e.PID] {
			t.Fatalf("event %d of %d came when %d was due", e.Handle, e.PID, next[e.PID])
		}
		next[e.PID]++
	}
	if len(events) != writers*each || r.Footer().Counts[OpOpen] != writers*each {
		t.Errorf("%d events, footer %+v", len(events), r.Footer())
	}
}

// blocked is an output that stands still until it is closed.
type blocked chan struct{}

func (b blocked) Write(p []byte) (int, error) {
	if bytes.HasPrefix(p, []byte(`{"schema`)) {
		return len(p), nil
	}
	<-b
	return len(p), nil
}

// While the output stands still, writers go on until the memory bound, then
// wait, and go on when it does.
func TestSlowOutputIsBounded(t *testing.T) {
	out := make(blocked)
	w, err := NewWriter(out, plainHeader(), WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	const events = 100_000 // 17 MB
	done := make(chan error)
	go func() {
		for i := range events {
			e := sample(i)
			if err := w.Write(&e); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	select {
	case err := <-done:
		t.Fatalf("all was written while the output stood still: %v", err)
	case <-time.After(500 * time.Millisecond):
	}
	w.mu.Lock()
	waiting := len(w.front.B)
	w.mu.Unlock()
	if waiting > maxGathered+maxLine {
		t.Errorf("%d bytes wait", waiting)
	}
	close(out)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := w.Close(Footer{}); err != nil {
		t.Error(err)
	}
}

// A writer that is killed loses no more than its last 100 ms. The process
// records when it wrote each event. The machine may hold it up, or us: a clock
// of its own, which stands still meanwhile, shows that.
func TestKilled(t *testing.T) {
	if name := os.Getenv("TRACE_TEST_WRITE"); name != "" {
		writeForever(name)
	}
	for _, every := range []string{"0s", "3ms"} {
		for _, compress := range []string{"", "1"} {
			var lost time.Duration
			for tries, all := 0, 0; tries < 5 && all < 20; all++ {
				var held time.Duration
				if lost, held = killWriter(t, every, compress); lost <= 100*time.Millisecond {
					break
				}
				if held < 6*beat {
					tries++
				}
			}
			if lost > 100*time.Millisecond {
				t.Errorf("an event every %s, compressed %q: lost the last %s", every, compress, lost)
			}
		}
	}
}

// killWriter says how long before it was killed the last event was written that
// can be read, by the process's own clock, and for how long the machine held it
// up shortly before.
func killWriter(t *testing.T, every, compress string) (lost, held time.Duration) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "out")
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilled$")
	cmd.Env = append(os.Environ(), "TRACE_TEST_WRITE="+name, "TRACE_TEST_EVERY="+every, "TRACE_TEST_COMPRESS="+compress)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for start := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		if info, err := os.Stat(name + ".beats"); err == nil && info.Size() >= 8*int64(400*time.Millisecond/beat) {
			break
		}
		if time.Since(start) > time.Minute {
			t.Error("nothing is written")
			break
		}
	}
	killed := time.Now().UnixNano() // before the signal: what comes later is not looked at
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	r, err := Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	events, err := readAll(r)
	if !errors.Is(err, io.EOF) || !r.Truncated() || len(events) == 0 {
		t.Fatalf("%d events, %v, truncated %v", len(events), err, r.Truncated())
	}
	b, err := os.ReadFile(name + ".beats")
	if err != nil {
		t.Fatal(err)
	}
	written, next := events[len(events)-1].Time, killed
	for i := len(b) / 8; i > 0; i-- {
		at := int64(binary.NativeEndian.Uint64(b[8*(i-1):]))
		if at > killed-int64(300*time.Millisecond) {
			held = max(held, time.Duration(next-at))
		}
		if next = at; at > written && at < killed {
			lost += beat
		}
	}
	if len(b) == 0 {
		lost = time.Duration(killed - written)
	}
	t.Logf("an event every %s, compressed %q: %d events, the last %s before the kill, %s of its time, held up for %s",
		every, compress, len(events), time.Duration(killed-written), lost, held)
	return lost, held
}

// beat is what the clock of the process counts.
const beat = 5 * time.Millisecond

func writeForever(name string) {
	f, err := os.Create(name)
	if err != nil {
		panic(err)
	}
	every, err := time.ParseDuration(os.Getenv("TRACE_TEST_EVERY"))
	if err != nil {
		panic(err)
	}
	w, err := NewWriter(f, plainHeader(), WriterOptions{Compress: os.Getenv("TRACE_TEST_COMPRESS") != ""})
	if err != nil {
		panic(err)
	}
	clock, err := os.Create(name + ".beats")
	if err != nil {
		panic(err)
	}
	go func() {
		for {
			if _, err := clock.Write(binary.NativeEndian.AppendUint64(nil, uint64(time.Now().UnixNano()))); err != nil {
				panic(err)
			}
			time.Sleep(beat)
		}
	}()
	for i := 0; ; i++ {
		e := sample(i)
		e.Time = time.Now().UnixNano()
		if err := w.Write(&e); err != nil {
			panic(err)
		}
		time.Sleep(every)
	}
}

// A few events are in the file soon, though nothing follows them.
func TestFlushedWithoutMore(t *testing.T) {
	name := filepath.Join(t.TempDir(), "out")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w, err := NewWriter(f, plainHeader(), WriterOptions{true})
	if err != nil {
		t.Fatal(err)
	}
	e := sample(1)
	if err := w.Write(&e); err != nil {
		t.Fatal(err)
	}
	for start := time.Now(); ; time.Sleep(time.Millisecond) {
		r, err := Open(name)
		if err != nil {
			t.Fatal(err)
		}
		events, _ := readAll(r)
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if len(events) == 1 {
			break
		}
		if time.Since(start) > time.Minute {
			t.Fatal("nothing is written")
		}
	}
	if err := w.Close(Footer{}); err != nil {
		t.Error(err)
	}
}
