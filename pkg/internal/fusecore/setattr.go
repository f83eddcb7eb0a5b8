package fusecore

import (
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/compspec/compat/pkg/record/trace"
)

// SetAttr implements fuse.RawFileSystem.
func (fs *FS) SetAttr(_ <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	ev := fs.begin(trace.OpSetattr, &in.InHeader)
	n, errno := fs.node(in.NodeId)
	if errno != 0 {
		return ev.end(errno)
	}
	ev.node(n)
	if size, ok := in.GetSize(); ok {
		ev.Size = int64(size)
	}
	if fs.opts.ReadOnly {
		return ev.end(syscall.EROFS)
	}
	if n.plan != nil {
		return ev.end(fs.changes(n))
	}
	fh, _ := in.GetFh()
	fd := -1
	var h *handle
	if h = fs.borrow(n, fh); h != nil && fh != 0 {
		defer fs.giveBack(h)
		fd = h.fd
	} else {
		// Another handle may not be open for writing.
		if h != nil {
			defer fs.giveBack(h)
			fd, errno = reopen(h.fd)
		} else {
			fd, errno = fs.opath(n)
		}
		if errno != 0 {
			return ev.end(errno)
		}
		defer unix.Close(fd)
	}
	if errno = setattr(fd, fh != 0, in); errno != 0 {
		return ev.end(errno)
	}
	var st unix.Statx_t
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, statMask, &st); err != nil {
		return ev.end(errnoOf(err))
	}
	fs.attr(&st, &out.Attr)
	fs.attrTimeout(n, st.Nlink, out.SetTimeout)
	return ev.end(0)
}

// reopen gives an O_PATH descriptor of the same file.
func reopen(fd int) (int, syscall.Errno) {
	p, err := unix.Open(procPath(fd), unix.O_PATH|unix.O_CLOEXEC, 0)
	return p, errnoOf(err)
}

// setattr changes a file by a descriptor, O_PATH unless it is the caller's own.
// The link in /proc leads to the very file, also where that is a symbolic link.
func setattr(fd int, own bool, in *fuse.SetAttrIn) syscall.Errno {
	path := procPath(fd)
	if mode, ok := in.GetMode(); ok {
		if err := unix.Fchmodat(unix.AT_FDCWD, path, mode, 0); err != nil {
			return errnoOf(err)
		}
	}
	uid, uok := in.GetUID()
	gid, gok := in.GetGID()
	if uok || gok {
		u, g := -1, -1
		if uok {
			u = int(uid)
		}
		if gok {
			g = int(gid)
		}
		if err := unix.Fchownat(fd, "", u, g, unix.AT_EMPTY_PATH); err != nil {
			return errnoOf(err)
		}
	}
	if size, ok := in.GetSize(); ok {
		var err error
		if own {
			err = unix.Ftruncate(fd, int64(size))
		} else {
			err = unix.Truncate(path, int64(size))
		}
		if err != nil {
			return errnoOf(err)
		}
		if in.Valid&fuse.FATTR_KILL_SUIDGID != 0 {
			killPrivileges(fd)
		}
	}
	times := [2]unix.Timespec{{Nsec: unix.UTIME_OMIT}, {Nsec: unix.UTIME_OMIT}}
	set := false
	for i, t := range []struct {
		on, now bool
		s       uint64
		ns      uint32
	}{
		{in.Valid&fuse.FATTR_ATIME != 0, in.Valid&fuse.FATTR_ATIME_NOW != 0, in.Atime, in.Atimensec},
		{in.Valid&fuse.FATTR_MTIME != 0, in.Valid&fuse.FATTR_MTIME_NOW != 0, in.Mtime, in.Mtimensec},
	} {
		switch {
		case t.on && t.now:
			times[i], set = unix.Timespec{Nsec: unix.UTIME_NOW}, true
		case t.on:
			times[i], set = unix.Timespec{Sec: int64(t.s), Nsec: int64(t.ns)}, true
		}
	}
	if set {
		return errnoOf(unix.UtimesNanoAt(unix.AT_FDCWD, path, times[:], 0))
	}
	return 0
}

// killPrivileges takes the set-user-ID bit, and the set-group-ID bit of what may
// be executed by the group, as the kernel does when an unprivileged process
// writes (setattr_should_drop_suidgid, fs/attr.c); not for us, who may be root.
func killPrivileges(fd int) {
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return
	}
	mode := st.Mode & 0o7777 &^ unix.S_ISUID
	if mode&unix.S_IXGRP != 0 {
		mode &^= unix.S_ISGID
	}
	if mode != st.Mode&0o7777 {
		unix.Fchmodat(unix.AT_FDCWD, procPath(fd), mode, 0)
	}
}
