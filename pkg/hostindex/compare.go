package hostindex

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/compspec/compat/pkg/artifact"
)

// App is what is to run: the programs of a spec.
type App struct {
	Name string
	Spec *artifact.Spec
}

// Target is a machine to run on. Open is called once, and its Index dropped
// when all apps were checked, so that a thousand need not be in memory.
type Target struct {
	Name string
	Open func() (*Index, error)
}

// Compare checks every app against every target, several targets at a time. A
// target that cannot be opened, or a check that fails, is part of the result;
// the error is that of ctx. The same input gives the same matrix.
func Compare(ctx context.Context, apps []App, targets []Target, opts CheckOptions) (*Matrix, error) {
	c := comparison{apps: apps, opts: opts, hosts: make([]MatrixHost, len(targets)), answers: make([]*answer, len(targets)), known: map[[sha256.Size]byte]*answer{}}
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(targets)) {
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(targets) && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				c.look(ctx, i, targets[i])
			}
		})
	}
	workers.Wait()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return c.matrix(), nil
}

type comparison struct {
	apps    []App
	opts    CheckOptions
	hosts   []MatrixHost // by target
	answers []*answer    // by target

	mu    sync.Mutex
	known map[[sha256.Size]byte]*answer
}

// answer is what the machines of one class have in common.
type answer struct {
	class Class
	first int // index of the target that the cells are from
	cells []Cell
}

// look checks the apps against one target.
func (c *comparison) look(ctx context.Context, i int, t Target) {
	a := &answer{first: i}
	host, err := t.Open()
	if err != nil {
		c.hosts[i] = MatrixHost{Host: Host{Name: t.Name}, Error: err.Error()}
	} else {
		h := host.Host()
		h.Name = t.Name
		c.hosts[i] = MatrixHost{Host: h}
		a.class = Class{Architecture: h.Architecture, Kernel: series(h.Kernel), ISA: h.ISA, OS: h.OS}
		for _, app := range c.apps {
			a.cells = append(a.cells, cell(ctx, app, host, c.opts))
		}
	}
	key := a.key()
	c.mu.Lock()
	defer c.mu.Unlock()
	known := c.known[key]
	if known == nil {
		known = a
		c.known[key] = a
	} else if i < known.first {
		*known = *a // whichever came first, the places searched are the first host's
	}
	c.answers[i] = known
}

// cell checks one app against one machine.
func cell(ctx context.Context, app App, host *Index, opts CheckOptions) Cell {
	r, err := Check(ctx, app.Spec, host, opts)
	if err != nil {
		return Cell{App: app.Name, Verdict: Unknown, Findings: []Finding{}, Error: err.Error()}
	}
	return Cell{App: app.Name, Verdict: r.Verdict, Findings: decisive(r.Findings)}
}

// maxFindings is how many findings a cell keeps: there may be thousands of
// symbols missing, and what is to be seen is that they are.
const maxFindings = 16

// decisive are the errors and unknowns, one of those that differ in the program
// only.
func decisive(findings []Finding) []Finding {
	type key struct{ kind, severity, object, requester, name, version, symbol, explanation string }
	seen := map[key]bool{}
	out := []Finding{}
	for _, f := range findings {
		k := key{f.Kind, string(f.Severity), f.Object, f.Requester, f.Name, f.Version, f.Symbol, f.Explanation}
		if f.Severity != SeverityError && f.Severity != SeverityUnknown || seen[k] {
			continue
		}
		seen[k] = true
		out = append(out, f)
	}
	// Each program's come with its errors first; all errors go before unknowns.
	slices.SortStableFunc(out, func(a, b Finding) int { return rank(a.Severity) - rank(b.Severity) })
	if more := len(out) - maxFindings; more > 0 {
		next := out[maxFindings]
		out = append(out[:maxFindings:maxFindings], Finding{
			Kind: "more-problems", Severity: next.Severity, Program: next.Program,
			Explanation: fmt.Sprintf("there are %d more findings, which are not listed here", more), Remedy: "mend these first, or check this app alone on such a machine",
		})
	}
	return out
}

// key is the same for machines of one class. Where names were searched does not
// count: a directory more or less there changes no verdict by itself.
func (a *answer) key() [sha256.Size]byte {
	h := sha256.New()
	e := json.NewEncoder(h)
	_ = e.Encode(a.class) // a hash takes everything, and these types are plain
	for _, c := range a.cells {
		bare := slices.Clone(c.Findings)
		for i := range bare {
			bare[i].Searched = nil
		}
		c.Findings = bare
		_ = e.Encode(c)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// matrix numbers the classes and gathers the cells.
func (c *comparison) matrix() *Matrix {
	m := &Matrix{SchemaVersion: 1, Apps: []string{}, Hosts: c.hosts, Classes: []Class{}, Cells: []Cell{}}
	for _, a := range c.apps {
		m.Apps = append(m.Apps, a.Name)
	}
	numbers := map[*answer]int{}
	for i, a := range c.answers {
		n, ok := numbers[a]
		if !ok {
			n = len(m.Classes)
			numbers[a] = n
			a.class.Error = m.Hosts[i].Error
			m.Classes = append(m.Classes, a.class)
		}
		h, class := &m.Hosts[i], &m.Classes[n]
		h.Class = n
		class.Hosts = append(class.Hosts, h.Name)
		if h.Error != class.Error {
			class.Error = "these machines could not be looked at, each for its own reason"
		}
	}
	for a, n := range numbers {
		if msg := m.Classes[n].Error; msg != "" {
			for _, app := range m.Apps {
				a.cells = append(a.cells, Cell{App: app, Verdict: Unknown, Findings: []Finding{}, Error: msg})
			}
		}
		for i := range a.cells {
			a.cells[i].Class = n
		}
		m.Cells = append(m.Cells, a.cells...)
	}
	slices.SortStableFunc(m.Cells, func(a, b Cell) int { return a.Class - b.Class })
	for i := range m.Classes {
		m.Classes[i].Name = foldNames(m.Classes[i].Hosts)
	}
	return m
}

// series is the part of a kernel release that says what the kernel can do:
// "5.14" of "5.14.0-70.el9.x86_64". Nodes of one cluster differ in the rest.
func series(release string) string {
	major, rest, ok := strings.Cut(release, ".")
	if !ok {
		return release
	}
	minor, _, _ := strings.Cut(rest, ".")
	minor, _, _ = strings.Cut(minor, "-")
	return major + "." + minor
}
