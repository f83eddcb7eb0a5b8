package sandbox

import (
	"strconv"
	"strings"
	"syscall"
	"unsafe"
)

// sockFilter and sockFprog are of include/uapi/linux/filter.h.
type sockFilter struct {
	code   uint16
	jt, jf uint8
	k      uint32
}

type sockFprog struct {
	n      uint16
	_      [6]byte
	filter *sockFilter
}

// execFilter asks the listener about execve(2) and execveat(2) of this
// architecture and allows all else, other architectures too. Calls that are
// always allowed cost no run of the filter (seccomp_cache_prepare in
// kernel/seccomp.c, Linux 5.11).
//
// Nor does it ask about a path at one of the addresses own: that is the child's
// exec, for which nobody is ready yet. Later programs have no string there but
// by a rare chance, and then one exec is not told.
func execFilter(own ...*byte) *sockFprog {
	const ld, jeq, ret = 0x20, 0x15, 0x06 // BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_RET|K
	const atNr, atArch, atArg0 = 0, 4, 16 // of struct seccomp_data
	allow := sockFilter{ret, 0, 0, seccompRetAllow}
	program := []sockFilter{
		{ld, 0, 0, atArch},
		{jeq, 1, 0, auditArch},
		allow,
		{ld, 0, 0, atNr},
		{jeq, 2, 0, syscall.SYS_EXECVE},
		{jeq, uint8(1 + 5*len(own)), 0, sysExecveat},
		allow,
	}
	for _, p := range own {
		address := uint64(uintptr(unsafe.Pointer(p))) // of the heap, which does not move
		program = append(program,
			sockFilter{ld, 0, 0, atArg0}, sockFilter{jeq, 0, 3, uint32(address)},
			sockFilter{ld, 0, 0, atArg0 + 4}, sockFilter{jeq, 0, 1, uint32(address >> 32)},
			allow)
	}
	program = append(program, sockFilter{ret, 0, 0, seccompRetUserNotif})
	return &sockFprog{n: uint16(len(program)), filter: &program[0]}
}

// notification and verdict are struct seccomp_notif and seccomp_notif_resp.
type notification struct {
	id         uint64
	pid, flags uint32 // pid is a thread's
	nr         int32
	arch       uint32
	ip         uint64
	args       [6]uint64
}

type verdict struct {
	id    uint64
	val   int64
	err   int32
	flags uint32
}

// listener is the descriptor of a filter.
type listener int

func (l listener) ioctl(request uintptr, arg unsafe.Pointer) syscall.Errno {
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(l), request, uintptr(arg))
	return errno
}

// receive gives what poll has announced; ok is false where its task has ended.
func (l listener) receive(n *notification) (ok bool) {
	for {
		*n = notification{} // or EINVAL
		if errno := l.ioctl(ioctlNotifRecv, unsafe.Pointer(n)); errno != syscall.EINTR {
			return errno == 0
		}
	}
}

// resume lets the system call happen. An error is that its task has ended.
func (l listener) resume(id uint64) {
	v := verdict{id: id, flags: seccompContinue}
	l.ioctl(ioctlNotifSend, unsafe.Pointer(&v))
}

// waits is true while the task waits: what was read of it before is its own.
func (l listener) waits(id uint64) bool { return l.ioctl(ioctlNotifIDValid, unsafe.Pointer(&id)) == 0 }

// serve lets everything happen until no process with the filter is left.
func (l listener) serve() {
	var n notification
	for {
		events, err := poll(-1, pollFD{fd: int32(l), events: pollIn})
		switch {
		case err != nil:
			return
		case events[0]&pollIn != 0:
			if l.receive(&n) {
				l.resume(n.id)
			}
		case events[0] != 0:
			return
		}
	}
}

type pollFD struct {
	fd              int32 // negative: none
	events, revents int16
}

// poll is ppoll(2); timeout is in milliseconds, negative for none.
func poll(timeout int, fds ...pollFD) (revents [2]int16, err error) {
	for {
		var ts *syscall.Timespec
		if timeout >= 0 {
			t := syscall.NsecToTimespec(int64(timeout) * 1e6)
			ts = &t
		}
		_, _, errno := syscall.Syscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&fds[0])), uintptr(len(fds)), uintptr(unsafe.Pointer(ts)), 0, sigSetSize, 0)
		if errno == syscall.EINTR {
			continue
		}
		for i := range fds {
			revents[i] = fds[i].revents
		}
		if errno != 0 {
			return revents, errno
		}
		return revents, nil
	}
}

// watchable says why execs cannot be watched here, or nil. Before Linux 5.9 a
// listener is not told that nobody is left (seccomp_notify_poll in
// kernel/seccomp.c).
func watchable() error {
	var u syscall.Utsname
	if err := syscall.Uname(&u); err != nil {
		return err
	}
	var release []byte
	for _, c := range u.Release {
		if c == 0 {
			break
		}
		release = append(release, byte(c))
	}
	if major, minor := kernelVersion(string(release)); major < 5 || major == 5 && minor < 9 {
		return &StepError{"seccomp listener", "of Linux 5.9, and this is " + string(release), syscall.ENOSYS}
	}
	action := uint32(seccompRetUserNotif)
	if _, _, errno := syscall.Syscall(sysSeccomp, seccompGetActionAvail, 0, uintptr(unsafe.Pointer(&action))); errno != 0 {
		return &StepError{"seccomp listener", "", errno}
	}
	return nil
}

func kernelVersion(release string) (major, minor int) {
	first, rest, _ := strings.Cut(release, ".")
	end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(rest)
	}
	major, _ = strconv.Atoi(first)
	minor, _ = strconv.Atoi(rest[:end])
	return major, minor
}
