package fusecore

import (
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/compspec/compat/pkg/record/trace"
)

// xattr calls do with a path that leads to the file itself, and to nothing else.
func (fs *FS) xattr(op trace.Op, in *fuse.InHeader, name string, change bool, do func(path string) error) fuse.Status {
	ev := fs.begin(op, in)
	ev.Path2 = name
	n, errno := fs.node(in.NodeId)
	if errno != 0 {
		return ev.end(errno)
	}
	ev.node(n)
	if change && fs.opts.ReadOnly {
		return ev.end(syscall.EROFS)
	}
	if n.plan != nil {
		if change {
			return ev.end(fs.changes(n))
		}
		return ev.end(fs.plannedXattr(op))
	}
	if h := fs.borrow(n, 0); h != nil {
		errno = errnoOf(do(procPath(h.fd)))
		fs.giveBack(h)
		return ev.end(errno)
	}
	fd, errno := fs.opath(n)
	if errno != 0 {
		return ev.end(errno)
	}
	errno = errnoOf(do(procPath(fd)))
	unix.Close(fd)
	return ev.end(errno)
}

// plannedXattr: a planned file has none.
func (fs *FS) plannedXattr(op trace.Op) syscall.Errno {
	if op == trace.OpLsxattr {
		return 0
	}
	return syscall.ENODATA
}

// GetXAttr implements fuse.RawFileSystem.
func (fs *FS) GetXAttr(_ <-chan struct{}, in *fuse.InHeader, name string, dest []byte) (size uint32, code fuse.Status) {
	code = fs.xattr(trace.OpGetxattr, in, name, false, func(path string) error {
		n, err := unix.Getxattr(path, name, dest)
		size = uint32(max(n, 0))
		return err
	})
	return size, code
}

// ListXAttr implements fuse.RawFileSystem.
func (fs *FS) ListXAttr(_ <-chan struct{}, in *fuse.InHeader, dest []byte) (size uint32, code fuse.Status) {
	code = fs.xattr(trace.OpLsxattr, in, "", false, func(path string) error {
		n, err := unix.Listxattr(path, dest)
		size = uint32(max(n, 0))
		return err
	})
	return size, code
}

// SetXAttr implements fuse.RawFileSystem.
func (fs *FS) SetXAttr(_ <-chan struct{}, in *fuse.SetXAttrIn, name string, data []byte) fuse.Status {
	return fs.xattr(trace.OpSetxattr, &in.InHeader, name, true, func(path string) error { return unix.Setxattr(path, name, data, int(in.Flags)) })
}

// RemoveXAttr implements fuse.RawFileSystem.
func (fs *FS) RemoveXAttr(_ <-chan struct{}, in *fuse.InHeader, name string) fuse.Status {
	return fs.xattr(trace.OpRmxattr, in, name, true, func(path string) error { return unix.Removexattr(path, name) })
}
