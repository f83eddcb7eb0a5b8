package record_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/compspec/compat/pkg/record/trace"
)

// mounted starts a recorder that mounts, and waits until the view is there.
func mounted(t *testing.T, u *run, mnt string) {
	t.Helper()
	if err := u.Start(); err != nil {
		t.Fatal(err)
	}
	within(t, "mounted: "+mnt, func() bool {
		_, err := os.Stat(filepath.Join(mnt, "etc"))
		return err == nil
	})
	t.Cleanup(func() {
		for len(viewsAt(t, mnt)) > 0 {
			t.Error(mnt, "is still mounted")
			if syscall.Unmount(mnt, 2) != nil {
				return
			}
		}
	})
}

func viewsAt(t *testing.T, mnt string) (out []string) {
	t.Helper()
	for _, m := range fuseMounts(t) {
		if strings.Contains(m, " "+mnt+" ") {
			out = append(out, m)
		}
	}
	return out
}

func TestFaultMount(t *testing.T) {
	for _, c := range []struct {
		name   string
		signal syscall.Signal
		busy   bool
	}{
		{"interrupted", syscall.SIGINT, false}, {"terminated", syscall.SIGTERM, false}, {"busy", syscall.SIGTERM, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := faultRig(t, "root")
			mnt := r.path("view")
			if err := os.Mkdir(mnt, 0o755); err != nil {
				t.Fatal(err)
			}
			u := r.record("-mount", mnt)
			mounted(t, u, mnt)
			if out, err := exec.Command("cat", filepath.Join(mnt, "etc/passwd")).Output(); err != nil || len(out) == 0 {
				t.Error(err)
			}
			var user *exec.Cmd
			if c.busy {
				user = exec.Command("sh", "-c", "read x; cat passwd")
				user.Dir = filepath.Join(mnt, "etc")
				in, err := user.StdinPipe()
				if err != nil {
					t.Fatal(err)
				}
				var out syncBuffer
				user.Stdout = &out
				if err := user.Start(); err != nil {
					t.Fatal(err)
				}
				defer func() {
					in.Close()
					if err := user.Wait(); err != nil || out.String() == "" {
						t.Errorf("who used the view has lost it: %v, %q", err, out.String())
					}
				}()
			}
			u.Process.Signal(c.signal)
			u.status(0)
			if left := viewsAt(t, mnt); len(left) > 0 {
				t.Errorf("left: %q", left)
			}
			if names, err := os.ReadDir(mnt); err != nil || len(names) > 0 {
				t.Error(names, err)
			}
			got := u.recording()
			if got.footer == nil || got.footer.Exit != nil || !got.paths(trace.OpOpen)["/etc/passwd"] {
				t.Errorf("footer %+v, %d events", got.footer, len(got.events))
			}
		})
	}
}

// Whoever of the two is killed, the directory is as it was.
func TestFaultMountKilled(t *testing.T) {
	for _, victim := range []string{"main", "server"} {
		t.Run(victim, func(t *testing.T) {
			r := faultRig(t, "root")
			mnt := r.path("view of it") // mountinfo writes the blank otherwise
			if err := os.Mkdir(mnt, 0o755); err != nil {
				t.Fatal(err)
			}
			u := r.record("-mount", mnt)
			mounted(t, u, mnt)
			exec.Command("cat", filepath.Join(mnt, "etc/passwd")).Run()
			pid, status := u.Process.Pid, 137
			if victim == "server" {
				pid, status = u.child("compat-recorder"), 125
			}
			syscall.Kill(pid, syscall.SIGKILL)
			u.status(status)
			within(t, "unmounted", func() bool {
				text, err := os.ReadFile("/proc/self/mountinfo")
				return err == nil && !strings.Contains(string(text), `view\040of`)
			})
			if names, err := os.ReadDir(mnt); err != nil || len(names) > 0 {
				t.Error(names, err)
			}
			if got := u.recording(); !got.truncated {
				t.Error("a footer")
			}
			if victim == "server" && !said.MatchString(u.stderr.String()) {
				t.Error("no Result: the caller would think that nothing was recorded")
			}
		})
	}
}

// What cannot be mounted on stays as it is, a view of somebody else too.
func TestFaultMountPointInUse(t *testing.T) {
	r := faultRig(t, "root")
	mnt, full := r.path("view"), r.path("full")
	if err := os.MkdirAll(filepath.Join(full, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(mnt, 0o755); err != nil {
		t.Fatal(err)
	}
	first := r.record("-mount", mnt)
	mounted(t, first, mnt)
	for _, dir := range []string{mnt, full, "/proc", r.exe, r.path("no")} {
		u := r.record("-mount", dir)
		if err := u.Start(); err != nil {
			t.Fatal(err)
		}
		u.status(125)
		if !strings.Contains(u.stderr.String(), dir) {
			t.Errorf("%s: %s", dir, &u.stderr)
		}
	}
	if _, err := os.Stat(filepath.Join(mnt, "etc/passwd")); err != nil || len(viewsAt(t, mnt)) != 1 {
		t.Error("the first view has gone:", err)
	}
	first.Process.Signal(syscall.SIGTERM)
	first.status(0)
}
