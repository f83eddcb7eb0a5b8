package trace

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// firstLog reads the log of the first recorder, fs-record, as if it were a
// recording. A line is
//
//	2024/11/21 18:34:47 logger.go:63: 1732214087012379646 Open      /usr/bin/lmp	7
//
// with the time in nanoseconds since 1970, what was done, the path, padded with
// blanks, and after a tab the descriptor that pairs Open and Close. Complete
// ends the run. Lines of other programs may stand between them.
type firstLog struct {
	base   int64 // nanoseconds since 1970, of the first event
	first  Event // read ahead, for base
	ahead  bool  // first was not returned yet
	fds    map[uint64]uint64
	handle uint64 // the last one given out
	counts map[Op]int64
	latest int64
	footer *Footer // Complete was there
}

var firstOps = map[string]Op{"Lookup": OpLookup, "Open": OpOpen, "Create": OpCreate, "Close": OpRelease, "Readlink": OpReadlink, "Complete": ""}

// firstStamp is what stands before "logger.go:", with 0 for each digit.
const firstStamp, firstMark = "0000/00/00 00:00:00 ", "logger.go:"

// firstLine is a line of such a log. glued says that something else stands
// before it in the same line.
func firstLine(line []byte) (e Event, fd uint64, complete, glued, ok bool) {
	for from := 0; ; {
		at := bytes.Index(line[from:], []byte(firstMark))
		if at < 0 {
			return e, 0, false, false, false
		}
		at += from
		from = at + len(firstMark)
		if begin := at - len(firstStamp); begin >= 0 && isStamp(line[begin:at]) {
			if e, fd, complete, ok = firstEvent(line[from:]); ok {
				return e, fd, complete, begin > 0, true
			}
		}
	}
}

func isStamp(b []byte) bool {
	for i, c := range []byte(firstStamp) {
		if c == '0' && (b[i] < '0' || b[i] > '9') || c != '0' && b[i] != c {
			return false
		}
	}
	return true
}

// firstEvent reads what follows "logger.go:". Time is that since 1970.
func firstEvent(b []byte) (e Event, fd uint64, complete, ok bool) {
	number, rest, ok1 := bytes.Cut(b, []byte(": "))
	stamp, rest, ok2 := bytes.Cut(rest, []byte(" "))
	name, rest, ok3 := bytes.Cut(rest, []byte(" "))
	if _, err := strconv.ParseUint(string(number), 10, 31); err != nil || !ok1 || !ok2 || !ok3 {
		return e, 0, false, false
	}
	ns, err := strconv.ParseInt(string(stamp), 10, 64)
	op, known := firstOps[string(name)]
	path, column, hasFD := bytes.Cut(bytes.TrimLeft(rest, " "), []byte("\t"))
	path = bytes.TrimRight(path, " \r")
	if err != nil || ns < 0 || !known || len(path) == 0 || path[0] != '/' {
		return e, 0, false, false
	}
	if hasFD {
		// a name may have tabs in it: the descriptor stands after the last
		if i := bytes.LastIndexByte(column, '\t'); i >= 0 {
			path, column = rest[:len(rest)-len(column)+i], column[i+1:]
			path = bytes.Trim(path, " ")
		}
		fd, err = strconv.ParseUint(string(bytes.TrimRight(column, " \r")), 10, 63)
	}
	if err != nil || !hasFD && (op == OpOpen || op == OpRelease) {
		return e, 0, false, false
	}
	return Event{Time: ns, Op: op, Path: string(path)}, fd + 1, op == "", true // 0 is none
}

// looksFirst reports whether a line of such a log is among the first of begin.
func looksFirst(begin []byte) bool {
	for line := range bytes.SplitSeq(begin, []byte("\n")) {
		if _, _, _, _, ok := firstLine(line); ok {
			return true
		}
	}
	return false
}

// openFirst begins a log: its header is made of its first event.
func (t *Reader) openFirst() error {
	t.log = &firstLog{fds: map[uint64]uint64{}, counts: map[Op]int64{}}
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
		line, err := t.next(maxLine)
		whole := err == nil
		switch {
		case errors.Is(err, io.EOF) && len(line) == 0 || errors.Is(err, errCut):
			t.footer, t.truncated = l.footer, l.footer == nil
			return io.EOF
		case !whole && !errors.Is(err, io.EOF):
			return err
		}
		got, fd, complete, glued, ok := firstLine(line)
		ok = ok && (whole || complete || l.footer != nil) // what was cut off may be part of a path
		if !ok || glued {
			t.notes.Foreign++
		}
		if !ok {
			continue
		}
		if complete && l.footer != nil {
			return t.invalid(errors.New("another run follows the one that is complete: split the log there"))
		}
		if l.base == 0 {
			l.base = got.Time
		}
		got.Time -= l.base
		l.latest = max(l.latest, got.Time)
		if complete {
			l.footer = &Footer{Counts: l.counts, Time: l.latest} // more may follow: descriptors are closed late
			continue
		}
		if fd != 0 && (got.Op == OpOpen || got.Op == OpCreate || got.Op == OpRelease) {
			got.Handle = l.fds[fd]
			if got.Op != OpRelease || got.Handle == 0 {
				l.handle++
				got.Handle = l.handle
				l.fds[fd] = l.handle
			}
			if got.Op == OpRelease {
				delete(l.fds, fd)
			}
		}
		if l.counts[got.Op]++; l.footer != nil {
			l.footer.Time = l.latest
		}
		*e = got
		e.Path = strings.Clone(got.Path)
		return nil
	}
}
