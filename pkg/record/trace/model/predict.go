package model

import (
	"cmp"
	"math"
	"slices"
)

// Predictor answers what comes next. It is for one goroutine.
type Predictor struct {
	x     *index
	known map[question]*counts
	gaps  map[gapOf]int64
}

// question is places without those of one recording, of which it is a sequence
// (-1: none) and a recording in it.
type question struct {
	span
	sequence int
}

// gapOf is the time before a path, at places without those of one recording.
type gapOf struct {
	span
	exclusion
	path uint32
}

// counts is what follows at some places.
type counts struct {
	next  []Candidate // the most frequent first, then by path
	total int
	ends  int // that nothing follows at
}

// Candidate is a path that may come next.
type Candidate struct {
	Path  uint32 // index in Model.Paths
	Count int    // how often it came, in recordings
}

// Prediction is what comes next after some opens.
type Prediction struct {
	Next    []Candidate // the most frequent first; of equal ones the path that sorts first; none: nothing is known
	Total   int         // of all Counts: Next[0].Count/Total is the confidence
	Ends    int         // how often the recording ended there instead
	Context int         // opens, or the beginning, that were needed to find it; not more than tell the places apart
	Gap     int64       // nanoseconds until then: the median of the first candidate's
}

// Confidence is the part of the places at which the first candidate came.
func (p *Prediction) Confidence() float64 {
	if p.Total == 0 {
		return 0
	}
	return float64(p.Next[0].Count) / float64(p.Total)
}

// Predictor makes what answers.
func (m *Model) Predictor() *Predictor {
	return &Predictor{x: newIndex(m), known: map[question]*counts{}, gaps: map[gapOf]int64{}}
}

// none excludes nothing.
var none = exclusion{sequence: -1}

// exclusion is a recording that does not count: the one that is predicted.
type exclusion struct{ sequence, recording int }

// Next predicts what comes after history, which begins where a run begins; its
// numbers are indexes in Model.Paths, or Unknown.
func (p *Predictor) Next(history []uint32) Prediction {
	return p.next(p.spans(history, p.x.m.Order), none, true)
}

// Unknown stands for a path that the model has not.
const Unknown = math.MaxUint32 - firstPath

// next answers by the longest context that any recording but one had. Where
// the run may end there, so may a recording that has no more than that.
func (p *Predictor) next(spans []span, but exclusion, mayEnd bool) Prediction {
	for i := len(spans) - 1; i >= 0; i-- {
		c := p.counts(spans[i], but)
		if c.total == 0 && !(mayEnd && c.ends > 0) {
			continue
		}
		out := Prediction{Next: c.next, Total: c.total, Ends: c.ends, Context: i}
		if c.total > 0 {
			out.Gap = p.gap(spans[i], c.next[0].Path, but)
		}
		return out
	}
	return Prediction{}
}

func (p *Predictor) spans(history []uint32, order int) []span {
	return p.x.contexts(func(depth int) uint32 {
		switch at := len(history) - depth; {
		case at > 0:
			return history[at-1] + firstPath
		case at == 0:
			return beginning
		}
		return nothing
	}, order)
}

// weight is how many recordings a place stands for.
func (p *Predictor) weight(at place, but exclusion) int {
	n := p.x.m.Sequences[at.seq].Count
	if int(at.seq) == but.sequence {
		n--
	}
	return n
}

func (p *Predictor) counts(s span, but exclusion) *counts {
	q := question{s, but.sequence}
	if c := p.known[q]; c != nil {
		return c
	}
	c := &counts{}
	byPath := map[uint32]int{}
	for _, at := range p.x.place[s.lo:s.hi] {
		n := p.weight(at, but)
		if opens := p.x.m.Sequences[at.seq].Opens; int(at.at) < len(opens) {
			byPath[opens[at.at]] += n
			c.total += n
		} else {
			c.ends += n
		}
	}
	for path, n := range byPath {
		if n > 0 {
			c.next = append(c.next, Candidate{path, n})
		}
	}
	slices.SortFunc(c.next, func(a, b Candidate) int { // Paths are sorted
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Path, b.Path))
	})
	if len(p.known) >= maxKnown {
		clear(p.known)
	}
	p.known[q] = c
	return c
}

// maxKnown bounds what a Predictor remembers.
const maxKnown = 1 << 16

// gap is the median time before path, at the places of s where it follows.
func (p *Predictor) gap(s span, path uint32, but exclusion) int64 {
	q := gapOf{s, but, path}
	known, ok := p.gaps[q]
	if !ok {
		if len(p.gaps) >= maxKnown {
			clear(p.gaps)
		}
		known = p.medianGap(s, path, but)
		p.gaps[q] = known
	}
	return known
}

func (p *Predictor) medianGap(s span, path uint32, but exclusion) int64 {
	var all []int64
	places := p.x.place[s.lo:s.hi]
	step := 1 + len(places)/maxGaps // of very many a sample
	for i := 0; i < len(places); i += step {
		at := places[i]
		q := &p.x.m.Sequences[at.seq]
		if int(at.at) >= len(q.Opens) || q.Opens[at.at] != path {
			continue
		}
		if q.gaps == nil {
			for range p.weight(at, but) {
				all = append(all, q.Gaps[at.at])
			}
		}
		for r, g := range q.gaps {
			if int(at.seq) != but.sequence || r != but.recording {
				all = append(all, g[at.at])
			}
		}
	}
	return median(all)
}

const maxGaps = 1 << 12
