// Package model predicts which path a program opens next, from what other runs
// of it opened: of all places in them that came after the longest run of paths
// that was just opened, what followed most often (a Markov model that backs off
// from long contexts to short ones). The same recordings give the same
// predictions, everywhere.
package model

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/compspec/compat/pkg/record/trace/runs"
)

// MaxOrder is the longest context, in opens, and DefaultOrder what Train takes
// for 0. A program may open one file dozens of times in a row: only a longer
// context sees the end of that coming.
const MaxOrder, DefaultOrder = 256, 64

// maxPlaces bounds the opens of all distinct sequences together: an index
// takes some 40 bytes for each.
const maxPlaces = 4 << 20

// ErrTooLong is returned where the recordings hold more opens than a model takes.
var ErrTooLong = errors.New("too many opens for a model")

// Model is what runs opened, in order, and when.
type Model struct {
	Order      int      // the longest context, in opens; 0: none, only how often
	Versions   bool     // another version of a shared object is another path
	FirstOpen  bool     // of each path only the first open is there
	Recordings int      // that it was trained on
	Paths      []string // sorted; without the versions of shared objects if not Versions
	Sequences  []Sequence

	names []string // of the recordings, as they were given
}

// Sequence is what one recording opened, or several alike.
type Sequence struct {
	Count int      // recordings
	Opens []uint32 // indexes in Paths
	// Gaps are nanoseconds before each open, since the one before or since the
	// start: the medians of the recordings.
	Gaps []int64

	names []string  // of the recordings, where Train made it
	gaps  [][]int64 // of each of them
}

// Options say how recordings are taken.
type Options struct {
	Order     int  // longest context; less than 0: DefaultOrder
	Versions  bool // do not take another version of a shared object for the same
	FirstOpen bool // of each path the first open only
}

// Train makes a model of all recordings in set. Its error matches ErrTooLong.
func Train(set *runs.Set, o Options) (*Model, error) {
	if o.Order < 0 {
		o.Order = DefaultOrder
	}
	m := &Model{Order: min(o.Order, MaxOrder), Versions: o.Versions, FirstOpen: o.FirstOpen, Recordings: len(set.Runs)}
	seqs, names := set.Sequences(!o.Versions)
	to := m.number(seqs, names)
	total := 0
	byKey := map[string]int{}
	for _, run := range set.Runs {
		m.names = append(m.names, run.Name)
	}
	for i, run := range set.Runs {
		opens, gaps := steps(seqs[i], run.Opens, o.FirstOpen)
		for j, p := range opens {
			opens[j] = to[p]
		}
		k := key(opens)
		at, known := byKey[k]
		if !known {
			at = len(m.Sequences)
			byKey[k] = at
			m.Sequences = append(m.Sequences, Sequence{Opens: opens})
			total += len(opens) + 1
		}
		s := &m.Sequences[at]
		s.Count++
		s.names, s.gaps = append(s.names, run.Name), append(s.gaps, gaps)
	}
	if total > maxPlaces {
		return nil, fmt.Errorf("%w: %d, of %d at most", ErrTooLong, total, maxPlaces)
	}
	for i := range m.Sequences {
		s := &m.Sequences[i]
		s.Gaps = make([]int64, len(s.Opens))
		column := make([]int64, len(s.gaps))
		for j := range s.Gaps {
			for r, g := range s.gaps {
				column[r] = g[j]
			}
			s.Gaps[j] = median(column)
		}
	}
	slices.SortStableFunc(m.Sequences, func(a, b Sequence) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), slices.Compare(a.Opens, b.Opens))
	})
	return m, nil
}

// number sorts the paths that are opened, so that the order in which recordings
// were given does not show, and returns the numbers for those of the set.
func (m *Model) number(seqs [][]uint32, names []string) (to []uint32) {
	used := make([]bool, len(names))
	for _, s := range seqs {
		for _, p := range s {
			used[p] = true
		}
	}
	order := []uint32{}
	for i := range names {
		if used[i] {
			order = append(order, uint32(i))
		}
	}
	slices.SortFunc(order, func(a, b uint32) int { return cmp.Compare(names[a], names[b]) })
	to = make([]uint32, len(names))
	m.Paths = []string{}
	for i, p := range order {
		to[p] = uint32(i)
		m.Paths = append(m.Paths, names[p])
	}
	return to
}

// steps are the opens that count, and the times before them. A clock that went
// back gives 0.
func steps(seq []uint32, opens []runs.Open, firstOpen bool) (out []uint32, gaps []int64) {
	out, gaps = []uint32{}, []int64{}
	last := int64(0)
	seen := map[uint32]bool{}
	for i, p := range seq {
		if firstOpen {
			if seen[p] {
				continue
			}
			seen[p] = true
		}
		out, gaps = append(out, p), append(gaps, max(opens[i].Time-last, 0))
		last = opens[i].Time
	}
	return out, gaps
}

func key(opens []uint32) string {
	b := make([]byte, 0, 4*len(opens))
	for _, p := range opens {
		b = append(b, byte(p), byte(p>>8), byte(p>>16), byte(p>>24))
	}
	return string(b)
}

// median is that of v, which it sorts: of an even number the lower one of the
// two in the middle, so that it was measured. Of none it is 0.
func median(v []int64) int64 {
	if len(v) == 0 {
		return 0
	}
	slices.Sort(v)
	return v[(len(v)-1)/2]
}
