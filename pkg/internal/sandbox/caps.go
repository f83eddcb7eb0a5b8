package sandbox

import (
	"strconv"
	"strings"
	"syscall"
	"unsafe"
)

// capSets are the arguments of capget(2) and capset(2), version 3.
type capSets struct {
	head struct {
		version uint32
		pid     int32
	}
	data [2]struct{ effective, permitted, inheritable uint32 }
}

// credentials are what proc_pid_status(5) says of capabilities and signals.
type credentials struct {
	bounding, permitted, effective, inheritable, ambient uint64
	blocked, ignored                                     uint64 // signal n is bit n-1
	seccomp                                              bool
}

// readCredentials is about the calling thread, which has the signal mask that the
// process was started with. The process's first thread may be the one on which
// Go waits for signals, with nearly all of them blocked (ensureSigM in
// runtime/signal_unix.go); capabilities are the same in all threads of ours.
func readCredentials() (credentials, error) {
	var c credentials
	text, err := readProc("/proc/thread-self/status")
	if err != nil {
		return c, err
	}
	to := map[string]*uint64{
		"CapBnd": &c.bounding, "CapPrm": &c.permitted, "CapEff": &c.effective, "CapInh": &c.inheritable, "CapAmb": &c.ambient,
		"SigBlk": &c.blocked, "SigIgn": &c.ignored,
	}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		if key == "Seccomp" {
			c.seccomp = value != "0"
		}
		if p := to[key]; p != nil {
			if *p, err = strconv.ParseUint(value, 16, 64); err != nil {
				return c, err
			}
		}
	}
	return c, nil
}

func (c credentials) may(capability int) bool { return c.effective>>capability&1 != 0 }

// restore gives the process the sets of main, as far as they matter after the
// exec: inside a user namespace the kernel had filled them (set_cred_user_ns in
// kernel/user_namespace.c). The thread must be the one that calls execve.
func (c *credentials) restore() error {
	if errno := c.restoreCaps(new(capSets)); errno != 0 {
		return errno
	}
	return nil
}

// restoreCaps is restore for a child too (see [child.run]); now is its memory.
//
//go:nosplit
//go:norace
//go:nocheckptr
func (c *credentials) restoreCaps(now *capSets) (errno syscall.Errno) {
	var has, i uintptr
	now.head.version = capVersion3
	if _, _, errno = syscall.RawSyscall(syscall.SYS_CAPGET, uintptr(unsafe.Pointer(&now.head)), uintptr(unsafe.Pointer(&now.data[0])), 0); errno != 0 {
		return errno
	}
	if _, _, errno = syscall.RawSyscall6(syscall.SYS_PRCTL, prCapAmbient, ambientClearAll, 0, 0, 0, 0); errno != 0 {
		return errno
	}
	for i = 0; i < 64; i++ {
		// EINVAL is no capability of this kernel.
		if has, _, errno = syscall.RawSyscall6(syscall.SYS_PRCTL, prCapbsetRead, i, 0, 0, 0, 0); errno != 0 || has == 0 || c.bounding>>i&1 != 0 {
			continue
		}
		if _, _, errno = syscall.RawSyscall6(syscall.SYS_PRCTL, prCapbsetDrop, i, 0, 0, 0, 0); errno != 0 {
			return errno
		}
	}
	now.data[0].inheritable, now.data[1].inheritable = uint32(c.inheritable), uint32(c.inheritable>>32)
	if _, _, errno = syscall.RawSyscall(syscall.SYS_CAPSET, uintptr(unsafe.Pointer(&now.head)), uintptr(unsafe.Pointer(&now.data[0])), 0); errno != 0 {
		return errno
	}
	for i = 0; i < 64; i++ {
		if c.ambient>>i&1 == 0 {
			continue
		}
		if _, _, errno = syscall.RawSyscall6(syscall.SYS_PRCTL, prCapAmbient, ambientRaise, i, 0, 0, 0); errno != 0 {
			return errno
		}
	}
	now.data[0].permitted &= uint32(c.permitted)
	now.data[1].permitted &= uint32(c.permitted >> 32)
	now.data[0].effective &= uint32(c.effective)
	now.data[1].effective &= uint32(c.effective >> 32)
	_, _, errno = syscall.RawSyscall(syscall.SYS_CAPSET, uintptr(unsafe.Pointer(&now.head)), uintptr(unsafe.Pointer(&now.data[0])), 0)
	return errno
}

// restoreSignals sets what exec keeps: the ignored signals, and the mask. What
// came meanwhile arrives now, with the effect that it has on a program which
// has set nothing yet.
//
//go:nosplit
//go:norace
//go:nocheckptr
func (c *credentials) restoreSignals() {
	var action struct {
		handler, flags, restorer uintptr
		mask                     uint64
	}
	for n := uintptr(1); n <= sigCount; n++ {
		action.handler = 0
		if c.ignored>>(n-1)&1 != 0 {
			action.handler = sigIgnore
		}
		// EINVAL for SIGKILL and SIGSTOP.
		syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, n, uintptr(unsafe.Pointer(&action)), 0, sigSetSize, 0, 0)
	}
	syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, sigSetMask, uintptr(unsafe.Pointer(&c.blocked)), 0, sigSetSize, 0, 0)
}

// stageCaps are what the stage needs: mounts, chroot(2), and to give up the
// bounding set.
const stageCaps = 1<<capSysAdmin | 1<<capSysChroot | 1<<capSetPcap
