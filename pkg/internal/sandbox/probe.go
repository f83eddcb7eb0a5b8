package sandbox

import (
	"errors"
	"os"
	"runtime"
	"strings"
	"syscall"
)

// Probe finds the way to mount a view here. The error is an [*UnsupportedError].
func Probe() (Way, error) {
	creds, err := readCredentials()
	if err != nil {
		return "", &UnsupportedError{Reasons: []string{err.Error()}, Hint: "mount /proc"}
	}
	fd, err := openFUSE()
	if err != nil {
		return probeHelper(&UnsupportedError{}, creds, err)
	}
	syscall.Close(fd)
	if creds.may(capSysAdmin) {
		return Root, nil
	}
	step, err := tryUserNS(creds)
	if err == nil {
		return UserNS, nil
	}
	why, hint := explainUserNS(step, err, creds)
	return probeHelper(&UnsupportedError{Reasons: []string{why}, Hint: hint}, creds, nil)
}

// ProbeMount finds the way to mount a view that others see too, for [Mount].
func ProbeMount() (Way, error) {
	creds, err := readCredentials()
	if err != nil {
		return "", &UnsupportedError{Reasons: []string{err.Error()}, Hint: "mount /proc"}
	}
	fd, err := openFUSE()
	if err == nil {
		syscall.Close(fd)
		if creds.may(capSysAdmin) {
			return Root, nil
		}
	}
	return probeHelper(&UnsupportedError{}, creds, err)
}

// probeHelper is the last way; it too needs a user namespace. It is the one
// where a kernel before 4.18 mounts no FUSE in a user namespace.
func probeHelper(u *UnsupportedError, creds credentials, fuse error) (Way, error) {
	switch {
	case errors.Is(fuse, syscall.ENOENT):
		u.Reasons = append(u.Reasons, "/dev/fuse is missing")
		u.Hint = "in a container: podman run --device /dev/fuse; on a machine: modprobe fuse"
		return "", u
	case errors.Is(fuse, syscall.ENODEV), errors.Is(fuse, syscall.ENXIO):
		u.Reasons = append(u.Reasons, "/dev/fuse is there, but the kernel has no FUSE: "+fuse.Error())
		u.Hint = "modprobe fuse"
		return "", u
	case fuse != nil:
		u.Reasons = append(u.Reasons, "/dev/fuse cannot be opened: "+fuse.Error())
		u.Hint = "in a container: podman run --device /dev/fuse; on a machine: chmod 666 /dev/fuse (udev's default mode)"
	}
	helper := findFusermount()
	if helper == "" {
		u.Reasons = append(u.Reasons, errNoFusermount.Error())
		return "", u
	}
	var st syscall.Stat_t
	if err := syscall.Stat(helper, &st); err != nil || st.Mode&syscall.S_ISUID == 0 && os.Geteuid() != 0 {
		u.Reasons = append(u.Reasons, helper+" is not set-user-id root")
		return "", u
	}
	if step, err := tryClone(creds); err != nil {
		why, hint := explainUserNS(step, err, creds)
		u.Reasons, u.Hint = append(u.Reasons, why), hint
		return "", u
	}
	// Whether it can open the device where we cannot, and whom fuse.conf lets
	// mount, differs by version and distribution.
	m, err := fusermountTemp(false)
	if err == nil {
		err = m.remove()
	}
	if err != nil {
		u.Reasons = append(u.Reasons, err.Error())
		return "", u
	}
	return Fusermount, nil
}

// tryUserNS mounts a view in a user namespace that ends at once.
func tryUserNS(creds credentials) (step string, err error) { return try(creds, true) }

// tryClone makes mounts private there, no more.
func tryClone(creds credentials) (step string, err error) { return try(creds, false) }

func try(creds credentials, fuse bool) (step string, err error) {
	maps, err := newIDMaps(creds)
	if err != nil {
		return "id map", err
	}
	var pair, gate [2]int
	if err := syscall.Pipe2(pair[:], syscall.O_CLOEXEC); err != nil {
		return "pipe", err
	}
	defer syscall.Close(pair[0])
	if err := syscall.Pipe2(gate[:], syscall.O_CLOEXEC); err != nil {
		syscall.Close(pair[1])
		return "pipe", err
	}
	dir, err := scratch()
	if err != nil {
		return "scratch directory", err
	}
	t := &tryMount{kind: cstring("fuse.compat"), target: cstring(dir)}
	if fuse {
		t.fuse = cstring("/dev/fuse")
	}
	tail := fuseTail(uint32(os.Geteuid()), uint32(os.Getegid())) + "\x00"
	copy(t.options[:], "fd=")
	t.tail, t.tailLen = cstring(tail), len(tail)-1
	c := newChild()
	c.flags = syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS
	c.gate, c.gateWrite, c.socket, c.try = gate[0], gate[1], pair[1], t
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	pid, err := c.clone()
	syscall.Close(pair[1])
	syscall.Close(gate[0])
	if err == nil {
		if err = maps.write(pid); err == nil {
			_, err = syscall.Write(gate[1], []byte{0})
		}
		step = "id map"
	} else {
		step = "clone"
	}
	syscall.Close(gate[1])
	if pid == 0 {
		return step, err
	}
	var b [7]byte
	n, _ := syscall.Read(pair[0], b[:])
	var status syscall.WaitStatus
	for {
		if _, werr := syscall.Wait4(pid, &status, 0, nil); werr != syscall.EINTR {
			break
		}
	}
	switch {
	case err != nil:
		return step, err
	case n == len(b):
		return childStep(b[5]), syscall.Errno(b[6])
	case status != 0:
		return "clone", syscall.ECHILD
	}
	return "", nil
}

func cstring(s string) *byte {
	b := make([]byte, len(s)+1)
	copy(b, s)
	return &b[0]
}

// explainUserNS says which of the switches forbids it.
func explainUserNS(step string, err error, creds credentials) (why, hint string) {
	const container = "in a container: podman run --device /dev/fuse --cap-add SYS_ADMIN --security-opt seccomp=unconfined"
	switch {
	case sysctl("user/max_user_namespaces") == "0":
		return "user namespaces are forbidden: user.max_user_namespaces is 0", "sysctl user.max_user_namespaces=10000"
	case sysctl("kernel/unprivileged_userns_clone") == "0":
		return "user namespaces are forbidden: kernel.unprivileged_userns_clone is 0", "sysctl kernel.unprivileged_userns_clone=1"
	case sysctl("kernel/apparmor_restrict_unprivileged_userns") == "1":
		return "AppArmor takes the capabilities of user namespaces away (" + step + ": " + err.Error() + "): kernel.apparmor_restrict_unprivileged_userns is 1",
			"sysctl kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile for compat with userns"
	case errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EUSERS):
		return "user namespaces: " + step + ": the limit of user.max_user_namespaces, or of nesting, is reached", "sysctl user.max_user_namespaces=10000"
	case creds.seccomp:
		return "user namespaces: " + step + ": " + err.Error() + ", and a seccomp filter is active", container
	}
	return "user namespaces: " + step + ": " + err.Error(), container
}

func sysctl(name string) string {
	text, err := os.ReadFile("/proc/sys/" + name)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}
