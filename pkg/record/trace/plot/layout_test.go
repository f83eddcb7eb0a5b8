package plot

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/compspec/compat/pkg/record/trace/runs"
	"github.com/compspec/compat/pkg/record/trace/tracetest"
)

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "/a b": "/a b", "a\nb": `a\nb`, "\x1b[2J": `\x1b[2J`, "\xff\x80": `\xff\x80`, "\u202e": `\u202e`, "\ufeff": `\ufeff`,
		"\uffff": `\uffff`, "日本": "日本", "é…\ufffd": "é…\ufffd", "\U000e0001": `\U000e0001`, "\u00a0": `\u00a0`,
	} {
		if got := Printable(in); got != want || Printable(got) != got {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestElide(t *testing.T) {
	f := newFaces()
	for _, c := range []struct {
		limit    float64
		in, want string
	}{
		{1000, "/usr/lib/libc.so.6", "/usr/lib/libc.so.6"},
		{80, "/usr/lib/x86_64-linux-gnu/libc.so.6", "/usr…libc.so.6"},
		{0, "/usr", "…"},
		{60, strings.Repeat("日", 40), "日…日日"},
		{100, "", ""},
	} {
		if got := f.fit(c.in, 12, c.limit); got != c.want {
			t.Errorf("%q in %g: %q, want %q", c.in, c.limit, got, c.want)
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		var b strings.Builder
		for range random.IntN(200) {
			b.WriteRune([]rune("/aiWm日é…\u0301")[random.IntN(9)])
		}
		s, limit := b.String(), 20+random.Float64()*500
		got := f.fit(s, 12, limit)
		head, _, cut := strings.Cut(got, "…")
		if w := f.width(got, 12); w > limit+1e-6 || !utf8.ValidString(got) || got != s && !(cut && strings.HasPrefix(s, head)) {
			t.Fatalf("%q in %.1f: %q of %.1f", s, limit, got, w)
		}
	}
}

func TestWrap(t *testing.T) {
	f := newFaces()
	got := f.wrap("one two  three "+strings.Repeat("x", 100), 12, 60)
	for _, line := range got {
		if f.width(line, 12) > 60 {
			t.Errorf("%q is too wide", line)
		}
	}
	if len(got) != 3 || got[0] != "one two" || got[1] != "three" {
		t.Errorf("%q", got)
	}
}

func counts(paths ...string) (out []Count) {
	for i, p := range paths {
		out = append(out, Count{p, len(paths) - i})
	}
	return out
}

// outline is a tree as text.
func outline(n *node, limit int) string {
	n.show(limit)
	var b strings.Builder
	for _, r := range n.lines(0, nil) {
		fmt.Fprintf(&b, "%s%s %d\n", strings.Repeat(" ", r.depth), strings.Split(r.label(), "  ")[0], r.opens)
	}
	return b.String()
}

func TestTrie(t *testing.T) {
	for _, c := range []struct {
		name  string
		limit int
		paths []string
		want  string
	}{
		{"one", 9, []string{"/a/b/c"}, "/a/b/c 1\n"},
		{"two files of one name stay two", 9, []string{"/a/x", "/b/x"}, "/ 3\n a/x 2\n b/x 1\n"},
		{"chains of one entry are folded", 9, []string{"/usr/lib/x/a.so", "/usr/lib/x/b.so"}, "/usr/lib/x/ 3\n a.so 2\n b.so 1\n"},
		{"names are whole", 9, []string{"/lib", "/lib64"}, "/ 3\n lib 2\n lib64 1\n"},
		{"a directory that was opened itself", 9, []string{"/a", "/a/b/c"}, "/a/ 3\n b/c 1\n"},
		{"a directory is in one place, whatever sorts between its files", 9, []string{"/a-b", "/a/c", "/a/d"}, "/ 6\n a/ 3\n  c 2\n  d 1\n a-b 3\n"},
		{"what is left out is summed up", 4, []string{"/a/1", "/a/2", "/a/3", "/b", "/c"}, "/ 15\n a/ 12\n  1 5\n  2 4\n  3 3\n … 2 paths more 3\n"},
		{"nothing is shown of a directory", 2, []string{"/a/1", "/a/2", "/b"}, "/ 6\n a/ 5\n b 1\n"},
		{"nothing in common", 9, []string{"a/x", "/a/x"}, "all 3\n a/x 2\n /a/x 1\n"},
		{"empty names", 9, []string{"//a", "/a", "/a/", "", "/"}, "/ 15\n a/ 7\n  \"\" 3\n / 6\n  a 5\n"},
	} {
		if got := outline(newTrie(counts(c.paths...)), c.limit); got != c.want {
			t.Errorf("%s:\n%swant\n%s", c.name, got, c.want)
		}
	}
}

// Every open is in the tree once, whatever paths are.
func FuzzTrie(f *testing.F) {
	f.Add("/a/x\n/b/x\n/a", 5)
	f.Add("//\n/\n\n/a/\n/a", 1)
	f.Add(strings.Repeat("/a", 500)+"\n"+strings.Repeat("/a", 400)+"/b", 3)
	f.Fuzz(func(t *testing.T, list string, limit int) {
		paths := strings.Split(list[:min(len(list), 4000)], "\n")
		slices.Sort(paths)
		paths = slices.Compact(paths)
		all := counts(paths...)
		root := newTrie(all)
		seen := map[string]int{}
		var walk func(n *node) int
		walk = func(n *node) int {
			sum := n.own
			if n.own > 0 {
				seen[n.path] += n.own
			}
			for _, c := range n.children {
				if !strings.HasPrefix(c.path, n.path) {
					t.Errorf("%q below %q", c.path, n.path)
				}
				sum += walk(c)
			}
			if n.opens != sum || n.own == 0 && len(n.children) < 2 {
				t.Errorf("%q: %d opens, %d below, %d children", n.path, n.opens, sum, len(n.children))
			}
			return sum
		}
		walk(root)
		for _, c := range all {
			if seen[c.Path] != c.Times {
				t.Errorf("%q: %d times, want %d", c.Path, seen[c.Path], c.Times)
			}
		}
		limit = limit%100 + 1
		if root.show(max(limit, 1)); root.paths != len(paths) {
			t.Errorf("%d paths, want %d", root.paths, len(paths))
		}
	})
}

func TestCountScale(t *testing.T) {
	for most, want := range map[int]string{
		0: "0", 1: "0 1", 3: "0 1 2 3", 8: "0 1 2 3 4 5 6 7 8", 9: "0 1 2 3–4 5–8 9", 43: "0 1 2 3–4 5–8 9–16 17–32 33–43", 1 << 40: "",
	} {
		s := countScale(most)
		if got := strings.Join(s.labels, " "); want != "" && got != want {
			t.Errorf("up to %d: %s, want %s", most, got, want)
		}
		if len(s.labels) != len(s.steps) {
			t.Errorf("up to %d: %d labels, %d steps", most, len(s.labels), len(s.steps))
		}
		before := -1
		for v := 0; v <= min(most, 1000); v++ {
			if step := s.step(float64(v)); step < before || step >= numSteps || (step == 0) != (v == 0) {
				t.Errorf("up to %d: step %d of %d after %d", most, step, v, before)
			} else {
				before = step
			}
		}
	}
}

func TestDistanceScale(t *testing.T) {
	for most, last := range map[float64]string{0: "0", .004: "≤ 0.01", .107: "≤ 0.12", .5: "≤ 0.5", .81: "≤ 1", 1: "≤ 1"} {
		s := distanceScale(most)
		if got := s.labels[len(s.labels)-1]; got != last {
			t.Errorf("up to %g: the last is %s, want %s", most, got, last)
		}
		if s.step(0) != 0 || most > 0 && (s.step(1e-9) == 0 || s.step(most) >= numSteps) {
			t.Errorf("up to %g: steps %d, %d, %d", most, s.step(0), s.step(1e-9), s.step(most))
		}
	}
}

// The axis of time: what is later is further right, what is cut is told, and
// the way back leads to the same time.
func TestTimeAxis(t *testing.T) {
	var spans []span
	for i := range 50 {
		spans = append(spans, span{from: float64(i) * 4e7, to: float64(i)*4e7 + 1e7}) // in the first 2 s
	}
	spans = append(spans, span{from: 2e9, to: 1e11})
	a := newAxis(spans, true, newFaces())
	if len(a.cuts) != 1 || math.Abs(a.cuts[0].to-1e11) > 1 {
		t.Fatalf("cuts %v", a.cuts)
	}
	if x := a.at(2e9); x < .9*(timeWidth-cutWidth) || a.at(1e11) > timeWidth {
		t.Errorf("the first 2 s end at %.0f, all at %.0f", x, a.at(1e11))
	}
	last := -1.0
	for v := 0.0; v <= 1e11; v += 1e8 {
		x := a.at(v)
		if x < last || math.Abs(a.value(x)-v) > 1e3 {
			t.Fatalf("%g is at %g, after %g; back it is %g", v, x, last, a.value(x))
		}
		last = x
	}
	var names []string
	for _, k := range a.ticks() {
		names = append(names, k.name)
	}
	if got := strings.Join(names, ", "); got != "0.0 s, 0.5 s, 1.0 s, 1.5 s, 2.0 s" {
		t.Error(got)
	}
}

func TestDuration(t *testing.T) {
	for ns, want := range map[float64]string{0: "0 ns", 5: "5 ns", 1500: "1.50 µs", 99.8e9: "99.8 s", 1e9: "1 s", 123456e9: "123456 s", 250e6: "250 ms", 999.6e6: "1000 ms"} {
		if got := duration(ns); got != want {
			t.Errorf("%g: %s, want %s", ns, got, want)
		}
	}
}

// Rows and columns that are alike stand together, and what differs is kept.
func TestHeatmapOrder(t *testing.T) {
	set := runs.NewSet()
	all := []string{"/always", "/1/even", "/1/odd", "/2/even", "/2/odd", "/3/even", "/3/odd"}
	add(t, set, "z", opens(all...)...)
	for i, name := range []string{"a", "x", "b", "y"} {
		paths := []string{"/always"}
		for k := 1 + i%2; k < len(all); k += 2 {
			paths = append(paths, all[k])
		}
		add(t, set, name, opens(paths...)...)
	}
	table := newTable(set, true)
	if same := table.pick(6); same != "Equally often by all: 1 path." {
		t.Error(same)
	}
	if slices.Contains(table.paths, "/always") {
		t.Errorf("what does not differ is kept: %q", table.paths)
	}
	table.arrange()
	columns := strings.Join(table.names, "")
	if !strings.Contains(columns, "ab") || !strings.Contains(columns, "xy") {
		t.Errorf("columns %s", columns)
	}
	if table.paths[0][2:] != table.paths[1][2:] || table.paths[1][2:] != table.paths[2][2:] {
		t.Errorf("rows %q", table.paths)
	}
	for i, path := range table.paths {
		for j, name := range table.names {
			want := 0
			if name == "z" || (path[2:] == "/even") == (name < "x") {
				want = 1
			}
			if table.counts[i][j] != want {
				t.Errorf("%s in %s: %d, want %d", path, name, table.counts[i][j], want)
			}
		}
	}
}

// Rows are in the order of the first open in any recording, or by process.
func TestTimelineRows(t *testing.T) {
	set := runs.NewSet()
	add(t, set, "one", opens("/a", "/b", "/a")...)
	add(t, set, "two", opens("/c", "/a", "/d")...)
	rows := func(o TimelineOptions) string {
		var names []string
		l := newTimeline(set, o)
		for _, r := range l.rows {
			name := set.Name(r.path)
			if o.ByProcess {
				name += fmt.Sprintf(" %d %d", r.run, r.tgid)
			}
			names = append(names, name)
		}
		return fmt.Sprint(strings.Join(names, ", "), " of ", l.all)
	}
	for want, o := range map[string]TimelineOptions{
		"/a, /c, /b, /d of 4": {}, "/a, /c of 4": {Rows: 2},
		"/a 0 7, /a 0 8, /b 0 9, /d 1 7, /c 1 8, /a 1 9 of 6": {ByProcess: true},
	} {
		if got := rows(o); got != want {
			t.Errorf("%+v: %s, want %s", o, got, want)
		}
	}
	spans := newTimeline(set, TimelineOptions{}).spans
	if s := spans[0]; s != (span{row: 0, run: 0, from: 0, to: 1}) {
		t.Errorf("the first open is %+v", s)
	}
	if s := newTimeline(set, TimelineOptions{Time: true}).spans[2]; s != (span{row: 0, run: 0, from: 2e6, to: 2e6 + 1e11}) {
		t.Errorf("the open that is held is %+v", s)
	}
}

// Of many recordings each counts once in a cell.
func TestTimelineDensity(t *testing.T) {
	set := runs.NewSet()
	for i := range 9 {
		add(t, set, fmt.Sprint(i), opens("/a", []string{"/b", "/c"}[i%2])...)
	}
	l := newTimeline(set, TimelineOptions{})
	l.axis = newAxis(l.spans, false, newFaces())
	l.spans = append(l.spans, l.spans[len(l.spans)-1]) // the last of them twice
	list, counts, most := l.density()
	if got := fmt.Sprint(list, counts[cell{0, 0}], counts[cell{1, 1}], counts[cell{2, 1}], most); got != "[{0 0} {1 1} {2 1}] 9 5 4 9" {
		t.Error(got)
	}
}

// Rows and columns of distances have the names of what they are about.
func TestDistanceLabels(t *testing.T) {
	set := runs.NewSet()
	for _, name := range []string{"a1", "b1", "a2", "b2"} {
		add(t, set, name, opens("/"+name[:1])...)
	}
	d := read(t, svgOf(t, pictures(t, set)["distance"]))
	line := func(name string) string { // of the texts in a row
		var row []box
		for _, b := range d.texts {
			for _, c := range d.texts {
				if c.text == name && c.x1-c.x0 > c.y1-c.y0 && math.Abs(b.y0-c.y0) < 3 && math.Abs(b.y1-c.y1) < 3 {
					row = append(row, b)
				}
			}
		}
		slices.SortFunc(row, func(a, b box) int { return cmp.Compare(a.x0, b.x0) })
		var out []string
		for _, b := range row {
			out = append(out, b.text)
		}
		return strings.Join(out, " ")
	}
	for name, want := range map[string]string{"a1": "0.00 1.00 1.00 a1", "a2": "0.00 1.00 1.00 a2", "b1": "1.00 1.00 0.00 b1", "b2": "1.00 1.00 0.00 b2"} {
		if got := line(name); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestTop(t *testing.T) {
	set := runs.NewSet()
	add(t, set, "one", opens("/b", "/a", "/b", "/c")...)
	add(t, set, "two", opens("/c", "/b")...)
	if got := fmt.Sprint(Opens(set)); got != "[{/b 3} {/c 2} {/a 1}]" {
		t.Error(got)
	}
	if p := Top(Opens(set), 1, false); p.Notes[0] != "1 of 3 paths that were opened. The other 2 come to 3 times together, 2 at most each." {
		t.Error(p.Notes)
	}
}

// What pictures say of the 43 real recordings; the numbers were counted in the
// logs with grep and sort.
func TestReal(t *testing.T) {
	set := tracetest.Set(t)
	counts := Opens(set)
	for _, c := range []struct {
		p    *Picture
		want string
	}{
		{Heatmap(set, 0, false), "each of 43 recordings opened which paths: 52 paths. Equally often by all: 44 paths."},
		{Heatmap(set, 9, false), "9 of 52 paths. 43 are left out"},
		{Trie(counts, 0), "3123 opens of 52 paths."},
		{Top(counts, 1, false), "1 of 52 paths that were opened. The other 51 come to 2177 times together, 129 at most each."},
	} {
		if got := strings.Join(c.p.Notes, " "); !strings.Contains(got, c.want) {
			t.Errorf("%s: %q lacks %q", c.p.Title, got, c.want)
		}
	}
}

func BenchmarkReal(b *testing.B) {
	set := tracetest.Set(b)
	for b.Loop() {
		for _, p := range pictures(b, set) {
			if _, err := p.SVG(); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// Text can be read on what it stands on, in both schemes, and inks can be told
// apart in an SVG.
func TestColours(t *testing.T) {
	luminance := func(c uint32) float64 { // WCAG 2.2
		var l float64
		for i, weight := range []float64{.2126, .7152, .0722} {
			v := float64(c>>(16-8*i)&255) / 255
			if v <= .04045 {
				v /= 12.92
			} else {
				v = math.Pow((v+.055)/1.055, 2.4)
			}
			l += weight * v
		}
		return l
	}
	for scheme, name := range []string{"light", "dark"} {
		enough := func(least float64, a, b ink) {
			x, y := luminance(colours[a][scheme]), luminance(colours[b][scheme])
			if got := (max(x, y) + .05) / (min(x, y) + .05); got < least {
				t.Errorf("%s: ink %d on %d: %.2f", name, a, b, got)
			}
		}
		enough(4.5, text, back)
		enough(4.5, soft, back)
		for i := range numSteps {
			enough(4.5, over(i), step0+ink(i))
		}
		for i := range numLanes { // WCAG 2.2, 1.4.11: what is no text
			enough(3, lane0+ink(i), back)
		}
		enough(3, bar, back)
	}
	seen := map[uint32]int{}
	for i, c := range colours {
		if before, ok := seen[c[0]]; ok {
			t.Errorf("inks %d and %d are equal", before, i)
		}
		seen[c[0]] = i
		if strings.Count(CSS(), ink(i).property()+":") != 2 {
			t.Errorf("ink %d is not in the CSS twice", i)
		}
	}
}

// Of a recording with many opens a picture shows what can be seen.
func TestManyOpens(t *testing.T) {
	set := runs.NewSet()
	add(t, set, "one", opens("/a")...)
	run := set.Runs[0]
	for i := range 50000 {
		run.Opens = append(run.Opens, runs.Open{Path: run.Opens[0].Path, Time: int64(i) * 1000, Held: 500})
	}
	for _, time := range []bool{false, true} {
		if b := svgOf(t, Timeline(set, TimelineOptions{Rows: 10, Time: time})); len(b) > 1<<20 {
			t.Errorf("%d bytes", len(b))
		}
	}
}
