package distance

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// plain is the table of Levenshtein's distance, cell by cell (Wagner and Fischer).
func plain(a, b []uint32) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i, x := range a {
		diagonal := row[0]
		row[0] = i + 1
		for j, y := range b {
			cost := 1
			if x == y {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}

func sequence(random *rand.Rand, n, symbols int) []uint32 {
	s := make([]uint32, n)
	for i := range s {
		s[i] = uint32(random.IntN(symbols))
	}
	return s
}

func TestDistanceEqualsTheTable(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var e Editor
	for range 3000 {
		a := sequence(random, random.IntN(300), 1+random.IntN(40))
		b := sequence(random, random.IntN(300), 1+random.IntN(40))
		if random.IntN(2) == 0 { // b is a, edited
			b = slices.Clone(a)
			for range random.IntN(20) {
				at := random.IntN(len(b) + 1)
				switch {
				case random.IntN(3) == 0:
					b = slices.Insert(b, at, uint32(random.IntN(50)))
				case at < len(b) && random.IntN(2) == 0:
					b = slices.Delete(b, at, at+1)
				case at < len(b):
					b[at] = uint32(random.IntN(50))
				}
			}
		}
		if got, want := e.Distance(a, b), plain(a, b); got != want {
			t.Fatalf("%v\n%v\n%d, want %d", a, b, got, want)
		}
	}
	// around the 64 rows of a word
	for _, m := range []int{1, 63, 64, 65, 127, 128, 129} {
		for _, n := range []int{1, 64, 200} {
			a, b := sequence(random, m, 5), sequence(random, n, 5)
			if got, want := e.Distance(a, b), plain(a, b); got != want {
				t.Errorf("%d and %d symbols: %d, want %d", m, n, got, want)
			}
		}
	}
}

func FuzzDistance(f *testing.F) {
	f.Add([]byte("kitten"), []byte("sitting"))
	f.Add([]byte(""), []byte("x"))
	var e Editor
	f.Fuzz(func(t *testing.T, x, y []byte) {
		x, y = x[:min(len(x), 500)], y[:min(len(y), 500)]
		a, b := make([]uint32, len(x)), make([]uint32, len(y))
		for i, c := range x {
			a[i] = uint32(c)
		}
		for i, c := range y {
			b[i] = uint32(c)
		}
		if got, want := e.Distance(a, b), plain(a, b); got != want {
			t.Errorf("%d, want %d", got, want)
		}
	})
}

func TestCompute(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	var seqs [][]uint32
	var names []string
	for i := range 30 {
		s := sequence(random, random.IntN(90), 8)
		if i > 3 && random.IntN(2) == 0 {
			s = slices.Clone(seqs[random.IntN(i)])
		}
		seqs, names = append(seqs, s), append(names, "n")
	}
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
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Compute(ctx, names, seqs); !errors.Is(err, context.Canceled) {
		t.Errorf("ended: %v", err)
	}
	long := [][]uint32{make([]uint32, 3e6), make([]uint32, 3e6)}
	long[0][5] = 1
	if _, err := Compute(context.Background(), []string{"a", "b"}, long); !errors.Is(err, ErrTooLong) {
		t.Errorf("too long: %v", err)
	}
}

func TestNormalized(t *testing.T) {
	m := &Matrix{Lengths: []int{0, 0, 4}, Edits: [][]int{{0, 0, 4}, {0, 0, 4}, {4, 4, 0}}}
	if m.Normalized(0, 1) != 0 || m.Normalized(0, 2) != 1 {
		t.Errorf("%f, %f", m.Normalized(0, 1), m.Normalized(0, 2))
	}
}

// slow is average linkage as it is defined: the mean over all pairs of members.
func slow(m *Matrix) []Merge {
	n := len(m.Lengths)
	members := map[int][]int{}
	for i := range n {
		members[i] = []int{i}
	}
	var out []Merge
	for k := range n - 1 {
		best, a, b := math.Inf(1), -1, -1
		for x := range n + k {
			for y := x + 1; y < n+k; y++ {
				if members[x] == nil || members[y] == nil {
					continue
				}
				sum := 0.0
				for _, i := range members[x] {
					for _, j := range members[y] {
						sum += m.Normalized(i, j)
					}
				}
				if mean := sum / float64(len(members[x])*len(members[y])); mean < best-1e-12 {
					best, a, b = mean, x, y
				}
			}
		}
		members[n+k] = append(members[a], members[b]...)
		delete(members, a)
		delete(members, b)
		out = append(out, Merge{A: a, B: b, Height: best, Size: len(members[n+k])})
	}
	return out
}

func TestClusterIsAverageLinkage(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for range 300 {
		n := random.IntN(14)
		m := &Matrix{Lengths: make([]int, n), Edits: make([][]int, n)}
		for i := range n {
			m.Lengths[i], m.Edits[i] = 20, make([]int, n)
			for j := range i {
				m.Edits[i][j] = random.IntN(1 + random.IntN(20)) // many equal ones
				m.Edits[j][i] = m.Edits[i][j]
			}
		}
		got, want := m.Cluster(), slow(m)
		if len(got) != len(want) {
			t.Fatalf("%d merges, want %d", len(got), len(want))
		}
		for k := range got {
			if got[k].A != want[k].A || got[k].B != want[k].B || got[k].Size != want[k].Size || math.Abs(got[k].Height-want[k].Height) > 1e-9 {
				t.Fatalf("%v: merge %d: %+v, want %+v", m.Edits, k, got[k], want[k])
			}
		}
		order := Order(n, got)
		if sorted := slices.Sorted(slices.Values(order)); len(sorted) != n || n > 0 && (sorted[0] != 0 || sorted[n-1] != n-1) {
			t.Errorf("order %v", order)
		}
		groups := Groups(n, got, 0)
		for i := range n {
			for j := range n {
				if m.Edits[i][j] == 0 && groups[i] != groups[j] && equalRows(m, i, j) {
					t.Errorf("%v: %d and %d are equal, and in groups %v", m.Edits, i, j, groups)
				}
			}
		}
		if all := Groups(n, got, 1); n > 0 && slices.Max(all) != 0 {
			t.Errorf("groups %v", all)
		}
	}
}

// equalRows: at random two may be at no distance, and apart to others.
func equalRows(m *Matrix, i, j int) bool { return slices.Equal(m.Edits[i], m.Edits[j]) }

func BenchmarkDistance(b *testing.B) {
	random := rand.New(rand.NewPCG(7, 8))
	x, y := sequence(random, 5000, 300), sequence(random, 5000, 300)
	var e Editor
	for b.Loop() {
		e.Distance(x, y)
	}
	b.ReportMetric(float64(b.N)*25e6/b.Elapsed().Seconds()/1e9, "Gcells/s")
}

// One pair may take a minute: it ends within it.
func TestComputeEndsWithinAPair(t *testing.T) {
	a, b := make([]uint32, 200_000), make([]uint32, 200_000)
	for i := range a {
		a[i], b[i] = uint32(i%97), uint32(i%101+1)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := &endsAtSecondLook{Context: ctx, cancel: cancel}
	if _, err := Compute(ended, []string{"a", "b"}, [][]uint32{a, b}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v after %d looks, want it to end", err, ended.looks)
	}
}

// endsAtSecondLook is a context that is canceled once it was asked twice.
type endsAtSecondLook struct {
	context.Context
	cancel context.CancelFunc
	looks  int
}

func (c *endsAtSecondLook) Err() error {
	if c.looks++; c.looks == 2 {
		c.cancel()
	}
	return c.Context.Err()
}
