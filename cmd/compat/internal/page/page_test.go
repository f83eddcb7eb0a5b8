package page

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compspec/compat/pkg/hostindex"
)

// matrix has every answer, and names that are name throughout.
func matrix(name string) *hostindex.Matrix {
	f := hostindex.Finding{
		Kind: "library-missing", Severity: hostindex.SeverityError, Program: name, Name: name, Explanation: name, Message: name, Remedy: name, Unreached: name,
		Chain: []string{name, name}, Searched: []hostindex.Place{{Source: name, Owner: name, Path: name, Result: name}},
	}
	other := f
	other.Kind = "isa-level"
	m := &hostindex.Matrix{
		SchemaVersion: 1, Apps: []string{name, name + "2"},
		Hosts: []hostindex.MatrixHost{
			{Host: hostindex.Host{Name: name}}, {Host: hostindex.Host{Name: name + "2"}}, {Host: hostindex.Host{Name: name}, Class: 1}, {Host: hostindex.Host{Name: name}, Class: 2, Error: "e" + name},
		},
		Classes: []hostindex.Class{
			{Name: name, Hosts: []string{name, name + "2"}, OS: name, Kernel: name, ISA: name},
			{Name: name, Hosts: []string{name}}, {Name: name, Hosts: []string{name}, Error: "e" + name},
		},
	}
	for class := range m.Classes {
		for _, app := range m.Apps {
			m.Cells = append(m.Cells, hostindex.Cell{App: app, Class: class, Verdict: hostindex.Incompatible, Findings: []hostindex.Finding{f, other}})
		}
	}
	m.Cells[0] = hostindex.Cell{App: name, Verdict: hostindex.Compatible}
	m.Cells[3].Verdict = hostindex.Unknown
	m.Cells[2].Error = "e" + name
	for i := range 2 {
		m.Cells[4+i] = hostindex.Cell{App: m.Apps[i], Class: 2, Verdict: hostindex.Unknown, Error: "e" + name}
	}
	return m
}

var tag = regexp.MustCompile(`<(/?)([a-zA-Z!]+)[^>]*>`)

// tags are the page's, each closed in turn.
func tags(t *testing.T, page string) []string {
	t.Helper()
	var open []string
	all := tag.FindAllStringSubmatch(page, -1)
	out := make([]string, 0, len(all))
	for _, m := range all {
		out = append(out, m[0])
		switch {
		case m[2] == "meta" || m[2] == "!DOCTYPE":
		case m[1] == "":
			open = append(open, m[2])
		case len(open) == 0 || open[len(open)-1] != m[2]:
			t.Fatalf("%s closes none of %q", m[0], open)
		default:
			open = open[:len(open)-1]
		}
	}
	if len(open) > 0 {
		t.Errorf("not closed: %q", open)
	}
	return out
}

// Whatever names are, the page has the same tags, and nothing steers.
func TestHostileNames(t *testing.T) {
	plain, err := Matrix(matrix("plain"))
	if err != nil {
		t.Fatal(err)
	}
	want := tags(t, string(plain))
	for _, evil := range []string{
		`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `' onclick='x`, `</style><script>`, `<!--`, `]]>`, `&lt;b&gt;`, `{{.}}`, `javascript:alert(1)`,
		"\x1b[2J\x00\u009b", "a\nb", "\xff\xfe<b>", strings.Repeat("<", 10000),
	} {
		got, err := Matrix(matrix(evil))
		if err != nil {
			t.Errorf("%.30q: %v", evil, err)
			continue
		}
		page := string(got)
		if !slices.Equal(tags(t, page), want) {
			t.Errorf("%.30q comes through as a tag", evil)
		}
		if i := strings.IndexFunc(page, func(r rune) bool { return r < ' ' && r != '\n' || r >= 0x7f && r < 0xa0 }); i >= 0 {
			t.Errorf("%.30q: a control character at %d: %q", evil, i, page[max(0, i-20):i+5])
		}
	}
}

// The page asks for nothing, says what it says in words, and its links lead
// somewhere.
func TestPageStandsAlone(t *testing.T) {
	b, err := Matrix(matrix("plain"))
	if err != nil {
		t.Fatal(err)
	}
	page := string(b)
	for _, never := range []string{"<script", "<link", "<img", "<iframe", "src=", "http:", "https:", "url(", "@import", "ZgotmplZ", "<no value>"} {
		if strings.Contains(page, never) {
			t.Errorf("the page has %q", never)
		}
	}
	for _, want := range []string{
		`<html lang="en">`, "<caption>", `<th scope="row">`, `<th scope="col">`, "prefers-color-scheme: dark", "@media print", "✓ </span>yes<", "✗ </span>", ">no</a>", ">unknown</a>", ">error</a>",
		"2 apps on 4 machines of 3 classes", "all names",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	ids := map[string]int{}
	for _, m := range regexp.MustCompile(` id="([^"]+)"`).FindAllStringSubmatch(page, -1) {
		ids[m[1]]++
	}
	links := regexp.MustCompile(`href="([^"]+)"`).FindAllStringSubmatch(page, -1)
	for _, m := range links {
		if id, ok := strings.CutPrefix(m[1], "#"); !ok || ids[id] != 1 {
			t.Errorf("the link %s leads to %d places", m[1], ids[id])
		}
	}
	if len(links) != 5 || len(ids) != 4 {
		t.Errorf("%d links and %d ids", len(links), len(ids))
	}
	if again, _ := Matrix(matrix("plain")); string(again) != page {
		t.Error("not the same bytes twice")
	}
	empty, err := Matrix(&hostindex.Matrix{})
	if err != nil || !strings.Contains(string(empty), "nothing was compared") || strings.Contains(string(empty), "<table") {
		t.Errorf("%v: %s", err, empty)
	}
	tags(t, string(empty))
}

func TestShort(t *testing.T) {
	long := strings.Repeat("ä", 100)
	for want, f := range map[string][]hostindex.Finding{
		"":                      nil,
		"libx.so.1":             {{Kind: "library-missing", Name: "/a/libx.so.1"}},
		"ld.so +2":              {{Kind: "interpreter-missing", Name: "/a/ld.so"}, {}, {}},
		"GLIBC_2.38":            {{Kind: "version-missing", Version: "GLIBC_2.38", Name: "libc.so.6"}},
		"later kind":            {{Kind: "later-kind"}},
		long[:2*maxShort] + "…": {{Kind: "symbol-missing", Symbol: long}},
		"the CPU is too old":    {{Kind: "isa-level"}},
	} {
		if got := short(&hostindex.Cell{Findings: f}); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// A large cluster still makes a page soon.
func TestManyMachines(t *testing.T) {
	m := matrix("n")
	for i := range 50000 {
		m.Classes[0].Hosts = append(m.Classes[0].Hosts, fmt.Sprint("node", i))
		f := &m.Cells[1].Findings[0]
		f.Searched = append(f.Searched, f.Searched[0])
	}
	start := time.Now()
	b, err := Matrix(m)
	if err != nil || len(b) > 3<<20 || time.Since(start) > time.Minute || !strings.Contains(string(b), "more places") {
		t.Errorf("%v, %d bytes in %v", err, len(b), time.Since(start))
	}
}
