package fusecore

import (
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/compspec/compat/pkg/record/trace"
)

// Lookup implements fuse.RawFileSystem.
func (fs *FS) Lookup(_ <-chan struct{}, in *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	ev := fs.begin(trace.OpLookup, in)
	p, errno := fs.node(in.NodeId)
	if errno != 0 {
		return ev.end(errno)
	}
	if name == "." || name == ".." { // only an NFS server asks so
		return fuse.Status(syscall.ESTALE)
	}
	ev.name(p, name)
	path, answer, plan := fs.redirect(p, name)
	switch answer {
	case Absent:
		errno = syscall.ENOENT
	case Planned:
		var st unix.Statx_t
		plan.statx(fs.planIno(path), &st)
		fs.fill(fs.enter(p, name, &st, plan), p, &st, out)
	default:
		errno = fs.lookup(p, name, out)
	}
	status := ev.end(errno)
	if errno == syscall.ENOENT && answer == Absent && fs.keepsPlanned() {
		out.NodeId = 0
		out.SetEntryTimeout(Long)
		return fuse.OK
	}
	if errno == syscall.ENOENT && fs.keeps() {
		// An answer without a node: the kernel keeps that the name is not there.
		out.NodeId = 0
		out.SetEntryTimeout(fs.absentFor(p))
		return fuse.OK
	}
	return status
}

func (fs *FS) lookup(p *node, name string, out *fuse.EntryOut) syscall.Errno {
	if fs.opts.Redirector != nil {
		fs.unname(p, name)
	}
	// What is watched must be watched before it is looked at, or a change in
	// between would go unseen.
	d, errno := fs.dir(p)
	if errno != 0 {
		return errno
	}
	defer fs.put(d)
	if fs.watch != nil && p.asked.Add(1) > fs.opts.WatchAfter {
		fs.watch.addFD(p, d.fd)
	}
	var st unix.Statx_t
	if err := unix.Statx(d.fd, name, unix.AT_SYMLINK_NOFOLLOW, statMask, &st); err != nil {
		return errnoOf(err)
	}
	n := fs.enter(p, name, &st, nil)
	fs.fill(n, p, &st, out)
	return 0
}

// absentFor is how long the kernel may keep that a name is not there.
func (fs *FS) absentFor(p *node) time.Duration {
	if fs.watch != nil && fs.watch.watches(p) {
		return Long
	}
	return short
}

// Access implements fuse.RawFileSystem. The kernel asks only where the mount
// has no default_permissions; the callers then are who we are.
func (fs *FS) Access(_ <-chan struct{}, in *fuse.AccessIn) fuse.Status {
	ev := fs.begin(trace.OpAccess, &in.InHeader)
	ev.Flags = in.Mask
	n, errno := fs.node(in.NodeId)
	if errno != 0 {
		return ev.end(errno)
	}
	ev.node(n)
	if fs.opts.ReadOnly && in.Mask&unix.W_OK != 0 {
		return ev.end(syscall.EROFS)
	}
	if n.plan != nil {
		return ev.end(fs.mayPlanned(n.plan, &in.InHeader, in.Mask))
	}
	fd, errno := fs.openPath(n)
	if errno == 0 {
		errno = errnoOf(unix.Faccessat(unix.AT_FDCWD, procPath(fd), in.Mask, 0))
		unix.Close(fd)
	}
	return ev.end(errno)
}

// Readlink implements fuse.RawFileSystem.
func (fs *FS) Readlink(_ <-chan struct{}, in *fuse.InHeader) ([]byte, fuse.Status) {
	ev := fs.begin(trace.OpReadlink, in)
	n, errno := fs.node(in.NodeId)
	if errno != 0 {
		return nil, ev.end(errno)
	}
	ev.node(n)
	if n.plan != nil {
		if n.mode != unix.S_IFLNK {
			return nil, ev.end(syscall.EINVAL)
		}
		if ev.on {
			ev.Path2 = n.plan.Link
		}
		return []byte(n.plan.Link), ev.end(0)
	}
	fd, errno := fs.openPath(n)
	if errno != 0 {
		return nil, ev.end(errno)
	}
	defer unix.Close(fd)
	buf := make([]byte, unix.PathMax)
	k, err := unix.Readlinkat(fd, "", buf)
	if err != nil {
		return nil, ev.end(errnoOf(err))
	}
	if ev.on {
		ev.Path2 = string(buf[:k])
	}
	return buf[:k], ev.end(0)
}

// StatFs implements fuse.RawFileSystem.
func (fs *FS) StatFs(_ <-chan struct{}, in *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	ev := fs.begin(trace.OpStatfs, in)
	n, errno := fs.node(in.NodeId)
	if errno != 0 {
		return ev.end(errno)
	}
	ev.node(n)
	if n.plan != nil {
		n = fs.root // its own file system need not be there
	}
	fd, errno := fs.openPath(n)
	if errno == 0 {
		var s syscall.Statfs_t
		if errno = errnoOf(syscall.Fstatfs(fd, &s)); errno == 0 {
			out.FromStatfsT(&s)
		}
		unix.Close(fd)
	}
	return ev.end(errno)
}
