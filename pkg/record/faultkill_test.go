package record_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/compspec/compat/pkg/record/trace"
)

// counting makes a new file all the time.
const counting = `i=0; mkdir -p n; : >n/0; : >started; while :; do i=$((i+1)); : >n/$i; done`

// lost is how long before a moment the recording ends: the age of the oldest file
// that the program made and that is not recorded. n is how many are not.
func lost(t *testing.T, dir string, c recording, at time.Time) (most time.Duration, n int) {
	t.Helper()
	names, err := os.ReadDir(filepath.Join(dir, "n"))
	if err != nil || len(names) == 0 {
		t.Fatal(len(names), err)
	}
	seen := c.paths(trace.OpCreate)
	for _, e := range names {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if !seen[filepath.Join(dir, "n", e.Name())] {
			most = max(most, at.Sub(info.ModTime()))
			n++
		}
	}
	return most, n
}

func TestFaultKilled(t *testing.T) {
	for _, name := range []string{"root", "user"} {
		for _, c := range []struct {
			victim string
			signal syscall.Signal
			status int
			footer int // -1: there is none; else the status in it
		}{
			{"server", syscall.SIGKILL, 125, -1},
			{"main", syscall.SIGKILL, 137, -1},
			{"program", syscall.SIGKILL, 137, 137},
			{"program", syscall.SIGSEGV, 139, 139},
			{"main", syscall.SIGTERM, 143, 143},
			{"main", syscall.SIGINT, 130, 130},
			{"main", syscall.SIGHUP, 129, 129},
			// What ends others leaves the server alone.
			{"server", syscall.SIGTERM, 137, 137},
		} {
			t.Run(fmt.Sprint(name, " ", c.victim, " ", c.signal), func(t *testing.T) {
				r := faultRig(t, name)
				u := r.record("sh", "-c", counting)
				server, program := u.start()
				victim := map[string]int{"server": server, "main": u.Process.Pid, "program": program}[c.victim]
				if server == 0 || program == 0 {
					t.Fatal("not found", server, program)
				}
				time.Sleep(300 * time.Millisecond)
				// No more than the last 100 ms are missing, but where the machine does
				// other things: there is a moment where it does not.
				var sure time.Time
				within(t, "the recording is not behind", func() bool {
					at := time.Now()
					behind, _ := lost(t, r.dir, u.recording(), at)
					sure = at.Add(-100 * time.Millisecond)
					return behind <= 100*time.Millisecond
				})
				if err := syscall.Kill(victim, c.signal); err != nil {
					t.Fatal(err)
				}
				if c.victim == "server" && c.signal != syscall.SIGKILL {
					time.Sleep(100 * time.Millisecond)
					if err := syscall.Kill(program, syscall.SIGKILL); err != nil {
						t.Fatal(err)
					}
				}
				u.status(c.status)
				within(t, "the program has ended", func() bool { return state(program) == "Z" })
				within(t, "the server has ended", func() bool { return state(server) == "Z" })
				got := u.recording()
				// Where there is a footer, no more than what was asked for at the very end.
				if l, n := lost(t, r.dir, got, sure); l > 0 || c.footer >= 0 && n > 1 {
					t.Errorf("%v are lost of what was there, of %d files in all", l, n)
				} else {
					t.Logf("lost: %d files", n)
				}
				switch {
				case got.truncated != (c.footer < 0):
					t.Errorf("truncated: %v, footer %v", got.truncated, got.footer)
				case !got.truncated && (got.footer.Exit == nil || *got.footer.Exit != c.footer || got.footer.Dropped != 0):
					t.Errorf("footer %+v", got.footer)
				}
				if c.status == 125 && !strings.Contains(u.stderr.String(), "killed") {
					t.Errorf("said: %s", &u.stderr)
				}
			})
		}
	}
}

// childNamed is the pid of a child with one of the names as argv[0], found fast.
func childNamed(pid int, names ...string) int {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, task := range tasks {
		text, _ := os.ReadFile(task)
		for _, field := range strings.Fields(string(text)) {
			child, _ := strconv.Atoi(field)
			if argv0, _, _ := strings.Cut(cmdline(child), "\x00"); slices.Contains(names, argv0) {
				return child
			}
		}
	}
	return 0
}

// The stage is killed at many moments between its start and the program's.
func TestFaultStageKilled(t *testing.T) {
	for _, name := range []string{"root", "user"} {
		t.Run(name, func(t *testing.T) {
			r := faultRig(t, name)
			early := 0
			for n := range 16 {
				u := r.record("sleep", "1000")
				if err := u.Start(); err != nil {
					t.Fatal(err)
				}
				// A server that is stopped keeps the stage waiting.
				server, stage := 0, 0
				if n%2 == 0 {
					within(t, "a server", func() bool {
						server = childNamed(u.Process.Pid, "compat-recorder")
						return server != 0
					})
					syscall.Kill(server, syscall.SIGSTOP)
				}
				within(t, "a stage", func() bool {
					stage = childNamed(u.Process.Pid, "compat: stage", "sleep")
					return stage != 0
				})
				time.Sleep(time.Duration(n) * 2 * time.Millisecond)
				syscall.Kill(stage, syscall.SIGKILL)
				if server != 0 {
					syscall.Kill(server, syscall.SIGCONT)
				}
				// 125 before it became the program, and 137 from then on.
				got := u.end()
				if got == 125 {
					early++
				}
				if got != 125 && got != 137 {
					t.Errorf("status %d; %s", got, &u.stderr)
				}
				if got == 137 && u.recording().footer == nil {
					t.Error("no footer")
				}
			}
			if early == 0 {
				t.Error("no stage was met before its exec")
			}
		})
	}
}
