package sandbox

import (
	"errors"
	"os"
	"strconv"
	"syscall"
	"time"
)

// KillView kills every process that is in the view, as far as the caller may,
// until none is left: without a server each of them can only fail. It gives up
// after ten seconds, with an error.
func (p *Process) KillView() error {
	p.mu.Lock()
	ns := p.view.MountNS
	p.mu.Unlock()
	select {
	case <-p.ended:
		return os.ErrProcessDone // use [View.Kill] with a view that was opened before
	default:
	}
	if ns == nil { // of StartBound without Exec
		v, err := p.View()
		if err != nil {
			return err
		}
		defer v.Close()
		return v.Kill()
	}
	return (&View{MountNS: ns}).Kill()
}

// Kill is KillView for a view that was opened or received.
func (v *View) Kill() error {
	var st syscall.Stat_t
	conn, err := v.MountNS.SyscallConn()
	if err != nil {
		return err
	}
	if err := errors.Join(conn.Control(func(fd uintptr) { err = syscall.Fstat(int(fd), &st) }), err); err != nil {
		return err
	}
	name := "mnt:[" + strconv.FormatUint(st.Ino, 10) + "]"
	if own, err := os.Readlink("/proc/self/ns/mnt"); err != nil || own == name {
		return errors.Join(errors.New("sandbox: that is no view, it is our own namespace"), err)
	}
	for range 1000 {
		n, err := killIn(name)
		if n == 0 || err != nil {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
	return errors.New("sandbox: processes stay in the view")
}

// killIn kills once all processes in a mount namespace; n is how many are
// alive. A zombie has no namespaces any more.
func killIn(name string) (n int, err error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return 0, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return 0, err
	}
	for _, entry := range names {
		pid, err := strconv.Atoi(entry)
		if err != nil {
			continue
		}
		if ns, err := os.Readlink("/proc/" + entry + "/ns/mnt"); err == nil && ns == name {
			n++
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	return n, nil
}
