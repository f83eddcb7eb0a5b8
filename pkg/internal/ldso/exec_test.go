package ldso

import (
	"path/filepath"
	"testing"

	"github.com/compspec/compat/pkg/internal/loadertest"
)

// Programs that are damaged where the kernel does not look, or the loader does
// not expect it.
func TestDamagedProgramsAgainstLoader(t *testing.T) {
	dir := graphDir(t)
	for i, c := range []struct {
		hurt string
		app  elfSpec
	}{
		{"", elfSpec{}},
		{"no-dynamic", elfSpec{}}, {"no-dynamic", elfSpec{Exec: true}}, {"no-dynamic", elfSpec{Needs: needed("libc.so.6")}},
		{"class:1", elfSpec{}}, {"class:3", elfSpec{}}, {"class:1", elfSpec{Exec: true}}, {"class:0", elfSpec{Needs: needed("libc.so.6")}},
		{"data:2", elfSpec{}}, {"ident-version:0", elfSpec{}}, {"osabi:9", elfSpec{}}, {"abi-version:7", elfSpec{}}, {"pad:1", elfSpec{}}, {"version:0", elfSpec{}},
		{"machine:3", elfSpec{}}, {"machine:183", elfSpec{}}, {"type:1", elfSpec{}}, {"phentsize:64", elfSpec{}},
	} {
		c.app.Interp = loadertest.Loader
		g := graph{Program: "./app", Files: []graphFile{{Path: "app", ELF: &c.app, Hurt: c.hurt}}}
		run := g.start(filepath.Join(dir, string(rune('a'+i))))
		if err := g.write(run.Dir); err != nil {
			t.Fatal(err)
		}
		for _, env := range []map[string]string{{}, {"LD_PRELOAD": "libm.so.6"}} {
			run.Env = env
			r := liveMachine(t, run.Dir).Start(Request{Program: "./app", Env: env, Symbols: true})
			if o := run.Exec(false); starts(r) != (o.ExecErr == nil && o.Status == 42) {
				t.Errorf("%s %v %s: predicted %t; %v, status %d: %s\n%s", c.hurt, env, g, starts(r), o.ExecErr, o.Status, o.Stderr, shortly(r))
			}
		}
	}
}
