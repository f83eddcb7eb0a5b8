package sandbox

import (
	"strconv"
	"syscall"
)

// makeView mounts the view and makes it what the program sees. That the mounts
// of this namespace are private is the child's work, before the exec.
func (s *stage) makeView() error {
	// What goes past the view is opened first: the view may get mounted over it.
	s.findHoles()
	defer s.closeHoles()
	dirs, err := s.openWatched()
	if err != nil {
		return err
	}
	defer func() {
		for _, d := range dirs {
			syscall.Close(d.fd)
		}
	}()
	if s.mount, err = scratch(); err != nil {
		return stepError("mount", "scratch directory", err)
	}
	if err := s.mountFUSE(); err != nil {
		return err
	}
	if len(dirs) > 0 {
		return s.watchOnly(dirs)
	}
	return s.pivot()
}

// mountFUSE mounts the view at the scratch directory, and waits until the
// server answers for it.
func (s *stage) mountFUSE() error {
	if s.way == Fusermount {
		if err := s.announce(); err != nil {
			return err
		}
		// A copy: the mount itself is locked to the place where it was made, in a
		// namespace with less privilege (mount_namespaces(7)).
		if err := mount(s.mountPoint, s.mount, "", syscall.MS_BIND, ""); err != nil {
			return stepError("mount --bind", s.mountPoint, err)
		}
		return s.send(frameTaken, nil)
	}
	var err error
	if s.fuse, err = openFUSE(); err != nil {
		return stepError("open", "/dev/fuse", err)
	}
	// No device node is reached through the view, /dev is a bind. Set-id programs
	// work as alone; in a user namespace the kernel adds nosuid by itself.
	flags := uintptr(syscall.MS_NODEV)
	if s.readOnly {
		flags |= syscall.MS_RDONLY
	}
	if err := mount("compat", s.mount, "fuse.compat", flags, fuseOptions(s.fuse, s.uid, s.gid, s.allowOther)); err != nil {
		return stepError("mount fuse", s.mount, err)
	}
	return s.announce()
}

// announce hands the descriptor to the server, which alone keeps it: when the
// server ends, so does the connection.
func (s *stage) announce() error {
	m := Mounted{Way: s.way, UID: s.uid, GID: s.gid, AllowOther: s.allowOther, ReadOnly: s.readOnly}
	if s.way == UserNS {
		m.UIDs, m.GIDs = s.maps.uids, s.maps.gids
	}
	err := ask(s.server, m.encode(), s.fuse)
	syscall.Close(s.fuse)
	s.fuse = -1
	return stepError("reach the server", "", err)
}

// pivot makes the view the root. Nothing of the old root stays reachable but
// what is bound, and descriptors that the program inherits.
func (s *stage) pivot() error {
	s.bindHoles(s.mount, s.holes)
	if s.readOnly {
		if err := makeReadOnly(s.mount); err != nil {
			return err
		}
	}
	if err := syscall.Chdir(s.mount); err != nil {
		return stepError("chdir", s.mount, err)
	}
	// pivot_root(2), NOTES: with "." twice the old root lies over the new one.
	if err := syscall.PivotRoot(".", "."); err == nil {
		return stepError("umount", "old root", syscall.Unmount(".", mntDetach))
	} else if err != syscall.EINVAL {
		return stepError("pivot_root", s.mount, err)
	}
	// The root is the initramfs, or no mount point (a chroot). As switch_root(8)
	// does; the move fails in a chroot, and is not needed there.
	_ = mount(".", "/", "", syscall.MS_MOVE, "")
	if err := syscall.Chroot("."); err != nil {
		return stepError("chroot", s.mount, err)
	}
	return stepError("chdir", "/", syscall.Chdir("/"))
}

// watched is a directory that goes through the view, while all else does not.
type watched struct {
	path string // real
	fd   int    // O_PATH
}

func (s *stage) openWatched() ([]watched, error) {
	var dirs []watched
	for _, dir := range s.watch {
		fd, path, err := openReal(dir)
		if err == nil && path == "/" {
			syscall.Close(fd)
			return nil, nil // all is watched
		}
		if err != nil {
			return nil, stepError("watch", dir, err)
		}
		dirs = append(dirs, watched{path, fd})
	}
	return dirs, nil
}

// watchOnly puts the view's directories over the real ones. The real ones are
// named by descriptor: the view's scratch mount may hide their paths.
func (s *stage) watchOnly(dirs []watched) error {
	for _, d := range dirs {
		if err := mount(s.mount+d.path, fdPath(d.fd), "", syscall.MS_BIND, ""); err != nil {
			return stepError("mount --bind", d.path, err)
		}
	}
	if err := syscall.Unmount(s.mount, mntDetach); err != nil {
		return stepError("umount", s.mount, err)
	}
	var inside []hole
	for _, h := range s.holes {
		for _, d := range dirs {
			if below(h.path, d.path) {
				inside = append(inside, h)
				break
			}
		}
	}
	s.bindHoles("", inside)
	if s.readOnly {
		return makeReadOnly("/")
	}
	return nil
}

func fuseOptions(fd int, uid, gid uint32, allowOther bool) string {
	o := "fd=" + strconv.Itoa(fd) + fuseTail(uid, gid)
	if allowOther {
		// Never the first without the second: a server that is root would read
		// /etc/shadow for everybody.
		o += ",allow_other,default_permissions"
	}
	return o
}

func fuseTail(uid, gid uint32) string {
	return ",rootmode=40000,user_id=" + strconv.FormatUint(uint64(uid), 10) + ",group_id=" + strconv.FormatUint(uint64(gid), 10) + ",max_read=1048576"
}

func openFUSE() (int, error) {
	return syscall.Open("/dev/fuse", syscall.O_RDWR|syscall.O_CLOEXEC, 0)
}

func mount(source, target, kind string, flags uintptr, data string) error {
	return syscall.Mount(source, target, kind, flags, data)
}

func fdPath(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }
