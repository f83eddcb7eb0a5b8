package rootfs

import (
	"bytes"
	"encoding/binary"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// What a start of a file depends on beside the file, which lists of files cannot
// tell: who asks, and how its file system is mounted.

// MayExecute asks the kernel whether this process may execute a file: what the
// permissions say of this user, and no mount with noexec (fs/open.c,
// do_faccessat).
func (h *Host) MayExecute(name string) error {
	const atFdcwd, xOK, atEaccess = -100, 1, 0x200
	return syscall.Faccessat(atFdcwd, Abs(h, name), xOK, atEaccess)
}

// NoExec reports whether the mount that a file is on was made with noexec, which
// lets nobody map it as code (mm/mmap.c, do_mmap).
func (h *Host) NoExec(name string) bool {
	return h.mountFlags(name)&stNoExec != 0
}

const stNoSUID, stNoExec = 0x2, 0x8 // include/linux/statfs.h

// mountFlags are those of the mount that a file is on, 0 where there is no answer.
func (h *Host) mountFlags(name string) int64 {
	var st syscall.Statfs_t
	if syscall.Statfs(Abs(h, name), &st) != nil {
		return 0
	}
	return st.Flags
}

// Secure reports whether a start of the file by this process changes what it may
// do: AT_SECURE, by its set-id bits (fs/exec.c, bprm_fill_uid) or by its
// capabilities (security/commoncap.c, cap_bprm_creds_from_file).
func (h *Host) Secure(name string, info Info) bool {
	caps := h.capabilities(name)
	setUID := info.SetUID() && int(info.UID) != os.Getuid()
	setGID := info.SetGID() && int(info.GID) != os.Getgid()
	if caps == nil && !setUID && !setGID || h.mountFlags(name)&stNoSUID != 0 {
		return false
	}
	const prGetNoNewPrivs = 39
	noNew, _, _ := syscall.RawSyscall6(syscall.SYS_PRCTL, prGetNoNewPrivs, 0, 0, 0, 0, 0)
	if noNew == 0 && (setUID || setGID) && mapped("/proc/self/uid_map", info.UID) && mapped("/proc/self/gid_map", info.GID) {
		return true
	}
	if caps == nil || os.Getuid() == 0 {
		return false
	}
	gets := caps.permitted & ownCaps("CapBnd")
	if noNew != 0 {
		gets &= ownCaps("CapPrm")
	}
	return caps.effective || gets != 0
}

// mapped reports whether an ID means somebody in this user namespace: the files of
// others look as if they were of the overflow ID, and their bits count for nothing.
func mapped(file string, id uint32) bool {
	text, err := os.ReadFile(file)
	if err != nil {
		return true
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) != 3 {
			continue
		}
		first, err1 := strconv.ParseUint(f[0], 10, 32)
		n, err2 := strconv.ParseUint(f[2], 10, 32)
		if err1 == nil && err2 == nil && uint64(id) >= first && uint64(id)-first < n {
			return true
		}
	}
	return false
}

// LacksCapabilities reports whether the file is to be started with capabilities
// that this process cannot hand out: the kernel refuses it, even to root (EPERM).
func (h *Host) LacksCapabilities(name string) bool {
	caps := h.capabilities(name)
	if caps == nil || !caps.effective || h.mountFlags(name)&stNoSUID != 0 {
		return false
	}
	return caps.permitted&^ownCaps("CapBnd") != 0
}

// ownCaps is a set of this process's capabilities, all of them where /proc is not
// mounted.
func ownCaps(set string) uint64 {
	text, _ := os.ReadFile("/proc/self/status")
	_, rest, _ := strings.Cut(string(text), "\n"+set+":")
	line, _, _ := strings.Cut(rest, "\n")
	caps, err := strconv.ParseUint(strings.TrimSpace(line), 16, 64)
	if err != nil {
		return ^uint64(0)
	}
	return caps
}

// fileCaps are the capabilities of a file (include/uapi/linux/capability.h,
// struct vfs_cap_data and vfs_ns_cap_data).
type fileCaps struct {
	permitted uint64
	effective bool
}

// capabilities gives nil where there are none for this user namespace.
func (h *Host) capabilities(name string) *fileCaps {
	var b [24]byte
	n, err := syscall.Getxattr(Abs(h, name), "security.capability", b[:])
	if err != nil || n < 12 {
		return nil
	}
	le := binary.LittleEndian
	magic := le.Uint32(b[:])
	caps := &fileCaps{uint64(le.Uint32(b[4:])), magic&1 != 0}
	switch {
	case magic>>24 == 1 && n == 12:
	case magic>>24 == 2 && n == 20, magic>>24 == 3 && n == 24 && bytes.Equal(b[20:], []byte{0, 0, 0, 0}):
		caps.permitted |= uint64(le.Uint32(b[12:])) << 32
	default:
		return nil
	}
	return caps
}
