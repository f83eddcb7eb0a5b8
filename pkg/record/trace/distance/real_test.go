package distance

import (
	"context"
	"slices"
	"testing"

	"github.com/compspec/compat/pkg/record/trace/tracetest"
)

func TestRealRecordings(t *testing.T) {
	set := tracetest.Set(t)
	for _, normalize := range []bool{true, false} {
		seqs, _ := set.Sequences(normalize)
		names := make([]string, len(seqs))
		m, err := Compute(context.Background(), names, seqs)
		if err != nil {
			t.Fatal(err)
		}
		for i := range seqs {
			for j := range seqs {
				if want := plain(seqs[i], seqs[j]); m.Edits[i][j] != want {
					t.Errorf("%d, %d: %d, want %d", i, j, m.Edits[i][j], want)
				}
			}
		}
		groups := Groups(len(seqs), m.Cluster(), 0)
		if n := slices.Max(groups) + 1; n != 8 {
			t.Errorf("%d groups of distinct sequences, want 8", n)
		}
		for i := range seqs {
			for j := range seqs {
				if (groups[i] == groups[j]) != slices.Equal(seqs[i], seqs[j]) {
					t.Errorf("%d and %d: groups %d and %d", i, j, groups[i], groups[j])
				}
			}
		}
	}
}

func BenchmarkRealRecordings(b *testing.B) {
	set := tracetest.Set(b)
	seqs, _ := set.Sequences(true)
	for b.Loop() {
		m, err := Compute(context.Background(), make([]string, len(seqs)), seqs)
		if err != nil {
			b.Fatal(err)
		}
		m.Cluster()
	}
}
