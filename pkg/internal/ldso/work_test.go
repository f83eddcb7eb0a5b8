package ldso

import (
	"fmt"
	"strings"
	"testing"

	"github.com/compspec/compat/pkg/internal/elfx"
	"github.com/compspec/compat/pkg/internal/loadertest"
)

// With as many steps as it takes, a start is decided; with one less, it is
// given up, and says so.
func TestWorkAtTheLimit(t *testing.T) {
	loadertest.Require(t, loadertest.Loader, "/bin/ls")
	start := func(steps int64) (*Result, int64) {
		w := NewWork(steps, nil)
		r := liveMachine(t, "").Start(Request{Program: "/bin/ls", BindNow: true, Symbols: true, Work: w})
		return r, steps - w.left
	}
	r, takes := start(DefaultSteps)
	if !r.OK() || takes < 1000 || takes > 1<<20 {
		t.Fatalf("%d steps: %+v", takes, r.Problems)
	}
	if r, _ := start(takes); !r.OK() || len(r.Problems) != 0 {
		t.Errorf("%d steps are not enough: %+v", takes, r.Problems)
	}
	for _, n := range []int64{0, 1, costMap, takes / 4, takes / 2, takes - takes/8, takes - 1} {
		r, _ := start(n)
		if r.OK() || len(r.Problems) != 1 || r.Problems[0].Kind != GaveUp || r.Problems[0].Severity != Undecided {
			t.Errorf("of %d steps %d: %+v", takes, n, r.Problems)
		}
	}
}

// Starts share their work: what one has used up the next has not.
func TestWorkIsShared(t *testing.T) {
	loadertest.Require(t, loadertest.Loader, "/bin/ls")
	m := liveMachine(t, "")
	w := NewWork(1<<17, nil)
	n := 0
	for ; n < 1000; n++ {
		if r := m.Start(Request{Program: "/bin/ls", Symbols: true, Work: w}); !r.OK() {
			break
		}
	}
	if n < 2 || n == 1000 {
		t.Errorf("%d starts", n)
	}
	if r := m.Start(Request{Program: "/bin/ls", Symbols: true}); !r.OK() {
		t.Errorf("a start of its own: %+v", r.Problems)
	}
}

func TestWorkAsksToStop(t *testing.T) {
	asked := 0
	w := NewWork(DefaultSteps, func() bool { asked++; return asked == 3 })
	n := 0
	for w.spend(pollInterval / 4) {
		n++
	}
	if asked != 3 || n < 8 || n > 12 || w.spend(0) {
		t.Errorf("asked %d times in %d quarters", asked, n)
	}
}

// Of each severity enough is kept for the verdict, and the rest is counted.
func TestProblemsAreCounted(t *testing.T) {
	s := &sim{m: &Machine{}, res: &Result{}, work: NewWork(DefaultSteps, nil), bySeverity: map[Severity]int{}}
	for i := range 3 * maxProblems {
		s.problem(Problem{Kind: NoVersionInfo, Severity: Warning, Name: fmt.Sprint(i)})
	}
	if !s.res.OK() {
		t.Error("warnings decide")
	}
	s.problem(Problem{Kind: LibraryMissing, Severity: Error})
	s.unlisted()
	p := s.res.Problems
	if s.res.OK() || len(p) != maxProblems+2 || p[0].Name != "0" || p[maxProblems+1].Kind != Unlisted || p[maxProblems+1].Message != "2000 more problems are not listed" {
		t.Errorf("%d problems, the last %+v", len(p), p[len(p)-1])
	}
}

// The places of thousands of searches are cut, with a note, and none of the
// problems is lost.
func TestPlacesAreCut(t *testing.T) {
	w := NewWork(DefaultSteps, nil)
	tried := []Attempt{{Source: FromRPath, Dir: strings.Repeat("d", 1<<20)}, {Source: FromRPath, Dir: "/last"}}
	for i := range 20 {
		got := w.keep(tried)
		cut := len(got) > 0 && strings.Contains(got[len(got)-1].Result, "not listed")
		if want := i >= 15; cut != want {
			t.Errorf("search %d: %d places, cut: %t", i, len(got), cut)
		}
	}
	if tried[1].Dir != "/last" {
		t.Error("the list of another was changed")
	}
	var tr trace
	for range 2 * maxTried {
		tr.add(Attempt{})
	}
	if len(tr.tried) != maxTried {
		t.Errorf("one search keeps %d places", len(tr.tried))
	}
}

// This and the next are of what must not grow with the square: with these
// numbers it would not end.
func TestManyNamesOfOneObject(t *testing.T) {
	m := &Map{Path: "/l"}
	for i := range 200000 {
		m.use(fmt.Sprintf("name%d", i%100000))
	}
	if len(m.Names) != 100000 || m.Names[0] != "name0" || m.Names[99999] != "name99999" {
		t.Errorf("%d names", len(m.Names))
	}
	m.use("/l")
	if len(m.Names) != 100000 {
		t.Error("the path is a name")
	}
}

func TestManyVersionsOfOneObject(t *testing.T) {
	const n = 200000
	f := &elfx.File{Verdef: true}
	for i := range n {
		name := fmt.Sprintf("V%d", i)
		f.VersDef = append(f.VersDef, elfx.VersionDef{Name: name, Hash: elfx.Hash(name), Base: i == 0})
	}
	s := &sim{m: &Machine{}, res: &Result{}, work: NewWork(DefaultSteps, nil), bySeverity: map[Severity]int{}}
	provider := &Map{Path: "/p", Object: &Object{ELF: f}}
	for i := range n + 100 {
		name := fmt.Sprintf("V%d", n+99-i)
		s.version(&Map{Path: "/m"}, provider, "p", elfx.NeededVersion{Name: name, Hash: elfx.Hash(name)})
	}
	if len(s.res.Problems) != 100 || len(s.res.Problems[99].Providers) != n-1 {
		t.Errorf("%d problems", len(s.res.Problems))
	}
	// A name alone does not do: the hash is compared too.
	if s.version(&Map{}, provider, "p", elfx.NeededVersion{Name: "V1"}); len(s.res.Problems) != 101 {
		t.Error("another hash matches")
	}
}

// A search list keeps the first of each directory, in order, and knows which
// were written with $ORIGIN.
func TestSearchLists(t *testing.T) {
	s := &sim{m: liveMachine(t, "/"), loader: &Loader{SystemDirs: []string{"/lib64/"}}, allDirs: map[string]*searchDir{}, work: NewWork(DefaultSteps, nil), subdirs: []string{""}}
	m := &Map{Origin: "/opt/app"}
	for _, c := range []struct {
		list, want, origins string
	}{
		{"/a:/b", "/a/ /b/", ""}, {"/a:/b:/a//:/a", "/a/ /b/", ""}, {"", ".", ""}, {"a::b", "a/ . b/", ""}, {"/", "/", ""}, {"///", "/", ""},
		{"$ORIGIN/lib:/opt/app/lib", "/opt/app/lib/", "/opt/app/lib/"}, {"/opt/app/lib:${ORIGIN}/lib", "/opt/app/lib/", "/opt/app/lib/"},
		{"$PLATFORM:/b", "/b/", ""}, {"/x/$LIB", "/x/lib64/", ""},
	} {
		if c.list == "$PLATFORM:/b" {
			s.m.CPU.Platform = "" // no value: the element is dropped
		}
		l := s.newList(splitList(c.list, ":"), m)
		var got []string
		for _, d := range l.dirs {
			if d.name == "" {
				d.name = "."
			}
			got = append(got, d.name)
		}
		delete(s.allDirs, "")
		origins := ""
		for o := range l.origins {
			origins += o
		}
		if strings.Join(got, " ") != c.want || origins != c.origins {
			t.Errorf("%q: %q, origins %q; want %q, %q", c.list, got, origins, c.want, c.origins)
		}
	}
	if a, b := s.newList([]string{"/a"}, m), s.newList([]string{"/a"}, m); a.dirs[0] != b.dirs[0] {
		t.Error("lists do not share what is known of a directory")
	}
	long := s.newList([]string{"/" + strings.Repeat("x", 1<<20)}, m).dirs[0].name
	if len(long) > 2*maxName {
		t.Errorf("a directory's name of %d bytes", len(long))
	}
	var elems []string
	for i := range 100000 {
		elems = append(elems, fmt.Sprintf("/d%d", i))
	}
	if l := s.newList(elems, m); len(l.dirs) != len(elems) {
		t.Errorf("%d directories", len(l.dirs))
	}
}
