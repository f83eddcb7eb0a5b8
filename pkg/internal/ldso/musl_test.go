package ldso

import (
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
