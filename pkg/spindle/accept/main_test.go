// Package accept_test starts programs plain and under the built binary's
// `compat spindle`, and compares what they did.
package accept_test

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/compspec/compat/pkg/spindle/storm"
)

var binary = flag.String("compat", "", "the binary to test; without it, it is built")

// commands are what the test binary does beside testing, by its first argument.
var commands = map[string]func(args []string) int{"slowstore": slowstore}

// work is a directory for what all tests of a run use, such as the binary.
var work string

func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		if f, ok := commands[os.Args[1]]; ok {
			os.Exit(f(os.Args[2:]))
		}
	}
	os.Exit(tests(m))
}

func tests(m *testing.M) int {
	var err error
	if work, err = os.MkdirTemp("", "compat-accept"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer remove(work)
	os.Chmod(work, 0o755) // users start what is in it
	for _, name := range []string{"LD_LIBRARY_PATH", "LD_PRELOAD", "COMPAT_CACHE"} {
		os.Unsetenv(name)
	}
	return m.Run()
}

var build = sync.OnceValues(func() (string, error) {
	if *binary != "" {
		return filepath.Abs(*binary)
	}
	to := filepath.Join(work, "compat")
	cmd := exec.Command("go", "build", "-o", to, "github.com/compspec/compat/cmd/compat")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building compat: %w\n%s", err, out)
	}
	return to, nil
})

// requireSpindle returns the binary.
func requireSpindle(t *testing.T) string {
	t.Helper()
	bin, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return bin
}

// newStorm builds a storm in a directory that every user can read.
func newStorm(t testing.TB, o storm.Options) *storm.Tree {
	t.Helper()
	tree, err := storm.Build(openDir(t), o)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// openDir is a directory of this test that every user can read, and root write.
func openDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp(work, "t")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { remove(dir) })
	os.Chmod(dir, 0o755)
	return dir
}

// remove removes a tree in which nothing is mounted: what is stays, with all around it.
func remove(dir string) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err == nil && !strings.Contains(string(text), dir) {
		os.RemoveAll(dir)
	}
}
