package ldso

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compspec/compat/pkg/internal/loadertest"
)

// messages are those of problems that end a start, each once: the loader says
// one for each relocation.
func messages(r *Result) []string {
	var out []string
	for _, p := range r.Problems {
		if p.Severity == Error && strings.HasPrefix(p.Message, "Error ") {
			out = append(out, p.Message)
		}
	}
	return once(out)
}

func once(in []string) []string {
	out := slices.Clone(in)
	slices.Sort(out)
	return slices.Compact(out)
}

// refused is what the loader says first: where a library is missing, what it
// says of symbols follows from that, and is not predicted.
func refused(lines []string) []string {
	missing := slices.DeleteFunc(slices.Clone(lines), func(l string) bool { return !strings.HasPrefix(l, "Error loading") })
	if len(missing) > 0 {
		return once(missing)
	}
	return once(lines)
}

// asMusl compares a prediction with the loader: the verdict, the libraries in
// their order, and the messages.
func asMusl(t *testing.T, r *Result, v loadertest.MuslVerdict) {
	t.Helper()
	if starts(r) != v.Loaded {
		t.Errorf("predicted %t, but the loader says %t: %q\nproblems: %+v", starts(r), v.Loaded, v.Errors, r.Problems)
		return
	}
	if got, want := messages(r), refused(v.Errors); len(v.Errors) > 0 && !slices.Equal(got, want) {
		t.Errorf("predicted %q\nthe loader says %q", got, want)
	}
	if got, want := paths(r), loadedPaths(v.Maps); v.Loaded && !r.Static && got != want {
		t.Errorf("predicted %s\nloaded %s", got, want)
	}
}

// Each case shows one rule; the real loader is asked in the same run. It binds
// at once, asked to or not.
func TestCasesAgainstMusl(t *testing.T) {
	agree, cases := 0, loadertest.BuildMusl(t).All()
	for _, c := range cases {
		if t.Run(c.Name, func(t *testing.T) {
			v, err := c.Musl()
			if err != nil {
				t.Fatal(err)
			}
			for _, now := range []bool{false, true} {
				asMusl(t, liveMachine(t, c.Dir).Start(Request{Program: c.Program, Env: c.Env, BindNow: now, Symbols: true}), v)
			}
		}) {
			agree++
		}
	}
	t.Logf("%d of %d cases agree with the real loader of musl", agree, len(cases))
}

// Programs of /usr/bin, which were built for glibc, as musl's loader would
// start them: a part of the libraries is found, another C library is recognised,
// and hundreds of symbols are missing.
func TestProgramsAgainstMusl(t *testing.T) {
	loadertest.Require(t, loadertest.MuslLoader)
	programs := loadertest.DynamicPrograms("/usr/bin")
	if len(programs) > 100 {
		for i := range 100 { // from all over the alphabet
			programs[i] = programs[i*len(programs)/100]
		}
		programs = programs[:100]
	}
	dir := t.TempDir() // which keeps them all: a Machine knows files by their inode
	m := liveMachine(t, "/")
	// Those of glibc are in no directory that musl searches by itself.
	for _, env := range []map[string]string{{}, {"LD_LIBRARY_PATH": "/lib/x86_64-linux-gnu:/usr/lib/x86_64-linux-gnu:/lib64:/usr/lib64"}} {
		said, yes := 0, 0
		for _, p := range programs {
			copied := filepath.Join(dir, filepath.Base(p))
			if err := loadertest.ForMusl(p, copied); err != nil {
				t.Fatal(err)
			}
			v, err := loadertest.MuslList(copied, env)
			if err != nil {
				t.Fatal(err)
			}
			r := m.Start(Request{Program: copied, Env: env, Symbols: true})
			asMusl(t, r, v)
			if said += len(v.Errors); v.Loaded {
				yes++
			}
		}
		t.Logf("%d programs of /usr/bin with %d variables: %d would start, %d messages of the loader", len(programs), len(env), yes, said)
	}
}

// The absurd segments of a library, as for glibc. Those of a program are for the
// kernel to judge, whichever the loader.
func TestAbsurdSegmentsAgainstMusl(t *testing.T) {
	ok := loadertest.BuildMusl(t).Get(t, "01_ok")
	for _, c := range absurd {
		t.Run(c.name, func(t *testing.T) {
			c := makeAbsurd(t, ok, c.name, "lib/liba.so", c.edits)
			v, err := c.Musl()
			if err != nil {
				t.Fatal(err)
			}
			asMusl(t, liveMachine(t, c.Dir).Start(Request{Program: c.Program, Symbols: true}), v)
		})
	}
}
