package local

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/compspec/compat/pkg/hostindex"
)

// sampleMatrix has a yes, a no, an unknown and an error.
func sampleMatrix() *hostindex.Matrix {
	missing := hostindex.Finding{Kind: "library-missing", Severity: hostindex.SeverityError, Program: "/p", Name: "libcuda.so.1", Explanation: "libcuda.so.1 is not found", Remedy: "install the driver"}
	isa := hostindex.Finding{Kind: "isa-level", Severity: hostindex.SeverityError, Program: "/p", Explanation: "the CPU is too old", Remedy: "use another"}
	open := hostindex.Finding{Kind: "cpu-unknown", Severity: hostindex.SeverityUnknown, Program: "/p", Explanation: "the CPU is not known", Remedy: "look"}
	cell := func(app string, class int, v hostindex.Verdict, f ...hostindex.Finding) hostindex.Cell {
		return hostindex.Cell{App: app, Class: class, Verdict: v, Findings: append([]hostindex.Finding{}, f...)}
	}
	m := &hostindex.Matrix{
		SchemaVersion: 1, Apps: []string{"lammps", "gromacs"},
		Hosts: []hostindex.MatrixHost{
			{Host: hostindex.Host{Name: "cpu1", Architecture: "amd64"}}, {Host: hostindex.Host{Name: "cpu2", Architecture: "amd64"}},
			{Host: hostindex.Host{Name: "old", Architecture: "amd64"}, Class: 1}, {Host: hostindex.Host{Name: "lost"}, Class: 2, Error: "no such file"},
		},
		Classes: []hostindex.Class{
			{Name: "cpu[1-2]", Hosts: []string{"cpu1", "cpu2"}, OS: "Rocky Linux 9.4", Kernel: "5.14", Architecture: "amd64", ISA: "x86-64-v3"},
			{Name: "old", Hosts: []string{"old"}, OS: "CentOS 7", Kernel: "3.10", Architecture: "amd64"},
			{Name: "lost", Hosts: []string{"lost"}, Error: "no such file"},
		},
		Cells: []hostindex.Cell{
			cell("lammps", 0, hostindex.Compatible), cell("gromacs", 0, hostindex.Incompatible, missing, isa),
			cell("lammps", 1, hostindex.Unknown, open), cell("gromacs", 1, hostindex.Incompatible, missing, isa),
			cell("lammps", 2, hostindex.Unknown), cell("gromacs", 2, hostindex.Unknown),
		},
	}
	m.Cells[4].Error, m.Cells[5].Error = "no such file", "no such file"
	return m
}

func TestMatrixText(t *testing.T) {
	got, err := MatrixText(sampleMatrix())
	same(t, got, err, `
2 apps on 4 machines of 3 classes: all start on 0, not all on 3, undecided on 1

machines  number  system                                   lammps   gromacs
cpu[1-2]  2       Rocky Linux 9.4, kernel 5.14, x86-64-v3  yes      no
old       1       CentOS 7, kernel 3.10, amd64             unknown  no
lost      1                                                error    error

lammps: unknown on old
  the CPU is not known
  remedy: look

gromacs: no on cpu[1-2], old (3 machines)
  libcuda.so.1 is not found
  remedy: install the driver
  and 1 more

not looked at:
  lost: no such file
`)
	if m := sampleMatrix(); func() bool { _, err := m.JSON(); return err != nil }() {
		t.Error("the matrix of this test is not one")
	}
	got, err = MatrixText(&hostindex.Matrix{})
	same(t, got, err, "nothing was compared\n")
}

// grid is a matrix of that size; app names have that length.
func grid(apps, classes, length int) *hostindex.Matrix {
	m := &hostindex.Matrix{}
	for i := range apps {
		m.Apps = append(m.Apps, fmt.Sprintf("app%0*d", length-3, i))
	}
	for c := range classes {
		name := fmt.Sprint("node", c)
		m.Classes = append(m.Classes, hostindex.Class{Name: name, Hosts: []string{name}, Architecture: "amd64"})
		m.Hosts = append(m.Hosts, hostindex.MatrixHost{Host: hostindex.Host{Name: name}, Class: c, Error: "e"})
		for _, a := range m.Apps {
			m.Cells = append(m.Cells, hostindex.Cell{App: a, Class: c, Verdict: hostindex.Incompatible, Findings: []hostindex.Finding{{Explanation: fmt.Sprint(c), Remedy: "r"}}})
		}
	}
	return m
}

// Where the table would be too wide, it is turned, or what stands across is
// numbered.
func TestMatrixTextForms(t *testing.T) {
	for _, c := range []struct {
		apps, classes, length int
		first                 []string // words of the tables' first lines
		fits                  bool
	}{
		{5, 3, 10, []string{"machines number system app0000000 app0000001 app0000002 app0000003 app0000004"}, true},
		{20, 3, 10, []string{" machines number system", "app [1] [2] [3]"}, true},
		{4, 30, 40, []string{"[1] app" + strings.Repeat("0", 37), "machines number system [1] [2] [3] [4]"}, true},
		{60, 40, 10, []string{" machines number system", "app"}, false},
	} {
		got, _ := MatrixText(grid(c.apps, c.classes, c.length))
		parts := strings.Split(string(got), "\n\n")
		for i, first := range c.first {
			line, _, _ := strings.Cut(parts[1+i], "\n")
			if words := strings.Join(strings.Fields(line), " "); !strings.HasPrefix(words, strings.TrimSpace(first)) {
				t.Errorf("%+v: part %d begins with %q", c, i, line)
			}
		}
		for line := range strings.Lines(strings.Join(parts[1:1+len(c.first)], "\n")) {
			if c.fits && utf8.RuneCountInString(line) > pageWidth+1 {
				t.Errorf("%+v: wide: %q", c, line)
			}
		}
		if !strings.HasSuffix(parts[len(parts)-1], "not looked at:\n"+lostLines(c.classes)) {
			t.Errorf("%+v: ends with %q", c, parts[len(parts)-1])
		}
	}
}

func lostLines(n int) string {
	var b strings.Builder
	for i := range min(n, maxLost) {
		fmt.Fprintf(&b, "  node%d: e\n", i)
	}
	if n > maxLost {
		fmt.Fprintf(&b, "  and %d more\n", n-maxLost)
	}
	return b.String()
}

func TestHostileMatrixText(t *testing.T) {
	for _, evil := range []string{"\x1b[2J", "a\nlammps: yes", "\r\x00\u009b", "%s", strings.Repeat("n", 1<<20), ""} {
		m := sampleMatrix()
		m.Apps[0] = evil
		m.Hosts[3].Name, m.Hosts[3].Error = evil, "e"+evil
		m.Classes[0].Name, m.Classes[0].OS = evil, evil
		m.Cells[2].Findings[0].Explanation, m.Cells[2].Findings[0].Remedy = evil, evil
		start := time.Now()
		got, err := MatrixText(m)
		if i := strings.IndexFunc(string(got), func(r rune) bool { return r < ' ' && r != '\n' || r >= 0x7f && r < 0xa0 }); err != nil || i >= 0 || time.Since(start) > time.Minute {
			t.Errorf("%.20q: %v, at %d, %v", evil, err, i, time.Since(start))
		}
		if n := strings.Count(string(got), "\n"); len(evil) < 1000 && n != 18 {
			t.Errorf("%.20q: %d lines:\n%s", evil, n, got)
		}
	}
}
