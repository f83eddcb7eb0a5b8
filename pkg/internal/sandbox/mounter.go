package sandbox

import (
	"encoding/binary"
	"runtime"
	"strings"
	"syscall"
	"unsafe"
)

// mounter is a process that has joined the program's namespaces and mounts
// there what main asks for: a Go process cannot join by itself (see child). It
// is a copy of main that executes nothing, and ends with its socket or with main.
// The rules of [child.run] hold here too.
type mounter struct {
	root    int // of the program
	dot     [2]byte
	request [2 * (2 + pathMax)]byte
	answer  [4]byte // errno
	bind    readOnlyBind
}

const pathMax = 4096 // PATH_MAX of include/uapi/linux/limits.h, with the 0

// run serves requests: the offset of the target, 16 bits; the source, empty to
// unmount; the target. Both end in 0.
//
//go:nosplit
//go:norace
//go:nocheckptr
func (m *mounter) run(socket uintptr) (step byte, errno syscall.Errno) {
	var n, at uintptr
	// setns(2) went to the namespace's root.
	if _, _, errno = syscall.RawSyscall(syscall.SYS_FCHDIR, uintptr(m.root), 0, 0); errno != 0 {
		return childRoot, errno
	}
	if _, _, errno = syscall.RawSyscall(syscall.SYS_CHROOT, uintptr(unsafe.Pointer(&m.dot[0])), 0, 0); errno != 0 {
		return childRoot, errno
	}
	// Nothing of main's stays open, or somebody would wait for its end in vain.
	syscall.RawSyscall(syscall.SYS_SETSID, 0, 0, 0)
	if _, _, errno = syscall.RawSyscall(syscall.SYS_DUP3, socket, 0, 0); errno != 0 {
		return childRoot, errno
	}
	syscall.RawSyscall(sysCloseRange, 1, 1<<32-1, 0)
	for {
		n, _, errno = syscall.RawSyscall(syscall.SYS_READ, 0, uintptr(unsafe.Pointer(&m.request[0])), uintptr(len(m.request)))
		if errno == syscall.EINTR {
			continue
		}
		if errno != 0 || n < 5 {
			break
		}
		at = uintptr(m.request[0]) | uintptr(m.request[1])<<8
		if at >= n {
			break
		}
		if m.request[2] == 0 {
			_, _, errno = syscall.RawSyscall(syscall.SYS_UMOUNT2, uintptr(unsafe.Pointer(&m.request[at])), mntDetach|umountNoFollow, 0)
		} else {
			errno = m.bind.mount(&m.request[2], &m.request[at])
		}
		m.answer[0] = byte(errno)
		if _, _, errno = syscall.RawSyscall6(syscall.SYS_SENDTO, 0, uintptr(unsafe.Pointer(&m.answer[0])), uintptr(len(m.answer)), syscall.MSG_NOSIGNAL, 0, 0); errno != 0 {
			break
		}
	}
	for {
		syscall.RawSyscall(syscall.SYS_EXIT_GROUP, 0, 0, 0)
	}
}

// mounterConn is main's end.
type mounterConn struct{ pid, socket int }

// startMounter makes one. The caller has locked itself to its thread until the
// mounter's end.
func startMounter(v *View) (*mounterConn, error) {
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_SEQPACKET|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, stepError("socketpair", "", err)
	}
	c := newChild()
	c.mntNS = int(v.MountNS.Fd())
	if v.UserNS != nil {
		c.userNS = int(v.UserNS.Fd())
	}
	c.socket = pair[1]
	c.mounter = &mounter{root: int(v.Root.Fd()), dot: [2]byte{'.'}}
	c.mounter.bind.prepare()
	pid, err := c.clone()
	runtime.KeepAlive(c.mounter)
	syscall.Close(pair[1])
	if err != nil {
		syscall.Close(pair[0])
		return nil, stepError("clone", "", err)
	}
	return &mounterConn{pid, pair[0]}, nil
}

// bind mounts source at target, or unmounts target where source is empty.
func (m *mounterConn) bind(source, target string) error {
	step := "mount --bind"
	if source == "" {
		step = "umount"
	}
	if len(source) >= pathMax || len(target) >= pathMax {
		return &StepError{step, target, syscall.ENAMETOOLONG}
	}
	if !isAbs(target) || source != "" && !isAbs(source) || strings.Contains(source+target, "\x00") {
		return &StepError{step, target, syscall.EINVAL}
	}
	b := binary.LittleEndian.AppendUint16(nil, uint16(2+len(source)+1))
	b = append(append(b, source...), 0)
	b = append(append(b, target...), 0)
	if err := send(m.socket, b); err != nil {
		return stepError(step, target, err)
	}
	answer := make([]byte, 16)
	n, files, err := receive(m.socket, answer)
	closeAll(files)
	switch {
	case err != nil:
		return stepError(step, target, err)
	case n == 7 && answer[0] == frameFailed:
		return &StepError{childStep(answer[5]), "", syscall.Errno(answer[6])}
	case n != 4:
		return &StepError{step, target, syscall.ECHILD} // it was killed
	case answer[0] != 0:
		return &StepError{step, target, syscall.Errno(answer[0])}
	}
	return nil
}

func (m *mounterConn) end() {
	syscall.Close(m.socket)
	for {
		if _, err := syscall.Wait4(m.pid, nil, 0, nil); err != syscall.EINTR {
			return
		}
	}
}
