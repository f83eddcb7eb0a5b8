package fusecore

import (
	"syscall"
	"unsafe"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/compspec/compat/pkg/record/trace"
)

// about gives a handle and says so in the event.
func (fs *FS) about(ev *event, fh uint64) (*handle, syscall.Errno) {
	h, errno := fs.handle(fh)
	if errno == 0 && ev.on {
		ev.Path, ev.Handle = h.path, h.id
	}
	return h, errno
}

// spliced is the size in bytes from which on a read goes through a pipe.
const spliced = 64 << 10

// Read implements fuse.RawFileSystem.
func (fs *FS) Read(_ <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	ev := fs.begin(trace.OpRead, &in.InHeader)
	h, errno := fs.about(ev, in.Fh)
	if errno != 0 {
		return nil, ev.end(errno)
	}
	if !ev.on && len(buf) >= spliced {
		return fuse.ReadResultFd(uintptr(h.fd), int64(in.Offset), len(buf)), fuse.OK
	}
	n, err := unix.Pread(h.fd, buf, int64(in.Offset))
	for err == unix.EINTR {
		n, err = unix.Pread(h.fd, buf, int64(in.Offset))
	}
	if err != nil {
		return nil, ev.end(errnoOf(err))
	}
	ev.Size, ev.Offset = int64(n), int64(in.Offset)
	return fuse.ReadResultData(buf[:n]), ev.end(0)
}

// Write implements fuse.RawFileSystem. A file opened to append to is appended
// to, whoever else has written: pwrite(2) on O_APPEND.
func (fs *FS) Write(_ <-chan struct{}, in *fuse.WriteIn, data []byte) (uint32, fuse.Status) {
	ev := fs.begin(trace.OpWrite, &in.InHeader)
	h, errno := fs.about(ev, in.Fh)
	if errno != 0 {
		return 0, ev.end(errno)
	}
	n, err := unix.Pwrite(h.fd, data, int64(in.Offset))
	for err == unix.EINTR {
		n, err = unix.Pwrite(h.fd, data, int64(in.Offset))
	}
	if err != nil {
		return 0, ev.end(errnoOf(err))
	}
	if in.WriteFlags&fuse.WRITE_KILL_SUIDGID != 0 {
		killPrivileges(h.fd)
	}
	ev.Size, ev.Offset = int64(n), int64(in.Offset)
	return uint32(n), ev.end(0)
}

// Flush implements fuse.RawFileSystem: a descriptor was closed. The locks that
// the process has on the file end (fcntl(2)), and a file system that writes
// late, such as NFS, says what went wrong.
func (fs *FS) Flush(_ <-chan struct{}, in *fuse.FlushIn) fuse.Status {
	ev := fs.begin(trace.OpFlush, &in.InHeader)
	h, errno := fs.about(ev, in.Fh)
	if errno != 0 {
		return ev.end(errno)
	}
	fs.locks.flushed(h, in.LockOwner)
	if h.writable() {
		fd, err := unix.FcntlInt(uintptr(h.fd), unix.F_DUPFD_CLOEXEC, 0)
		if err == nil {
			err = unix.Close(fd)
		}
		errno = errnoOf(err)
	}
	return ev.end(errno)
}

// Fsync implements fuse.RawFileSystem.
func (fs *FS) Fsync(_ <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	ev := fs.begin(trace.OpFsync, &in.InHeader)
	h, errno := fs.about(ev, in.Fh)
	if errno != 0 {
		return ev.end(errno)
	}
	if h.fd < 0 {
		return ev.end(0)
	}
	if in.FsyncFlags&1 != 0 { // FUSE_FSYNC_FDATASYNC
		return ev.end(errnoOf(unix.Fdatasync(h.fd)))
	}
	return ev.end(errnoOf(unix.Fsync(h.fd)))
}

// FsyncDir implements fuse.RawFileSystem.
func (fs *FS) FsyncDir(cancel <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	return fs.Fsync(cancel, in)
}

// Fallocate implements fuse.RawFileSystem.
func (fs *FS) Fallocate(_ <-chan struct{}, in *fuse.FallocateIn) fuse.Status {
	ev := fs.begin(trace.OpAlloc, &in.InHeader)
	h, errno := fs.about(ev, in.Fh)
	if errno != 0 {
		return ev.end(errno)
	}
	ev.Offset, ev.Size, ev.Flags = int64(in.Offset), int64(in.Length), in.Mode
	return ev.end(errnoOf(unix.Fallocate(h.fd, in.Mode, int64(in.Offset), int64(in.Length))))
}

// Lseek implements fuse.RawFileSystem, for SEEK_DATA and SEEK_HOLE.
func (fs *FS) Lseek(_ <-chan struct{}, in *fuse.LseekIn, out *fuse.LseekOut) fuse.Status {
	ev := fs.begin(trace.OpSeek, &in.InHeader)
	h, errno := fs.about(ev, in.Fh)
	if errno != 0 {
		return ev.end(errno)
	}
	ev.Offset = int64(in.Offset)
	off, err := unix.Seek(h.fd, int64(in.Offset), int(in.Whence))
	out.Offset = uint64(off)
	return ev.end(errnoOf(err))
}

// CopyFileRange implements fuse.RawFileSystem.
func (fs *FS) CopyFileRange(_ <-chan struct{}, in *fuse.CopyFileRangeIn) (uint32, fuse.Status) {
	ev := fs.begin(trace.OpCopy, &in.InHeader)
	from, errno := fs.about(ev, in.FhIn)
	to, errno2 := fs.handle(in.FhOut)
	if errno != 0 || errno2 != 0 {
		return 0, ev.end(syscall.EBADF)
	}
	if ev.on {
		ev.Path2, ev.Offset = to.path, int64(in.OffIn)
	}
	a, b := int64(in.OffIn), int64(in.OffOut)
	n, err := unix.CopyFileRange(from.fd, &a, to.fd, &b, int(min(in.Len, 1<<30)), int(in.Flags))
	if err != nil {
		return 0, ev.end(errnoOf(err))
	}
	ev.Size = int64(n)
	return uint32(n), ev.end(0)
}

// Requests of ioctl(2) that are passed on: attributes of files, as chattr(1) has
// them (include/uapi/linux/fs.h). Others end in ENOTTY: what a driver or a file
// system does upon a number is for its caller, not for us with our rights.
const (
	fsIocGetFlags   = 0x80086601
	fsIocSetFlags   = 0x40086602
	fsIocGetVersion = 0x80087601
	fsIocFSGetXattr = 0x801c581f
	fsIocFSSetXattr = 0x401c5820
	fsIoc32GetFlags = 0x80046601
	fsIoc32SetFlags = 0x40046602
)

// Ioctl implements fuse.RawFileSystem.
func (fs *FS) Ioctl(_ <-chan struct{}, in *fuse.IoctlIn, input []byte, out *fuse.IoctlOut, output []byte) fuse.Status {
	ev := fs.begin(trace.OpIoctl, &in.InHeader)
	h, errno := fs.about(ev, in.Fh)
	if errno != 0 {
		return ev.end(syscall.ENOTTY)
	}
	ev.Flags = in.Cmd
	buf := output
	switch in.Cmd {
	case fsIocGetFlags, fsIocGetVersion, fsIocFSGetXattr, fsIoc32GetFlags:
	case fsIocSetFlags, fsIocFSSetXattr, fsIoc32SetFlags: // the kernel has checked that the caller owns the file (vfs_fileattr_set)
		if fs.opts.ReadOnly || h.n.plan != nil { // its content is not the program's
			return ev.end(syscall.EROFS)
		}
		buf = input
	default:
		return ev.end(syscall.ENOTTY)
	}
	if len(buf) < int(in.Cmd>>16&0x3fff) {
		return ev.end(syscall.EINVAL)
	}
	res, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(h.fd), uintptr(in.Cmd), uintptr(unsafe.Pointer(&buf[0])))
	out.Result = int32(res)
	return ev.end(errno)
}
