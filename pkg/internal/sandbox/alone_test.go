package sandbox_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compspec/compat/pkg/internal/sandbox"
	"github.com/compspec/compat/pkg/internal/sandbox/sandboxtest"
)

// odd gives a process all that execve(2) keeps, and becomes the program.
const odd = `
import os, signal, resource, sys
os.umask(0o037)
os.chdir(sys.argv[1])
resource.setrlimit(resource.RLIMIT_NOFILE, (333, 4000))
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
resource.setrlimit(resource.RLIMIT_STACK, (4 << 20, 16 << 20))
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
for s in os.environ["IGNORE"].split():
    signal.signal(int(s), signal.SIG_IGN if int(s) != 13 else signal.SIG_DFL)
signal.pthread_sigmask(signal.SIG_SETMASK, {signal.SIGUSR1, signal.SIGALRM, signal.SIGRTMAX})
fd = os.open("/etc/passwd", os.O_RDONLY)
for n in (3, 7, 101, 250):
    if n != fd:
        os.dup2(fd, n)
    os.set_inheritable(n, True)
r, w = os.pipe()
os.dup2(r, 9), os.dup2(w, 10)
os.environ["GODEBUG"] = "inittrace=1"
os.environ["GOMAXPROCS"] = "3"
os.environ["ODD"] = "two\nlines"
if os.geteuid() == 0:
    os.setgroups([0, 4, 20])
os.nice(3)
os.execv(sys.argv[2], sys.argv[2:])
`

const tell = `
grep -E '^(Umask|Uid|Gid|Groups|Cap(Inh|Prm|Eff|Bnd|Amb)|NoNewPrivs|Seccomp|Name)' /proc/$$/status
ulimit -a; ulimit -H -a; pwd; env | sort | grep -v -E '^(_|PWD|OLDPWD|SHLVL)='; cut -d' ' -f5,19 /proc/$$/stat | sed 's/^[0-9]*//'
for f in /proc/$$/fd/*; do case $(readlink $f) in pipe*) echo fd ${f##*/} pipe;; ?*) echo fd ${f##*/} $(readlink $f);; esac; done
tr '\0' ' ' </proc/$$/cmdline; echo; tr '\0' ' ' </proc/$$/environ | wc -c; readlink /proc/$$/exe; echo $0 "$@"
`

func TestAsAlone(t *testing.T) {
	sandboxtest.Require(t, "python3", "setpriv")
	exe := self(t)
	dir := openDir(t)
	for i, c := range everyCaller(t) {
		// 13 is SIGPIPE, which python ignores by itself.
		t.Setenv("IGNORE", []string{"1 2 20 21 22 13", "13", "3 10 14 15 17 28 35 64", "2 3 21"}[i%4])
		// A shell sets signals; grep tells what it was started with.
		for _, program := range [][]string{{"/bin/sh", "-c", tell, "arg zero", "", "b c"}, {"/bin/grep", "Sig[BI]", "/proc/self/status"}} {
			args := append([]string{"-c", odd, dir}, program...)
			want, errs, status := run(t, c.as(exec.Command("/usr/bin/python3", args...)))
			if status != 0 || !strings.Contains(want, "ODD=two") && !strings.Contains(want, "SigBlk:\t8000000000002200") {
				t.Fatalf("alone: status %d, %s%s", status, want, errs)
			}
			args = append(append([]string{"-c", odd, dir, exe}, append(c.flags(), "--")...), program...)
			got, errs, status := run(t, c.as(exec.Command("/usr/bin/python3", args...)))
			if slices.Contains(c.mode, "-watch") {
				got, want = withoutSeccomp(got), withoutSeccomp(want)
			}
			if status != 0 || got != want {
				t.Errorf("%s: status %d\n%s", c.name, status, errs)
			}
			wants := append(strings.Split(want, "\n"), make([]string, 99)...)
			for i, line := range strings.Split(got, "\n") {
				if line != wants[i] {
					t.Errorf("%s: got %q, want %q", c.name, line, wants[i])
				}
			}
		}
	}
}

// withoutSeccomp: what is watched has a filter.
func withoutSeccomp(s string) string {
	return regexp.MustCompile("(?m)^Seccomp.*\n").ReplaceAllString(s, "")
}

// A directory that no path leads to any more, and one that the user may not
// walk to, are working directories all the same.
func TestUnreachableWorkingDirectory(t *testing.T) {
	exe := self(t)
	dir := openDir(t)
	locked := filepath.Join(dir, "locked", "in")
	if err := os.MkdirAll(locked, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(locked, "file"), []byte("here"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range everyCaller(t) {
		if err := os.Chmod(filepath.Dir(locked), 0o700); err != nil {
			t.Fatal(err)
		}
		cmd := c.in(exe, nil, "cat", "file")
		cmd.Dir = locked
		if out, errs, status := run(t, cmd); out != "here" || status != 0 {
			t.Errorf("%s: status %d, %q %q", c.name, status, out, errs)
		}
		script := `mkdir gone && cd gone && rmdir ../gone && exec "$@"`
		cmd = c.in(exe, nil, "sh", "-c", "ls -a | wc -l")
		cmd.Args = append([]string{"sh", "-c", script, "sh", cmd.Path}, cmd.Args[1:]...)
		cmd.Path, cmd.Dir = "/bin/sh", dir
		if out, errs, status := run(t, cmd); strings.TrimSpace(out) != "0" || status != 0 {
			t.Errorf("%s: status %d, %q %q", c.name, status, out, errs)
		}
	}
}

func TestLookPath(t *testing.T) {
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"prog": 0o755, "plain": 0o644} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	for _, c := range []struct {
		name, path, want string
		status           int
	}{
		{"prog", "/nosuch:" + dir, dir + "/prog", 0},
		{"prog", "/nosuch:", "./prog", 0},
		{"./prog", "", "./prog", 0},
		{"plain", "/nosuch:" + dir + ":/bin", "", 126},
		{"./plain", "", "", 126},
		{"nosuch", dir + ":/bin", "", 127},
		{"plain/x", dir, "", 127},
		{"", dir, "", 127},
		{dir, "", "", 126},
	} {
		got, err := sandbox.LookPath(c.name, c.path)
		status := 0
		if step, ok := err.(*sandbox.StepError); ok {
			status = step.ExitStatus()
		}
		if got != c.want && c.status == 0 || status != c.status {
			t.Errorf("%q in %q: got %q, %v, status %d", c.name, c.path, got, err, status)
		}
	}
}
