package trace

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/compspec/compat/pkg/internal/jsontext"
)

const (
	flushSize   = 64 << 10              // bytes of events that are written at once
	flushAfter  = 50 * time.Millisecond // half of what may be lost: the disk takes its time too
	maxGathered = 4 << 20               // bytes of events that wait for a slow disk, then callers wait
	windowSize  = 1 << 20               // of zstd: what a reader must hold
)

// WriterOptions say how a recording is written.
type WriterOptions struct {
	Compress bool // with zstd; else plain lines
}

// Writer writes a recording. Events are gathered, and compressed and written by
// one goroutine of its own: 50 ms after the first of them at the latest, so that
// a process that is killed loses no more than the last 100 ms.
type Writer struct {
	mu      sync.Mutex
	room    sync.Cond // front was taken
	front   jsontext.Writer
	spare   []byte
	counts  map[Op]int64 // has every operation
	dropped int64
	err     error // the first of the output
	closed  bool

	first, full chan struct{} // front is no longer empty; has flushSize
	stop, done  chan struct{}
	sink        sink // the goroutine's until done
}

// sink compresses lines and writes them. What could not be written stays in
// out: if a footer comes after all, then so do all lines before it.
type sink struct {
	w   io.Writer
	enc *zstd.Encoder // into out; nil: plain lines
	out bytes.Buffer
}

// NewWriter writes the header to w and starts the goroutine, which Close ends.
// The error is that of w, or that of a header of more than 16 MiB.
func NewWriter(w io.Writer, h *Header, opts WriterOptions) (*Writer, error) {
	t := &Writer{
		counts: map[Op]int64{},
		first:  make(chan struct{}, 1), full: make(chan struct{}, 1),
		stop: make(chan struct{}), done: make(chan struct{}),
		sink: sink{w: w},
	}
	t.room.L = &t.mu
	for _, op := range Ops() {
		t.counts[op] = 0
	}
	if opts.Compress {
		var err error
		if t.sink.enc, err = newEncoder(&t.sink.out); err != nil {
			return nil, err
		}
	}
	var line jsontext.Writer
	appendHeader(&line, h)
	if len(line.B) > maxHeader {
		return nil, fmt.Errorf("the header of the recording takes %d bytes; the limit is %d: shorten the command", len(line.B), maxHeader)
	}
	if err := t.sink.put(line.B); err != nil {
		return nil, err
	}
	if err := t.sink.write(); err != nil {
		return nil, err
	}
	go t.run()
	return t, nil
}

// Write adds an event. It waits only where the output is 4 MiB behind. An error
// says that the event was dropped: the output has failed before (then it is
// that of Err), the event's line is longer than 512 KiB, its operation is
// none or the digest not its own, or the Writer is closed. It may be called by several goroutines.
func (t *Writer) Write(e *Event) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.front.B) >= maxGathered && t.err == nil && !t.closed {
		t.room.Wait()
	}
	count, known := t.counts[e.Op]
	switch {
	case t.closed:
		return errors.New("writing to a recording that is closed")
	case t.err != nil:
		t.dropped++
		return t.err
	case !known:
		t.dropped++
		return fmt.Errorf("recording an event: there is no operation %q", e.Op)
	case (e.Digest != "") != (e.Op == OpDigest):
		t.dropped++
		return fmt.Errorf("recording %s: that operation has a digest, and no other has", OpDigest)
	}
	start := len(t.front.B)
	appendEvent(&t.front, e)
	end := len(t.front.B)
	if end-start > maxLine {
		t.front.B = t.front.B[:start]
		t.dropped++
		return fmt.Errorf("recording %s: the event takes %d bytes; the limit is %d", e.Op, end-start, maxLine)
	}
	t.counts[e.Op] = count + 1
	if start == 0 {
		signal(t.first)
	}
	if start < flushSize && end >= flushSize {
		signal(t.full)
	}
	return nil
}

// Err is the error of the output, nil while it is well.
func (t *Writer) Err() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}

// Dropped is the number of events that were not written.
func (t *Writer) Dropped() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.dropped
}

// Close writes all events and the footer, with Counts filled in, and what was
// dropped here added to f.Dropped. It does not close the output. It tries the
// output once more if that has failed: where there is a footer, nothing is missing
// but what it counts as dropped. The error is the first of the output.
func (t *Writer) Close(f Footer) error { return t.close(&f) }

// CloseTruncated is Close without a footer: a Reader will say Truncated. It is for
// copies of what was cut off, and for those that could not be made to the end.
func (t *Writer) CloseTruncated() error { return t.close(nil) }

func (t *Writer) close(f *Footer) error {
	t.mu.Lock()
	if t.closed {
		defer t.mu.Unlock()
		return t.err
	}
	t.closed = true
	t.room.Broadcast()
	t.mu.Unlock()
	close(t.stop)
	<-t.done

	if f != nil {
		f.Counts, f.Dropped = t.counts, f.Dropped+t.dropped
		appendFooter(&t.front, f)
	}
	err := t.sink.put(t.front.B)
	if err == nil {
		err = t.sink.end()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err == nil {
		t.err = err
	}
	return t.err
}

// run writes what was gathered, until Close.
func (t *Writer) run() {
	defer close(t.done)
	timer := time.NewTimer(flushAfter)
	for {
		select {
		case <-t.first:
		case <-t.stop:
			return
		}
		timer.Reset(flushAfter)
		select {
		case <-timer.C:
		case <-t.full:
		case <-t.stop:
			return
		}
		if err := t.flush(); err != nil {
			t.mu.Lock()
			t.err = err
			t.room.Broadcast()
			t.mu.Unlock()
			return
		}
	}
}

// flush takes the events that were gathered, and writes them.
func (t *Writer) flush() error {
	t.mu.Lock()
	lines := t.front.B
	t.front.B = t.spare[:0]
	select {
	case <-t.full: // was about those
	default:
	}
	t.room.Broadcast()
	t.mu.Unlock()
	err := t.sink.put(lines)
	if err == nil {
		err = t.sink.write()
	}
	t.spare = lines
	return err
}

func (s *sink) put(lines []byte) error {
	if s.enc == nil {
		s.out.Write(lines)
		return nil
	}
	_, err := s.enc.Write(lines)
	if err == nil {
		err = s.enc.Flush()
	}
	if err != nil {
		return fmt.Errorf("compressing a recording: %w", err)
	}
	return nil
}

// end ends the zstd frame, and writes all that is left.
func (s *sink) end() error {
	if s.enc != nil {
		if err := s.enc.Close(); err != nil {
			return fmt.Errorf("compressing a recording: %w", err)
		}
	}
	return s.write()
}

func (s *sink) write() error {
	if _, err := s.out.WriteTo(s.w); err != nil {
		return fmt.Errorf("writing a recording: %w", err)
	}
	return nil
}

// signal says it once, until it is heard.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
