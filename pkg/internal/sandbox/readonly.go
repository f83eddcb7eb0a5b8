package sandbox

import (
	"os"
	"strings"
	"syscall"
	"unsafe"
)

// makeReadOnly makes every mount at and below root read-only; a private
// /dev/shm stays writable, since it is memory. Device nodes work on: writing to
// one needs no writable mount (sb_permission in fs/namei.c).
func makeReadOnly(root string) error {
	if err := setReadOnly(root); err != nil {
		return err
	}
	if root == "/" {
		root = ""
	}
	err := mount("tmpfs", root+"/dev/shm", "tmpfs", syscall.MS_NOSUID|syscall.MS_NODEV, "mode=1777")
	if err == syscall.ENOENT {
		return nil
	}
	return stepError("mount tmpfs", "/dev/shm", err)
}

func setReadOnly(root string) error {
	path, err := syscall.BytePtrFromString(root)
	if err != nil {
		return err
	}
	attr := struct{ set, clear, propagation, userNS uint64 }{set: mountAttrRO}
	at := atFDCWD
	_, _, errno := syscall.Syscall6(sysMountSetattr, uintptr(at), uintptr(unsafe.Pointer(path)), atRecursive,
		uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr), 0)
	switch errno {
	case 0:
		return nil
	case syscall.ENOSYS, syscall.EPERM: // before Linux 5.12; a seccomp filter that does not know it
		return remountReadOnly(root)
	}
	return stepError("mount_setattr", root, errno)
}

// remountReadOnly does it mount by mount. The flags that a mount has must be
// given again: a user namespace may not clear them (mount_namespaces(7)).
func remountReadOnly(root string) error {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line) // proc_pid_mountinfo(5)
		if len(f) < 6 {
			continue
		}
		path := unescape(f[4])
		if !below(path, root) {
			continue
		}
		flags := uintptr(syscall.MS_REMOUNT | syscall.MS_BIND | syscall.MS_RDONLY)
		for option := range strings.SplitSeq(f[5], ",") {
			flags |= mountFlag(option)
		}
		// One that is mounted over is not reachable, and fails or is done twice.
		if err := mount("", path, "", flags, ""); err != nil && err != syscall.ENOENT && err != syscall.EINVAL && err != syscall.EACCES {
			return stepError("remount", path, err)
		}
	}
	return nil
}

func mountFlag(option string) uintptr {
	switch option {
	case "nosuid":
		return syscall.MS_NOSUID
	case "nodev":
		return syscall.MS_NODEV
	case "noexec":
		return syscall.MS_NOEXEC
	case "noatime":
		return syscall.MS_NOATIME
	case "nodiratime":
		return syscall.MS_NODIRATIME
	case "relatime":
		return syscall.MS_RELATIME
	}
	return 0
}

// unescape undoes \040 and the like of mountinfo.
func unescape(s string) string {
	var b []byte
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			b = append(b, (s[i+1]-'0')<<6|(s[i+2]-'0')<<3|(s[i+3]-'0'))
			i += 3
			continue
		}
		b = append(b, s[i])
	}
	return string(b)
}
