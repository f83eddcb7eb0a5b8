package sandbox

import (
	"syscall"
	"unsafe"
)

// readOnlyBind mounts a file over another, for reading alone: what is written to
// the name would go to the file that is shown there, and be lost with the mount.
// It has memory for what the system calls read and write, which a child of
// [child.run]'s rules cannot make.
type readOnlyBind struct {
	attr  [4]uint64 // struct mount_attr of include/uapi/linux/mount.h
	stat  syscall.Statfs_t
	empty [1]byte
}

// prepare is called before the child is made.
func (r *readOnlyBind) prepare() { r.attr[0] = mountAttrRO }

// Flags of a mount that a user namespace may not clear (mount_namespaces(7)):
// ST_ flags of include/linux/statfs.h, which are the MS_ flags but for relatime.
const (
	keptFlags  = syscall.MS_NOSUID | syscall.MS_NODEV | syscall.MS_NOEXEC | syscall.MS_NOATIME | syscall.MS_NODIRATIME
	stRelatime = 0x1000
)

// mount leaves nothing mounted where it fails.
//
//go:nosplit
//go:norace
//go:nocheckptr
func (r *readOnlyBind) mount(source, target *byte) (errno syscall.Errno) {
	if _, _, errno = syscall.RawSyscall6(syscall.SYS_MOUNT, uintptr(unsafe.Pointer(source)), uintptr(unsafe.Pointer(target)), 0, syscall.MS_BIND, 0, 0); errno != 0 {
		return errno
	}
	if _, _, errno = syscall.RawSyscall6(sysMountSetattr, ^uintptr(99), uintptr(unsafe.Pointer(target)), 0, uintptr(unsafe.Pointer(&r.attr)), unsafe.Sizeof(r.attr), 0); errno == 0 {
		return 0
	}
	// Before Linux 5.12, or a seccomp filter does not know it.
	if _, _, errno = syscall.RawSyscall(syscall.SYS_STATFS, uintptr(unsafe.Pointer(target)), uintptr(unsafe.Pointer(&r.stat)), 0); errno == 0 {
		flags := uintptr(r.stat.Flags)&keptFlags | syscall.MS_REMOUNT | syscall.MS_BIND | syscall.MS_RDONLY
		if uintptr(r.stat.Flags)&stRelatime != 0 {
			flags |= syscall.MS_RELATIME
		}
		_, _, errno = syscall.RawSyscall6(syscall.SYS_MOUNT, uintptr(unsafe.Pointer(&r.empty)), uintptr(unsafe.Pointer(target)), 0, flags, 0, 0)
	}
	if errno != 0 {
		syscall.RawSyscall(syscall.SYS_UMOUNT2, uintptr(unsafe.Pointer(target)), mntDetach|umountNoFollow, 0)
	}
	return errno
}
