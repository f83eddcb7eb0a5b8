package sandbox

import (
	"syscall"
	"unsafe"
)

// boundChild is the child that becomes the program by itself, without a stage
// in between: a second Go runtime would take longer to start than all the rest.
// The rules of [child.run] hold here too.
type boundChild struct {
	binds        []bindArgs
	readOnly     readOnlyBind
	dir          *byte // or nil
	path, shell  *byte
	argv, shArgv **byte // shArgv is of the shell, for a file that the kernel does not know
	envv         **byte
	filter       *sockFprog // or nil
	restoreCaps  bool
	creds        credentials
	caps         capSets

	frame   [9]byte
	message syscall.Msghdr // frame and control
	iov     syscall.Iovec
	control rights
}

// bindArgs are of mount(2).
type bindArgs struct{ source, target *byte }

// rights is a control message with one descriptor, see cmsg(3).
type rights struct {
	hdr syscall.Cmsghdr
	fd  int32
	_   int32
}

// prepare fills in the pointers: in the child a write barrier of the garbage
// collector must not run.
func (b *boundChild) prepare() {
	b.readOnly.prepare()
	b.iov = syscall.Iovec{Base: &b.frame[0], Len: uint64(len(b.frame))}
	b.control.hdr = syscall.Cmsghdr{Len: uint64(unsafe.Offsetof(b.control.fd)) + 4, Level: syscall.SOL_SOCKET, Type: syscall.SCM_RIGHTS}
	b.message = syscall.Msghdr{Iov: &b.iov, Iovlen: 1, Control: (*byte)(unsafe.Pointer(&b.control)), Controllen: uint64(unsafe.Sizeof(b.control))}
}

// frameListener tells of the seccomp filter: an errno, or 0 and the listener.
const frameListener = 'L'

// run ends in the program, or in the step that failed.
//
//go:nosplit
//go:norace
//go:nocheckptr
func (b *boundChild) run(socket uintptr) (step byte, errno syscall.Errno) {
	for i := range b.binds {
		if errno = b.readOnly.mount(b.binds[i].source, b.binds[i].target); errno != 0 {
			b.frame = [9]byte{frameFailed, 4, 0, 0, 0, childBind, byte(errno), byte(i), byte(i >> 8)}
			syscall.RawSyscall(syscall.SYS_WRITE, socket, uintptr(unsafe.Pointer(&b.frame[0])), uintptr(len(b.frame)))
			syscall.RawSyscall(syscall.SYS_EXIT_GROUP, 125, 0, 0)
		}
	}
	if b.dir != nil {
		if _, _, errno = syscall.RawSyscall(syscall.SYS_CHDIR, uintptr(unsafe.Pointer(b.dir)), 0, 0); errno != 0 {
			return childChdir, errno
		}
	}
	if b.filter != nil {
		b.announce(socket)
	}
	// After the filter, which needs CAP_SYS_ADMIN or no_new_privs (seccomp(2)).
	if b.restoreCaps {
		if errno = b.creds.restoreCaps(&b.caps); errno != 0 {
			return childRestore, errno
		}
	}
	b.creds.restoreSignals()
	_, _, errno = syscall.RawSyscall(syscall.SYS_EXECVE, uintptr(unsafe.Pointer(b.path)), uintptr(unsafe.Pointer(b.argv)), uintptr(unsafe.Pointer(b.envv)))
	if errno == syscall.ENOEXEC {
		_, _, errno = syscall.RawSyscall(syscall.SYS_EXECVE, uintptr(unsafe.Pointer(b.shell)), uintptr(unsafe.Pointer(b.shArgv)), uintptr(unsafe.Pointer(b.envv)))
	}
	return childProgram, errno
}

// announce installs the filter and sends its listener. Where that is
// impossible the program runs unwatched.
//
//go:nosplit
//go:norace
//go:nocheckptr
func (b *boundChild) announce(socket uintptr) {
	// Without SPEC_ALLOW a filter makes the program slower before Linux 5.16
	// (spec_store_bypass_disable in kernel-parameters.txt).
	const flags = seccompSpecAllow | seccompNewListener
	fd, _, errno := syscall.RawSyscall(sysSeccomp, seccompSetModeFilter, flags|seccompWaitKillable, uintptr(unsafe.Pointer(b.filter)))
	if errno == syscall.EINVAL {
		fd, _, errno = syscall.RawSyscall(sysSeccomp, seccompSetModeFilter, flags, uintptr(unsafe.Pointer(b.filter)))
	}
	b.frame = [9]byte{frameListener, 4, 0, 0, 0, 0, byte(errno)}
	b.control.fd = int32(fd)
	if errno != 0 {
		b.message.Controllen = 0
	}
	syscall.RawSyscall(syscall.SYS_SENDMSG, socket, uintptr(unsafe.Pointer(&b.message)), 0)
}
