package ldso

import (
	"slices"
	"testing"

	"github.com/compspec/compat/pkg/internal/loadertest"
)

// The libc of another release than the loader: `make test-roots` has the real
// pairs, and every program crashes. Here the loader's release is changed.
func TestLibcOfAnotherRelease(t *testing.T) {
	c := loadertest.Build(t).Get(t, "e0_dlopen_missing") // links with libc
	for _, change := range []int{0, 1, -1} {
		m := liveMachine(t, c.Dir)
		l := realLoader(t, m)
		if l.Major != 2 {
			t.Skip("this loader does not tell its version")
		}
		l.Minor += change
		r := m.Start(Request{Program: c.Program, Env: c.Env, Symbols: true})
		found := slices.ContainsFunc(r.Problems, func(p Problem) bool {
			return p.Kind == ForeignLibc && p.Severity == Undecided && p.Name == "libc.so.6"
		})
		if found != (change != 0) || starts(r) != (change == 0) {
			t.Errorf("loader's release changed by %d: problems %+v", change, r.Problems)
		}
	}
}

func TestRelease(t *testing.T) {
	for _, c := range []struct {
		text  string
		minor int
		ok    bool
	}{
		{"GNU C Library (Debian GLIBC 2.41-12+deb13u5) stable release version 2.41.\n", 41, true},
		{"x\x00GNU C Library (GNU libc) development release version 2.42.9000.\n", 42, true},
		{"GNU C Library (", 0, false},
		{"GNU C Library", 0, false},
		{"", 0, false},
	} {
		if minor, ok := release([]byte(c.text), "GNU C Library ("); minor != c.minor || ok != c.ok {
			t.Errorf("%q: %d, %t, want %d, %t", c.text, minor, ok, c.minor, c.ok)
		}
	}
}
