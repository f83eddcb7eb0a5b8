package sandbox

import (
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"unsafe"
)

// forwarder passes on to the program what is sent to main.
type forwarder struct {
	p       *Process
	ignore  uint64 // signal n is bit n-1
	signals chan os.Signal
	ready   chan struct{} // closed when listen is done
}

func newForwarder(p *Process, creds credentials) *forwarder {
	return &forwarder{p, creds.ignored, make(chan os.Signal, 64), make(chan struct{})}
}

// listen takes the signals over. SIGTTIN and SIGTTOU keep their default: main
// stops, as the program does. SIGTSTP would stop main before the program has
// stopped, if it does at all: the shell would take the terminal while the program
// still has it, and could lose to it what is typed next. What main was started
// to ignore stays ignored.
func (f *forwarder) listen() {
	defer close(f.ready)
	// Not all 64: each costs a handshake with the runtime's signal thread. The
	// others have their default in main, the real-time signals too.
	var list []os.Signal
	for _, n := range []syscall.Signal{
		syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGABRT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGALRM,
		syscall.SIGTERM, syscall.SIGCONT, syscall.SIGTSTP, syscall.SIGXCPU, syscall.SIGWINCH, syscall.SIGPWR,
	} {
		if !f.ignored(n) {
			list = append(list, n)
		} else if n == syscall.SIGQUIT {
			signal.Ignore(n) // the runtime, which does not ask, dumps its stacks and ends
		}
	}
	signal.Notify(f.signals, list...)
}

func (f *forwarder) ignored(sig syscall.Signal) bool { return f.ignore>>(sig-1)&1 != 0 }

// run passes on what comes, and what came since listen.
func (f *forwarder) run() {
	for s := range f.signals {
		sig, ok := s.(syscall.Signal)
		if !ok {
			continue
		}
		switch sig {
		case syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTSTP, syscall.SIGWINCH:
			// From the terminal they reach its whole foreground group, the program too.
			if foreground() {
				continue
			}
		case syscall.SIGCONT:
			// fg continues the group. Where main alone was continued, stopped sees to it.
			if foreground() {
				continue
			}
		}
		_ = f.p.Signal(sig) // the program has just ended
	}
}

// halt stops main by a signal that was not taken over, or is not to be.
func (f *forwarder) halt(sig syscall.Signal) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if sig == syscall.SIGTSTP {
		// signal.Reset leaves a handler of the runtime's, which ignores it.
		was := setAction(sig, sigaction{})
		defer setAction(sig, was)
	}
	// Sent to this thread, it takes effect before the call returns.
	syscall.Tgkill(os.Getpid(), syscall.Gettid(), sig)
}

// stop gives the signals back; run, if it was started, ends.
func (f *forwarder) stop() {
	<-f.ready
	signal.Stop(f.signals) // nothing is sent after it has returned
	close(f.signals)
}

// foreground is true where this process group is the one that the controlling
// terminal sends its signals to.
func foreground() bool {
	fd, err := syscall.Open("/dev/tty", syscall.O_RDONLY|syscall.O_NOCTTY|syscall.O_CLOEXEC|syscall.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer syscall.Close(fd)
	var group int32
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), ioctlGetpgrp, uintptr(unsafe.Pointer(&group)))
	return errno == 0 && int(group) == syscall.Getpgrp()
}
