package sandbox_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/compspec/compat/pkg/internal/sandbox/sandboxtest"
)

// terminal is the master of a pseudoterminal (pty(7)), and what came from it.
type terminal struct {
	t      *testing.T
	master *os.File
	mu     sync.Mutex
	text   string
	at     int // what expect has seen
}

// startOn makes cmd the leader of a session with a terminal of its own.
func startOn(t *testing.T, cmd *exec.Cmd) *terminal {
	t.Helper()
	// O_NONBLOCK, so that a Read ends when the file is closed.
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Skip("no pseudoterminal: ", err)
	}
	p := &terminal{t: t, master: master}
	var unlock, number int32
	p.ioctl(syscall.TIOCSPTLCK, unsafe.Pointer(&unlock))
	p.ioctl(syscall.TIOCGPTN, unsafe.Pointer(&number))
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer slave.Close()
	slave.Chmod(0o666)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setsid, cmd.SysProcAttr.Setctty = true, true
	cmd.Env = append(os.Environ(), "PS1=prompt> ", "TERM=dumb", "PATH=/usr/bin:/bin:/usr/sbin", "HISTFILE=")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		master.Close()
	})
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := master.Read(b)
			if err != nil {
				return
			}
			p.mu.Lock()
			p.text += string(b[:n])
			p.mu.Unlock()
		}
	}()
	return p
}

func (p *terminal) ioctl(request uintptr, arg unsafe.Pointer) {
	p.t.Helper()
	conn, err := p.master.SyscallConn()
	if err != nil {
		p.t.Fatal(err)
	}
	var errno syscall.Errno
	err = conn.Control(func(fd uintptr) { _, _, errno = syscall.Syscall(syscall.SYS_IOCTL, fd, request, uintptr(arg)) })
	if err != nil || errno != 0 {
		p.t.Fatalf("ioctl %#x: %v %v", request, err, errno)
	}
}

func (p *terminal) write(s string) {
	p.t.Helper()
	if _, err := p.master.WriteString(s); err != nil {
		p.t.Fatal(err)
	}
}

// expect waits until the text appears, behind what was expected before.
func (p *terminal) expect(want string) {
	p.t.Helper()
	for end := time.Now().Add(60 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		p.mu.Lock()
		i := strings.Index(p.text[p.at:], want)
		if i >= 0 {
			p.at += i + len(want)
		}
		p.mu.Unlock()
		if i >= 0 {
			return
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.t.Fatalf("no %q after %q in:\n%s", want, p.text[:p.at], p.text[p.at:])
}

func (p *terminal) all() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text
}

// counts tells each signal, and ends on a line of input.
const counts = `
import os, select, signal, sys
def tell(n, f):
    size = os.get_terminal_size(0)
    os.write(1, b"<%s %dx%d>" % (signal.Signals(n).name.encode(), size.columns, size.lines))
for s in (signal.SIGINT, signal.SIGQUIT, signal.SIGWINCH, signal.SIGCONT, signal.SIGUSR1, signal.SIGTERM, signal.SIGHUP):
    signal.signal(s, tell)
os.write(1, b"ready>")
# A signal that comes just before a read is told after it: look now and then. In
# the background a read stops the program.
while not select.select([0], [], [], 0.05)[0] and os.getpgrp() == os.tcgetpgrp(0):
    pass
os.read(0, 100)
os.write(1, b"done")
sys.exit(41)
`

func TestTerminalSignalsArriveOnce(t *testing.T) {
	sandboxtest.Require(t, "python3")
	exe := self(t)
	for _, c := range everyCaller(t) {
		t.Run(c.name, func(t *testing.T) {
			cmd := c.in(exe, nil, "python3", "-c", counts)
			p := startOn(t, cmd)
			p.expect("ready>")
			p.write("\x03")
			p.expect("<SIGINT")
			p.write("\x1c")
			p.expect("<SIGQUIT")
			size := struct{ row, col, x, y uint16 }{33, 99, 0, 0}
			p.ioctl(syscall.TIOCSWINSZ, unsafe.Pointer(&size))
			p.expect("<SIGWINCH 99x33>")
			for _, s := range []struct {
				sig  syscall.Signal
				name string
			}{{syscall.SIGUSR1, "SIGUSR1"}, {syscall.SIGTERM, "SIGTERM"}, {syscall.SIGHUP, "SIGHUP"}} {
				cmd.Process.Signal(s.sig)
				p.expect("<" + s.name)
			}
			time.Sleep(100 * time.Millisecond)
			p.write("\n")
			p.expect("done")
			cmd.Wait()
			if got := cmd.ProcessState.ExitCode(); got != 41 {
				t.Errorf("status %d", got)
			}
			for _, name := range []string{"SIGINT", "SIGQUIT", "SIGWINCH", "SIGUSR1", "SIGTERM", "SIGHUP"} {
				if n := strings.Count(p.all(), "<"+name); n != 1 {
					t.Errorf("%s %d times in %q", name, n, p.all())
				}
			}
		})
	}
}

func TestJobControl(t *testing.T) {
	sandboxtest.Require(t, "python3", "bash")
	exe := self(t)
	script := filepath.Join(openDir(t), "counts.py")
	if err := os.WriteFile(script, []byte(counts), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range everyCaller(t) {
		t.Run(c.name, func(t *testing.T) {
			p := startOn(t, c.as(exec.Command("/bin/bash", "--norc", "--noprofile", "-i")))
			p.expect("prompt> ")
			p.write(exe + " " + strings.Join(c.flags(), " ") + " -- python3 " + script + "\n")
			p.expect("ready>")
			for range 5 {
				p.write("\x1a")
				p.expect("Stopped")
				p.expect("prompt> ")
				p.write("fg\n")
				p.expect("<SIGCONT")
			}
			// Stopped by another, the shell takes the terminal back too.
			p.write("\x1a")
			p.expect("prompt> ")
			p.write("bg; pkill -STOP -P $! -x python3; wait %1; echo is-$?\n")
			p.expect("is-")
			p.expect("prompt> ")
			p.write("fg\n")
			p.expect("<SIGCONT")
			p.write("\n")
			p.expect("done")
			p.write("echo status=$?\n")
			p.expect("status=41")
		})
	}
}

// stops puts the terminal in order for a while before it stops, as editors do, or
// with an argument does not stop at all.
const stops = `
import os, signal, sys, time
def stop(n, f):
    time.sleep(0.3)
    os.write(1, b"<in order>")
    os.kill(os.getpid(), signal.SIGSTOP)
signal.signal(signal.SIGTSTP, stop if len(sys.argv) < 2 else signal.SIG_IGN)
os.write(1, b"ready>")
os.read(0, 100)
os.write(1, b"done")
sys.exit(41)
`

// The program decides when it stops, and whether: the shell has the terminal back
// no sooner.
func TestProgramDecidesOnStop(t *testing.T) {
	sandboxtest.Require(t, "python3", "bash")
	exe := self(t)
	script := filepath.Join(openDir(t), "stops.py")
	if err := os.WriteFile(script, []byte(stops), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range everyCaller(t) {
		t.Run(c.name, func(t *testing.T) {
			p := startOn(t, c.as(exec.Command("/bin/bash", "--norc", "--noprofile", "-i")))
			p.expect("prompt> ")
			command := exe + " " + strings.Join(c.flags(), " ") + " -- python3 " + script
			p.write(command + "\n")
			p.expect("ready>")
			p.write("\x1a")
			p.expect("<in order>")
			p.expect("Stopped")
			p.expect("prompt> ")
			if text := p.all(); strings.Index(text, "Stopped") < strings.Index(text, "<in order>") {
				t.Errorf("stopped before the program was ready: %q", text)
			}
			p.write("fg\n")
			time.Sleep(100 * time.Millisecond)
			p.write("\n")
			p.expect("done")
			p.write("echo status=$?\n")
			p.expect("status=41")
			p.expect("prompt> ")
			before := strings.Count(p.all(), "Stopped")
			p.write(command + " on\n")
			p.expect("ready>")
			p.write("\x1a")
			time.Sleep(100 * time.Millisecond)
			p.write("\n")
			p.expect("done")
			p.write("echo status=$?\n")
			p.expect("status=41")
			if strings.Count(p.all(), "Stopped") != before {
				t.Errorf("a program that ignores ^Z was stopped: %q", p.all())
			}
		})
	}
}

func TestInteractiveShell(t *testing.T) {
	sandboxtest.Require(t, "bash")
	exe := self(t)
	for _, c := range everyCaller(t) {
		t.Run(c.name, func(t *testing.T) {
			cmd := c.in(exe, nil, "bash", "--norc", "--noprofile", "-i")
			p := startOn(t, cmd)
			p.expect("prompt> ")
			p.write("tty; echo $((6*7))\n")
			p.expect("/dev/pts/")
			p.expect("42")
			p.expect("prompt> ")
			// The key is for the program, which says when it has the terminal.
			p.write("sh -c 'echo run$((1)); exec sleep 1000'\n")
			p.expect("run1")
			p.write("\x03")
			p.expect("prompt> ")
			p.write("sh -c 'echo run$((2)); exec sleep 1000'\n")
			p.expect("run2")
			p.write("\x1a")
			p.expect("Stopped")
			p.expect("prompt> ")
			p.write("kill %1; exit 5; exit 5\n")
			cmd.Wait()
			if got := cmd.ProcessState.ExitCode(); got != 5 {
				t.Errorf("status %d: %q", got, p.all())
			}
			if strings.Contains(p.all(), "no job control") {
				t.Error(p.all())
			}
		})
	}
}
