package fusecore

import (
	"slices"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/compspec/compat/pkg/record/trace"
)

// handle is an open file description of the view, with one of its own below.
type handle struct {
	id    uint64
	fd    int // -1: of a directory that is listed from a plan alone
	n     *node
	flags uint32
	path  string // when it was opened
	dir   *dirBuffer

	// Guarded by FS.hmu.
	uses     int
	released bool
	backed   bool // the kernel reads and writes the file itself
	counted  bool // in backed or cached of the node
	owners   []uint64
}

func (h *handle) writable() bool { return h.flags&unix.O_ACCMODE != unix.O_RDONLY }

// handle gives what the kernel calls fh. It stays open while the request lasts.
func (fs *FS) handle(fh uint64) (*handle, syscall.Errno) {
	fs.hmu.Lock()
	h := fs.handles[fh]
	fs.hmu.Unlock()
	if h == nil {
		return nil, syscall.EBADF
	}
	return h, 0
}

// borrow gives the handle fh, or any of the node's; nil: it is not open. Another
// request may close it, so it must be given back.
func (fs *FS) borrow(n *node, fh uint64) *handle {
	fs.hmu.Lock()
	defer fs.hmu.Unlock()
	h := fs.handles[fh]
	if h == nil || h.fd < 0 {
		i := slices.IndexFunc(n.opens, func(x *handle) bool { return x.fd >= 0 })
		if i < 0 {
			return nil
		}
		h = n.opens[i]
	}
	h.uses++
	return h
}

func (fs *FS) giveBack(h *handle) {
	fs.hmu.Lock()
	h.uses--
	last := h.uses == 0 && h.released
	fs.hmu.Unlock()
	if last && h.fd >= 0 {
		unix.Close(h.fd)
	}
}

// register gives the handle its number, and says whether the node has no other.
func (fs *FS) register(h *handle) (alone bool) {
	fs.hmu.Lock()
	defer fs.hmu.Unlock()
	fs.lastHandle++
	h.id = fs.lastHandle
	fs.handles[h.id] = h
	h.n.opens = append(h.n.opens, h)
	return len(h.n.opens) == 1
}

// fileFlags are the flags for our own open of what the program opens. O_DIRECT
// is asked for, since not every file system has it, and taken back: what is
// written comes from buffers of our own.
func fileFlags(flags uint32) int {
	return int(flags) &^ (fuse.FMODE_EXEC | unix.O_CREAT | unix.O_EXCL | unix.O_NOCTTY | unix.O_CLOEXEC)
}

// Open implements fuse.RawFileSystem.
func (fs *FS) Open(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	ev := fs.begin(trace.OpOpen, &in.InHeader)
	ev.Flags, ev.Exec = in.Flags&^fuse.FMODE_EXEC, in.Flags&fuse.FMODE_EXEC != 0
	n, errno := fs.node(in.NodeId)
	if errno != 0 {
		return ev.end(errno)
	}
	ev.node(n)
	if n.plan != nil {
		return fs.openPlanned(ev, n, in, out)
	}
	if fs.opts.ReadOnly && (in.Flags&unix.O_ACCMODE != unix.O_RDONLY || in.Flags&unix.O_TRUNC != 0) {
		return ev.end(syscall.EROFS)
	}
	fd, errno := fs.openFile(n, fileFlags(in.Flags))
	if errno != 0 {
		return ev.end(errno)
	}
	if in.Flags&unix.O_TRUNC != 0 && in.Mode&fuse.OPEN_KILL_SUIDGID != 0 {
		killPrivileges(fd)
	}
	h := &handle{fd: fd, n: n, flags: in.Flags, path: ev.Path}
	return fs.opened(ev, h, out)
}

// openFile opens a node's file, of a file whose only open descriptor is ours too.
func (fs *FS) openFile(n *node, flags int) (int, syscall.Errno) {
	fd, errno := fs.open(n, flags)
	if errno == syscall.ESTALE {
		if h := fs.borrow(n, 0); h != nil {
			f, err := unix.Open(procPath(h.fd), flags|unix.O_CLOEXEC, 0)
			fs.giveBack(h)
			return f, errnoOf(err)
		}
	}
	return fd, errno
}

// opened registers a handle and says how the kernel may use it.
func (fs *FS) opened(ev *event, h *handle, out *fuse.OpenOut) fuse.Status {
	var st unix.Stat_t
	if err := unix.Fstat(h.fd, &st); err != nil {
		unix.Close(h.fd)
		return ev.end(errnoOf(err))
	}
	if !h.n.same(&st) {
		unix.Close(h.fd)
		return ev.end(syscall.ESTALE)
	}
	if h.flags&unix.O_DIRECT != 0 {
		if fl, err := unix.FcntlInt(uintptr(h.fd), unix.F_GETFL, 0); err == nil {
			unix.FcntlInt(uintptr(h.fd), unix.F_SETFL, fl&^unix.O_DIRECT)
		}
	}
	// One at a time: what is put into the page cache must not lie over what
	// another one, that is open already, has written to a mapping.
	h.n.opening.Lock()
	defer h.n.opening.Unlock()
	alone := fs.register(h)
	out.Fh = h.id
	ev.Handle, ev.Size = h.id, st.Size
	switch {
	case fs.directIO && fs.opts.Mode == trace.ModeFull && !fs.shared(h.n):
		out.OpenFlags |= fuse.FOPEN_DIRECT_IO
	case fs.passthrough(h, &st, out):
	// Who reads and writes a file does so together with others, outside of the
	// view perhaps, and by their own signs knows when to read again what a page
	// cache would still have as it was: databases do.
	case fs.directIO && h.flags&unix.O_ACCMODE == unix.O_RDWR:
		out.OpenFlags |= fuse.FOPEN_DIRECT_IO
	case fs.opts.Mode == trace.ModePaths && fs.cached(h, &st, alone):
		out.OpenFlags |= fuse.FOPEN_KEEP_CACHE
	}
	// The flush of a descriptor that was only read from tells nobody anything
	// (its locks end with the handle); of others it carries errors, and locks.
	if !h.writable() && fs.opts.Mode != trace.ModeFull {
		out.OpenFlags |= fuse.FOPEN_NOFLUSH
	}
	return ev.end(0)
}

// cached says whether the kernel has the file's content, as it is now, in its
// page cache. That of a small file it is given with the first open: the program
// will read it, and each read would be a request, and make the kernel ask for
// the time of access after it.
func (fs *FS) cached(h *handle, st *unix.Stat_t, alone bool) bool {
	first, same := fs.unchanged(h.n, stampOf(st))
	if !first || !alone || h.writable() || st.Size == 0 || st.Size > Small || st.Mode&unix.S_IFMT != unix.S_IFREG || !fs.keeps() {
		return same
	}
	buf := fs.buffers.Get().(*[Small + 1]byte)
	defer fs.buffers.Put(buf)
	n, err := unix.Pread(h.fd, buf[:], 0)
	return err == nil && int64(n) == st.Size && fs.server.InodeNotifyStoreCache(h.n.id, 0, buf[:n]) == fuse.OK
}

// unchanged says whether a file is opened for the first time, and whether it has
// the content that it had when it was last opened; it remembers what it has.
func (fs *FS) unchanged(n *node, s stamp) (first, same bool) {
	fs.hmu.Lock()
	defer fs.hmu.Unlock()
	first, same = !n.seen, n.seen && n.stamp == s
	n.stamp, n.seen = s, true
	return first, same
}

// Create implements fuse.RawFileSystem.
func (fs *FS) Create(_ <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	ev := fs.begin(trace.OpCreate, &in.InHeader)
	ev.Flags = in.Flags
	p, d, errno := fs.changing(ev, &in.InHeader, name)
	if errno != 0 {
		return ev.end(errno)
	}
	defer fs.put(d)
	flags := fileFlags(in.Flags) | unix.O_NOFOLLOW | unix.O_CLOEXEC
	// What was there before must not change its owner.
	fd, err := unix.Openat(d.fd, name, flags|unix.O_CREAT|unix.O_EXCL, in.Mode)
	if err == nil {
		fs.own(d.fd, fd, in)
	} else if err == unix.EEXIST && in.Flags&unix.O_EXCL == 0 {
		fd, err = unix.Openat(d.fd, name, flags, 0)
	}
	if err != nil {
		return ev.end(errnoOf(err))
	}
	return fs.created(ev, p, name, fd, in, out)
}

func (fs *FS) own(dir, fd int, in *fuse.CreateIn) {
	if uid, gid := fs.ownerFor(dir, &in.InHeader); uid >= 0 || gid >= 0 {
		unix.Fchown(fd, uid, gid)
		if in.Mode&(unix.S_ISUID|unix.S_ISGID) != 0 { // chown has taken them
			unix.Fchmod(fd, in.Mode&0o7777)
		}
	}
}

func (fs *FS) created(ev *event, p *node, name string, fd int, in *fuse.CreateIn, out *fuse.CreateOut) fuse.Status {
	var st unix.Statx_t
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, statMask, &st); err != nil {
		unix.Close(fd)
		return ev.end(errnoOf(err))
	}
	n := fs.enter(p, name, &st, nil)
	fs.fill(n, p, &st, &out.EntryOut)
	status := fs.opened(ev, &handle{fd: fd, n: n, flags: in.Flags, path: ev.Path}, &out.OpenOut)
	if status != fuse.OK {
		fs.Forget(n.id, 1)
	}
	return status
}

// Tmpfile implements fuse.RawFileSystem.
func (fs *FS) Tmpfile(_ <-chan struct{}, in *fuse.CreateIn, out *fuse.CreateOut) fuse.Status {
	ev := fs.begin(trace.OpTmpfile, &in.InHeader)
	ev.Flags = in.Flags
	_, d, errno := fs.changing(ev, &in.InHeader, "")
	if errno != 0 {
		return ev.end(errno)
	}
	defer fs.put(d)
	fd, err := unix.Openat(d.fd, ".", fileFlags(in.Flags)|int(in.Flags&unix.O_EXCL)|unix.O_TMPFILE|unix.O_CLOEXEC, in.Mode)
	if err != nil {
		return ev.end(errnoOf(err))
	}
	fs.own(d.fd, fd, in)
	return fs.created(ev, nil, "", fd, in, out)
}

// Release implements fuse.RawFileSystem: the last descriptor was closed.
func (fs *FS) Release(_ <-chan struct{}, in *fuse.ReleaseIn) {
	ev := fs.begin(trace.OpRelease, &in.InHeader)
	ev.PID = 0 // whoever it was: the kernel does not say
	h, errno := fs.handle(in.Fh)
	if errno != 0 {
		return
	}
	if ev.on {
		ev.Path, ev.Handle = h.path, h.id
		var st unix.Stat_t
		if h.dir == nil && unix.Fstat(h.fd, &st) == nil {
			ev.Size = st.Size
		}
	}
	fs.locks.released(h)
	fs.closed(h)
	ev.end(0)
}

func (fs *FS) closed(h *handle) {
	fs.unback(h)
	fs.hmu.Lock()
	delete(fs.handles, h.id)
	h.n.opens = slices.DeleteFunc(h.n.opens, func(x *handle) bool { return x == h })
	h.released = true
	last := h.uses == 0
	fs.hmu.Unlock()
	if last && h.fd >= 0 {
		unix.Close(h.fd)
	}
}
