package storm_test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/compspec/compat/pkg/internal/sandbox/sandboxtest"
	"github.com/compspec/compat/pkg/spindle/storm"
)

// TestStorm starts storms of each kind: all libraries are loaded from where they
// are, and a variant changes the sum.
func TestStorm(t *testing.T) {
	sandboxtest.Require(t, "gcc", "as", "ld")
	for name, o := range map[string]storm.Options{
		"runpath":       {N: 12},
		"rpath":         {N: 12, RPath: true},
		"rpath of exe":  {N: 12, RPath: true, ExeOnly: true},
		"dlopen":        {N: 12, Dlopen: 5, Size: 4096},
		"no dependency": {N: 3, Deps: -1, Functions: 2},
	} {
		t.Run(name, func(t *testing.T) {
			tree, err := storm.Build(t.TempDir(), o)
			if err != nil {
				t.Fatal(err)
			}
			out := start(t, tree.App(), storm.List, storm.Constructors, storm.Exe, storm.Info, storm.Soname(0))
			for i := range o.N {
				if strings.Count(out, tree.Lib(i)+"\n") != 1 {
					t.Errorf("%s is not loaded once:\n%s", tree.Lib(i), out)
				}
			}
			if !strings.Contains(out, fmt.Sprintf("%s path %s origin %s\n", storm.Soname(0), tree.Lib(0), filepath.Dir(tree.Lib(0)))) {
				t.Errorf("no origin of %s:\n%s", tree.Lib(0), out)
			}
			sum := start(t, tree.App())
			if err := tree.Variant(tree.Lib(1), 1, 1000); err != nil {
				t.Fatal(err)
			}
			if again := start(t, tree.App()); again == sum {
				t.Errorf("the sum is %s with a library worth 1000 too", sum)
			}
		})
	}
}

func start(t *testing.T, argv ...string) string {
	t.Helper()
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(argv, " "), err, out)
	}
	return string(out)
}
