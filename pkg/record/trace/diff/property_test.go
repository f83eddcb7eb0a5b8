package diff

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/compspec/compat/pkg/record/trace"
	"github.com/compspec/compat/pkg/record/trace/runs"
)

// randomEvents are over few paths, so that all classes occur.
func randomEvents(g *rand.Rand) (out []trace.Event) {
	names := []string{"libz.so.1", "libz.so.1.2", "libz.so.1.3", "libz.so.2", "libz.so", "libc-2.31.so", "libc-2.33.so", "f", "f1", "f2", "x.so.y", "\xff", ".so.1", "libz3.so"}
	for i := range g.IntN(40) {
		e := trace.Event{Time: int64(i), Op: trace.OpOpen, TGID: g.IntN(3), Path: fmt.Sprintf("/%s/%s", []string{"a", "b", "c1", "c2"}[g.IntN(4)], names[g.IntN(len(names))])}
		switch g.IntN(8) {
		case 0:
			e.Op, e.Errno = trace.OpLookup, "ENOENT"
		case 1:
			e.Exec = true
		case 2:
			e.Flags = 1
		case 3:
			e.Op = trace.OpDigest
			e.Digest = digestOf(fmt.Sprint(g.IntN(4)))
		default:
			e.Size = int64(g.IntN(3))
		}
		out = append(out, e)
	}
	return out
}

// pairsOf are a report's pairs, turned round where it is of B and A.
func pairsOf(r *Report, turned bool) (out []string) {
	add := func(class, from, to string) {
		if turned {
			from, to = to, from
		}
		out = append(out, fmt.Sprintf("%s %q %q", class, from, to))
	}
	for _, m := range r.Moved {
		add(string(m.Evidence), m.From, m.To)
	}
	for _, v := range r.Versions {
		add(string(v.Kind), v.From, v.To)
	}
	for _, c := range r.Changed {
		add(c.Path, c.A.Digest+fmt.Sprint(c.A.Size), c.B.Digest+fmt.Sprint(c.B.Size))
	}
	slices.Sort(out)
	return out
}

// Each file is in one class, lists are sorted, a side does not differ from itself,
// and the other way round says the same.
func TestProperties(t *testing.T) {
	seen := map[string]int{}
	for seed := range uint64(3000) {
		g := rand.New(rand.NewPCG(seed, 1))
		set := runs.NewSet()
		var a, b []*runs.Run
		for i := range 1 + g.IntN(2) {
			a = append(a, add(t, set, fmt.Sprint("a", i), g.IntN(9) == 0, randomEvents(g)...))
		}
		for i := range 1 + g.IntN(2) {
			b = append(b, add(t, set, fmt.Sprint("b", i), false, randomEvents(g)...))
		}
		o := Options{Order: g.IntN(2) == 0}
		if g.IntN(2) == 0 {
			o.Ignore = func(name string) bool { return strings.HasPrefix(name, "/a") }
		}
		r := checked(t, Compare(set, a, b, o))
		partition(t, seed, set, a, b, o, r)
		for _, line := range short(r) {
			seen[strings.Fields(line)[0]]++
		}
		if again := Compare(set, a, b, o); !reflect.DeepEqual(again, r) {
			t.Fatalf("seed %d: not the same twice", seed)
		}
		self := Compare(set, a, a, o)
		if self.Differs || len(short(self)) > 0 || self.Order.Parts != nil || self.Recounted != 0 || self.Same != self.A.Files {
			t.Fatalf("seed %d: it differs from itself: %+v", seed, self)
		}
		back := Compare(set, b, a, o)
		if !reflect.DeepEqual(back.OnlyA, r.OnlyB) || !reflect.DeepEqual(back.OnlyB, r.OnlyA) || !reflect.DeepEqual(back.Found, r.Lost) || !reflect.DeepEqual(back.Lost, r.Found) ||
			!slices.Equal(pairsOf(back, true), pairsOf(r, false)) || !reflect.DeepEqual(back.Executed, Executed{r.Executed.OnlyB, r.Executed.OnlyA}) ||
			back.Differs != r.Differs || back.Same != r.Same || back.Recounted != r.Recounted || back.Ignored != r.Ignored ||
			back.Order.Files != r.Order.Files || len(back.Order.Moved) != len(r.Order.Moved) || (back.Order.Parts == nil) != (r.Order.Parts == nil) {
			t.Fatalf("seed %d: the other way round it is\n%+v, not\n%+v", seed, back, r)
		}
		o.Gate = true
		if gate := Compare(set, a, b, o); gate.Differs && !r.Differs && !o.Order {
			t.Fatalf("seed %d: the gate finds more: %q", seed, short(gate))
		}
		// Nothing is new to baselines that it is among.
		if joined := Compare(set, slices.Concat(a, b), b, o); joined.Differs {
			t.Fatalf("seed %d: it fails its own gate: %q", seed, short(joined))
		}
	}
	for _, class := range []string{"only-a", "only-b", "found", "lost", "moved", "version", "major", "build", "numbers", "changed", "executed-a", "executed-b"} {
		if seen[class] == 0 {
			t.Errorf("%s never occurred", class)
		}
	}
}

// partition holds each file that was opened to one class.
func partition(t *testing.T, seed uint64, set *runs.Set, a, b []*runs.Run, o Options, r *Report) {
	t.Helper()
	opened := func(list []*runs.Run) map[string]int {
		out := map[string]int{}
		for _, run := range list {
			for _, open := range run.Opens {
				if name := set.Name(open.Path); o.Ignore == nil || !o.Ignore(name) {
					out[name] = 0
				}
			}
		}
		return out
	}
	inA, inB := opened(a), opened(b)
	count := func(of map[string]int, name string) {
		if _, ok := of[name]; !ok {
			t.Fatalf("seed %d: %q was not opened on that side", seed, name)
		}
		of[name]++
	}
	for _, f := range slices.Concat(r.OnlyA, r.Lost) {
		count(inA, f.Path)
	}
	for _, f := range slices.Concat(r.OnlyB, r.Found) {
		count(inB, f.Path)
	}
	for _, m := range r.Moved {
		count(inA, m.From)
		count(inB, m.To)
	}
	for _, v := range r.Versions {
		count(inA, v.From)
		count(inB, v.To)
	}
	for _, c := range r.Changed {
		count(inA, c.Path)
		count(inB, c.Path)
	}
	same := 0
	for name, n := range inA {
		m, both := inB[name]
		if n == 0 && both && m == 0 {
			same++
		} else if n != 1 {
			t.Fatalf("seed %d: %q of A is in %d classes", seed, name, n)
		}
	}
	for name, n := range inB {
		if _, both := inA[name]; n != 1 && !(n == 0 && both) {
			t.Fatalf("seed %d: %q of B is in %d classes", seed, name, n)
		}
	}
	if same != r.Same {
		t.Fatalf("seed %d: %d files are the same, not %d", seed, same, r.Same)
	}
	for _, list := range [][]File{r.OnlyA, r.OnlyB, r.Found, r.Lost} {
		if !slices.IsSortedFunc(list, func(x, y File) int { return strings.Compare(x.Path, y.Path) }) {
			t.Fatalf("seed %d: not sorted: %+v", seed, list)
		}
	}
}

// longest is the length of a longest increasing subsequence, by all of them.
func longest(v []int, above int) int {
	best := 0
	for i, x := range v {
		if x > above {
			best = max(best, 1+longest(v[i+1:], x))
		}
	}
	return best
}

func TestIncreasing(t *testing.T) {
	g := rand.New(rand.NewPCG(5, 6))
	for n := range 11 {
		for range 200 {
			v := g.Perm(n)
			at := increasing(v)
			if len(at) != longest(v, -1) {
				t.Fatalf("%v: %d numbers, want %d", v, len(at), longest(v, -1))
			}
			for i := 1; i < len(at); i++ {
				if at[i] <= at[i-1] || v[at[i]] <= v[at[i-1]] {
					t.Fatalf("%v: %v is not increasing", v, at)
				}
			}
		}
	}
}

// A hundred thousand files in any order are no matter of minutes.
func TestLargeOrder(t *testing.T) {
	n := 200_000
	v := rand.New(rand.NewPCG(7, 8)).Perm(n)
	if got := len(increasing(v)); got < 700 || got > 1000 { // 2 sqrt(n) is expected
		t.Errorf("%d stay", got)
	}
}

// Many files of one key are paired in the order of their paths, each once.
func TestManyOfOneKey(t *testing.T) {
	const n = 30_000
	set := runs.NewSet()
	a, b := runs.Run{Header: &trace.Header{}}, runs.Run{Header: &trace.Header{}}
	for i := range n {
		a.Opens = append(a.Opens, runs.Open{Path: set.ID(fmt.Sprintf("/a%05d/libx.so.1", i))}, runs.Open{Path: set.ID("/log"), Size: int64(i + 1)})
		b.Opens = append(b.Opens, runs.Open{Path: set.ID(fmt.Sprintf("/b%05d/libx.so.2", i))}, runs.Open{Path: set.ID("/log"), Size: int64(i + 1)})
	}
	r := Compare(set, []*runs.Run{&a}, []*runs.Run{&b}, Options{})
	if len(r.Versions) != n || r.Same != 1 || len(short(r)) != n {
		t.Errorf("%d versions, %d the same, %d lines", len(r.Versions), r.Same, len(short(r)))
	}
	for i, v := range r.Versions {
		if v.From[2:7] != v.To[2:7] || v.Kind != OtherMajor {
			t.Fatalf("version %d is %+v", i, v)
		}
	}
}
