package stats

import (
	"math"
	"path"

	"github.com/compspec/compat/pkg/record/trace"
)

// tally counts events, of one recording or of several.
type tally struct {
	top       int
	failures  bool // of requests are recorded
	bytes     bool // that were read and written are recorded
	processes bool // are recorded

	ops      map[trace.Op]*Operation
	paths    map[string]*seen
	vain     map[string]*Directory
	opens    Opens // Count and Failed
	first    int64 // of the opens that are counted; so is last
	last     int64
	asked    int64 // look-ups, where it is recorded which failed
	read     int64
	written  int64
	slowest  []Slow
	running  map[int]*process    // by TGID, of one recording
	programs map[string]*Process // of several
}

// seen is what is known of a path.
type seen struct {
	failed, opened bool
	size           int64 // bytes, when opened first
}

type process struct {
	Process
	starts bool // within execve(2): its interpreters follow
}

func newTally(top int, h *trace.Header) *tally {
	first := h.FromFirst()
	return &tally{
		top: top, failures: !first, processes: !first, bytes: h.Mode != trace.ModePaths,
		ops: map[trace.Op]*Operation{}, paths: map[string]*seen{}, vain: map[string]*Directory{}, running: map[int]*process{},
	}
}

// process is the one of an event, nil where it counts for none. The kernel opens
// what is executed first, then what a "#!" line names, then the loader.
func (t *tally) process(e *trace.Event) *process {
	if !t.processes {
		return nil
	}
	p := t.running[e.TGID]
	if p == nil {
		p = &process{Process: Process{TGID: e.TGID, Processes: 1}}
		if e.TGID == 0 { // the kernel
			p.Processes = 0
		}
		t.running[e.TGID] = p
	}
	if e.Comm != "" {
		p.Comm = e.Comm
	}
	if opens(e) && e.Errno == "" && e.TGID != 0 {
		if e.Exec && !p.starts {
			p.Program = e.Path
		}
		p.starts = e.Exec
	}
	return p
}

func opens(e *trace.Event) bool { return e.Op == trace.OpOpen || e.Op == trace.OpCreate }

func (t *tally) event(e *trace.Event, p *process) {
	if p == nil {
		p = &process{}
	}
	op := t.ops[e.Op]
	if op == nil {
		op = &Operation{Op: e.Op}
		t.ops[e.Op] = op
	}
	op.Events++
	p.Events++
	failed := e.Errno != ""
	if failed {
		op.Failed++
		p.Failed++
	}
	at := t.path(e.Path, failed)
	switch e.Op {
	case trace.OpRename, trace.OpLink:
		t.path(e.Path2, failed)
	case trace.OpCopy:
		t.path(e.Path2, failed)
		t.moved(e, &t.read, &p.Read)
		t.moved(e, &t.written, &p.Written)
	case trace.OpRead:
		t.moved(e, &t.read, &p.Read)
	case trace.OpWrite:
		t.moved(e, &t.written, &p.Written)
	case trace.OpLookup:
		if t.failures {
			t.asked++
		}
		if e.Errno == "ENOENT" {
			t.inVain(path.Dir(e.Path), 1)
		}
	case trace.OpOpen, trace.OpCreate:
		t.open(e, at)
		if !failed {
			p.Opens++
		}
	}
}

// path is what is known of one; of a request on none, nothing is kept.
func (t *tally) path(name string, failed bool) *seen {
	if name == "" {
		return &seen{}
	}
	s := t.paths[name]
	if s == nil {
		s = &seen{}
		t.paths[name] = s
	}
	s.failed = s.failed || failed
	return s
}

// moved adds the bytes of a request that went well.
func (t *tally) moved(e *trace.Event, sums ...*int64) {
	if e.Errno != "" || e.Size < 0 {
		return
	}
	for _, sum := range sums {
		add(sum, e.Size)
	}
}

// add adds sizes, which need not be true: what is too large stays the largest.
func add(sum *int64, n int64) { *sum += min(n, math.MaxInt64-*sum) }

func (t *tally) inVain(dir string, n int64) {
	d := t.vain[dir]
	if d == nil {
		d = &Directory{Path: dir}
		t.vain[dir] = d
	}
	d.InVain += n
}

func (t *tally) open(e *trace.Event, at *seen) {
	if e.Duration > 0 {
		t.slow(Slow{Path: e.Path, Op: e.Op, Time: e.Time, Duration: e.Duration, Errno: e.Errno})
	}
	if e.Errno != "" {
		t.opens.Failed++
		return
	}
	t.between(e.Time, e.Time)
	t.opens.Count++
	at.opened = true
	if at.size == 0 {
		at.size = max(e.Size, 0)
	}
}

// between widens the time of opens, before they are counted.
func (t *tally) between(first, last int64) {
	if t.opens.Count == 0 {
		t.first, t.last = first, last
	}
	t.first, t.last = min(t.first, first), max(t.last, last)
}
