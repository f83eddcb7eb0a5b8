package spindle

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/compspec/compat/pkg/internal/loadertest"
)

// Each case of the loader's rules ends under a launch as it ends without: the
// same library was bound, or the same message is printed.
func TestCasesAsPlain(t *testing.T) {
	t.Setenv("COMPAT_CACHE", t.TempDir()+"/cache")
	views := map[string]int{}
	for _, c := range loadertest.Build(t).All() {
		env := []string{"LC_ALL=C", "PATH=/usr/bin:/bin"}
		for _, k := range slices.Sorted(maps.Keys(c.Env)) {
			env = append(env, k+"="+c.Env[k])
		}
		cache := "COMPAT_CACHE=" + t.TempDir() + "/cache"
		want := plainly(t, c.Dir, env, c.Program)
		if want.status == noExec {
			continue
		}
		for i := range 4 { // by a module or by paths; the second time by the plan that was kept
			env := append(slices.Clone(env), cache)
			if i >= 2 {
				env = append(env, "TEST_BYPATH=1")
			}
			got := launchOf(t, c.Dir, env, Bind, i%2 == 0, c.Program)
			// A launcher under the race detector has a loader of its own, which warns too.
			if strings.Contains(got.said, "LD_PRELOAD is set") && got.stderr == want.stderr+want.stderr {
				got.stderr = want.stderr
			}
			if got.status != want.status || got.stdout != want.stdout || got.stderr != want.stderr {
				t.Errorf("%s, launch %d: status %d, %q %q (%s); plainly %d, %q %q",
					c.Name, i, got.status, got.stdout, got.stderr, got.said, want.status, want.stdout, want.stderr)
			}
			views[got.said]++
		}
	}
	for said, n := range views {
		t.Logf("%3d %s", n, said)
	}
	if views["view: bind\n"] < 40 {
		t.Errorf("only %d launches were by an image", views["view: bind\n"])
	}
}
