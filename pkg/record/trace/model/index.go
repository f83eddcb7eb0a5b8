package model

import (
	"cmp"
	"slices"
	"sort"
)

// index finds the places in a model's sequences that a context leads to. A
// place is a point before an open, or the end of a sequence. Places are sorted
// by what was opened before them, read backwards, so that those that share a
// context of any length stand together: a suffix array of the reversed
// sequences.
type index struct {
	m     *Model
	place []place // sorted
}

type place struct {
	seq, at uint32 // before Sequences[seq].Opens[at]; the end where at is their number
}

// What symbolAt answers besides the number of a path plus firstPath.
const (
	nothing   = 0 // farther back than the beginning
	beginning = 1
	firstPath = 2
)

// newIndex sorts by prefix doubling (Manber and Myers, 1993): the rank by 2n
// symbols is that by n symbols, and by the n before those.
func newIndex(m *Model) *index {
	x := &index{m: m}
	var start []int // of each sequence, in ranks
	total := 0
	for i := range m.Sequences {
		start = append(start, total)
		total += len(m.Sequences[i].Opens) + 1
	}
	type ranked struct {
		key   uint64
		place place
	}
	order := make([]ranked, 0, total)
	ranks := make([]uint32, total)
	for i := range m.Sequences {
		for at := range len(m.Sequences[i].Opens) + 1 {
			p := place{uint32(i), uint32(at)}
			order = append(order, ranked{place: p})
			ranks[start[i]+at] = x.symbolAt(p, 0)
		}
	}
	next := make([]uint32, total)
	for n := 1; ; n *= 2 {
		for i := range order {
			p := order[i].place
			at := start[p.seq] + int(p.at)
			order[i].key = uint64(ranks[at]) << 32
			if int(p.at) >= n {
				order[i].key |= uint64(ranks[at-n])
			}
		}
		slices.SortFunc(order, func(a, b ranked) int {
			return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.place.seq, b.place.seq), cmp.Compare(a.place.at, b.place.at))
		})
		rank := uint32(0)
		for i := range order {
			if i == 0 || order[i].key != order[i-1].key {
				rank++ // from 1: 0 is nothing
			}
			next[start[order[i].place.seq]+int(order[i].place.at)] = rank
		}
		ranks, next = next, ranks
		if 2*n > m.Order || int(rank) == total {
			break
		}
	}
	x.place = make([]place, total)
	for i := range order {
		x.place[i] = order[i].place
	}
	return x
}

// symbolAt is what was opened depth+1 opens before p, the beginning, or nothing.
func (x *index) symbolAt(p place, depth int) uint32 {
	switch at := int(p.at) - depth; {
	case at > 0:
		return x.m.Sequences[p.seq].Opens[at-1] + firstPath
	case at == 0:
		return beginning
	}
	return nothing
}

// span is places that stand together, from lo to before hi.
type span struct{ lo, hi int }

// contexts are the places that each length of context leads to, from none on,
// as far as there are any, and no farther than where one is left.
func (x *index) contexts(back func(depth int) uint32, order int) []span {
	s := span{0, len(x.place)}
	out := []span{s}
	for depth := 0; depth < order && s.hi-s.lo > 1; depth++ {
		want := back(depth)
		if want == nothing {
			break
		}
		part := x.place[s.lo:s.hi]
		lo := sort.Search(len(part), func(i int) bool { return x.symbolAt(part[i], depth) >= want })
		hi := sort.Search(len(part), func(i int) bool { return x.symbolAt(part[i], depth) > want })
		if lo == hi {
			break
		}
		s = span{s.lo + lo, s.lo + hi}
		out = append(out, s)
	}
	return out
}
