package rootfs

import (
	"syscall"
	"unsafe"
)

// openHow is struct open_how (include/uapi/linux/openat2.h).
type openHow struct{ flags, mode, resolve uint64 }

func openat2(dir int, name string, flags int, resolve uint64) (int, error) {
	p, err := syscall.BytePtrFromString(name)
	if err != nil {
		return -1, syscall.EINVAL
	}
	how := openHow{flags: uint64(flags), resolve: resolve}
	for tries := 0; ; tries++ {
		fd, _, errno := syscall.Syscall6(sysOpenat2, uintptr(dir), uintptr(unsafe.Pointer(p)),
			uintptr(unsafe.Pointer(&how)), unsafe.Sizeof(how), 0, 0)
		switch {
		case errno == 0:
			return int(fd), nil
		case errno == syscall.EINTR, errno == syscall.EAGAIN && tries < 100: // a rename or mount went on meanwhile
			continue
		}
		return -1, errno
	}
}

// readlinkat reads the link that fd, opened with O_PATH and O_NOFOLLOW, is.
func readlinkat(fd int) (string, error) {
	empty := []byte{0}
	b := make([]byte, pathMax)
	n, _, errno := syscall.Syscall6(syscall.SYS_READLINKAT, uintptr(fd), uintptr(unsafe.Pointer(&empty[0])),
		uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), 0, 0)
	if errno != 0 {
		return "", errno
	}
	return string(b[:n]), nil
}
