package model

import (
	"slices"
	"testing"

	"github.com/compspec/compat/pkg/record/trace/tracetest"
)

// Leave-one-out on 43 releases of LAMMPS. The counts were computed by another
// program too, of another author's algorithm (tables of counts, by context).
// With the longest context what is wrong is 34 places where the releases part,
// the opens before them being the same, and 4 opens of a path that one release
// alone has: 3,085 is all that can be had.
func TestLeaveOneOutOfRealRecordings(t *testing.T) {
	set := tracetest.Set(t)
	for _, c := range []struct{ order, right, forks, inTime int }{
		{0, 946, 2173, 816}, {1, 2731, 388, 2660}, {2, 3008, 111, 2979}, {3, 3051, 68, 3022},
		{4, 3051, 68, 3022}, {16, 3051, 68, 3022}, {32, 3077, 42, 3049}, {64, 3085, 34, 3057}, {256, 3085, 34, 3057},
	} {
		m, err := Train(set, Options{Order: c.order})
		if err != nil {
			t.Fatal(err)
		}
		e := m.LeaveOneOut()
		got := []int{e.Opens, e.Right, e.New, e.Forks, e.Strayed, e.InTime, e.Decidable}
		if want := []int{3123, c.right, 4, c.forks, 0, c.inTime, 3085}; !slices.Equal(got, want) {
			t.Errorf("order %d: %v, want %v", c.order, got, want)
		}
	}
}

// One release is far from all others: it opens files that none of them does.
func TestStrangeRealRecordings(t *testing.T) {
	m, err := Train(tracetest.Set(t), Options{Order: -1})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range m.LeaveOneOut().Recordings {
		if want := r.Name == "lammps-patch_2Jul2021"; r.Strange != want {
			t.Errorf("%s: strange %t, %.3f bits", r.Name, r.Strange, r.Bits)
		}
		if r.Strange && (len(r.Misses) != 4 || r.Misses[0].Kind != New || r.Misses[0].Path != "/opt/lammps/examples/reax/HNS/ffield.reax.hns") {
			t.Errorf("%+v", r.Misses)
		}
	}
}

func BenchmarkLeaveOneOut(b *testing.B) {
	set := tracetest.Set(b)
	for b.Loop() {
		m, err := Train(set, Options{Order: -1})
		if err != nil {
			b.Fatal(err)
		}
		m.LeaveOneOut()
	}
}
