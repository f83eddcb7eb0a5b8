// Package distance tells how far recordings are from each other: the edits that
// make one sequence of opened paths another, and the clusters that come of it.
package distance

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// ErrTooLong is returned where sequences are so long that all pairs would take
// more than maxSteps.
var ErrTooLong = errors.New("the sequences are too long to be compared")

// maxSteps bounds the work for a matrix: each is 64 cells of the tables of edit
// distance, some 3 ns. It is about a minute.
const maxSteps = 1e10

// Matrix is the edit distances of all pairs of sequences.
type Matrix struct {
	Names   []string
	Lengths []int   // of the sequences
	Edits   [][]int // symmetric: insertions, deletions and replacements from one to the other
}

// Compute compares all pairs of seqs, whose names are names: Levenshtein's
// distance, in which each symbol is one letter. Its error is that of ctx, or
// matches ErrTooLong.
func Compute(ctx context.Context, names []string, seqs [][]uint32) (*Matrix, error) {
	m := &Matrix{Names: names, Lengths: make([]int, len(seqs)), Edits: make([][]int, len(seqs))}
	same := firstEqual(seqs)
	steps := 0.0
	for i, s := range seqs {
		m.Lengths[i] = len(s)
		m.Edits[i] = make([]int, len(seqs))
		for j := range i {
			if same[i] == i && same[j] == j {
				steps += float64(len(s)/64+1) * float64(len(seqs[j]))
			}
		}
	}
	if steps > maxSteps {
		return nil, fmt.Errorf("%w: %d sequences, the longest of %d opens", ErrTooLong, len(seqs), slices.Max(m.Lengths))
	}
	var e Editor
	for i := range seqs {
		for j := range i {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			a, b := same[i], same[j]
			switch {
			case a == b:
			case a != i || b != j: // as of those that they equal
				m.Edits[i][j] = m.Edits[a][b]
			default:
				d, err := e.distance(ctx, seqs[i], seqs[j])
				if err != nil {
					return nil, err
				}
				m.Edits[i][j] = d
			}
			m.Edits[j][i] = m.Edits[i][j]
		}
	}
	return m, nil
}

// firstEqual is, for each sequence, the index of the first that equals it.
func firstEqual(seqs [][]uint32) []int {
	first := make([]int, len(seqs))
	byHash := map[uint64][]int{}
	for i, s := range seqs {
		h := uint64(14695981039346656037) // FNV-1a, by symbol
		for _, c := range s {
			h = (h ^ uint64(c)) * 1099511628211
		}
		first[i] = i
		for _, j := range byHash[h] {
			if slices.Equal(s, seqs[j]) {
				first[i] = j
				break
			}
		}
		if first[i] == i {
			byHash[h] = append(byHash[h], i)
		}
	}
	return first
}

// Normalized is the distance of two as a part of the longer one's length: from
// 0, equal, to 1, nothing in common.
func (m *Matrix) Normalized(i, j int) float64 {
	longer := max(m.Lengths[i], m.Lengths[j])
	if longer == 0 {
		return 0
	}
	return float64(m.Edits[i][j]) / float64(longer)
}
