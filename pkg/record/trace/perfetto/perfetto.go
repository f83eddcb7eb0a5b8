// Package perfetto writes recordings as traces of Perfetto, which
// ui.perfetto.dev and its trace_processor open (https://perfetto.dev, the
// track events of docs/reference/synthetic-track-event).
//
// Each process is a track, named as its main thread was at its last request: a
// process is another program's before it executes its own. A request is an instant on it, with what the recording says in annotations. What
// was open from an open to its release is an interval on one of the process's
// lanes, tracks below its own that all have the same name; the intervals of a
// lane do not overlap. Requests of the kernel's own are on a track "kernel".
//
// Timestamps are nanoseconds since 1970: Header.Start and Event.Time. The clock
// of the trace, of which a snapshot says that it is the wall clock, is then
// never negative where the clock of a recording went back.
package perfetto

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/compspec/compat/pkg/record/trace"
)

// maxLanes bounds the lanes of all processes together: what is open at once,
// and one more for each interval that begins before all that were ended have.
const maxLanes = 1 << 20

// maxPID bounds processes: no kernel gives a greater number (PID_MAX_LIMIT,
// include/linux/threads.h).
const maxPID = 4 << 20

// converter is the state of Convert. It grows with the processes and with what
// is open at once.
type converter struct {
	out    packets
	base   int64 // nanoseconds since 1970 when Event.Time is 0
	latest int64 // of all times, as timestamps are
	nobody string
	tracks map[int]*track    // by TGID; 0: the kernel's
	open   map[uint64]handle // by number
	uuid   uint64            // the last one given out
	lanes  int
}

// track is a process.
type track struct {
	uuid  uint64
	pid   int
	comm  string // of its main thread, or of any while that asked nothing
	main  bool   // it did
	lanes lanes
	uuids []uint64 // of its lanes
}

// handle is an interval that has not ended.
type handle struct {
	track *track
	lane  int
	begin int64
}

// Convert writes the events that are left in r to w, as they come: it takes
// memory for what is open at once and for each process. The error is that of
// Reader.Next but io.EOF, that of w, or matches trace.ErrInvalid where a time
// cannot be said in nanoseconds since 1970.
func Convert(w io.Writer, r *trace.Reader) error {
	c, err := newConverter(w, r.Header())
	if err != nil {
		return err
	}
	var e trace.Event
	for {
		if err := r.Next(&e); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
		if err := c.event(&e); err != nil {
			return err
		}
	}
	if f := r.Footer(); f != nil {
		end, err := c.time(f.Time)
		if err != nil {
			return err
		}
		c.latest = max(c.latest, end)
	}
	return c.end()
}

func newConverter(w io.Writer, h *trace.Header) (*converter, error) {
	c := &converter{tracks: map[int]*track{}, open: map[uint64]handle{}, nobody: "kernel"}
	if h.View == "" { // a log of the first recorder, which does not say who asked
		c.nobody = "all processes"
	}
	start, err := time.Parse(time.RFC3339Nano, h.Start)
	if err != nil || start.Unix() < 0 || start.Unix() >= math.MaxInt64/int64(time.Second) {
		return nil, fmt.Errorf("%w: its start %q is no time after 1970 in nanoseconds", trace.ErrInvalid, h.Start)
	}
	c.base = start.UnixNano()
	c.latest = c.base
	c.out = packets{w: bufio.NewWriterSize(w, 64<<10), texts: interner{ids: map[interned]uint64{}}}
	return c, c.out.clocks(c.base)
}

// time is what a timestamp says for t, which is since the start.
func (c *converter) time(t int64) (int64, error) {
	sum := c.base + t
	if t > 0 && sum < c.base || sum < 0 {
		return 0, fmt.Errorf("%w: the time %d of an event is before 1970, or too large", trace.ErrInvalid, t)
	}
	return sum, nil
}

func (c *converter) event(e *trace.Event) error {
	at, err := c.time(e.Time)
	if err != nil {
		return err
	}
	c.latest = max(c.latest, at)
	t, err := c.track(e)
	if err != nil {
		return err
	}
	t.name(e)
	if err := c.out.request(t, at, e); err != nil || e.Handle == 0 {
		return err
	}
	switch e.Op {
	case trace.OpOpen, trace.OpCreate, trace.OpTmpfile, trace.OpOpendir:
		if e.Errno != "" {
			return nil
		}
		if h, ok := c.open[e.Handle]; ok { // its release was lost
			if err := c.close(e.Handle, h, at, unreleased); err != nil {
				return err
			}
		}
		return c.begin(t, at, e)
	case trace.OpRelease:
		if h, ok := c.open[e.Handle]; ok {
			return c.close(e.Handle, h, at, "")
		}
	}
	return nil
}

// track is that of the process that asked. A new one is introduced.
func (c *converter) track(e *trace.Event) (*track, error) {
	t := c.tracks[e.TGID]
	if t != nil {
		return t, nil
	}
	if e.TGID < 0 || e.TGID > maxPID {
		return nil, fmt.Errorf("%w: %d is no process", trace.ErrInvalid, e.TGID)
	}
	c.uuid++
	t = &track{uuid: c.uuid, pid: e.TGID}
	c.tracks[e.TGID] = t
	if e.TGID == 0 {
		return t, c.out.track(t.uuid, 0, c.nobody)
	}
	return t, c.out.process(t, "") // its name is said in the end
}

func (t *track) name(e *trace.Event) {
	if main := e.PID == e.TGID; e.Comm != "" && (main || !t.main) {
		t.comm, t.main = e.Comm, main
	}
}

// begin puts what was opened on a lane.
func (c *converter) begin(t *track, at int64, e *trace.Event) error {
	lane, fresh := t.lanes.take(at)
	if fresh {
		if c.lanes++; c.lanes > maxLanes {
			return fmt.Errorf("%w: more than %d files are open at once, or the clock went back as often", trace.ErrInvalid, maxLanes)
		}
		c.uuid++
		t.uuids = append(t.uuids, c.uuid)
		if err := c.out.track(c.uuid, t.uuid, laneName); err != nil {
			return err
		}
	}
	c.open[e.Handle] = handle{t, lane, at}
	return c.out.begin(t.uuids[lane], at, e)
}

// close ends an interval. One that would end before it began ends there, and
// says how far the clock went back.
func (c *converter) close(number uint64, h handle, at int64, why string) error {
	end := max(at, h.begin)
	delete(c.open, number)
	h.track.lanes.release(h.lane, end)
	return c.out.end(h.track.uuids[h.lane], end, why, h.begin-at)
}

// end ends what was never released with the recording, and names processes. A
// reader takes the first name that it is given for a process.
func (c *converter) end() error {
	numbers := slices.SortedFunc(maps.Keys(c.open), func(a, b uint64) int {
		return cmp.Or(cmp.Compare(c.open[a].begin, c.open[b].begin), cmp.Compare(a, b))
	})
	for _, number := range numbers {
		if err := c.close(number, c.open[number], c.latest, unreleased); err != nil {
			return err
		}
	}
	for _, t := range slices.SortedFunc(maps.Values(c.tracks), func(a, b *track) int { return cmp.Compare(a.uuid, b.uuid) }) {
		if t.pid == 0 || t.comm == "" {
			continue
		}
		if err := c.out.process(t, t.comm); err != nil {
			return err
		}
	}
	return c.out.w.Flush()
}
