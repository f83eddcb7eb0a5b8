package sandbox_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/compspec/compat/pkg/internal/sandbox"
	"github.com/compspec/compat/pkg/internal/sandbox/sandboxtest"
)

const nobody = 65534

// caller is one who runs programs in a view, or alone.
type caller struct {
	name string
	way  sandbox.Way
	uid  uint32
	mode []string // of this binary, with its flags
}

// containerCaps are podman's defaults.
const containerCaps = "-all,+chown,+dac_override,+fowner,+fsetid,+kill,+net_bind_service,+setfcap,+setgid,+setpcap,+setuid,+sys_chroot"

func callers(t *testing.T) []caller {
	t.Helper()
	sandboxtest.RequireRoot(t)
	view := []string{"test-main"}
	list := []caller{{"root", sandbox.Root, 0, view}, {"user", sandbox.UserNS, nobody, view}, {"container", sandbox.UserNS, 0, view}}
	if _, err := exec.LookPath("fusermount3"); err == nil {
		list = append(list, caller{"fusermount", sandbox.Fusermount, nobody, view})
	}
	return list
}

// boundCallers have no view, but files bound; flags are test-bound's.
func boundCallers(t *testing.T, flags ...string) []caller {
	t.Helper()
	var list []caller
	for _, c := range callers(t)[:3] {
		c.name += " " + strings.Join(append([]string{"bound"}, flags...), " ")
		c.mode = append([]string{"test-bound"}, flags...)
		list = append(list, c)
	}
	return list
}

// everyCaller is for what must be as alone in each way.
func everyCaller(t *testing.T) []caller {
	t.Helper()
	return append(append(callers(t), boundCallers(t)...), boundCallers(t, "-watch")...)
}

// self is the test binary where a user can execute it.
func self(t *testing.T) string {
	t.Helper()
	dir := openDir(t)
	exe, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "compat")
	if err := os.WriteFile(path, exe, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// openDir is a directory that everybody may use, unlike t.TempDir.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sandbox-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// No mount is ever made outside of private namespaces, so that this is safe;
		// it looks all the same.
		if text, err := os.ReadFile("/proc/self/mountinfo"); err != nil || strings.Contains(string(text), dir) {
			t.Errorf("%s stays: mounts below it, %v", dir, err)
			return
		}
		os.RemoveAll(dir)
	})
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	return dir
}

// in is the command that runs the program in a view; flags are test-main's.
func (c caller) in(exe string, flags []string, program ...string) *exec.Cmd {
	cmd := exec.Command(exe, append(append(append(c.flags(), flags...), "--"), program...)...)
	return c.as(cmd)
}

func (c caller) flags() []string { return append(slices.Clone(c.mode), "-way", string(c.way)) }

func (c caller) as(cmd *exec.Cmd) *exec.Cmd {
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), "PATH=/usr/bin:/bin:/usr/sbin:/sbin")
	switch {
	case c.uid != 0:
		sandboxtest.AsUser(cmd, c.uid, true)
	case c.way != sandbox.Root:
		cmd.Args = append([]string{"setpriv", "--bounding-set", containerCaps, "--", cmd.Path}, cmd.Args[1:]...)
		cmd.Path = "/usr/bin/setpriv"
	}
	return cmd
}

// run gives stdout, stderr and the exit status.
func run(t *testing.T, cmd *exec.Cmd) (stdout, stderr string, status int) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(5*time.Minute, func() {
		buf := make([]byte, 1<<16)
		fmt.Fprintf(os.Stderr, "timeout: %q\n%s\n", cmd.Args, buf[:runtime.Stack(buf, false)])
		cmd.Process.Kill()
	})
	defer timer.Stop()
	cmd.Wait()
	ws := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if ws.Signaled() {
		return out.String(), errs.String(), -int(ws.Signal())
	}
	return out.String(), errs.String(), ws.ExitStatus()
}

// What the program itself causes at once finds main's handlers there.
func TestListensFirst(t *testing.T) {
	exe := self(t)
	for _, c := range everyCaller(t) {
		for range 3 {
			cmd := c.in(exe, nil, "sh", "-c", `trap "" HUP; kill -HUP 0; exit 7`)
			if cmd.SysProcAttr == nil {
				cmd.SysProcAttr = &syscall.SysProcAttr{}
			}
			cmd.SysProcAttr.Setpgid = true
			if _, errs, status := run(t, cmd); status != 7 {
				t.Fatalf("%s: status %d, %q", c.name, status, errs)
			}
		}
	}
}

func TestExitStatus(t *testing.T) {
	exe := self(t)
	dir := openDir(t)
	notExec := filepath.Join(dir, "plain")
	noLine := filepath.Join(dir, "noline")
	badInterp := filepath.Join(dir, "badinterp")
	for file, c := range map[string]struct {
		text string
		mode os.FileMode
	}{notExec: {"exit 0", 0o644}, noLine: {"exit 7", 0o755}, badInterp: {"#!/nosuch\n", 0o755}} {
		if err := os.WriteFile(file, []byte(c.text), c.mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range everyCaller(t) {
		for _, w := range []struct {
			argv   []string
			status int
		}{
			{[]string{"true"}, 0}, {[]string{"false"}, 1}, {[]string{"sh", "-c", "exit 255"}, 255},
			{[]string{"sh", "-c", "kill -9 $$"}, 137}, {[]string{"sh", "-c", "kill -TERM $$"}, 143},
			{[]string{"sh", "-c", "kill -SEGV $$"}, 139}, {[]string{"sh", "-c", "kill -INT $$"}, 130},
			{[]string{"nosuchprogram"}, 127}, {[]string{"/nosuch/program"}, 127}, {[]string{notExec}, 126}, {[]string{"/"}, 126},
			{[]string{noLine}, 7}, {[]string{badInterp}, 127},
		} {
			out, errs, status := run(t, c.in(exe, nil, w.argv...))
			if status != w.status || out != "" {
				t.Errorf("%s %q: status %d, want %d; %q %q", c.name, w.argv, status, w.status, out, errs)
			}
		}
	}
}
