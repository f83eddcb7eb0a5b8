package stats

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/compspec/compat/pkg/record/trace"
)

// slow keeps an open if it is among the slowest; of equals, those that came first.
func (t *tally) slow(s Slow) {
	if len(t.slowest) == t.top && (t.top == 0 || s.Duration <= t.slowest[t.top-1].Duration) {
		return
	}
	at, _ := slices.BinarySearchFunc(t.slowest, s, func(have, s Slow) int {
		if have.Duration >= s.Duration {
			return -1
		}
		return 1
	})
	t.slowest = slices.Insert(t.slowest, at, s)
	t.slowest = t.slowest[:min(len(t.slowest), t.top)]
}

// name makes the tally of one recording one of several.
func (t *tally) name(recording string) {
	for i := range t.slowest {
		t.slowest[i].Recording = recording
	}
	t.programs = map[string]*Process{}
	for _, tgid := range slices.Sorted(maps.Keys(t.running)) {
		p := t.running[tgid].Process
		p.TGID = 0
		if p.Events > 0 {
			t.program(&p)
		}
	}
	t.running = nil
}

// program adds the counts of processes to those of their program.
func (t *tally) program(p *Process) {
	key := cmp.Or(p.Program, p.Comm)
	have := t.programs[key]
	if have == nil {
		t.programs[key] = p
		return
	}
	if have.Comm != p.Comm {
		have.Comm = ""
	}
	have.Processes += p.Processes
	have.Events += p.Events
	have.Failed += p.Failed
	have.Opens += p.Opens
	add(&have.Read, p.Read)
	add(&have.Written, p.Written)
}

// add counts what another tally has counted. Both have names.
func (t *tally) add(u *tally) {
	t.failures, t.bytes, t.processes = t.failures || u.failures, t.bytes || u.bytes, t.processes || u.processes
	for op, n := range u.ops {
		if have := t.ops[op]; have != nil {
			have.Events += n.Events
			have.Failed += n.Failed
		} else {
			t.ops[op] = n
		}
	}
	for name, s := range u.paths {
		have := t.path(name, s.failed)
		have.opened = have.opened || s.opened
		have.size = cmp.Or(have.size, s.size)
	}
	for dir, d := range u.vain {
		t.inVain(dir, d.InVain)
	}
	if u.opens.Count > 0 {
		t.between(u.first, u.last)
	}
	t.opens.Count += u.opens.Count
	t.opens.Failed += u.opens.Failed
	t.asked += u.asked
	add(&t.read, u.read)
	add(&t.written, u.written)
	for _, s := range u.slowest {
		t.slow(s)
	}
	for _, key := range slices.Sorted(maps.Keys(u.programs)) {
		t.program(u.programs[key])
	}
}

// counts are the results, which share nothing with the tally.
func (t *tally) counts() Counts {
	c := Counts{Paths: int64(len(t.paths)), Opens: t.opens, Slowest: append([]Slow{}, t.slowest...)}
	for _, op := range t.ops {
		c.Operations = append(c.Operations, *op)
		c.Events += op.Events
		c.Failed += op.Failed
	}
	c.Operations = largest(c.Operations, len(c.Operations), func(o Operation) (int64, string) { return o.Events, string(o.Op) })
	for _, s := range t.paths {
		if s.failed {
			c.FailedPaths++
		}
		if s.opened {
			c.Opens.Files++
			add(&c.Opens.Size, s.size)
		}
	}
	if first, last := t.first, t.last; t.opens.Count > 0 {
		c.Opens.First, c.Opens.Last = &first, &last
	}
	if read, written := t.read, t.written; t.bytes {
		c.Read, c.Written = &read, &written
	}
	c.Lookups = t.lookups()
	c.ByProcess = t.byProcess()
	for _, p := range c.ByProcess {
		c.Processes += p.Processes
	}
	c.ByProcess = c.ByProcess[:min(len(c.ByProcess), t.top)]
	return c
}

func (t *tally) lookups() Lookups {
	l := Lookups{Searched: int64(len(t.vain))}
	if op := t.ops[trace.OpLookup]; op != nil {
		l.Count = op.Events
	}
	var vain int64
	var dirs []Directory
	for _, d := range t.vain {
		vain += d.InVain
		dirs = append(dirs, *d)
	}
	l.Directories = largest(dirs, t.top, func(d Directory) (int64, string) { return d.InVain, d.Path })
	if t.failures {
		l.InVain = &vain
	}
	if t.asked > 0 {
		share := float64(vain) / float64(t.asked)
		l.Share = &share
	}
	return l
}

// byProcess are all that have events, the busiest first.
func (t *tally) byProcess() []Process {
	list := []Process{}
	for _, p := range t.running {
		if p.Events > 0 {
			list = append(list, p.Process)
		}
	}
	for _, p := range t.programs {
		list = append(list, *p)
	}
	slices.SortFunc(list, func(a, b Process) int {
		return cmp.Or(cmp.Compare(b.Events, a.Events), cmp.Compare(a.TGID, b.TGID), strings.Compare(a.Program, b.Program), strings.Compare(a.Comm, b.Comm))
	})
	return list
}

// largest are the first n of a list by a number, and of equals by a name.
func largest[T any](list []T, n int, by func(T) (int64, string)) []T {
	slices.SortFunc(list, func(a, b T) int {
		na, sa := by(a)
		nb, sb := by(b)
		return cmp.Or(cmp.Compare(nb, na), strings.Compare(sa, sb))
	})
	return append([]T{}, list[:min(len(list), n)]...)
}
