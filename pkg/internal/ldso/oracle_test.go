package ldso

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/compspec/compat/pkg/internal/loadertest"
)

func TestMain(m *testing.M) { os.Exit(loadertest.Main(m)) }

func liveMachine(t testing.TB, wd string) *Machine {
	t.Helper()
	m, err := Live(wd)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// starts is the prediction: the program gets as far as its first instruction.
func starts(r *Result) bool {
	if r.Program != nil && r.Program.Object.ELF.IsLibrary() {
		return false // executed, a library has no entry point to speak of
	}
	return r.OK()
}

func paths(r *Result) string {
	var out []string
	for _, m := range r.Maps {
		if m != r.Program && m.Dlopen == "" { // what is opened later, no loader lists
			out = append(out, m.Path)
		}
	}
	return strings.Join(out, " ")
}

func loadedPaths(l []loadertest.Loaded) string {
	var out []string
	for _, x := range l {
		if !x.Missing { // of a program that starts: an auxiliary filter
			out = append(out, x.Path)
		}
	}
	return strings.Join(out, " ")
}

// Each case shows one rule; the real loader is asked in the same run, under
// lazy and under immediate binding.
func TestCasesAgainstLoader(t *testing.T) {
	agree, total := 0, 0
	var table []string
	for _, c := range loadertest.Build(t).All() {
		total++
		row := c.Name
		ok := t.Run(c.Name, func(t *testing.T) {
			for _, now := range []bool{false, true} {
				m := liveMachine(t, c.Dir)
				r := m.Start(Request{Program: c.Program, Env: c.Env, BindNow: now, Symbols: true})
				first := c.First(now)
				want := first.Loaded()
				if r.Static { // no loader to preload anything
					e := c.Exec(now)
					want = e.ExecErr == nil && e.Signal == 0
				}
				row += fmt.Sprintf("\tpredicted %t\tloader %t", starts(r), want)
				if starts(r) != want {
					t.Errorf("now=%t: predicted %t, but the loader says %t (status %d, %v): %s\nproblems: %+v",
						now, starts(r), want, first.Status, first.ExecErr, first.Stderr, r.Problems)
				}
				if !want || r.Static {
					continue
				}
				l, err := c.Trace()
				if err != nil {
					t.Fatal(err)
				}
				if got, want := paths(r), loadedPaths(l); got != want {
					t.Errorf("now=%t: predicted %s\nloaded %s", now, got, want)
				}
			}
		})
		if ok {
			agree++
		} else {
			row += "\tDIFFERS"
		}
		table = append(table, row)
	}
	for _, row := range table { // case, then under lazy and under immediate binding
		t.Log(row)
	}
	t.Logf("%d of %d cases agree with the real loader", agree, total)
}

// Every dynamic program of /usr/bin: the same libraries in the same order, and
// the same verdict under immediate binding.
func TestProgramsAgainstLoader(t *testing.T) {
	programs := loadertest.DynamicPrograms("/usr/bin")
	if len(programs) == 0 {
		t.Skip("no dynamic program of ld-linux in /usr/bin")
	}
	oracle := loadertest.Orc(t, programs, true)
	m := liveMachine(t, "")
	compared, yes, lists := 0, 0, 0
	for _, p := range programs {
		if oracle[p].Skipped {
			continue
		}
		compared++
		r := m.Start(Request{Program: p, BindNow: true, Symbols: true})
		if starts(r) != oracle[p].Loaded() {
			t.Errorf("%s: predicted %t, but the loader ended with status %d: %s\nproblems: %+v", p, starts(r), oracle[p].Status, oracle[p].Stderr, r.Problems)
		}
		if !oracle[p].Loaded() {
			continue
		}
		yes++
		real, err := filepath.EvalSymlinks(p)
		if err != nil {
			t.Fatal(err)
		}
		l, err := loadertest.List(real)
		if err != nil {
			t.Errorf("%s: %v", p, err)
			continue
		}
		lists++
		if got, want := paths(r), loadedPaths(l); got != want {
			t.Errorf("%s: predicted %s\nloaded %s", p, got, want)
		}
	}
	t.Logf("%d dynamic programs of /usr/bin: verdicts compared with the real loader's (%d start), %d lists of libraries", compared, yes, lists)
}
