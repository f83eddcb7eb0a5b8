package sandbox

import (
	"runtime"
	"syscall"
)

// watcher answers for the execs of a namespace.
type watcher struct {
	listener listener
	view     *View
	exec     func(*Exec) (bind []File, unbind []string)
	failed   func(error)
	stop     [2]int // a pipe: a byte ends it
	stopErr  error
	done     chan struct{}

	ns      uint64 // inode of the mount namespace
	memory  *memory
	mounter *mounterConn
	bound   map[string]int // how often
}

func newWatcher(l listener, v *View, cfg *BoundConfig) *watcher {
	w := &watcher{listener: l, view: v, exec: cfg.Exec, failed: cfg.Failed, done: make(chan struct{}), memory: newMemory(), bound: map[string]int{}}
	for _, f := range cfg.Files {
		w.bound[f.Target]++
	}
	w.stopErr = syscall.Pipe2(w.stop[:], syscall.O_CLOEXEC)
	return w
}

// run returns at end, or when no process has the filter any more. Its thread
// is the mounter's parent, and ends with it.
func (w *watcher) run() {
	runtime.LockOSThread()
	defer close(w.done)
	var st syscall.Stat_t
	if err := syscall.Fstat(int(w.view.MountNS.Fd()), &st); err != nil {
		w.fail(err)
	}
	w.ns = st.Ino
	// The one who waits runs next, on this CPU (Linux 6.6).
	w.listener.setFlags(seccompSyncWakeUp)
	n := new(notification)
	for stop := w.stopErr != nil; !stop; {
		events, err := poll(-1, pollFD{fd: int32(w.listener), events: pollIn}, pollFD{fd: int32(w.stop[0]), events: pollIn})
		switch {
		case err != nil:
			w.fail(err)
			stop = true
		case events[0]&pollIn != 0:
			if w.listener.receive(n) {
				w.answer(n)
			}
			stop = events[1] != 0
		default:
			stop = true
		}
	}
	w.handOver()
	if w.mounter != nil {
		w.mounter.end()
	}
}

// end is called once, after the program's end.
func (w *watcher) end() {
	if w.stopErr == nil {
		_, _ = syscall.Write(w.stop[1], []byte{0})
	}
	<-w.done
	if w.stopErr == nil {
		syscall.Close(w.stop[0])
		syscall.Close(w.stop[1])
	}
}

// handOver leaves the listener to a keeper, if any process is left: without a
// listener execve(2) fails with ENOSYS (seccomp_do_user_notification in
// kernel/seccomp.c). Those of a pipeline may end just now.
func (w *watcher) handOver() {
	events, err := poll(3, pollFD{fd: int32(w.listener), events: pollIn})
	if err != nil || events[0]&pollHup == 0 {
		if err := startKeeper(w.listener); err != nil {
			w.fail(err)
		}
	}
	syscall.Close(int(w.listener))
}

func (w *watcher) fail(err error) {
	if w.failed != nil && err != nil {
		w.failed(err)
	}
}

func (w *watcher) answer(n *notification) {
	defer w.listener.resume(n.id)
	e := w.memory.exec(n)
	if e == nil || !w.listener.waits(n.id) {
		return
	}
	e.waits = func() bool { return w.listener.waits(n.id) }
	bind, unbind := w.exec(e)
	if len(bind)+len(unbind) == 0 || !sees(int(n.pid), w.ns) {
		return
	}
	for _, target := range unbind {
		w.fail(w.unbind(target))
	}
	for _, f := range bind {
		w.fail(w.bind(f))
	}
}

// needMounter starts the mounter with the first thing there is for it to do.
func (w *watcher) needMounter() (err error) {
	if w.mounter == nil {
		w.mounter, err = startMounter(w.view)
	}
	return err
}

func (w *watcher) bind(f File) error {
	if err := w.needMounter(); err != nil {
		return err
	}
	if f.Source == "" {
		return &StepError{"mount --bind", f.Target, syscall.EINVAL}
	}
	err := w.mounter.bind(f.Source, f.Target)
	if err == nil {
		w.bound[f.Target]++
	}
	return err
}

func (w *watcher) unbind(target string) error {
	if w.bound[target] == 0 {
		return &StepError{"umount", target, syscall.EINVAL}
	}
	if err := w.needMounter(); err != nil {
		return err
	}
	w.bound[target]--
	return w.mounter.bind("", target)
}

func (l listener) setFlags(flags uintptr) {
	_, _, _ = syscall.Syscall(syscall.SYS_IOCTL, uintptr(l), ioctlNotifSetFlags, flags)
}
