package fusecore

import (
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/compspec/compat/pkg/record/trace"
)

const statMask = unix.STATX_BASIC_STATS | unix.STATX_BTIME

// ino is the inode number that programs see: the real one on the device of the
// root; elsewhere one that no other device has, since all of the view is one
// device, and a file is told by device and inode.
func (fs *FS) ino(dev, ino uint64) uint64 {
	if dev == fs.root.key.dev {
		return ino
	}
	fs.mu.Lock()
	i, ok := fs.devices[dev]
	if !ok {
		i = uint64(len(fs.devices))
		fs.devices[dev] = i
	}
	fs.mu.Unlock()
	return ino ^ i<<48
}

// inRanges is id, or the first of the ids there are.
func inRanges(ids []IDRange, id uint32) uint32 {
	if len(ids) == 0 {
		return id
	}
	for _, r := range ids {
		if id-r.First < r.Count && id >= r.First {
			return id
		}
	}
	return ids[0].First
}

// attr is what the kernel is told of a file.
func (fs *FS) attr(st *unix.Statx_t, a *fuse.Attr) {
	*a = fuse.Attr{
		Ino: fs.ino(unix.Mkdev(st.Dev_major, st.Dev_minor), st.Ino), Size: st.Size, Blocks: st.Blocks,
		Atime: uint64(st.Atime.Sec), Atimensec: st.Atime.Nsec,
		Mtime: uint64(st.Mtime.Sec), Mtimensec: st.Mtime.Nsec,
		Ctime: uint64(st.Ctime.Sec), Ctimensec: st.Ctime.Nsec,
		Mode: uint32(st.Mode), Nlink: st.Nlink, Blksize: st.Blksize,
		// include/linux/kdev_t.h, new_encode_dev
		Rdev: st.Rdev_minor&0xff | st.Rdev_major<<8 | st.Rdev_minor&^0xff<<12,
	}
	a.Uid, a.Gid = inRanges(fs.opts.Users, st.Uid), inRanges(fs.opts.Groups, st.Gid)
}

// stat asks for the attributes of a node, of an open descriptor where there is one.
func (fs *FS) stat(n *node, fh uint64, mask int, st *unix.Statx_t) syscall.Errno {
	if h := fs.borrow(n, fh); h != nil {
		err := unix.Statx(h.fd, "", unix.AT_EMPTY_PATH, mask, st)
		fs.giveBack(h)
		return errnoOf(err)
	}
	fs.mu.Lock()
	if n.pin >= 0 {
		err := unix.Statx(n.pin, "", unix.AT_EMPTY_PATH, mask, st)
		fs.mu.Unlock()
		return errnoOf(err)
	}
	parent, name := n.parent, n.name
	fs.mu.Unlock()
	if n.redirect != "" {
		return errnoOf(unix.Statx(fs.root.pin, below(n.redirect), unix.AT_SYMLINK_NOFOLLOW, mask, st))
	}
	if parent == nil {
		return syscall.ESTALE
	}
	d, errno := fs.dir(parent)
	if errno != 0 {
		return errno
	}
	err := unix.Statx(d.fd, name, unix.AT_SYMLINK_NOFOLLOW, mask|unix.STATX_INO, st)
	fs.put(d)
	if err == unix.ENOENT || err == unix.ENOTDIR || err == nil && (st.Ino != n.key.ino || unix.Mkdev(st.Dev_major, st.Dev_minor) != n.key.dev) {
		return syscall.ESTALE
	}
	return errnoOf(err)
}

// GetAttr implements fuse.RawFileSystem.
func (fs *FS) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	ev := fs.begin(trace.OpGetattr, &in.InHeader)
	n, errno := fs.node(in.NodeId)
	if errno == 0 && n.entry != nil {
		n.entry.fill(&out.Attr, n.key.ino)
		out.SetTimeout(Long)
	} else if errno == 0 {
		var st unix.Statx_t
		if errno = fs.stat(n, in.Fh(), statMask, &st); errno == 0 {
			fs.attr(&st, &out.Attr)
			fs.attrTimeout(n, st.Nlink, out.SetTimeout)
		}
		ev.node(n)
	}
	return ev.end(errno)
}

// Statx implements fuse.RawFileSystem: it is asked for where the birth time is wanted.
func (fs *FS) Statx(_ <-chan struct{}, in *fuse.StatxIn, out *fuse.StatxOut) fuse.Status {
	ev := fs.begin(trace.OpGetattr, &in.InHeader)
	n, errno := fs.node(in.NodeId)
	if errno == 0 && n.entry != nil {
		errno = syscall.ENOSYS
	} else if errno == 0 {
		var st unix.Statx_t
		if errno = fs.stat(n, in.Fh, int(in.SxMask)|statMask, &st); errno == 0 {
			out.FromStatx(&st)
			out.Ino = fs.ino(unix.Mkdev(st.Dev_major, st.Dev_minor), st.Ino)
			fs.attrTimeout(n, st.Nlink, out.SetTimeout)
			out.Uid, out.Gid = inRanges(fs.opts.Users, st.Uid), inRanges(fs.opts.Groups, st.Gid)
		}
		ev.node(n)
	}
	return ev.end(errno)
}
