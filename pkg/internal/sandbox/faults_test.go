package sandbox_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/compspec/compat/pkg/internal/sandbox"
	"github.com/compspec/compat/pkg/internal/sandbox/sandboxtest"
)

// inProcess runs a program in a view, with this test as main.
func inProcess(t *testing.T, argv []string) int {
	t.Helper()
	p, wait, err := startHere(t, sandbox.Config{Argv: argv, Path: argv[0], Env: os.Environ()})
	defer wait()
	var step *sandbox.StepError
	if errors.As(err, &step) {
		return step.ExitStatus()
	}
	if err != nil {
		t.Fatal(err)
	}
	status, err := p.Wait()
	if err != nil {
		t.Fatal(err)
	}
	return status
}

func startHere(t *testing.T, cfg sandbox.Config) (p *sandbox.Process, wait func(), err error) {
	t.Helper()
	cfg.Way = sandboxtest.RequireFUSE(t)
	server, socket, err := startServer()
	if err != nil {
		t.Fatal(err)
	}
	cfg.Server = socket
	p, err = sandbox.Start(cfg)
	socket.Close()
	return p, func() { server.Wait() }, err
}

// alive is false of zombies too.
func alive(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	return !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X")
}

func waitFor(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if cond() {
			return
		}
	}
	t.Errorf("not within 2 minutes: %s", what)
}

func TestKilled(t *testing.T) {
	exe := self(t)
	tmp := openDir(t)
	for _, c := range callers(t) {
		for _, victim := range []string{"main", "server", "program"} {
			t.Run(c.name+" "+victim, func(t *testing.T) {
				mounts := mountinfo(t, tmp)
				dir := openDir(t)
				file := filepath.Join(dir, "pids")
				cmd := c.in(exe, []string{"-pids", file}, "sh", "-c", "while :; do cat /etc/passwd >/dev/null || exit 3; done")
				cmd.Env = append(cmd.Env, "TMPDIR="+tmp)
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				var server, program int
				waitFor(t, "start", func() bool {
					text, _ := os.ReadFile(file)
					_, err := fmt.Sscan(string(text), &server, &program)
					return err == nil
				})
				pid := map[string]int{"main": cmd.Process.Pid, "server": server, "program": program}[victim]
				if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
				cmd.Wait()
				waitFor(t, "all have ended", func() bool { return !alive(server) && !alive(program) })
				if got := mountinfo(t, tmp); got != mounts {
					t.Errorf("mounts differ:\n%s\n%s", mounts, got)
				}
				if status := cmd.ProcessState.ExitCode(); victim == "program" && status != 137 {
					t.Errorf("status %d", status)
				}
			})
		}
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// A server that answers nothing, or ends, is an error of the start.
func TestServerFails(t *testing.T) {
	way := sandboxtest.RequireFUSE(t)
	for _, end := range []bool{true, false} {
		pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_SEQPACKET|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		socket := os.NewFile(uintptr(pair[0]), "stage")
		go func() {
			defer syscall.Close(pair[1])
			if end {
				return
			}
			conn := sandbox.NewConn(pair[1])
			if _, dev, err := conn.Mounted(); err == nil {
				dev.Close()
				conn.Refuse("no memory")
			}
		}()
		_, err = sandbox.Start(sandbox.Config{Argv: []string{"true"}, Path: "/bin/true", Way: way, Server: socket})
		socket.Close()
		if err == nil || !end && !strings.Contains(err.Error(), "no memory") {
			t.Errorf("ends %t: %v", end, err)
		}
	}
}

// Ranks of one node: the second enters the view of the first.
func TestJoinAndKillView(t *testing.T) {
	exe := self(t)
	_ = exe
	p, wait, err := startHere(t, sandbox.Config{Argv: []string{"sleep", "1000"}, Path: "/bin/sleep", Env: os.Environ()})
	if err != nil {
		t.Fatal(err)
	}
	defer wait()
	view, err := p.View()
	if err != nil {
		t.Fatal(err)
	}
	var joined []*sandbox.Process
	for range 3 {
		q, err := sandbox.Start(sandbox.Config{
			Argv: []string{"sh"}, Path: "/bin/sh", Join: view, Dir: "/usr",
			Env: []string{"A=b"},
		})
		if err != nil {
			t.Fatal(err)
		}
		if status, err := q.Wait(); status != 0 || err != nil {
			t.Errorf("status %d, %v", status, err)
		}
		q, err = sandbox.Start(sandbox.Config{
			Argv: []string{"sh", "-c", `[ "$(readlink /proc/self/ns/mnt)" = "$(readlink /proc/` + fmt.Sprint(p.Pid()) + `/ns/mnt)" ] && [ "$PWD" = /usr ] || exit 9; setsid sleep 999 & exec sleep 998`},
			Path: "/bin/sh", Join: view, Dir: "/usr", Env: []string{"PATH=/bin"},
		})
		if err != nil {
			t.Fatal(err)
		}
		joined = append(joined, q)
	}
	time.Sleep(50 * time.Millisecond)
	if err := view.Kill(); err != nil {
		t.Error(err)
	}
	view.Close()
	for _, q := range append(joined, p) {
		if status, err := q.Wait(); status != 137 || err != nil {
			t.Errorf("status %d, %v", status, err)
		}
	}
}

func TestMountDir(t *testing.T) {
	sandboxtest.RequireRoot(t)
	base := openDir(t)
	dir := filepath.Join(base, "mnt")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(base, "file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{base, filepath.Join(base, "file"), "/proc", "/dev/shm"} {
		if _, _, _, err := sandbox.Mount(sandbox.Root, bad, sandbox.MountOptions{}); !errors.Is(err, sandbox.ErrMountPoint) {
			t.Errorf("%s: %v", bad, err)
		}
	}
	if _, _, _, err := sandbox.Mount(sandbox.Root, dir+"/no", sandbox.MountOptions{}); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	for _, way := range []sandbox.Way{sandbox.Root, sandbox.Fusermount} {
		if way == sandbox.Fusermount {
			sandboxtest.Require(t, "fusermount3")
		}
		dev, mounted, unmount, err := sandbox.Mount(way, dir, sandbox.MountOptions{ReadOnly: true})
		if err != nil {
			t.Fatal(way, err)
		}
		server, err := serveFUSE(mounted, dev)
		if err != nil {
			t.Fatal(errors.Join(err, unmount()))
		}
		// Not by os.Open, which holds a P while the server is asked whether the file can
		// be polled: it could not answer if the garbage collector stopped the others then.
		busy, err := syscall.Open(dir+"/etc/passwd", syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(errors.Join(err, unmount()))
		}
		if n, err := syscall.Read(busy, make([]byte, 100)); n <= 0 {
			t.Error(way, n, err)
		}
		if err := os.WriteFile(dir+base+"/new", nil, 0o644); !errors.Is(err, syscall.EROFS) {
			t.Error(way, err)
		}
		if err := unmount(); err != nil {
			t.Error(way, err)
		}
		if strings.Contains(mountinfo(t, base), dir) {
			t.Errorf("%s: still mounted", way)
		}
		syscall.Close(busy)
		server.Wait()
	}
}
