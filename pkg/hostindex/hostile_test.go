package hostindex

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/internal/ldso"
	"github.com/compspec/compat/pkg/internal/loadertest"
)

// made is a spec that no program stands behind.
type made struct{ artifact.Spec }

const nowhere = "/compat-test-nowhere"

func (m *made) object(name string, e artifact.ELF) *artifact.Object {
	e.Class, e.Data, e.Type, e.Machine, e.Version, e.IdentVer, e.PhEntSize, e.Stack = 64, "little", "dyn", 62, 1, 1, 56, "rw"
	e.Loads = []artifact.Segment{{FileSz: 4096, MemSz: 4096, Align: 4096, Flags: "rw"}}
	e.Dynamic = &artifact.Segment{FileSz: 100, MemSz: 100, Flags: "rw"}
	m.Objects = append(m.Objects, artifact.Object{
		Path: nowhere + "/" + name, Role: "library", Travels: true, Size: 4096, Mode: "0755", ELF: &e, Symbols: &artifact.Symbols{},
	})
	return &m.Objects[len(m.Objects)-1]
}

func (m *made) program(name string, e artifact.ELF) *artifact.Object {
	interp := loadertest.Loader
	e.Interp, e.Flags1 = &interp, 0x08000000 // DF_1_PIE
	m.Programs = append(m.Programs, artifact.Program{Name: name, Path: nowhere + "/" + name, Kind: "program"})
	return m.object(name, e)
}

func needs(kind string, n int, name func(i int) string) (out []artifact.NeedName) {
	for i := range n {
		out = append(out, artifact.NeedName{Kind: kind, Name: name(i)})
	}
	return out
}

func numbered(format string) func(int) string {
	return func(i int) string { return strings.Replace(format, "%d", strconv.Itoa(i), 1) }
}

func ptr(s string) *string { return &s }

// A hostile document costs little more than its size: thousands of whatever a
// spec has, where each might be looked at for each other. These are all
// decided.
func TestThousandsAreDecidedSoon(t *testing.T) {
	loadertest.Require(t, loadertest.Loader)
	for _, c := range []struct {
		name string
		make func(m *made)
		want Verdict
	}{
		{"versions that are not there", func(m *made) {
			e := artifact.ELF{Needed: needs("needed", 1, numbered("liba.so")), RunPath: ptr("$ORIGIN"), Verneed: []artifact.Verneed{{File: "liba.so"}}}
			lib := artifact.ELF{}
			for i := range 60000 {
				lib.Verdef = append(lib.Verdef, artifact.Verdef{Name: fmt.Sprintf("V_%d", i), Index: 2})
				if i%10 == 0 {
					e.Verneed[0].Versions = append(e.Verneed[0].Versions, artifact.Version{Name: fmt.Sprintf("V%d_%d", i, i)})
				}
			}
			m.program("app", e)
			m.object("liba.so", lib)
		}, Incompatible},
		{"names of the greatest length", func(m *made) {
			m.program("app", artifact.ELF{Needed: needs("needed", 800, func(i int) string { return strings.Repeat("n", 60000+i) }), RunPath: ptr(strings.Repeat("/d:", 1000))})
		}, Incompatible},
		{"missing ones, and others like them", func(m *made) {
			m.program("app", artifact.ELF{Needed: needs("needed", 3000, numbered("l%d.so.9"))})
			for i := range 10000 {
				m.object(fmt.Sprintf("l%d.so.1", i), artifact.ELF{}).Path = fmt.Sprintf("/usr/lib/l%d.so.1", i)
			}
		}, Incompatible},
		{"a chain that ends in itself", func(m *made) {
			m.program("app", artifact.ELF{Needed: needs("needed", 1, numbered("l%d")), RPath: ptr("$ORIGIN")})
			for i := range 2000 {
				m.object(fmt.Sprintf("l%d", i), artifact.ELF{Needed: needs("needed", 2, func(j int) string { return fmt.Sprintf("l%d", (i+j)%2000) })})
			}
		}, Compatible},
		{"symbols in many objects", func(m *made) {
			app := m.program("app", artifact.ELF{Needed: needs("needed", 200, numbered("l%d")), RunPath: ptr("$ORIGIN")})
			for i := range 20000 {
				app.Symbols.Undefined = append(app.Symbols.Undefined, artifact.Symbol{Name: fmt.Sprintf("s%d", i), Ref: "data"})
			}
			for i := range 200 {
				lib := m.object(fmt.Sprintf("l%d", i), artifact.ELF{})
				for j := range 100 {
					lib.Symbols.Defined = append(lib.Symbols.Defined, artifact.Symbol{Name: fmt.Sprintf("s%d", i*100+j)})
				}
			}
		}, Compatible},
	} {
		t.Run(c.name, func(t *testing.T) {
			var m made
			c.make(&m)
			r, err := Check(context.Background(), &m.Spec, live(t), CheckOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if r.Verdict != c.want {
				t.Errorf("verdict %s, want %s: %.2000s", r.Verdict, c.want, text(r.Findings))
			}
			for _, f := range r.Findings {
				if f.Kind == string(ldso.GaveUp) {
					t.Errorf("%s", f.Explanation)
				}
			}
		})
	}
}

// What would take hours is given up: the verdict is open, or what was found
// by then decides it, and the report says so.
func TestEndlessSearchIsGivenUp(t *testing.T) {
	loadertest.Require(t, loadertest.Loader)
	dirs := func(format string) *string {
		var b strings.Builder
		for i := 0; b.Len() < 60000; i++ {
			fmt.Fprintf(&b, format+":", i)
		}
		return ptr(b.String())
	}
	for _, c := range []struct {
		name string
		make func(m *made)
		want Verdict
	}{
		{"every name in every directory", func(m *made) {
			m.program("app", artifact.ELF{Needed: needs("auxiliary", 20000, numbered("l%d")), RunPath: dirs("/usr/lib/../d%d")})
		}, Unknown},
		{"in directories of the machine", func(m *made) {
			m.program("app", artifact.ELF{Needed: needs("needed", 20000, numbered("l%d")), RunPath: dirs("/usr/lib/../../usr/lib//%.0d.")})
		}, Unknown},
		{"every ancestor's directories", func(m *made) {
			m.program("app", artifact.ELF{Needed: needs("needed", 1, numbered("l%d")), RPath: ptr("$ORIGIN")})
			list := dirs("/d%d")
			for i := range 1000 {
				m.object(fmt.Sprintf("l%d", i), artifact.ELF{Needed: needs("needed", 1, func(int) string { return fmt.Sprintf("l%d", i+1) }), RPath: list})
			}
		}, Unknown},
		{"links that wind", func(m *made) {
			m.program("app", artifact.ELF{Needed: needs("auxiliary", 20000, numbered("l%d")), RunPath: ptr("$ORIGIN/l0")})
			app := &m.Objects[0]
			for i := range 40 {
				app.Links = append(app.Links, artifact.Link{Path: fmt.Sprintf("%s/l%d", nowhere, i), Target: strings.Repeat("a/../", 800) + fmt.Sprintf("l%d", i+1)})
			}
			m.object("a/x", artifact.ELF{})
			m.object("l40/x", artifact.ELF{})
		}, Unknown},
		{"every symbol in every object", func(m *made) {
			app := m.program("app", artifact.ELF{Needed: needs("needed", 2000, numbered("l%d")), RunPath: ptr("$ORIGIN")})
			for i := range 20000 {
				app.Symbols.Undefined = append(app.Symbols.Undefined, artifact.Symbol{Name: fmt.Sprintf("s%d", i), Binding: "weak", Ref: "data"})
			}
			for i := range 2000 {
				m.object(fmt.Sprintf("l%d", i), artifact.ELF{})
			}
		}, Unknown},
		{"many programs of many libraries", func(m *made) {
			m.program("app", artifact.ELF{Needed: needs("needed", 2000, numbered("l%d")), RunPath: ptr("$ORIGIN")})
			for i := range 2000 {
				m.object(fmt.Sprintf("l%d", i), artifact.ELF{})
				m.Programs = append(m.Programs, m.Programs[0])
			}
		}, Unknown},
		{"many programs with many faults", func(m *made) {
			m.program("app", artifact.ELF{Needed: needs("needed", 100, func(i int) string { return strings.Repeat("n", 5000+i) })})
			for range 20000 {
				m.Programs = append(m.Programs, m.Programs[0])
			}
		}, Incompatible},
	} {
		t.Run(c.name, func(t *testing.T) {
			var m made
			c.make(&m)
			r := checked(t, &m.Spec, live(t), CheckOptions{steps: 1 << 22})
			last := r.Findings[len(r.Findings)-1]
			gaveUp := false
			for _, f := range r.Findings {
				gaveUp = gaveUp || f.Kind == string(ldso.GaveUp) && f.Severity == SeverityUnknown
			}
			if !gaveUp || r.Verdict != c.want {
				t.Errorf("verdict %s, want %s; given up: %t; the last finding: %.1000s", r.Verdict, c.want, gaveUp, text(last))
			}
			b, _ := r.JSON()
			if len(b) > 32<<20 {
				t.Errorf("a report of %d bytes", len(b))
			}
		})
	}
}

// A check that is cancelled ends, whatever the spec asks for.
func TestCheckIsCancelled(t *testing.T) {
	loadertest.Require(t, loadertest.Loader)
	var m made
	m.program("app", artifact.ELF{Needed: needs("auxiliary", 50000, numbered("l%d")), RunPath: ptr("")})
	var l strings.Builder
	for i := range 8000 {
		fmt.Fprintf(&l, "/d%d:", i)
	}
	m.Objects[0].ELF.RunPath = ptr(l.String())
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	r, err := Check(ctx, &m.Spec, live(t), CheckOptions{})
	if !errors.Is(err, context.DeadlineExceeded) || r != nil {
		t.Errorf("got %v, %v", r, err)
	}
	if d := time.Since(start); d > time.Minute {
		t.Errorf("took %v", d)
	}
	cancel()
	if _, err := Check(ctx, &m.Spec, live(t), CheckOptions{}); err == nil {
		t.Error("a cancelled check has a result")
	}
}
