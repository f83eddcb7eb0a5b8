package hostindex

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/internal/loadertest"
	"github.com/compspec/compat/schemas"
)

// apps are one that starts on a machine with glibc, and one that misses two
// libraries in each of its three programs.
func apps() []App {
	var good, bad made
	good.program("good", artifact.ELF{Needed: needs("needed", 1, numbered("libc.so.6"))})
	for i := range 3 {
		bad.program(fmt.Sprintf("bad%d", i), artifact.ELF{Needed: needs("needed", 1, numbered("liba.so")), RunPath: ptr("$ORIGIN")})
	}
	bad.object("liba.so", artifact.ELF{Needed: needs("needed", 2, numbered("libnone%d.so"))})
	return []App{{"good", &good.Spec}, {"bad", &bad.Spec}}
}

// node is this machine under another kernel.
func node(name, kernel string) Target {
	return Target{name, func() (*Index, error) {
		x, err := Live()
		if err == nil && kernel != "" {
			x.m.Kernel.Release = kernel
		}
		return x, err
	}}
}

func compared(t *testing.T, apps []App, targets []Target) *Matrix {
	t.Helper()
	m, err := Compare(context.Background(), apps, targets, CheckOptions{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := m.JSON()
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(b), "null") || doc["verdict"] != string(m.Verdict()) {
		t.Errorf("verdict %s of %s", m.Verdict(), b)
	}
	var back Matrix
	if err := json.Unmarshal(b, &back); err != nil || !reflect.DeepEqual(&back, m) {
		t.Errorf("the JSON says something else: %v, %s", err, b)
	}
	return m
}

func TestCompare(t *testing.T) {
	loadertest.Require(t, loadertest.Loader)
	var targets []Target
	for i := range 20 {
		targets = append(targets, node(fmt.Sprintf("cpu%02d", i), fmt.Sprintf("5.14.0-%d.el9", i)))
	}
	broken := func() (*Index, error) { return nil, errors.New("its index is damaged") }
	targets = append(targets, Target{"lost1", broken}, node("login", "6.1.0"), Target{"lost2", broken}, node("cpu20", "5.14"))
	m := compared(t, apps(), targets)

	want := []Class{
		{Name: "cpu[00-20]", Kernel: "5.14"}, {Name: "lost[1-2]"}, {Name: "login", Kernel: "6.1"},
	}
	if len(m.Classes) != len(want) || !slices.Equal(m.Apps, []string{"good", "bad"}) || len(m.Hosts) != len(targets) || len(m.Cells) != 6 {
		t.Fatalf("%s", text(m))
	}
	for i, c := range m.Classes {
		if c.Name != want[i].Name || c.Kernel != want[i].Kernel || (c.Architecture == "") != (i == 1) {
			t.Errorf("class %d: %+v", i, c)
		}
		for j, verdict := range [][]Verdict{{Compatible, Incompatible}, {Unknown, Unknown}, {Compatible, Incompatible}}[i] {
			cell := m.Cell(i, j)
			if cell.Verdict != verdict || cell.App != m.Apps[j] || cell.Class != i || (cell.Error != "") != (i == 1) {
				t.Errorf("class %d, app %d: %+v", i, j, cell)
			}
		}
	}
	for i, h := range m.Hosts {
		if h.Name != targets[i].Name || !slices.Contains(m.Classes[h.Class].Hosts, h.Name) || (h.Error != "") != (h.Class == 1) {
			t.Errorf("host %d: %+v", i, h)
		}
	}
	if m.Hosts[3].Kernel != "5.14.0-3.el9" || m.Verdict() != Incompatible {
		t.Errorf("%s, %+v", m.Verdict(), m.Hosts[3])
	}
	// Each of its programs misses both: they are named once.
	if f := m.Cell(0, 1).Findings; len(f) != 2 || f[0].Name != "libnone0.so" || f[1].Name != "libnone1.so" || len(f[0].Searched) == 0 {
		t.Errorf("%+v", f)
	}
	if e := m.Cell(1, 0).Error; e != "its index is damaged" {
		t.Errorf("%q", e)
	}
	reasons := m.Reasons()
	if len(reasons) != 1 || reasons[0].App != 1 || !slices.Equal(reasons[0].Classes, []int{0, 2}) || reasons[0].Cell != m.Cell(0, 1) {
		t.Errorf("%+v", reasons)
	}
	if got, want := m.Summary(), "2 apps on 24 machines of 3 classes: all start on 0, not all on 22, undecided on 2"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if a, b, c := m.Cell(0, 0).Answer(), m.Cell(0, 1).Answer(), m.Cell(1, 0).Answer(); a != "yes" || b != "no" || c != "error" {
		t.Errorf("%s, %s, %s", a, b, c)
	}
	for range 5 {
		if again := compared(t, apps(), targets); !reflect.DeepEqual(again, m) {
			t.Fatalf("not the same twice: %s\nand %s", text(again), text(m))
		}
	}
}

func TestCompareLittle(t *testing.T) {
	loadertest.Require(t, loadertest.Loader)
	none := compared(t, nil, nil)
	if none.Verdict() != Compatible || none.Reasons() != nil || none.Summary() != "nothing was compared" {
		t.Errorf("%+v", none)
	}
	if m := compared(t, nil, []Target{node("a", ""), node("b", "")}); len(m.Classes) != 1 || len(m.Hosts) != 2 || len(m.Cells) != 0 {
		t.Errorf("%+v", m)
	}
	if m := compared(t, apps(), nil); len(m.Cells) != 0 || len(m.Apps) != 2 {
		t.Errorf("%+v", m)
	}
	if m := compared(t, apps()[:1], []Target{node("", ""), node("", "")}); m.Summary() != "1 app on 2 machines of 1 class: all start on 2" || m.Verdict() != Compatible {
		t.Errorf("%+v", m)
	}
	// A spec that no file can be like fails its own cells.
	var odd made
	odd.program("odd", artifact.ELF{RunPath: ptr("a\x00b")})
	m := compared(t, append(apps()[:1], App{"odd", &odd.Spec}), []Target{node("a", "")})
	if len(m.Reasons()) != 1 {
		t.Errorf("%+v", m.Reasons())
	}
	if c := m.Cell(0, 1); c.Verdict != Unknown || c.Error == "" || m.Cell(0, 0).Verdict != Compatible {
		t.Errorf("%s", text(m))
	}
	// What the reasons are does not split the class of the unreachable.
	m = compared(t, apps(), []Target{
		{"x", func() (*Index, error) { return nil, errors.New("no file x") }}, {"y", func() (*Index, error) { return nil, errors.New("no file y") }},
	})
	if len(m.Classes) != 1 || !strings.Contains(m.Cell(0, 0).Error, "each for its own reason") || m.Hosts[1].Error != "no file y" {
		t.Errorf("%s", text(m))
	}
}

func TestCompareIsCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	opened := 0
	targets := make([]Target, 100)
	for i := range targets {
		targets[i].Open = func() (*Index, error) {
			cancel()
			opened++ // by no more goroutines than there are processors, each once
			return nil, os.ErrNotExist
		}
	}
	m, err := Compare(ctx, apps(), targets[:1], CheckOptions{})
	if !errors.Is(err, context.Canceled) || m != nil || opened != 1 {
		t.Errorf("%v, %v, opened %d", m, err, opened)
	}
	if _, err := Compare(ctx, apps(), targets, CheckOptions{}); !errors.Is(err, context.Canceled) || opened != 1 {
		t.Errorf("%v, opened %d", err, opened)
	}
}

func TestDecisiveFindings(t *testing.T) {
	var all []Finding
	for i := range 100 {
		for _, s := range []Severity{SeverityWarning, SeverityUnknown, SeverityError, SeverityLatent} {
			all = append(all, Finding{Kind: "symbol-missing", Severity: s, Program: "/p", Symbol: fmt.Sprint(i % 30), Explanation: "e", Remedy: "r"})
		}
	}
	got := decisive(all)
	if len(got) != maxFindings+1 || got[0].Severity != SeverityError || got[maxFindings].Explanation != "there are 44 more findings, which are not listed here" {
		t.Errorf("%s", text(got))
	}
	if got := decisive(nil); got == nil || len(got) != 0 {
		t.Errorf("%v", got)
	}
}

func TestSeries(t *testing.T) {
	for release, want := range map[string]string{"5.14.0-70.el9.x86_64": "5.14", "6.1": "6.1", "6.1-rc2": "6.1", "": "", "7": "7", "4.": "4.", ".": "."} {
		if got := series(release); got != want {
			t.Errorf("%q: %q, want %q", release, got, want)
		}
	}
}

func TestFoldNames(t *testing.T) {
	var all []string
	for i := range 1200 {
		all = append(all, fmt.Sprintf("n%d", i*2))
	}
	for want, names := range map[string][]string{
		"":                          nil,
		"a":                         {"a"},
		"n[08-11],n13,login,n[1-2]": {"n08", "n09", "n10", "n11", "n13", "login", "n1", "n2"},
		"n[9-10]":                   {"n9", "n10"},
		"n09,n011":                  {"n09", "n011"},
		"r1n1.x,r1n2.x":             {"r1n1.x", "r1n2.x"}, // the last digits do not end the name
		"[1-3]":                     {"1", "2", "3"},
		"n,n":                       {"n", "n"},
		"x9999999999999999999":      {"x9999999999999999999"},
		strings.Repeat("n", 500):    {strings.Repeat("n", 500)},
		"a and 1 more":              {"a", strings.Repeat("n", 500)},
		"n0,n2,n4,n6,n8,n10,n12,n14,n16,n18,n20,n22,n24,n26,n28,n30 and 1184 more": all,
	} {
		if got := foldNames(names); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// The matrix describes findings as the report does.
func TestMatrixSchemaFollowsReport(t *testing.T) {
	load := func(name string) (doc struct {
		Properties struct{ Findings struct{ Items any } }
		Defs       map[string]any `json:"$defs"`
	}) {
		if err := json.Unmarshal(schemas.Source(name), &doc); err != nil {
			t.Fatal(err)
		}
		return doc
	}
	r, m := load("report.v1.json"), load("matrix.v1.json")
	for what, pair := range map[string][2]any{
		"finding": {r.Properties.Findings.Items, m.Defs["finding"]}, "places": {r.Defs["places"], m.Defs["places"]}, "verdict": {r.Defs["verdict"], m.Defs["verdict"]},
	} {
		if pair[0] == nil || !reflect.DeepEqual(pair[0], pair[1]) {
			t.Errorf("%s: %s\nin the matrix %s", what, text(pair[0]), text(pair[1]))
		}
	}
}

func TestClassWords(t *testing.T) {
	for want, c := range map[string]Class{
		"":                           {},
		"arm64":                      {Architecture: "arm64"},
		"Rocky Linux 9.4, x86-64-v3": {OS: "Rocky Linux 9.4", Architecture: "amd64", ISA: "x86-64-v3"},
		"kernel 5.14":                {Kernel: "5.14"},
	} {
		if got := c.System(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	m := &Matrix{}
	for i := range 9 {
		m.Classes = append(m.Classes, Class{Name: fmt.Sprint("c", i), Hosts: make([]string, 1+i/3)})
	}
	for want, classes := range map[string][]int{
		"": nil, "c2": {2}, "c3 (2 machines)": {3}, "c0, c1, c2, c3, c4, c5 (9 machines)": {0, 1, 2, 3, 4, 5},
		"c2, c3, c4, c5, c6, 2 more classes (16 machines)": {2, 3, 4, 5, 6, 7, 8},
		"all machines": {0, 1, 2, 3, 4, 5, 6, 7, 8},
	} {
		if got := m.ClassNames(classes); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
