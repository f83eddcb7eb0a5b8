package diff

import (
	"slices"

	"github.com/compspec/compat/pkg/record/trace/runs"
)

// Order compares in which order files of both were opened first, in one recording
// of each side. Places are numbers among these files, from 1.
type Order struct {
	A      string  `json:"a"` // the recordings
	B      string  `json:"b"`
	Files  int     `json:"files"`  // that both opened
	Counts bool    `json:"counts"` // another order is a difference
	Moved  []Shift `json:"moved"`  // as few as can be, in the order of A: without them it is the same
	Parts  *Parts  `json:"parts,omitempty"`
}

// Shift is a file that was opened sooner or later.
type Shift struct {
	Path string `json:"path"`
	A    int    `json:"a"` // its place in A
	B    int    `json:"b"`
}

// Parts is the first place with another file.
type Parts struct {
	At int    `json:"at"`
	A  string `json:"a"` // the file there
	B  string `json:"b"`
}

// firstOpens are the files of a run by the time of their first open.
func firstOpens(set *runs.Set, run *runs.Run, ignore func(runs.Path) bool) (names []string) {
	seen := map[runs.Path]bool{}
	for _, o := range run.Opens {
		if !seen[o.Path] && set.Name(o.Path) != "" && !ignore(o.Path) {
			names = append(names, set.Name(o.Path))
		}
		seen[o.Path] = true
	}
	return names
}

func orderOf(a, b []string) Order {
	inB := map[string]int{}
	for _, name := range b {
		inB[name] = -1
	}
	var common []string // in the order of A
	inA := map[string]bool{}
	for _, name := range a {
		if _, both := inB[name]; both {
			common = append(common, name)
			inA[name] = true
		}
	}
	o := Order{Files: len(common), Moved: []Shift{}}
	n := 0
	for _, name := range b {
		if !inA[name] {
			continue
		}
		inB[name] = n
		if o.Parts == nil && common[n] != name {
			o.Parts = &Parts{n + 1, common[n], name}
		}
		n++
	}
	places := make([]int, len(common))
	for i, name := range common {
		places[i] = inB[name]
	}
	stay := increasing(places)
	for i, name := range common {
		if len(stay) > 0 && stay[0] == i {
			stay = stay[1:]
			continue
		}
		o.Moved = append(o.Moved, Shift{name, i + 1, places[i] + 1})
	}
	return o
}

// increasing gives the indices of a longest increasing subsequence of different
// numbers, in O(n log n): ends[k] is the index of the least number that a
// subsequence of k+1 numbers ends with.
func increasing(v []int) []int {
	var ends []int
	before := make([]int, len(v)) // the index of the one before, in the subsequence that ends here
	for i, x := range v {
		k, _ := slices.BinarySearchFunc(ends, x, func(j, x int) int { return v[j] - x })
		before[i] = -1
		if k > 0 {
			before[i] = ends[k-1]
		}
		if k == len(ends) {
			ends = append(ends, i)
		} else {
			ends[k] = i
		}
	}
	out := make([]int, len(ends))
	if len(ends) == 0 {
		return out
	}
	for i, k := ends[len(ends)-1], len(ends)-1; k >= 0; i, k = before[i], k-1 {
		out[k] = i
	}
	return out
}
