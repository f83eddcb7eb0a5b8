// Package loadertest asks the real dynamic loader, for tests that compare a
// prediction with it. Only tests import it.
//
// Two oracles: 85 small libc-free programs, each of which shows one rule of the
// loader (testdata/cases.sh builds them), and orc (testdata/orc.c), which starts
// any dynamic program with a preloaded library whose constructor exits with
// status 99 before any other code runs: 99 means that the loader mapped,
// version-checked and relocated everything.
//
// A package that uses Build or Orc runs its tests through Main:
//
//	func TestMain(m *testing.M) { os.Exit(loadertest.Main(m)) }
package loadertest

import (
	"embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

//go:embed testdata/cases.sh testdata/orc.c
var sources embed.FS

// count is how many cases cases.sh builds.
const count = 85

// workspace is where one test binary builds its fixtures, once.
type workspace struct {
	dir   string
	cases func() (*Cases, error)
	orc   func() (string, error) // path of the orc program

	muslOnce sync.Once
	musl     *Cases
	muslErr  error
}

// shared is the workspace of this test binary, between Main's start and end.
var shared *workspace

// Main runs the tests of a package with a workspace, and removes that
// afterwards. It returns the exit status for os.Exit.
func Main(m *testing.M) int {
	dir, err := os.MkdirTemp("", "loadertest-")
	if err == nil {
		// $ORIGIN is a real path: expectations are easier without symlinks.
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "loadertest:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	w := &workspace{dir: dir}
	w.cases = sync.OnceValues(w.buildCases)
	w.orc = sync.OnceValues(w.buildOrc)
	shared = w
	return m.Run()
}

// Require skips the test where one of the programs is not in PATH, or fails it
// if COMPAT_NO_SKIP=1, as in CI.
func Require(tb testing.TB, programs ...string) {
	tb.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			if os.Getenv("COMPAT_NO_SKIP") == "1" {
				tb.Fatalf("needs %s, and COMPAT_NO_SKIP forbids to skip", p)
			}
			tb.Skipf("needs %s", p)
		}
	}
}

// Cases are the built cases and the preload library of the oracle.
type Cases struct {
	dir string
	all []Case
}

// Build builds the cases, at the first call in a test binary (5 s), or skips
// the test where no compiler is (see Require).
func Build(tb testing.TB) *Cases {
	tb.Helper()
	w := use(tb)
	cases, err := w.cases()
	if err != nil {
		tb.Fatal(err)
	}
	return cases
}

func use(tb testing.TB) *workspace {
	tb.Helper()
	Require(tb, "bash", "gcc", "ld", "python3", Loader)
	if shared == nil {
		tb.Fatal("TestMain does not call loadertest.Main")
	}
	return shared
}

// All returns the cases, sorted by name.
func (c *Cases) All() []Case { return slices.Clone(c.all) }

// Get returns the case of that name, and fails the test if there is none.
func (c *Cases) Get(tb testing.TB, name string) Case {
	tb.Helper()
	i := slices.IndexFunc(c.all, func(x Case) bool { return x.Name == name })
	if i < 0 {
		tb.Fatalf("no case %q", name)
	}
	return c.all[i]
}

// Preload is the path of the oracle's preload library.
func (c *Cases) Preload() string { return preload(c.dir) }

func preload(dir string) string { return filepath.Join(dir, ".src", "first.so") }

// run runs a build command; what it says on stderr is an error, because
// cases.sh goes on after a failed compilation.
func run(name string, args ...string) error {
	cmd := exec.Command(name, args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	if err := cmd.Run(); err != nil || stderr.Len() > 0 {
		return fmt.Errorf("building fixtures with %s: %v: %s", name, err, stderr.String())
	}
	return nil
}

// source puts an embedded file into the workspace and returns its path.
func (w *workspace) source(name string) (string, error) {
	text, err := sources.ReadFile("testdata/" + name)
	if err != nil {
		return "", err
	}
	path := filepath.Join(w.dir, name)
	return path, os.WriteFile(path, text, 0o600)
}

func (w *workspace) buildCases() (*Cases, error) {
	c := &Cases{dir: filepath.Join(w.dir, "cases")}
	if err := w.fill(c.dir); err != nil {
		return nil, err
	}
	names, err := filepath.Glob(filepath.Join(c.dir, "[0-9a-z]*_*"))
	if err != nil {
		return nil, err
	}
	for _, dir := range names { // Glob sorts
		one, err := readCase(dir)
		if err != nil {
			return nil, err
		}
		c.all = append(c.all, one)
	}
	if len(c.all) != count {
		return nil, fmt.Errorf("built %d cases, want %d", len(c.all), count)
	}
	return c, nil
}

// fill builds the cases in dir, or copies those that COMPAT_TEST_CASES names:
// `make test` builds them once for all packages. A copy, because tests change
// them; $ORIGIN makes them work anywhere.
func (w *workspace) fill(dir string) error {
	if built := os.Getenv("COMPAT_TEST_CASES"); built != "" {
		return run("cp", "-a", built, dir)
	}
	script, err := w.source("cases.sh")
	if err != nil {
		return err
	}
	return run("bash", script, "build", dir)
}

func (w *workspace) buildOrc() (string, error) {
	source, err := w.source("orc.c")
	if err != nil {
		return "", err
	}
	program := filepath.Join(w.dir, "orc")
	return program, run("gcc", "-O2", "-w", "-static", "-o", program, source)
}
