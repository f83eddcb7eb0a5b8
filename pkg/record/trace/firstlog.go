package trace

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"time"
)

// firstLog reads the log of the first recorder as if it were a recording. Lines
// of other programs may stand between its own.
type firstLog struct {
	started bool
	base    int64            // nanoseconds since 1970, of the first event
	first   Event            // read ahead, for base
	ahead   bool             // first was not returned yet
	handles map[int64]uint64 // by descriptor, of those that are open
	handle  uint64           // the last one given out
	counts  map[Op]int64
	latest  int64   // of the times, nanoseconds since the first event
	glued   int64   // events with something before them in their lines
	footer  *Footer // Complete was there
}

// maxDescriptors is how many descriptors may be open at once: as many as Linux
// lets a process have (fs.nr_open).
const maxDescriptors = 1 << 20

// openFirst begins a log: its header is made of its first event.
func (t *Reader) openFirst() error {
	t.log = &firstLog{handles: map[int64]uint64{}, counts: map[Op]int64{}}
	var e Event
	err := t.logEvent(&e)
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: it has no event", ErrInvalid)
	} else if err != nil {
		return err
	}
	t.log.first, t.log.ahead = e, true
	t.header = &Header{
		Argv: []string{}, Watch: []string{}, Unrecorded: []string{}, Mode: ModePaths,
		Start: time.Unix(0, t.log.base).UTC().Format(time.RFC3339Nano),
	}
	return nil
}

// logEvent is event for such a log.
func (t *Reader) logEvent(e *Event) error {
	l := t.log
	if l.ahead {
		*e, l.ahead = l.first, false
		return nil
	}
	for {
		line, err := t.logLine()
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		got, ok := parseFirst(line)
		// What was cut off may be part of a path; a log that is complete was not.
		ok = ok && (err == nil || got.complete || l.footer != nil && !errors.Is(err, errCut))
		if len(line) > 0 && (!ok || got.glued) {
			t.notes.Foreign++
		}
		if ok && got.glued {
			l.glued++
		}
		if ok {
			is, err := l.event(&got, e)
			if err != nil {
				return t.invalid(err)
			}
			if is {
				e.Path = t.parser.recent.share(got.path)
				return nil
			}
		}
		if errors.Is(err, errCut) {
			t.truncated = true
			return io.EOF
		} else if err != nil {
			t.footer, t.truncated = l.footer, l.footer == nil
			return io.EOF
		}
	}
}

// logLine reads a line with its end, which only the last one may lack. One that
// no path is long enough for is skipped, and given as its last part.
func (t *Reader) logLine() (line []byte, err error) {
	long := false
	for {
		line, err = t.lines.ReadSlice('\n')
		if !errors.Is(err, bufio.ErrBufferFull) {
			break
		}
		long = true
	}
	if len(line) > 0 {
		t.line++
	}
	if long { // its end alone may look like an event
		line = []byte("\n")
	}
	if err != nil {
		err = t.fault(err)
	}
	return line, err
}

// event makes an event of a line, but for its path. It reports false for the one
// that ends the run.
func (l *firstLog) event(got *firstLine, e *Event) (bool, error) {
	if l.footer != nil && (got.complete || got.op == OpOpen || got.op == OpCreate) {
		return false, errors.New("another run follows the one that is complete: split the log there")
	}
	if !l.started {
		l.started, l.base = true, got.time
	}
	*e = Event{Time: got.time - l.base, Op: got.op}
	l.latest = max(l.latest, e.Time)
	if got.complete {
		l.footer = &Footer{Counts: l.counts}
	} else {
		l.counts[e.Op]++
	}
	if l.footer != nil { // look-ups of others may follow, and descriptors that are closed late
		l.footer.Time = l.latest
	}
	if got.complete || got.fd < 0 {
		return !got.complete, nil
	}
	return true, l.pair(got.fd, e)
}

// pair gives an event the handle that its descriptor stands for. A descriptor
// that is opened again without having been closed stands for a new one.
func (l *firstLog) pair(fd int64, e *Event) error {
	handle, known := l.handles[fd]
	if !known || e.Op != OpRelease {
		l.handle++
		handle = l.handle
	}
	e.Handle = handle
	switch {
	case e.Op == OpRelease:
		delete(l.handles, fd)
	case !known && len(l.handles) == maxDescriptors:
		return fmt.Errorf("more than %d descriptors are open at once", maxDescriptors)
	default:
		l.handles[fd] = handle
	}
	return nil
}
