package accept_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/compspec/compat/pkg/internal/sandbox/sandboxtest"
	"github.com/compspec/compat/pkg/spindle/storm"
)

// beside is what a start opens beside its libraries: ld.so.cache, libc, and such.
const beside = 12

// TestOpens: a start opens its libraries and little else, nothing that is not
// there, and has the same objects in the same order.
func TestOpens(t *testing.T) {
	bin := requireSpindle(t)
	opens(t, bin, false, storm.Options{N: 100}, "auto")
}

// opens compares one storm under each view, on the first launch and with a plan.
func opens(t *testing.T, bin string, user bool, o storm.Options, views ...string) {
	t.Helper()
	sandboxtest.Require(t, "gcc", "as", "ld", "strace")
	tree := newStorm(t, o)
	argv := []string{tree.App(), storm.List, storm.Constructors, storm.Exe, storm.Info, storm.Soname(0)}
	for _, view := range views {
		flags := []string{"--view", view, "--require"}
		for i := tree.Linked(); i < tree.N; i++ {
			flags = append(flags, "--dlopen", storm.Soname(i))
		}
		l := newLauncher(t, bin, user, flags...)
		plain, plainCount := traced(t, l, argv)
		for _, when := range []string{"first launch", "launch with a plan"} {
			got, count := traced(t, l, l.spindle(argv...))
			if how := differs(plain, got, true); how != "" {
				t.Errorf("%s, %s: %s", view, when, how)
			}
			t.Logf("%s, %s: %d opens, %d of them missing; plain %d, %d", view, when, count.all, count.missing, plainCount.all, plainCount.missing)
			if count.all < o.N || count.all > o.N+beside || count.missing > 0 {
				t.Errorf("%s, %s: %d opens (want %d to %d), missing %d: %q", view, when, count.all, o.N, o.N+beside, count.missing, count.names)
			}
		}
	}
}

// openCount is what a program's process opened since it became the program.
type openCount struct {
	all, missing int
	names        []string // the first that are missing
}

// traced runs argv, as strace sees it.
func traced(t *testing.T, l *launcher, argv []string) (ended, openCount) {
	t.Helper()
	log := filepath.Join(l.cache, "strace")
	defer os.Remove(log)
	strace := []string{"strace", "-f", "-qq", "-s", "200", "-e", "signal=none", "-e", "trace=openat,openat2,open,execve,execveat", "-o", log}
	e := l.run(t, append(strace, argv...))
	text, err := os.ReadFile(log)
	must(t, err)
	return e, countOpens(string(text), "/bin/app")
}

var (
	opened   = regexp.MustCompile(`^(\d+) +(?:openat2?|open)\((?:[^"]*)"([^"]*)".* = (-?\d+)(?: (\w+))?`)
	executed = regexp.MustCompile(`^(\d+) +(execve\("([^"]*)"|execveat\().* = (0)$`)
	resumed  = regexp.MustCompile(`^(\d+) +<\.\.\. (\w+) resumed>`)
)

// countOpens counts those of the processes that became the program, from then on.
// What compat itself opens before belongs to nobody's program.
func countOpens(log, program string) openCount {
	var total openCount
	is, begun := map[string]*openCount{}, map[string]string{}
	for line := range strings.Lines(log) {
		line = strings.TrimSpace(line)
		pid, _, _ := strings.Cut(line, " ")
		if whole, ok := strings.CutSuffix(line, " <unfinished ...>"); ok {
			begun[pid] = whole
			continue
		}
		if m := resumed.FindString(line); m != "" {
			line = begun[pid] + strings.TrimPrefix(line, m)
		}
		if m := executed.FindStringSubmatch(line); m != nil {
			is[pid] = nil
			if strings.HasSuffix(m[3], program) || m[3] == "" {
				is[pid] = &openCount{}
			}
		}
		if m := opened.FindStringSubmatch(line); m != nil && is[pid] != nil {
			is[pid].all++
			if m[4] == "ENOENT" {
				is[pid].missing++
				if len(is[pid].names) < 5 {
					is[pid].names = append(is[pid].names, m[2])
				}
			}
		}
	}
	for _, c := range is {
		if c != nil {
			total = openCount{total.all + c.all, total.missing + c.missing, append(total.names, c.names...)}
		}
	}
	return total
}

// TestCountOpens: the oracle counts what a plain start of a storm is known to open.
func TestCountOpens(t *testing.T) {
	log := `10 execve("/x/compat", ["compat"], 0x1 /* 3 vars */) = 0
10 openat(AT_FDCWD, "/x/plan", O_RDONLY) = 3
11 openat(AT_FDCWD, "/x/lib/one.so", O_RDONLY) = 3
10 execve("/x/bin/app", ["app"], 0x1 /* 3 vars */ <unfinished ...>
11 openat(AT_FDCWD, "/none", O_RDONLY) = -1 ENOENT (No such file or directory)
10 <... execve resumed>) = 0
10 openat(AT_FDCWD, "/x/lib/one.so", O_RDONLY|O_CLOEXEC <unfinished ...>
11 openat(AT_FDCWD, "/none", O_RDONLY) = 5
10 <... openat resumed>) = 3
10 openat(AT_FDCWD, "/x/none.so", O_RDONLY|O_CLOEXEC) = -1 ENOENT (No such file or directory)
`
	got := countOpens(log, "/bin/app")
	if got.all != 2 || got.missing != 1 || len(got.names) != 1 || got.names[0] != "/x/none.so" {
		t.Errorf("counted %+v", got)
	}
	sandboxtest.Require(t, "gcc", "as", "ld", "strace")
	tree := newStorm(t, storm.Options{N: 10})
	_, count := traced(t, newLauncher(t, "", false), []string{tree.App()})
	if count.missing < 10*9/2 || count.all-count.missing < 11 {
		t.Errorf("a plain start of 10 libraries opens %d, of which %d are missing", count.all, count.missing)
	}
}
