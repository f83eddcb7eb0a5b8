package sandbox

import (
	"os"
	"os/signal"
	"syscall"
)

// keeperName is argv[0] of a keeper, whose descriptor 3 is the listener.
const keeperName = "compat: keeper"

// startKeeper hands the listener to a process of its own, which keeps nothing
// else of main's.
func startKeeper(l listener) error {
	null, err := syscall.Open("/dev/null", syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: "/dev/null", Err: err}
	}
	defer syscall.Close(null)
	files := []uintptr{uintptr(null), uintptr(null), uintptr(null), uintptr(l)}
	pid, err := syscall.ForkExec("/proc/self/exe", []string{keeperName, "3"}, &syscall.ProcAttr{
		Dir: "/", Env: []string{"GOMAXPROCS=1", "GOGC=off"}, Files: files, Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return stepError("start keeper", "", err)
	}
	go func() {
		for {
			if _, err := syscall.Wait4(pid, nil, 0, nil); err != syscall.EINTR {
				return
			}
		}
	}()
	return nil
}

// keep is the life of a keeper. Who ends it by a signal would take execve(2)
// from all that it serves, which have ended themselves if they heed the signal.
func keep(fd int) {
	syscall.CloseOnExec(fd)
	signal.Ignore(syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGALRM)
	listener(fd).serve()
	os.Exit(0)
}
