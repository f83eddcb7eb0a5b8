package sandbox_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/compspec/compat/pkg/internal/sandbox"
	"github.com/compspec/compat/pkg/internal/sandbox/sandboxtest"
)

func write(t *testing.T, path, text string, mode os.FileMode) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// copied is a copy of a program of the machine.
func copied(t *testing.T, program, path string) string {
	t.Helper()
	found, err := exec.LookPath(program)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(found)
	if err != nil {
		t.Fatal(err)
	}
	return write(t, path, string(text), 0o755)
}

func TestBoundFileIsSeen(t *testing.T) {
	exe := self(t)
	for _, c := range append(boundCallers(t), boundCallers(t, "-watch")...) {
		t.Run(c.name, func(t *testing.T) {
			dir := openDir(t)
			source := write(t, dir+"/source", "new\n", 0o644)
			target := write(t, dir+"/sub/target", "old\n", 0o644)
			// By the program, its children, and nobody else.
			script := `cat sub/target; (cat sub/target; true); setsid sh -c "cat ` + target + `; true"; cat source; touch ready; for i in $(seq 6000); do [ -e go ] && break; sleep 0.01; done`
			cmd := c.in(exe, []string{"-file", source + ":" + target, "-dir", dir}, "sh", "-c", script)
			done := make(chan struct{})
			go func() {
				defer close(done)
				waitFor(t, "start", func() bool { _, err := os.Stat(dir + "/ready"); return err == nil })
				if text, _ := os.ReadFile(target); string(text) != "old\n" {
					t.Errorf("outside: %q", text)
				}
				if text, _ := os.ReadFile("/proc/self/mountinfo"); strings.Contains(string(text), dir) {
					t.Error("mounted outside")
				}
				write(t, dir+"/go", "", 0o644)
			}()
			out, errs, status := run(t, cmd)
			if out != "new\nnew\nnew\nnew\n" || errs != "" || status != 0 {
				t.Errorf("status %d, %q %q", status, out, errs)
			}
			<-done
		})
	}
}

func TestBoundProgramHasItsPath(t *testing.T) {
	sandboxtest.Require(t, "gcc")
	exe := self(t)
	dir := openDir(t)
	build := func(args ...string) {
		t.Helper()
		if out, err := exec.Command("gcc", args...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	// The one that is bound finds its library below the place where it appears.
	write(t, dir+"/lib.c", "int n(void) { return 42; }", 0o644)
	write(t, dir+"/prog.c", "int n(void); int main(void) { return n(); }", 0o644)
	write(t, dir+"/opt/bin/prog", "no program", 0o755)
	write(t, dir+"/opt/lib/none", "", 0o644)
	build("-shared", "-fPIC", "-o", dir+"/opt/lib/libn.so", dir+"/lib.c")
	build("-o", dir+"/cache", dir+"/prog.c", "-L"+dir+"/opt/lib", "-ln", "-Wl,-rpath,$ORIGIN/../lib")
	readlink := copied(t, "readlink", dir+"/readlink")
	write(t, dir+"/opt/bin/rl", "no program", 0o755)
	for _, c := range append(boundCallers(t), boundCallers(t, "-watch")...) {
		_, errs, status := run(t, c.in(exe, []string{"-file", dir + "/cache:" + dir + "/opt/bin/prog"}, dir+"/opt/bin/prog"))
		if status != 42 {
			t.Errorf("%s: $ORIGIN: status %d, %q", c.name, status, errs)
		}
		out, errs, status := run(t, c.in(exe, []string{"-file", readlink + ":" + dir + "/opt/bin/rl"}, dir+"/opt/bin/rl", "/proc/self/exe"))
		if out != dir+"/opt/bin/rl\n" || status != 0 {
			t.Errorf("%s: status %d, %q %q", c.name, status, out, errs)
		}
	}
}

func TestBoundErrors(t *testing.T) {
	exe := self(t)
	dir := openDir(t)
	file := write(t, dir+"/file", "", 0o644)
	for _, c := range append(boundCallers(t), boundCallers(t, "-watch")...) {
		for _, w := range []struct {
			flags []string
			want  string
		}{
			{[]string{"-file", dir + "/nosuch:" + file}, "mount --bind " + file + ": no such file"},
			{[]string{"-file", file + ":" + file, "-file", file + ":" + dir + "/nosuch"}, "mount --bind " + dir + "/nosuch: no such file"},
			{[]string{"-file", file + ":" + dir}, "mount --bind " + dir + ": not a directory"},
			{[]string{"-file", "file:" + file}, "invalid argument"},
			{[]string{"-dir", dir + "/nosuch"}, "chdir " + dir + "/nosuch: no such file"},
		} {
			_, errs, status := run(t, c.in(exe, w.flags, "true"))
			if status != 125 || !strings.Contains(errs, w.want) {
				t.Errorf("%s %q: status %d, %q", c.name, w.flags, status, errs)
			}
		}
	}
}

// A file server that is mounted on demand appears inside too.
func TestBoundSeesLaterMounts(t *testing.T) {
	sandboxtest.Require(t, "unshare")
	exe := self(t)
	for _, c := range boundCallers(t) {
		dir := openDir(t)
		write(t, dir+"/mnt/below", "host", 0o644)
		write(t, dir+"/bound", "bound", 0o644)
		inner := c.in(exe, []string{"-file", dir + "/bound:" + dir + "/plain"}, "sh", "-c",
			"cat "+dir+"/plain; touch "+dir+"/ready; for i in $(seq 6000); do [ -e "+dir+"/mnt/later ] && break; sleep 0.01; done; cat "+dir+"/mnt/later")
		write(t, dir+"/plain", "plain", 0o644)
		script := `mount --make-rshared /; "$@" & for i in $(seq 6000); do [ -e ` + dir + `/ready ] && break; sleep 0.01; done
cat ` + dir + `/plain; mount -t tmpfs -o mode=755 none ` + dir + `/mnt; echo later >` + dir + `/mnt/new; chmod 644 ` + dir + `/mnt/new; mv ` + dir + `/mnt/new ` + dir + `/mnt/later; wait; umount ` + dir + `/mnt`
		cmd := exec.Command("/usr/bin/unshare", append([]string{"-m", "sh", "-c", script, "sh"}, inner.Args...)...)
		cmd.Dir, cmd.Env = "/", inner.Env
		if inner.SysProcAttr != nil { // AsUser's script makes a namespace, which here is a slave
			cmd.Args = append(append([]string{"unshare", "-m", "sh", "-c", script, "sh"}, "unshare", "-m", "--propagation", "slave"), inner.Args...)
		}
		out, errs, status := run(t, cmd)
		if out != "boundplainlater\n" || status != 0 {
			t.Errorf("%s: status %d, %q %q", c.name, status, out, errs)
		}
	}
}

func TestBoundInChroot(t *testing.T) {
	exe := self(t)
	callers(t)
	cmd := exec.Command("/usr/bin/unshare", "-m", "sh", "-c", `mount -t tmpfs none /mnt && mkdir -p /mnt/x && cd / && for d in usr proc dev tmp; do mkdir -p /mnt/x/$d; mount --rbind /$d /mnt/x/$d; done
for d in bin lib lib64 sbin; do ln -s usr/$d /mnt/x/$d; done; echo a >/mnt/x/a; echo b >/mnt/x/b; echo c >/mnt/x/c
exec chroot /mnt/x `+exe+` test-bound -file /a:/b -on /bin/cat=/a:/c -- sh -c 'cat /b; /bin/cat /c; exit 3'`)
	out, errs, status := run(t, cmd)
	if status != 3 || out != "a\na\n" {
		t.Errorf("status %d, %q %q", status, out, errs)
	}
}

func TestBoundUnsupported(t *testing.T) {
	sandboxtest.Require(t, "unshare", "setpriv")
	exe := self(t)
	callers(t)
	for _, probe := range []string{"", "-probe "} {
		script := "echo 0 >/proc/sys/user/max_user_namespaces; exec setpriv --bounding-set -sys_admin " + exe + " test-bound " + probe + "-- true"
		cmd := exec.Command("unshare", "-Urm", "sh", "-c", script)
		cmd.Dir = "/"
		_, errs, status := run(t, cmd)
		if status != 125 || !strings.Contains(errs, "no file can be mounted in private here: ") || !strings.Contains(errs, "user.max_user_namespaces is 0") || !strings.Contains(errs, "hint: ") {
			t.Errorf("%s: status %d, %q", probe, status, errs)
		}
	}
}

// A program or a main that is killed leaves neither process nor mount.
func TestBoundKilled(t *testing.T) {
	exe := self(t)
	for _, c := range boundCallers(t) {
		for _, victim := range []string{"main", "program"} {
			t.Run(c.name+" "+victim, func(t *testing.T) {
				dir := openDir(t)
				a, b := write(t, dir+"/a", "a", 0o644), write(t, dir+"/b", "b", 0o644)
				// The callback binds all the time, so that there is a mounter.
				flags := []string{"-file", a + ":" + b, "-on", "/usr/bin/cat=" + a + ":" + b, "-off", "/usr/bin/cat=" + b}
				cmd := c.in(exe, flags, "sh", "-c", "echo $$ >"+dir+"/pid; while :; do cat "+b+" >/dev/null || exit 3; [ -e "+dir+"/up ] || touch "+dir+"/up; done")
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				waitFor(t, "start", func() bool { _, err := os.Stat(dir + "/up"); return err == nil })
				var program int
				text, _ := os.ReadFile(dir + "/pid")
				if _, err := fmt.Sscan(string(text), &program); err != nil {
					t.Fatal(err)
				}
				// Open: or the next namespace that anybody makes gets its number.
				kept, err := os.Open(fmt.Sprintf("/proc/%d/ns/mnt", program))
				if err != nil {
					t.Fatal(err)
				}
				defer kept.Close()
				ns, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/mnt", program))
				if err != nil {
					t.Fatal(err)
				}
				pid := map[string]int{"main": cmd.Process.Pid, "program": program}[victim]
				if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
				cmd.Wait()
				waitFor(t, "all have ended", func() bool { return !alive(program) && !inNamespace(t, ns) })
				if status := cmd.ProcessState.ExitCode(); victim == "program" && status != 137 {
					t.Errorf("status %d", status)
				}
			})
		}
	}
}

func inNamespace(t *testing.T, ns string) bool {
	t.Helper()
	names, err := filepath.Glob("/proc/[0-9]*/ns/mnt")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if got, err := os.Readlink(name); err == nil && got == ns {
			return true
		}
	}
	return false
}

// Descriptors, threads' processes and mounters do not add up.
func TestBoundManyStarts(t *testing.T) {
	sandboxtest.RequireRoot(t)
	count := func() int {
		names, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(names)
	}
	dir := t.TempDir()
	a, b := write(t, dir+"/a", "a", 0o644), write(t, dir+"/b", "b", 0o644)
	once := func(path string, want int) {
		t.Helper()
		calls := 0
		p, err := sandbox.StartBound(sandbox.BoundConfig{
			Argv: []string{path, "-c", "/bin/true; [ $(/bin/cat " + b + ") = a ]"}, Path: path,
			Exec: func(e *sandbox.Exec) ([]sandbox.File, []string) {
				calls++
				return []sandbox.File{{Source: a, Target: b}}, nil
			},
		})
		if err != nil {
			if step, ok := err.(*sandbox.StepError); !ok || step.ExitStatus() != want {
				t.Fatal(err)
			}
			return
		}
		if status, err := p.Wait(); err != nil || status != want || calls != 2 {
			t.Fatalf("status %d, %v, %d calls", status, err, calls)
		}
	}
	once("/bin/sh", 0)
	before := count()
	for i := range 50 {
		if i%10 == 0 {
			once("/nosuch", 127)
		}
		once("/bin/sh", 0)
	}
	if after := count(); after > before {
		t.Errorf("%d descriptors, then %d", before, after)
	}
	var status syscall.WaitStatus
	if pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil); err != syscall.ECHILD {
		t.Errorf("a child is left: %d, %v", pid, err)
	}
}
