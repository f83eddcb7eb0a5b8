package sandbox

import (
	"syscall"
	"unsafe"
)

// Why not syscall.ForkExec: it cannot setns(2) before the exec, and a user
// namespace can only be entered by a process of one thread (setns(2)), which a
// Go process is only between fork and exec. It also gives capabilities and
// descriptors a fixed order. What is here does that one thing more, in the
// same way (forkAndExecInChild1 in syscall/exec_linux.go): after clone(2) the
// child runs raw system calls on memory that was prepared before, nothing that
// allocates, locks or grows the stack.

// child is what the new process needs until it is the stage.
type child struct {
	flags         uintptr // of clone(2), CLONE_NEW*
	userNS, mntNS int     // to enter, or -1
	parent        uintptr // main's pid
	gate          int     // read one byte here before going on, or -1: the id maps are written then
	gateWrite     int     // main's end of it, to close
	socket        int     // becomes inheritable; failures are reported there
	propagation   uintptr // what the new namespace's mounts become, see mount_namespaces(7)
	ambient       uint64  // capabilities that must survive the exec, in a process that is not root
	path          *byte
	argv, envv    **byte
	try           *tryMount   // do this instead of the exec
	bound         *boundChild // or become the program at once
	mounter       *mounter    // or mount what main asks for

	caps   capSets
	failed [7]byte // a frame: 'F', length, step, errno
	one    [1]byte
	root   [2]byte  // "/"
	dot    [2]byte  // "."
	nsPath [18]byte // of the mount namespace
}

func newChild() child {
	c := child{
		userNS: -1, mntNS: -1, gate: -1, parent: uintptr(syscall.Getpid()), propagation: syscall.MS_REC | syscall.MS_PRIVATE,
		failed: [7]byte{frameFailed, 2},
	}
	copy(c.root[:], "/")
	copy(c.dot[:], ".")
	copy(c.nsPath[:], "/proc/self/ns/mnt")
	c.caps.head.version = capVersion3
	return c
}

// Steps of the child, in failed.
const (
	childUserNS = iota
	childMountNS
	childParent
	childGate
	childCaps
	childExec
	childPropagation
	childOpen
	childMount
	childBind
	childChdir
	childRestore
	childProgram
	childRoot
)

// childSteps names them.
func childStep(i byte) string {
	names := []string{"setns user", "setns mnt", "prctl PR_SET_PDEATHSIG", "id map", "capset", "exec stage", "mount propagation", "open /dev/fuse", "mount fuse",
		"mount --bind", "chdir", "restore capabilities", stepExec, "chroot"}
	if int(i) < len(names) {
		return names[i]
	}
	return "clone"
}

// tryMount asks the child to find out whether a view can be mounted; without
// fuse, whether there is any power over mounts.
type tryMount struct {
	fuse, kind, target *byte
	options            [128]byte // ends in 0, after "fd="
	tail               *byte     // of the options, after the descriptor's digits
	tailLen            int
}

// clone makes the child. The caller has locked itself to its thread, and keeps
// that thread until the child has ended: PR_SET_PDEATHSIG means the thread.
//
// All signals are blocked in the child and stay so in the stage, so that what
// arrives before the program is there waits for the program.
//
//go:norace
func (c *child) clone() (pid int, err error) {
	all, old := ^uint64(0), uint64(0)
	syscall.ForkLock.Lock()
	syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, sigSetMask, uintptr(unsafe.Pointer(&all)), uintptr(unsafe.Pointer(&old)), sigSetSize, 0, 0)
	r, _, errno := syscall.RawSyscall6(syscall.SYS_CLONE, c.flags|uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
	if errno == 0 && r == 0 {
		c.run() // does not return
	}
	syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, sigSetMask, uintptr(unsafe.Pointer(&old)), 0, sigSetSize, 0, 0)
	syscall.ForkLock.Unlock()
	if errno != 0 {
		return 0, errno
	}
	return int(r), nil
}

// run is the child. It must not call what checks the stack: the runtime may
// have asked this goroutine to yield just before the clone, and would do so
// there. Hence nosplit here and in all that it calls.
//
//go:nosplit
//go:norace
//go:nocheckptr
func (c *child) run() {
	var n, fd uintptr
	var errno syscall.Errno
	var step byte

	if c.userNS >= 0 {
		step = childUserNS
		if _, _, errno = syscall.RawSyscall(sysSetns, uintptr(c.userNS), syscall.CLONE_NEWUSER, 0); errno != 0 {
			goto failed
		}
	}
	if c.mntNS >= 0 {
		step = childMountNS
		if _, _, errno = syscall.RawSyscall(sysSetns, uintptr(c.mntNS), syscall.CLONE_NEWNS, 0); errno != 0 {
			goto failed
		}
	}
	// After setns: new credentials clear it (commit_creds in kernel/cred.c).
	step = childParent
	if _, _, errno = syscall.RawSyscall6(syscall.SYS_PRCTL, prSetPdeathsig, uintptr(syscall.SIGKILL), 0, 0, 0, 0); errno != 0 {
		goto failed
	}
	if n, _, _ = syscall.RawSyscall(syscall.SYS_GETPPID, 0, 0, 0); n != c.parent {
		goto exit // main ended before the line above
	}
	if c.gate >= 0 {
		step = childGate
		syscall.RawSyscall(syscall.SYS_CLOSE, uintptr(c.gateWrite), 0, 0)
		if n, _, errno = syscall.RawSyscall(syscall.SYS_READ, uintptr(c.gate), uintptr(unsafe.Pointer(&c.one[0])), 1); errno != 0 {
			goto failed
		}
		if n != 1 {
			goto exit // main knows why
		}
	}
	if c.flags&syscall.CLONE_NEWNS != 0 {
		// Before any mount, or that would appear to others too (shared propagation is
		// systemd's default).
		step = childPropagation
		_, _, errno = syscall.RawSyscall6(syscall.SYS_MOUNT, uintptr(unsafe.Pointer(&c.root[0])), uintptr(unsafe.Pointer(&c.root[0])), 0, c.propagation, 0, 0)
		if errno == syscall.EINVAL {
			errno = c.propagationInChroot()
		}
		if errno != 0 {
			goto failed
		}
	}
	if c.try != nil {
		goto try
	}
	if c.bound != nil {
		step, errno = c.bound.run(uintptr(c.socket))
		goto failed
	}
	if c.mounter != nil {
		step, errno = c.mounter.run(uintptr(c.socket))
		goto failed
	}
	if c.ambient != 0 {
		step = childCaps
		if _, _, errno = syscall.RawSyscall(syscall.SYS_CAPGET, uintptr(unsafe.Pointer(&c.caps.head)), uintptr(unsafe.Pointer(&c.caps.data[0])), 0); errno != 0 {
			goto failed
		}
		c.caps.data[0].inheritable |= uint32(c.ambient)
		c.caps.data[1].inheritable |= uint32(c.ambient >> 32)
		if _, _, errno = syscall.RawSyscall(syscall.SYS_CAPSET, uintptr(unsafe.Pointer(&c.caps.head)), uintptr(unsafe.Pointer(&c.caps.data[0])), 0); errno != 0 {
			goto failed
		}
		for n = 0; n < 64; n++ {
			if c.ambient>>n&1 == 0 {
				continue
			}
			if _, _, errno = syscall.RawSyscall6(syscall.SYS_PRCTL, prCapAmbient, ambientRaise, n, 0, 0, 0); errno != 0 {
				goto failed
			}
		}
	}
	step = childExec
	if _, _, errno = syscall.RawSyscall(syscall.SYS_FCNTL, uintptr(c.socket), syscall.F_SETFD, 0); errno != 0 {
		goto failed
	}
	_, _, errno = syscall.RawSyscall(syscall.SYS_EXECVE, uintptr(unsafe.Pointer(c.path)), uintptr(unsafe.Pointer(c.argv)), uintptr(unsafe.Pointer(c.envv)))
	goto failed

try:
	if c.try.fuse == nil {
		syscall.RawSyscall(syscall.SYS_EXIT_GROUP, 0, 0, 0)
	}
	step = childOpen
	if fd, _, errno = syscall.RawSyscall6(syscall.SYS_OPENAT, ^uintptr(99), uintptr(unsafe.Pointer(c.try.fuse)), syscall.O_RDWR|syscall.O_CLOEXEC, 0, 0, 0); errno != 0 {
		goto failed
	}
	step = childMount
	if fd > 99999 {
		errno = syscall.EMFILE
		goto failed
	}
	c.try.number(fd)
	_, _, errno = syscall.RawSyscall6(syscall.SYS_MOUNT, uintptr(unsafe.Pointer(&c.root[0])), uintptr(unsafe.Pointer(c.try.target)),
		uintptr(unsafe.Pointer(c.try.kind)), syscall.MS_NOSUID|syscall.MS_NODEV, uintptr(unsafe.Pointer(&c.try.options[0])), 0)
	if errno == 0 {
		syscall.RawSyscall(syscall.SYS_EXIT_GROUP, 0, 0, 0)
	}

failed:
	c.failed[5], c.failed[6] = step, byte(errno)
	syscall.RawSyscall(syscall.SYS_WRITE, uintptr(c.socket), uintptr(unsafe.Pointer(&c.failed[0])), uintptr(len(c.failed)))
exit:
	for {
		syscall.RawSyscall(syscall.SYS_EXIT_GROUP, 125, 0, 0)
	}
}

// propagationInChroot does it from inside of a chroot, whose root need not be
// a mount point: setns(2) into the namespace that the process is in leads
// to that one's root, and a descriptor back.
//
//go:nosplit
//go:norace
//go:nocheckptr
func (c *child) propagationInChroot() (errno syscall.Errno) {
	var root, cwd, ns uintptr
	if root, _, errno = syscall.RawSyscall6(syscall.SYS_OPENAT, ^uintptr(99), uintptr(unsafe.Pointer(&c.root[0])), oPath|syscall.O_CLOEXEC, 0, 0, 0); errno != 0 {
		return errno
	}
	if cwd, _, errno = syscall.RawSyscall6(syscall.SYS_OPENAT, ^uintptr(99), uintptr(unsafe.Pointer(&c.dot[0])), oPath|syscall.O_CLOEXEC, 0, 0, 0); errno != 0 {
		return errno
	}
	if ns, _, errno = syscall.RawSyscall6(syscall.SYS_OPENAT, ^uintptr(99), uintptr(unsafe.Pointer(&c.nsPath[0])), syscall.O_RDONLY|syscall.O_CLOEXEC, 0, 0, 0); errno != 0 {
		return errno
	}
	if _, _, errno = syscall.RawSyscall(sysSetns, ns, syscall.CLONE_NEWNS, 0); errno != 0 {
		return errno
	}
	if _, _, errno = syscall.RawSyscall6(syscall.SYS_MOUNT, uintptr(unsafe.Pointer(&c.root[0])), uintptr(unsafe.Pointer(&c.root[0])), 0, c.propagation, 0, 0); errno != 0 {
		return errno
	}
	if _, _, errno = syscall.RawSyscall(syscall.SYS_FCHDIR, root, 0, 0); errno != 0 {
		return errno
	}
	if _, _, errno = syscall.RawSyscall(syscall.SYS_CHROOT, uintptr(unsafe.Pointer(&c.dot[0])), 0, 0); errno != 0 {
		return errno
	}
	_, _, errno = syscall.RawSyscall(syscall.SYS_FCHDIR, cwd, 0, 0)
	return errno
}

// number writes the descriptor and the tail behind "fd=".
//
//go:nosplit
//go:norace
//go:nocheckptr
func (t *tryMount) number(fd uintptr) {
	at, div := 3, uintptr(10000)
	for ; div > 1 && fd < div; div /= 10 {
	}
	for ; div > 0; div /= 10 {
		t.options[at] = '0' + byte(fd/div%10)
		at++
	}
	for i := 0; i < t.tailLen; i++ {
		t.options[at] = *(*byte)(unsafe.Add(unsafe.Pointer(t.tail), i))
		at++
	}
	t.options[at] = 0
}
