package sandbox

import (
	"os"
	"strconv"
	"syscall"
	"time"
	"unsafe"
)

// Pid is the program's process id.
func (p *Process) Pid() int { return p.pid }

// Signal sends a signal to the program: os.ErrProcessDone after its end.
func (p *Process) Signal(sig syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reaped {
		return os.ErrProcessDone
	}
	return syscall.Kill(p.pid, sig)
}

// Wait waits for the program's end, and gives its exit status: 128+n where
// signal n ended it.
func (p *Process) Wait() (int, error) {
	<-p.ended
	if p.status.Signaled() {
		return 128 + int(p.status.Signal()), p.err
	}
	return p.status.ExitStatus(), p.err
}

// WaitStatus is as of wait4(2), after Wait.
func (p *Process) WaitStatus() syscall.WaitStatus { return p.status }

// View opens the namespaces of the running program, to be joined.
func (p *Process) View() (*View, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reaped {
		return nil, os.ErrProcessDone
	}
	return ViewOf(p.pid)
}

// ViewOf opens the namespaces of a process that is in a view.
func ViewOf(pid int) (*View, error) {
	v, err := openNamespaces(pid)
	if err != nil {
		return nil, err
	}
	if v.Root, err = openRoot(pid); err != nil {
		v.Close()
		return nil, err
	}
	return &v, nil
}

func openRoot(pid int) (*os.File, error) {
	path := "/proc/" + strconv.Itoa(pid) + "/root"
	fd, err := syscall.Open(path, oPath|syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// openNamespaces opens those of pid; UserNS is nil where it is ours.
func openNamespaces(pid int) (v View, err error) {
	dir := "/proc/" + strconv.Itoa(pid) + "/ns/"
	if v.MountNS, err = os.Open(dir + "mnt"); err != nil {
		return v, err
	}
	ours, err := os.Readlink("/proc/self/ns/user")
	if err != nil {
		return v, err
	}
	theirs, err := os.Readlink(dir + "user")
	if err == nil && ours != theirs {
		v.UserNS, err = os.Open(dir + "user")
	}
	if err != nil {
		v.MountNS.Close()
	}
	return v, err
}

func (p *Process) closeView() {
	if p.view.MountNS != nil {
		p.view.Close()
	}
}

// watch reports the program's stops to main's shell, and its end to Wait.
func (p *Process) watch() {
	for {
		info, err := waitid(p.pid, waitExited|waitStopped|waitNoWait)
		if err == syscall.EINTR {
			continue
		}
		if err == nil && info.code == cldStopped {
			p.stopped()
			continue
		}
		p.err = err
		p.reap()
		if p.watcher != nil {
			// Before Wait returns: main may end then.
			p.watcher.end()
		}
		p.closeView()
		close(p.ended)
		p.signal.stop() // which takes milliseconds, and nobody waits for it
		return
	}
}

// stopped stops main as the program has stopped, so that the shell, which
// knows only main, takes the terminal back. It returns when main is continued.
func (p *Process) stopped() {
	// fg continues both of us: what is reported may be over already, where main
	// runs first.
	time.Sleep(5 * time.Millisecond)
	info, err := waitid(p.pid, waitStopped|syscall.WNOHANG)
	if err != nil || info.pid == 0 {
		return
	}
	sig := syscall.Signal(info.status)
	if sig != syscall.SIGTSTP && sig != syscall.SIGTTIN && sig != syscall.SIGTTOU || p.signal.ignored(sig) {
		sig = syscall.SIGSTOP
	}
	p.signal.halt(sig)
	if stillStopped(p.pid) {
		p.Signal(syscall.SIGCONT)
	}
}

// stillStopped says whether a child is in the stop that was last waited for. One
// that was not is another one, of ^Z right after fg, and may come at any time: it
// is asked for after the state is known.
func stillStopped(pid int) bool {
	if !isStopped(pid) {
		return false
	}
	info, err := waitid(pid, waitStopped|waitNoWait|syscall.WNOHANG)
	return err == nil && info.pid == 0
}

func (p *Process) reap() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		_, err := syscall.Wait4(p.pid, &p.status, 0, nil)
		if err != syscall.EINTR {
			p.reaped = true
			return
		}
	}
}

// siginfo is the part of siginfo_t that waitid(2) fills, on 64-bit machines.
type siginfo struct {
	signo, errno, code, _ int32
	pid, uid, status      int32
	_                     [100]byte
}

func waitid(pid, options int) (siginfo, error) {
	var info siginfo
	_, _, errno := syscall.Syscall6(syscall.SYS_WAITID, waitPID, uintptr(pid), uintptr(unsafe.Pointer(&info)), uintptr(options), 0, 0)
	if errno != 0 {
		return info, errno
	}
	return info, nil
}

// isStopped reads the state in /proc/PID/stat, which follows the name in
// parentheses.
func isStopped(pid int) bool {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	for i := len(text) - 1; i > 0; i-- {
		if text[i] == ')' {
			return i+2 < len(text) && text[i+2] == 'T'
		}
	}
	return false
}
