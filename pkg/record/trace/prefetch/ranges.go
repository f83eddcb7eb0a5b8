package prefetch

import (
	"cmp"
	"math"
	"slices"
)

// maxRanges bounds the ranges of a file. Where there are more, the nearest are
// joined: what lies between them then counts as read.
const maxRanges = 1024

// rangeSet is bytes of a file, as parts in order that do not touch.
type rangeSet struct{ parts []part }

type part struct{ from, to int64 }

// add puts size bytes at offset into the set. What is no range is ignored.
func (s *rangeSet) add(offset, size int64) {
	if offset < 0 || size <= 0 || offset > math.MaxInt64-size {
		return
	}
	p := part{offset, offset + size}
	first, _ := slices.BinarySearchFunc(s.parts, p.from, func(q part, from int64) int { return cmp.Compare(q.to, from) })
	last := first
	for ; last < len(s.parts) && s.parts[last].from <= p.to; last++ {
		p.from, p.to = min(p.from, s.parts[last].from), max(p.to, s.parts[last].to)
	}
	s.parts = slices.Replace(s.parts, first, last, p)
	if len(s.parts) >= 2*maxRanges { // not at each one: a file may be read in a million places
		s.join()
	}
}

// join leaves at most maxRanges parts.
func (s *rangeSet) join() {
	excess := len(s.parts) - maxRanges
	if excess <= 0 {
		return
	}
	gaps := make([]int64, 0, len(s.parts)-1)
	for i := range len(s.parts) - 1 {
		gaps = append(gaps, s.parts[i+1].from-s.parts[i].to)
	}
	slices.Sort(gaps)
	widest := gaps[excess-1]
	out := s.parts[:1]
	for _, p := range s.parts[1:] {
		if end := &out[len(out)-1]; p.from-end.to <= widest {
			end.to = p.to
		} else {
			out = append(out, p)
		}
	}
	s.parts = out
}

// list is the set in order; empty, not nil, where it is.
func (s *rangeSet) list() []Range {
	s.join()
	out := make([]Range, len(s.parts))
	for i, p := range s.parts {
		out[i] = Range{p.from, p.to - p.from}
	}
	return out
}
