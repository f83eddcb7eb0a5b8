package record_test

import (
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/compspec/compat/pkg/internal/sandbox/sandboxtest"
	"github.com/compspec/compat/pkg/record"
	"github.com/compspec/compat/pkg/record/trace"
)

var soak = flag.Int("fault.soak", 30, "how many recordings TestFaultInARow makes")

// All recordings of one process: what it keeps of each shows, in descriptors,
// threads and children.
func TestFaultInARow(t *testing.T) {
	r := faultRig(t, "root")
	out := r.path("out.jsonl.zst")
	before := 0
	for n := range *soak {
		f, err := os.Create(out)
		if err != nil {
			t.Fatal(err)
		}
		got, err := record.Run(t.Context(), record.Options{Argv: []string{"/bin/true"}, Mode: trace.ModePaths, Output: f})
		f.Close()
		if err != nil || got.Exit != 0 || got.Footer.Dropped != 0 {
			t.Fatal(n, got, err)
		}
		if c := readRecording(t, out); c.footer == nil || c.footer.Counts[trace.OpOpen] == 0 {
			t.Fatalf("%d: %+v", n, c.footer)
		}
		if n == 9 {
			before = threads(t)
		}
	}
	// One of each recording would be 20. A thread more stays, where many wait at a time.
	if after := threads(t); *soak > 10 && after > before+(*soak-10)/2 {
		t.Errorf("%d threads after 10, %d after %d", before, after, *soak)
	}
	// The rig sees what is in processes and mounts of its own binary; these were this one's.
	within(t, "no child is left", func() bool { return len(childrenOf(os.Getpid())) == 0 })
}

func TestFaultConcurrent(t *testing.T) {
	for _, name := range []string{"root", "user"} {
		t.Run(name, func(t *testing.T) {
			r := faultRig(t, name)
			var wg sync.WaitGroup
			for n := range 50 {
				out := r.path(fmt.Sprintf("out-%d.jsonl.zst", n))
				u := r.command(asRecorder, "fault-record", "-o", out, "sh", "-c", fmt.Sprintf("cat /etc/passwd >%s && mkdir d%d && echo %d; exit %d", r.path(fmt.Sprint("copy-", n)), n, n, n)).to(out)
				if err := u.Start(); err != nil {
					t.Fatal(err)
				}
				wg.Go(func() {
					if err := u.Wait(); u.ProcessState.ExitCode() != n || u.stdout.String() != fmt.Sprintln(n) {
						t.Errorf("%d: %v: %s%s", n, err, &u.stdout, &u.stderr)
						return
					}
					c := readRecording(t, out)
					if made := c.paths(trace.OpMkdir); c.footer == nil || *c.footer.Exit != n || len(made) != 1 || !made[r.path(fmt.Sprint("d", n))] {
						t.Errorf("%d: %v, footer %+v", n, made, c.footer)
					}
				})
			}
			wg.Wait()
		})
	}
}

// What the program leaves running keeps its files, and the recorder does not
// wait for it: the recording has the program's end.
func TestFaultDaemon(t *testing.T) {
	for _, name := range []string{"root", "user"} {
		t.Run(name, func(t *testing.T) {
			r := faultRig(t, name)
			script := `: >started
setsid sh -c 'while [ ! -e end ]; do sleep 0.05; cat data >>copy; done; cat /etc/hostname >host; : >ended' </dev/null >/dev/null 2>&1 &
exit 6`
			if err := os.WriteFile(r.path("data"), []byte("data\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			u := r.record("sh", "-c", script)
			start := time.Now()
			if err := u.Start(); err != nil {
				t.Fatal(err)
			}
			u.status(6)
			if took := time.Since(start); took > 2*time.Minute {
				t.Error("it waited", took)
			}
			c := u.recording()
			if c.footer == nil || *c.footer.Exit != 6 {
				t.Errorf("footer %+v", c.footer)
			}
			for _, e := range c.events {
				if strings.HasSuffix(e.Path, "/ended") {
					t.Error("recorded after the footer:", e)
				}
			}
			size := fileSize(u.out)
			within(t, "the daemon works on", func() bool { return fileSize(r.path("copy")) > 10 })
			if len(r.processes()) < 2 {
				t.Errorf("processes: %v", r.processes())
			}
			if err := os.WriteFile(r.path("end"), nil, 0o644); err != nil {
				t.Fatal(err)
			}
			within(t, "the daemon has ended", func() bool { _, err := os.Stat(r.path("ended")); return err == nil })
			want, _ := os.ReadFile("/etc/hostname")
			if got, err := os.ReadFile(r.path("host")); string(got) != string(want) {
				t.Errorf("%q, %v", got, err)
			}
			if fileSize(u.out) != size {
				t.Error("the recording grew after its footer")
			}
			// The rig looks that the server ends.
		})
	}
}

// Where main is killed, what the program left goes on, too.
func TestFaultDaemonOutlivesMain(t *testing.T) {
	r := faultRig(t, "root")
	u := r.record("sh", "-c", `setsid sh -c ': >started; while [ ! -e end ]; do sleep 0.05; done; cat /etc/hostname >host' & exec sleep 1000`)
	u.start()
	if err := u.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	u.Stdout, u.Stderr = nil, nil
	u.WaitDelay = time.Second // the daemon has it open
	u.Wait()
	time.Sleep(200 * time.Millisecond)
	if err := os.WriteFile(r.path("end"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	within(t, "the daemon has read its file", func() bool { return fileSize(r.path("host")) > 0 })
	if c := u.recording(); !c.truncated {
		t.Error("a footer:", c.footer)
	}
}

// Nothing of the caller's is kept by what the recorder starts: a pipe ends when
// the program has ended, and a directory can be unmounted.
func TestFaultServerHoldsNothing(t *testing.T) {
	r := faultRig(t, "root")
	u := r.record("sh", "-c", ": >started; exec sleep 1000")
	// A jobserver's pipe, an event descriptor as a parent may leave one open, and a terminal.
	pipe, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	event := eventfd(t)
	u.ExtraFiles = []*os.File{pipe, w, event}
	cwd := r.path("cwd")
	if err := os.Mkdir(cwd, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := u.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	event.Close()
	within(t, "the program runs", func() bool { _, err := os.Stat(r.path("started")); return err == nil })
	server := u.child("compat-recorder")
	fds := fmt.Sprintf("/proc/%d/fd", server)
	names, err := os.ReadDir(fds)
	if err != nil {
		t.Fatal(err)
	}
	within(t, "the program is sleep", func() bool { return u.child("sleep") != 0 })
	program := fmt.Sprintf("/proc/%d/fd/", u.child("sleep"))
	callers := map[string]bool{}
	for fd := range 6 {
		to, err := os.Readlink(program + strconv.Itoa(fd))
		if err != nil {
			t.Error("the program has not what the caller had:", err)
		}
		callers[to] = !strings.HasPrefix(to, "anon_inode:")
	}
	delete(callers, "/dev/null")
	events := 0
	for _, e := range names {
		to, _ := os.Readlink(filepath.Join(fds, e.Name()))
		if callers[to] {
			t.Errorf("descriptor %s is %s", e.Name(), to)
		}
		if strings.Contains(to, "eventfd") {
			events++
		}
	}
	if events > 1 { // the runtime has one
		t.Errorf("%d event descriptors", events)
	}
	if dir, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", server)); dir != "/" {
		t.Error("its working directory:", dir, err)
	}
	if s := stat(server); s[3] != strconv.Itoa(server) || s[4] != "0" {
		t.Errorf("session %s, terminal %s", s[3], s[4])
	}
	u.Process.Signal(syscall.SIGTERM)
	u.status(143)
	// Nobody else has the writing end.
	done := make(chan error, 1)
	go func() { _, err := io.Copy(io.Discard, pipe); done <- err }()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("the pipe does not end")
	}
}

func TestFaultPipeEnds(t *testing.T) {
	r := faultRig(t, "root")
	sandboxtest.Require(t, "bash")
	cmd := exec.Command("bash", "-c", `set -o pipefail; `+r.exe+` `+asRecorder+` fault-record -o out.jsonl sh -c 'echo x; sleep 1000 </dev/null >/dev/null 2>&1 & echo $! >pid' 2>/dev/null | cat`)
	cmd.Dir = r.dir
	cmd.WaitDelay = time.Minute
	start := time.Now()
	out, err := cmd.Output()
	if err != nil || string(out) != "x\n" || time.Since(start) > 2*time.Minute {
		t.Errorf("%q, %v, %v", out, err, time.Since(start))
	}
	text, _ := os.ReadFile(r.path("pid"))
	pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	if within(t, "what is left running is sleep", func() bool { return pid > 1 && strings.HasPrefix(cmdline(pid), "sleep") }) {
		syscall.Kill(pid, syscall.SIGKILL)
	}
}

func fileSize(name string) int64 {
	st, err := os.Stat(name)
	if err != nil {
		return -1
	}
	return st.Size()
}

func threads(t *testing.T) int {
	t.Helper()
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	return len(tasks)
}

func childrenOf(pid int) (out []int) {
	names, _ := os.ReadDir("/proc")
	for _, e := range names {
		if child, err := strconv.Atoi(e.Name()); err == nil && parent(child) == pid {
			out = append(out, child)
		}
	}
	return out
}

func eventfd(t *testing.T) *os.File {
	t.Helper()
	fd, _, errno := syscall.Syscall(syscall.SYS_EVENTFD2, 0, 0, 0)
	if errno != 0 {
		t.Fatal(errno)
	}
	return os.NewFile(fd, "event")
}
