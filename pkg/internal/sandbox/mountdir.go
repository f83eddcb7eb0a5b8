package sandbox

import (
	"errors"
	"os"
	"syscall"
)

// MountOptions are of [Mount].
type MountOptions struct {
	ReadOnly bool
}

// ErrMountPoint is that a directory cannot be mounted on; the text says why.
var ErrMountPoint = errors.New("no mount point for a view")

// Mount mounts on an empty directory in the caller's own namespace, for
// programs that are started otherwise. The file is the /dev/fuse descriptor,
// with INIT unanswered: touch the directory only once a server reads from it.
//
// unmount leaves the directory; where the mount is in use it goes as soon as
// the last user has (MNT_DETACH). Way userns mounts where nobody else looks, so
// way is [Root] or [Fusermount]. Mounted tells the server what it has to know.
func Mount(way Way, dir string, opts MountOptions) (fuse *os.File, mounted Mounted, unmount func() error, err error) {
	if err := mountable(dir); err != nil {
		return nil, mounted, nil, err
	}
	mounted = Mounted{Way: way, UID: uint32(os.Geteuid()), GID: uint32(os.Getegid()), ReadOnly: opts.ReadOnly}
	switch way {
	case Root:
		mounted.AllowOther = true
		fd, err := openFUSE()
		if err != nil {
			return nil, mounted, nil, &os.PathError{Op: "open", Path: "/dev/fuse", Err: err}
		}
		flags := uintptr(syscall.MS_NOSUID | syscall.MS_NODEV)
		if opts.ReadOnly {
			flags |= syscall.MS_RDONLY
		}
		if err := mount("compat", dir, "fuse.compat", flags, fuseOptions(fd, mounted.UID, mounted.GID, true)); err != nil {
			syscall.Close(fd)
			return nil, mounted, nil, stepError("mount fuse", dir, err)
		}
		unmount := func() error {
			return stepError("umount", dir, syscall.Unmount(dir, mntDetach|umountNoFollow))
		}
		return os.NewFile(uintptr(fd), "/dev/fuse"), mounted, unmount, nil
	case Fusermount:
		m, err := fusermount(dir, opts.ReadOnly)
		if err != nil {
			return nil, mounted, nil, err
		}
		fuse := os.NewFile(uintptr(m.fuse), "/dev/fuse")
		m.fuse = -1 // the file's now
		return fuse, mounted, m.remove, nil
	}
	return nil, mounted, nil, errors.New("way " + string(way) + " mounts in a private namespace only")
}

// mountable says what is wrong with a mount point before the kernel hides it.
func mountable(dir string) error {
	var st, up syscall.Stat_t
	if err := syscall.Lstat(dir, &st); err != nil {
		return &os.PathError{Op: "stat", Path: dir, Err: err}
	}
	if st.Mode&syscall.S_IFMT != syscall.S_IFDIR {
		return errors.Join(ErrMountPoint, &os.PathError{Op: "mount", Path: dir, Err: syscall.ENOTDIR})
	}
	if err := syscall.Lstat(dir+"/..", &up); err == nil && (up.Dev != st.Dev || up.Ino == st.Ino) {
		return errors.Join(ErrMountPoint, &os.PathError{Op: "mount", Path: dir, Err: errors.New("is a mount point already")})
	}
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if names, _ := f.Readdirnames(1); len(names) > 0 {
		return errors.Join(ErrMountPoint, &os.PathError{Op: "mount", Path: dir, Err: syscall.ENOTEMPTY})
	}
	return nil
}
