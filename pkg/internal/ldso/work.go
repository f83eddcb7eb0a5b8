package ldso

import "fmt"

// Work bounds what simulated starts may cost together. A document of some
// megabytes can ask for a search without end: every name in every directory,
// every symbol in every object, for every program. Real programs take some
// ten thousand steps.
type Work struct {
	left   int64
	stop   func() bool
	places int64 // bytes of Attempts that may yet be kept
}

// Steps take some ten nanoseconds, or what they keep is some bytes.
const (
	costOpen     = 512  // system calls
	costMap      = 2048 // a Map
	costProblem  = 8192 // a Problem, and what others make of it
	costAttempt  = 64   // an Attempt that is kept
	costDir      = 32   // a name in a directory that is known
	costVersion  = 8
	costSymbol   = 2       // a look-up in one object
	pollInterval = 1 << 20 // steps
)

// DefaultSteps are enough for the programs of a whole distribution.
const DefaultSteps = 1 << 30

// NewWork allows for so many steps. stop may be nil; it is asked every few
// milliseconds whether to give up.
func NewWork(steps int64, stop func() bool) *Work {
	return &Work{left: steps, stop: stop, places: 16 << 20}
}

// spend takes n steps and reports whether there were as many.
func (w *Work) spend(n int64) bool {
	if w.left < 0 {
		return false
	}
	polled := w.left / pollInterval
	w.left -= n
	if w.stop != nil && w.left/pollInterval != polled && w.stop() {
		w.left = -1
	}
	return w.left >= 0
}

// spend takes n steps of the start's work. Once it reports false, the start is
// given up: what was found so far stands, the verdict is open.
func (s *sim) spend(n int64) bool {
	if s.gaveUp || s.work.spend(n+s.m.takeCost()) {
		return !s.gaveUp
	}
	s.gaveUp = true
	s.res.Problems = append(s.res.Problems, Problem{
		Kind: GaveUp, Severity: Undecided, Object: s.req.Program,
		Message: fmt.Sprintf("the check takes too long: given up with %d objects and %d problems found", len(s.loaded), len(s.res.Problems)),
	})
	return false
}

// keep shortens a list of places to what may be kept.
func (w *Work) keep(tried []Attempt) []Attempt {
	for i, a := range tried {
		if w.places -= int64(64 + len(a.Owner) + len(a.Dir) + len(a.Result)); w.places < 0 {
			w.places = 0
			return append(tried[:i:i], Attempt{Source: a.Source, Result: "further places are not listed: they are too many"})
		}
	}
	return tried
}

// takeCost is what looking at files has cost since it was last asked.
func (m *Machine) takeCost() int64 {
	c := m.cost
	m.cost = 0
	if m.cache != nil {
		c, m.cache.looks = c+m.cache.looks, 0
	}
	return c
}

// charged adds the cost of one look at a file. Where a name goes through links
// of a document, it may be a long way.
func (m *Machine) charged(look func()) {
	steps := func() int64 {
		if s, ok := m.FS.(interface{ Steps() int64 }); ok {
			return s.Steps()
		}
		return 0
	}
	before := steps()
	look()
	m.cost += costOpen + 16*(steps()-before)
}
