package model

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/compspec/compat/pkg/record/trace"
	"github.com/compspec/compat/pkg/record/trace/runs"
	"github.com/compspec/compat/pkg/record/trace/tracetest"
)

// set makes recordings of what was opened, a word each; gap ns apart.
func set(tb testing.TB, gap int64, recordings ...string) *runs.Set {
	tb.Helper()
	out := runs.NewSet()
	for i, words := range recordings {
		var events []trace.Event
		at := int64(0)
		for word := range strings.FieldsSeq(words) {
			at += gap * int64(i+1)
			events = append(events, trace.Event{Time: at, Op: trace.OpOpen, Path: "/" + word})
		}
		b := tracetest.Recording(tb, &trace.Header{}, trace.Footer{}, events...)
		r, err := trace.NewReader(bytes.NewReader(b))
		if err != nil {
			tb.Fatal(err)
		}
		if _, err := out.Add(fmt.Sprint("r", i), r, nil); err != nil {
			tb.Fatal(err)
		}
	}
	return out
}

func train(tb testing.TB, order int, recordings ...string) *Model {
	tb.Helper()
	m, err := Train(set(tb, 1000, recordings...), Options{Order: order})
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

func history(m *Model, words string) []uint32 {
	out := []uint32{}
	for word := range strings.FieldsSeq(words) {
		id := slices.Index(m.Paths, "/"+word)
		if id < 0 {
			out = append(out, Unknown)
		} else {
			out = append(out, uint32(id))
		}
	}
	return out
}

func TestNext(t *testing.T) {
	m := train(t, 8, "a b c d", "a b c d", "a x c e", "a b c f")
	p := m.Predictor()
	for _, c := range []struct {
		after, next string
		count       int
		total, ends int
		context     int
	}{
		{"", "a", 4, 4, 0, 1},
		{"a", "b", 3, 4, 0, 2},
		{"a b c", "d", 2, 3, 0, 4},
		{"a x c", "e", 1, 1, 0, 2},         // one place is left: no longer context tells more
		{"q c", "d", 2, 4, 0, 1},           // c alone was seen
		{"q", "a", 4, 16, 4, 0},            // nothing was: what is most frequent, of equal ones the path that sorts first
		{"a b c d", "", 0, 0, 2, 1},        // it ends
		{"a b c d a b c", "d", 2, 3, 0, 3}, // the longest context that any had
	} {
		got := p.Next(history(m, c.after))
		next, count := "", 0
		if len(got.Next) > 0 {
			next, count = m.Paths[got.Next[0].Path][1:], got.Next[0].Count
		}
		if next != c.next || count != c.count || got.Total != c.total || got.Ends != c.ends || got.Context < c.context {
			t.Errorf("after %q: %q %d, %+v", c.after, next, count, got)
		}
	}
	// every gap of the first recording is 1000 ns, of the second 2000, ...
	if got := p.Next(history(m, "a b c")); got.Gap != 1000 || got.Confidence() != 2./3 {
		t.Errorf("%+v", got)
	}
	if got := p.Next(history(m, "a x c")); got.Gap != 3000 {
		t.Errorf("%+v", got)
	}
	empty := train(t, 8)
	if got := empty.Predictor().Next(nil); len(got.Next) > 0 || got.Confidence() != 0 {
		t.Errorf("nothing was learned: %+v", got)
	}
}

// tables is the same prediction from tables of counts by context.
func tables(train [][]uint32, history []uint32, order int) (best uint32, ok bool) {
	context := func(s []uint32, at, n int) (string, bool) { // the n symbols before at, with the beginning
		if n > at+1 {
			return "", false
		}
		from := at - n
		begin := ""
		if from < 0 {
			begin, from = "^", 0
		}
		return begin + fmt.Sprint(s[from:at]), true
	}
	for n := order; n >= 0; n-- {
		want, ok := context(history, len(history), n)
		if !ok {
			continue
		}
		count := map[uint32]int{}
		for _, s := range train {
			for at := range s {
				if c, ok := context(s, at, n); ok && c == want {
					count[s[at]]++
				}
			}
		}
		if len(count) == 0 {
			continue
		}
		best := uint32(math.MaxUint32)
		for p, n := range count {
			if best == math.MaxUint32 || n > count[best] || n == count[best] && p < best {
				best = p
			}
		}
		return best, true
	}
	return 0, false
}

// Leave-one-out from one index is what tables of all others say.
func TestLeaveOneOutAgainstTables(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 150 {
		var words []string
		for range 1 + random.IntN(7) {
			if len(words) > 0 && random.IntN(2) == 0 {
				words = append(words, words[random.IntN(len(words))])
				continue
			}
			w := ""
			for range random.IntN(12) {
				w += string(rune('a'+random.IntN(1+random.IntN(4)))) + " "
			}
			words = append(words, w)
		}
		order := random.IntN(7)
		m := train(t, order, words...)
		e := m.LeaveOneOut()
		right := 0
		for i := range words {
			var others [][]uint32
			for j := range words {
				if j != i {
					others = append(others, history(m, words[j]))
				}
			}
			h := history(m, words[i])
			mine := 0
			for at := range h {
				if best, ok := tables(others, h[:at], order); ok && best == h[at] {
					mine++
				}
			}
			if r := e.Recordings[i]; r.Right != mine || r.Name != fmt.Sprint("r", i) || r.Opens != len(h) || len(r.Misses) != len(h)-mine {
				t.Fatalf("%q, order %d, recording %d: %+v, want %d right", words, order, i, r, mine)
			}
			right += mine
		}
		if e.Right != right || e.Opens-e.Right != e.New+e.Forks+e.Strayed || e.Decidable < e.Right {
			t.Fatalf("%q: %+v", words, e)
		}
		// of others: what was left out is then evaluated as a recording of its own
		for i := range words {
			rest := slices.Delete(slices.Clone(words), i, i+1)
			other := train(t, order, rest...)
			if got := other.Evaluate(set(t, 1000, words[i])); got.Right != e.Recordings[i].Right {
				t.Fatalf("%q, order %d: %d alone: %d right, left out %d", words, order, i, got.Right, e.Recordings[i].Right)
			}
		}
	}
}

func TestKindsOfMisses(t *testing.T) {
	m := train(t, 64, "a b c d e", "a b c d e", "a b x d y", "a b q d e")
	e := m.LeaveOneOut()
	var kinds []Kind
	for _, miss := range e.Recordings[2].Misses {
		kinds = append(kinds, miss.Kind)
	}
	if !slices.Equal(kinds, []Kind{New, Strayed, New}) {
		t.Errorf("%v: %+v", kinds, e.Recordings[2])
	}
	m = train(t, 64, "a b c", "a c b", "c a")
	if e := m.LeaveOneOut(); e.Forks == 0 || e.Strayed == 0 {
		t.Errorf("%+v", e)
	}
}

// The order in which recordings are given does not show.
func TestSameModel(t *testing.T) {
	words := []string{"a b c libz.so.1.2", "z y", "a b c libz.so.1.3", "a"}
	want, err := train(t, 4, words...).Encode()
	if err != nil {
		t.Fatal(err)
	}
	s := set(t, 1000, words...)
	slices.Reverse(s.Runs)
	m, err := Train(s, Options{Order: 4})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := m.Encode(); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s\nwant %s", got, want)
	}
	if !bytes.Contains(want, []byte(`"/libz.so"`)) || len(m.Sequences) != 3 {
		t.Errorf("%s", want)
	}
	exact, err := Train(s, Options{Order: 4, Versions: true})
	if err != nil || len(exact.Sequences) != 4 {
		t.Errorf("%d sequences, %v", len(exact.Sequences), err)
	}
	first, err := Train(set(t, 10, "a b a b c"), Options{FirstOpen: true})
	if err != nil || len(first.Sequences[0].Opens) != 3 || !slices.Equal(first.Sequences[0].Gaps, []int64{10, 10, 30}) {
		t.Errorf("%+v, %v", first, err)
	}
}

func TestDecode(t *testing.T) {
	m := train(t, 4, "a b c", "a b c", "a \xff")
	b, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(b)
	if err != nil || !reflect.DeepEqual(got.Paths, m.Paths) || got.Recordings != 3 || len(got.Sequences) != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	again, err := got.Encode()
	if err != nil || !bytes.Equal(again, b) {
		t.Errorf("%s\nwas %s", again, b)
	}
	for name, change := range map[string][2]string{
		"version":        {`"schemaVersion":1`, `"schemaVersion":2`},
		"unknown member": {`"order"`, `"odrer"`},
		"path number":    {`"opens":[0,`, `"opens":[9,`},
		"gaps":           {`"gaps":[`, `"gaps":[1,`},
		"recordings":     {`"recordings":3`, `"recordings":2`},
		"more of them":   {`"recordings":3`, `"recordings":4`},
		"sorted":         {`"/a","/b"`, `"/b","/a"`},
		"bytes":          {`"pathsBytes":["`, `"pathsBytes":["QUFB`},
		"negative gap":   {`"gaps":[`, `"gaps":[-`},
		"no JSON":        {`{`, `[`},
	} {
		bad := bytes.Replace(b, []byte(change[0]), []byte(change[1]), 1)
		if bytes.Equal(bad, b) {
			t.Errorf("%s: no change", name)
		}
		if _, err := Decode(bad); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, words := range [][]string{{}, {"a b c", "a b d"}, {"a a a a a", "\xff"}} {
		b, err := train(f, 5, words...).Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Decode(data)
		if err != nil {
			if m != nil || !errors.Is(err, ErrInvalid) {
				t.Fatalf("%v, %v", m, err)
			}
			return
		}
		b, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if again, err := Decode(b); err != nil || !reflect.DeepEqual(again, m) {
			t.Fatalf("%v\n%+v\nwas %+v", err, again, m)
		}
		p := m.Predictor()
		h := []uint32{}
		for range 10 {
			next := p.Next(h)
			if len(next.Next) == 0 {
				break
			}
			h = append(h, next.Next[0].Path)
		}
	})
}

// A long run of one file is what sorting by comparison would choke on.
func TestLongRunOfOneFile(t *testing.T) {
	m := &Model{Order: MaxOrder, Recordings: 1, Paths: []string{"/a"}, Sequences: []Sequence{{Count: 1, Opens: make([]uint32, 300_000), Gaps: make([]int64, 300_000)}}}
	if got := m.Predictor().Next(make([]uint32, 1000)); len(got.Next) != 1 || got.Context != MaxOrder {
		t.Errorf("%+v", got)
	}
}
