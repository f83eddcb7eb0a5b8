package fusecore

import (
	"cmp"
	"strconv"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/compspec/compat/pkg/record/trace"
)

// changing gives the directory that a request is about to change, to be put
// back, and says so in the event; name is the one that it is about, or empty.
func (fs *FS) changing(ev *event, in *fuse.InHeader, name string) (*node, *dirFD, syscall.Errno) {
	p, errno := fs.node(in.NodeId)
	if errno != 0 {
		return nil, nil, errno
	}
	if name == "" {
		ev.node(p)
	} else {
		ev.name(p, name)
	}
	if fs.opts.ReadOnly {
		return nil, nil, syscall.EROFS
	}
	if name != "" {
		if errno := fs.changesName(p, name); errno != 0 {
			return nil, nil, errno
		}
	}
	d, errno := fs.changeable(p)
	return p, d, errno
}

// changeable is dir, for a change in it.
func (fs *FS) changeable(p *node) (*dirFD, syscall.Errno) {
	d, errno := fs.dir(p)
	if p.plan != nil {
		errno = readOnlyIfAbsent(errno)
	}
	return d, errno
}

// make makes a name in a directory and enters what is there then.
func (fs *FS) make(op trace.Op, in *fuse.InHeader, name, other string, mode uint32, out *fuse.EntryOut, do func(dir int) error) fuse.Status {
	ev := fs.begin(op, in)
	ev.Flags, ev.Path2 = mode, other
	p, d, errno := fs.changing(ev, in, name)
	if errno != 0 {
		return ev.end(errno)
	}
	defer fs.put(d)
	if err := do(d.fd); err != nil {
		return ev.end(errnoOf(err))
	}
	if op != trace.OpLink {
		if uid, gid := fs.ownerFor(d.fd, in); uid >= 0 || gid >= 0 {
			unix.Fchownat(d.fd, name, uid, gid, unix.AT_SYMLINK_NOFOLLOW)
		}
	}
	return ev.end(fs.entered(p, d.fd, name, out))
}

func (fs *FS) entered(p *node, dir int, name string, out *fuse.EntryOut) syscall.Errno {
	var st unix.Statx_t
	if err := unix.Statx(dir, name, unix.AT_SYMLINK_NOFOLLOW, statMask, &st); err != nil {
		return errnoOf(err)
	}
	fs.fill(fs.enter(p, name, &st, nil), p, &st, out)
	return 0
}

// ownerFor is what to change of a new file, which the server owns: -1, -1 where
// it is the caller's already. In a directory with the set-group-ID bit the
// group is the directory's (inode_init_owner, fs/inode.c).
func (fs *FS) ownerFor(dir int, in *fuse.InHeader) (uid, gid int) {
	uid, gid = int(in.Uid), int(in.Gid)
	if fs.opts.AsCaller || uid == unix.Geteuid() {
		uid = -1
	}
	if gid == unix.Getegid() {
		gid = -1
	} else {
		var st unix.Stat_t
		if unix.Fstat(dir, &st) != nil || st.Mode&unix.S_ISGID != 0 {
			gid = -1
		}
	}
	return uid, gid
}

// Mkdir implements fuse.RawFileSystem.
func (fs *FS) Mkdir(_ <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	return fs.make(trace.OpMkdir, &in.InHeader, name, "", in.Mode, out, func(dir int) error { return unix.Mkdirat(dir, name, in.Mode) })
}

// Mknod implements fuse.RawFileSystem. Sockets and pipes are made like this too.
func (fs *FS) Mknod(_ <-chan struct{}, in *fuse.MknodIn, name string, out *fuse.EntryOut) fuse.Status {
	return fs.make(trace.OpMknod, &in.InHeader, name, "", in.Mode, out, func(dir int) error { return unix.Mknodat(dir, name, in.Mode, int(in.Rdev)) })
}

// Symlink implements fuse.RawFileSystem.
func (fs *FS) Symlink(_ <-chan struct{}, in *fuse.InHeader, target, name string, out *fuse.EntryOut) fuse.Status {
	return fs.make(trace.OpSymlink, in, name, target, 0, out, func(dir int) error { return unix.Symlinkat(target, dir, name) })
}

// Link implements fuse.RawFileSystem. A file without a name (O_TMPFILE) gets one like this.
func (fs *FS) Link(_ <-chan struct{}, in *fuse.LinkIn, name string, out *fuse.EntryOut) fuse.Status {
	old, errno := fs.node(in.Oldnodeid)
	if errno != 0 {
		return fuse.Status(errno)
	}
	if old.plan != nil {
		return fuse.Status(fs.changes(old))
	}
	from := ""
	if fs.opts.Observer != nil {
		from = fs.path(old)
	}
	return fs.make(trace.OpLink, &in.InHeader, name, from, 0, out, func(dir int) error {
		if h := fs.borrow(old, 0); h != nil {
			defer fs.giveBack(h)
			return unix.Linkat(fs.proc, strconv.Itoa(h.fd), dir, name, unix.AT_SYMLINK_FOLLOW)
		}
		fd, errno := fs.opath(old)
		if errno != 0 {
			return errno
		}
		defer unix.Close(fd)
		return unix.Linkat(fs.proc, strconv.Itoa(fd), dir, name, unix.AT_SYMLINK_FOLLOW)
	})
}

// Unlink implements fuse.RawFileSystem.
func (fs *FS) Unlink(_ <-chan struct{}, in *fuse.InHeader, name string) fuse.Status {
	return fs.remove(trace.OpUnlink, in, name, 0)
}

// Rmdir implements fuse.RawFileSystem.
func (fs *FS) Rmdir(_ <-chan struct{}, in *fuse.InHeader, name string) fuse.Status {
	return fs.remove(trace.OpRmdir, in, name, unix.AT_REMOVEDIR)
}

func (fs *FS) remove(op trace.Op, in *fuse.InHeader, name string, flags int) fuse.Status {
	ev := fs.begin(op, in)
	p, d, errno := fs.changing(ev, in, name)
	if errno != 0 {
		return ev.end(errno)
	}
	defer fs.put(d)
	lost := fs.losing(p, name)
	if err := unix.Unlinkat(d.fd, name, flags); err != nil {
		lost.keep()
		return ev.end(errnoOf(err))
	}
	fs.lose(lost)
	return ev.end(0)
}

// loss is a file that is about to lose its name, held by a descriptor: the
// kernel may ask for it as long as somebody has it open.
type loss struct {
	n  *node
	fd int
}

func (fs *FS) losing(p *node, name string) loss {
	fs.mu.Lock()
	n := fs.byName[nameKey{p.id, name}]
	fs.mu.Unlock()
	if n == nil {
		return loss{fd: -1}
	}
	fd, errno := fs.opath(n)
	if errno != 0 {
		return loss{fd: -1}
	}
	return loss{n, fd}
}

func (l loss) keep() {
	if l.fd >= 0 {
		unix.Close(l.fd)
	}
}

func (fs *FS) lose(l loss) {
	if l.n == nil {
		return
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.nodes[l.n.id] != l.n || l.n.pin >= 0 {
		unix.Close(l.fd)
		return
	}
	if k := (nameKey{l.n.parent.id, l.n.name}); fs.byName[k] == l.n {
		delete(fs.byName, k)
	}
	l.n.pin = l.fd
}

// Rename implements fuse.RawFileSystem.
func (fs *FS) Rename(_ <-chan struct{}, in *fuse.RenameIn, oldName, newName string) fuse.Status {
	ev := fs.begin(trace.OpRename, &in.InHeader)
	ev.Flags = in.Flags
	p, errno := fs.node(in.NodeId)
	q, errno2 := fs.node(in.Newdir)
	if errno != 0 || errno2 != 0 {
		return ev.end(syscall.ESTALE)
	}
	ev.name(p, oldName)
	if ev.on {
		ev.Path2 = join(fs.path(q), newName)
	}
	if fs.opts.ReadOnly {
		return ev.end(syscall.EROFS)
	}
	errno, errno2 = fs.changesName(p, oldName), fs.changesName(q, newName)
	if errno = cmp.Or(errno, errno2); errno != 0 {
		return ev.end(errno)
	}
	from, errno := fs.changeable(p)
	if errno != 0 {
		return ev.end(errno)
	}
	defer fs.put(from)
	to, errno := fs.changeable(q)
	if errno != 0 {
		return ev.end(errno)
	}
	defer fs.put(to)
	lost := loss{fd: -1}
	if in.Flags&(unix.RENAME_EXCHANGE|unix.RENAME_NOREPLACE) == 0 {
		lost = fs.losing(q, newName)
	}
	if err := unix.Renameat2(from.fd, oldName, to.fd, newName, uint(in.Flags)); err != nil {
		lost.keep()
		return ev.end(errnoOf(err))
	}
	fs.mu.Lock()
	moved, there := fs.byName[nameKey{p.id, oldName}], fs.byName[nameKey{q.id, newName}]
	fs.mu.Unlock()
	if moved != nil && moved == lost.n { // two names of one file: nothing happens (rename(2))
		lost.keep()
		return ev.end(0)
	}
	fs.lose(lost)
	fs.mu.Lock()
	if moved != nil {
		fs.setName(moved, q, newName)
	}
	if in.Flags&unix.RENAME_EXCHANGE != 0 && there != nil {
		fs.setName(there, p, oldName)
	}
	planned := fs.plannedBelow(moved)
	fs.mu.Unlock()
	if len(planned) > 0 {
		go func() { // the kernel holds locks of the directories until we reply
			for _, k := range planned {
				fs.server.EntryNotify(k.dir, k.name)
			}
		}()
	}
	return ev.end(0)
}
