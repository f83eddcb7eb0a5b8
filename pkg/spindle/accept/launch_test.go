package accept_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/compspec/compat/pkg/internal/sandbox/sandboxtest"
)

// patience bounds a launch that hangs; no test waits for it to pass.
const patience = 5 * time.Minute

// launcher starts commands plain or under `compat spindle`.
type launcher struct {
	bin   string
	flags []string // of spindle
	cache string
	user  bool // as a user without rights, with a /dev/fuse that users may open
	dir   string
	env   []string // beside the environment of the tests
	stdin string
}

// nobody is the user that launches as users are done with.
const nobody = 65534

// newLauncher is one with a cache of its own.
func newLauncher(t testing.TB, bin string, user bool, flags ...string) *launcher {
	l := &launcher{bin: bin, flags: flags, cache: openDir(t), user: user}
	if user {
		if err := os.Chown(l.cache, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

// ended is how a command ended.
type ended struct {
	status         int // as a shell says it
	stdout, stderr string
}

func (l *launcher) spindle(argv ...string) []string {
	return append(append([]string{l.bin, "spindle"}, l.flags...), argv...)
}

// command makes a process of argv. A program that cannot be started is left to a
// shell, whose statuses are those that compat promises.
func (l *launcher) command(ctx context.Context, argv []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	if l.user {
		// env sets what is meant for the program, out of sight of the shell that makes a
		// user of it, and ends with a shell's statuses.
		cmd = exec.CommandContext(ctx, "/usr/bin/env", append(slices.Clone(l.env), argv...)...)
	} else if cmd.Err != nil || !executable(cmd.Path, l.dir) {
		cmd = exec.CommandContext(ctx, "/bin/sh", append([]string{"-c", `exec "$@"`, "sh"}, argv...)...)
	}
	cmd.Dir, cmd.Stdin, cmd.WaitDelay = l.dir, strings.NewReader(l.stdin), time.Minute
	cmd.Env = append(os.Environ(), "COMPAT_CACHE="+l.cache)
	if l.user {
		sandboxtest.AsUser(cmd, nobody, true)
	} else {
		cmd.Env = append(cmd.Env, l.env...)
	}
	return cmd
}

func executable(name, dir string) bool {
	if !filepath.IsAbs(name) {
		name = filepath.Join(dir, name)
	}
	st, err := os.Stat(name)
	return err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0
}

func (l *launcher) run(t testing.TB, argv []string) ended {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var out, errs bytes.Buffer
	cmd := l.command(ctx, argv)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if errors.Is(err, syscall.ENOEXEC) { // execvp(3) and shells go on with a shell
		return l.run(t, append([]string{"/bin/sh", "-c", `exec "$@"`, "sh"}, argv...))
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay) {
		t.Errorf("%s: %v", strings.Join(argv, " "), err)
	}
	if ctx.Err() != nil {
		t.Errorf("%s: did not end within %s", strings.Join(argv, " "), patience)
	}
	return ended{statusOf(cmd.ProcessState), out.String(), program(errs.String())}
}

// program is what a program wrote to standard error, without what compat says of
// how it was launched.
func program(stderr string) string {
	lines := slices.DeleteFunc(strings.SplitAfter(stderr, "\n"), func(l string) bool { return strings.HasPrefix(l, "compat: ") })
	return strings.Join(lines, "")
}

func statusOf(p *os.ProcessState) int {
	if p == nil {
		return -1
	}
	if w, ok := p.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		return 128 + int(w.Signal())
	}
	return p.ExitCode()
}

// differs says how a launch differs from a plain one, or "".
func differs(plain, got ended, stderr bool) string {
	switch {
	case plain.status != got.status:
		return "status " + itoa(got.status) + ", plain " + itoa(plain.status) + "\n" + got.stderr
	case plain.stdout != got.stdout:
		return "stdout:\n" + firstDifference(plain.stdout, got.stdout)
	case stderr && plain.stderr != got.stderr:
		return "stderr:\n" + firstDifference(plain.stderr, got.stderr)
	}
	return ""
}

func firstDifference(plain, got string) string {
	a, b := strings.Split(plain, "\n"), strings.Split(got, "\n")
	for i := range max(len(a), len(b)) {
		p, g := "(no line)", "(no line)"
		if i < len(a) {
			p = a[i]
		}
		if i < len(b) {
			g = b[i]
		}
		if p != g {
			return "line " + itoa(i+1) + "\n plain " + p + "\n  here " + g
		}
	}
	return ""
}

// leftovers are the mounts and processes that have to do with a storm or a cache.
// They are given a moment to end. Other mounts of compat are of other tests.
func leftovers(dirs ...string) []string {
	has := func(text string) bool {
		return slices.ContainsFunc(dirs, func(d string) bool { return strings.Contains(text, d) })
	}
	var found []string
	for range 2000 {
		found = nil
		text, _ := os.ReadFile("/proc/self/mountinfo")
		for line := range strings.Lines(string(text)) {
			if has(line) && !strings.Contains(line, " - tmpfs ") {
				found = append(found, "mount: "+line)
			}
		}
		for pid, what := range processes() {
			if has(what) {
				found = append(found, fmt.Sprintf("process %s: %.300s", pid, what))
			}
		}
		if len(found) == 0 {
			return nil
		}
		time.Sleep(30 * time.Millisecond)
	}
	return found
}

// processes are the others of this machine: their words, what they execute, their
// environments, and what they have open. A server has another environment than
// its program, and no words, but its files.
func processes() map[string]string {
	out := map[string]string{}
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, d := range dirs {
		pid := filepath.Base(d)
		if pid == strconv.Itoa(os.Getpid()) {
			continue
		}
		words, _ := os.ReadFile(filepath.Join(d, "cmdline"))
		environment, _ := os.ReadFile(filepath.Join(d, "environ"))
		what := string(words)
		links, _ := filepath.Glob(filepath.Join(d, "fd/*"))
		for _, l := range append(links, filepath.Join(d, "exe"), filepath.Join(d, "cwd")) {
			to, _ := os.Readlink(l)
			what += " " + to
		}
		out[pid] = strings.ReplaceAll(what+" "+string(environment), "\x00", " ")
	}
	return out
}
