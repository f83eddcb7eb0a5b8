package fusecore

import (
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/compspec/compat/pkg/record/trace"
)

// Redirector answers for names before the tree below is asked. Its methods are
// called by many goroutines; dir and path are absolute paths of the view.
type Redirector interface {
	// Lookup says what a name in a directory is. The Entry is for Planned only.
	Lookup(dir, name string) (Answer, *Entry)
	// List gives the planned names of a directory, for readdir(2); whole: it has no
	// others, so that the tree is not asked. Then they may be names that Lookup
	// passes: of which no more is known than that they are there.
	List(dir string) (names []Listed, whole bool)
	// Changed is told that a program in the view has changed what is at a path, or
	// opens it for writing: from then on Lookup is to pass there.
	Changed(path string)
}

// Answer of a Redirector.
type Answer int

// Answers.
const (
	Pass    Answer = iota // look into the tree
	Absent                // it is not there
	Planned               // it is the entry
)

// Entry is a file that the view shows without asking the tree below. It need not
// exist there.
type Entry struct {
	Mode     uint32 // type and permissions, as st_mode
	UID, GID uint32
	Size     int64  // bytes, of a regular file
	MTime    int64  // nanoseconds since 1970; atime and ctime too
	Link     string // target, of a symbolic link
	// Content is the absolute path, outside of the view, of the file that holds the
	// content of a regular file. Nobody changes it while the view is there.
	Content string
}

// Listed is a name in a directory.
type Listed struct {
	Name string
	Mode uint32 // type; 0: not known
}

// planDev stands for the device of planned files in keys: no real one has it
// (MKDEV takes 12 and 20 bits, include/linux/kdev_t.h).
const planDev = ^uint32(0)

// planIno numbers planned files by their paths, so that one has the same number
// when it was forgotten and is looked up again.
func (fs *FS) planIno(path string) uint64 {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	i, ok := fs.planned[path]
	if !ok {
		i = uint64(len(fs.planned)) + 1
		fs.planned[path] = i
	}
	return i
}

// statx is what statx(2) would say of a planned file.
func (e *Entry) statx(ino uint64, st *unix.Statx_t) {
	size := uint64(max(e.Size, 0))
	switch e.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		size = 4096
	case unix.S_IFLNK:
		size = uint64(len(e.Link))
	}
	sec := e.MTime / 1e9
	nsec := e.MTime % 1e9
	if nsec < 0 {
		sec, nsec = sec-1, nsec+1e9
	}
	t := unix.StatxTimestamp{Sec: sec, Nsec: uint32(nsec)}
	*st = unix.Statx_t{
		Mask: unix.STATX_BASIC_STATS, Blksize: 4096, Nlink: 1, // of a directory too: nobody has counted those in it
		Uid: e.UID, Gid: e.GID, Mode: uint16(e.Mode), Ino: ino, Size: size, Blocks: (size + 511) / 512,
		Atime: t, Mtime: t, Ctime: t, Dev_major: planDev, Dev_minor: planDev,
	}
}

// keepsPlanned says whether the kernel may keep what it is told of planned
// files: they change by way of the kernel only. Recordings want to see requests.
func (fs *FS) keepsPlanned() bool { return fs.opts.Observer == nil || fs.keeps() }

// redirect asks the Redirector for a name.
func (fs *FS) redirect(p *node, name string) (path string, a Answer, e *Entry) {
	if fs.opts.Redirector == nil {
		return "", Pass, nil
	}
	dir := fs.path(p)
	a, e = fs.opts.Redirector.Lookup(dir, name)
	if a == Planned && e == nil {
		a = Absent
	}
	return join(dir, name), a, e
}

// changes is for a request that changes what is planned: the tree answers for
// the path from now on. ESTALE has the kernel look the name up again and repeat
// the request (retry_estale, include/linux/namei.h), which then meets the real
// file, or nothing. A directory that is nowhere but in the plan is kept, since
// what is planned in it would go with it: to change that is EROFS.
func (fs *FS) changes(n *node) syscall.Errno {
	if fs.opts.ReadOnly {
		return syscall.EROFS
	}
	if n.isDir() {
		d, errno := fs.dir(n)
		if errno != 0 {
			return readOnlyIfAbsent(errno)
		}
		fs.put(d)
	}
	fs.opts.Redirector.Changed(fs.path(n))
	return syscall.ESTALE
}

// changesName is changes for a name that is about to be made, removed or moved.
func (fs *FS) changesName(p *node, name string) syscall.Errno {
	path, answer, _ := fs.redirect(p, name)
	fs.mu.Lock()
	n := fs.byName[nameKey{p.id, name}]
	fs.mu.Unlock()
	switch {
	case answer == Absent:
		fs.opts.Redirector.Changed(path)
	case n != nil && n.plan != nil:
		return fs.changes(n)
	case answer == Planned:
		return syscall.ESTALE // the kernel has not heard of it
	}
	return 0
}

// readOnlyIfAbsent is for changes in a planned directory that the tree does not
// have: programs see it, so that "it is not there" would be no answer to them.
func readOnlyIfAbsent(errno syscall.Errno) syscall.Errno {
	if errno == syscall.ENOENT {
		return syscall.EROFS
	}
	return errno
}

// unname is for a name that passes: what was planned there has it no more.
func (fs *FS) unname(p *node, name string) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if k := (nameKey{p.id, name}); fs.byName[k] != nil && fs.byName[k].plan != nil {
		delete(fs.byName, k)
	}
}

// plannedBelow gives planned names in a real directory that has moved: where it
// is now, something else is planned, or nothing. FS.mu is held.
func (fs *FS) plannedBelow(dir *node) (out []nameKey) {
	if fs.opts.Redirector == nil || dir == nil || !dir.isDir() {
		return nil
	}
	for _, n := range fs.nodes {
		if n.plan == nil || n.parent == nil || n.parent.plan != nil {
			continue // the kernel drops what is below with it
		}
		for p := n.parent; p != nil; p = p.parent {
			if p == dir {
				out = append(out, nameKey{n.parent.id, n.name})
				break
			}
		}
	}
	return out
}

// underPlan opens what the tree has where a directory is planned. ENOENT: no directory.
func (fs *FS) underPlan(n *node, dir int, name string, flags int) (int, syscall.Errno) {
	if !n.isDir() {
		return -1, syscall.ESTALE
	}
	// Here it may be a link to where this machine has the directory. Root's server
	// must not be led by one into directories that its callers may not enter.
	if !fs.opts.AsCaller {
		flags |= unix.O_NOFOLLOW
	}
	fd, err := unix.Openat(dir, name, flags|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	switch err {
	case nil:
	case unix.ELOOP, unix.ENOTDIR:
		return -1, syscall.ENOENT
	default:
		return -1, errnoOf(err)
	}
	// The kernel checks the planned mode: where the real one allows less, the
	// directory must be the real one.
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || !fs.opts.AsCaller && n.plan.looser(&st) {
		unix.Close(fd)
		fs.opts.Redirector.Changed(fs.path(n))
		return -1, syscall.ESTALE
	}
	return fd, 0
}

func (e *Entry) looser(st *unix.Stat_t) bool {
	return e.UID != st.Uid || e.GID != st.Gid || e.Mode&^st.Mode&0o777 != 0
}

// mayPlanned is access(2) of a planned file, where the kernel does not check
// modes: the callers are who we are.
func (fs *FS) mayPlanned(e *Entry, in *fuse.InHeader, mask uint32) syscall.Errno {
	if !fs.opts.AsCaller || mask == 0 {
		return 0
	}
	mode := e.Mode
	if unix.Geteuid() == 0 { // CAP_DAC_OVERRIDE
		if mask&unix.X_OK == 0 || mode&0o111 != 0 || mode&unix.S_IFMT == unix.S_IFDIR {
			return 0
		}
		return syscall.EACCES
	}
	switch {
	case in.Uid == inRanges(fs.opts.Users, e.UID):
		mode >>= 6
	case fs.inGroup(in.Gid, inRanges(fs.opts.Groups, e.GID)):
		mode >>= 3
	}
	if mask&^mode&7 != 0 {
		return syscall.EACCES
	}
	return 0
}

func (fs *FS) inGroup(gid, want uint32) bool {
	if gid == want {
		return true
	}
	groups, _ := unix.Getgroups()
	for _, g := range groups {
		if uint32(g) == want {
			return true
		}
	}
	return false
}

// openPlanned opens the content of a planned file. One that cannot be read, or
// is not what was planned, leaves the name to the tree.
func (fs *FS) openPlanned(ev *event, n *node, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	e := n.plan
	if in.Flags&unix.O_ACCMODE != unix.O_RDONLY || in.Flags&unix.O_TRUNC != 0 {
		return ev.end(fs.changes(n))
	}
	if e.Mode&unix.S_IFMT != unix.S_IFREG {
		return ev.end(syscall.EACCES)
	}
	if in.Flags&fuse.FMODE_EXEC == 0 { // to execute it need not be readable
		if errno := fs.mayPlanned(e, &in.InHeader, unix.R_OK); errno != 0 {
			return ev.end(errno)
		}
	}
	fd, err := unix.Open(e.Content, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	var st unix.Stat_t
	if err == nil {
		if err = unix.Fstat(fd, &st); err == nil && (st.Mode&unix.S_IFMT != unix.S_IFREG || st.Size != e.Size) {
			err = unix.EIO
		}
		if err != nil {
			unix.Close(fd)
		}
	}
	if err != nil {
		fs.logf("the content of %s, %s: %v", fs.path(n), e.Content, err)
		fs.opts.Redirector.Changed(fs.path(n))
		return ev.end(syscall.ESTALE)
	}
	h := &handle{fd: fd, n: n, flags: in.Flags, path: ev.Path}
	n.opening.Lock()
	defer n.opening.Unlock()
	fs.register(h)
	out.Fh, ev.Handle, ev.Size = h.id, h.id, st.Size
	seen := fs.opts.Observer != nil && fs.opts.Mode != trace.ModePaths // reads are to be
	switch {
	case seen && fs.directIO && fs.opts.Mode == trace.ModeFull:
		out.OpenFlags |= fuse.FOPEN_DIRECT_IO
	case fs.passthrough(h, &st, out):
	case !seen:
		out.OpenFlags |= fuse.FOPEN_KEEP_CACHE
		if first, _ := fs.unchanged(n, stampOf(&st)); first && fs.keepsPlanned() {
			fs.store(h, min(st.Size, Stored))
		}
	}
	if !seen || fs.opts.Mode != trace.ModeFull {
		out.OpenFlags |= fuse.FOPEN_NOFLUSH
	}
	return ev.end(0)
}

// Stored is how many bytes of a planned file the kernel is given when it is first
// opened, where it is not passed through: a request for more would copy as well.
const Stored = Large

// store puts the first bytes of a file into the page cache.
func (fs *FS) store(h *handle, size int64) {
	buf := fs.buffers.Get().(*[Small + 1]byte)
	defer fs.buffers.Put(buf)
	for off := int64(0); off < size; {
		n, err := unix.Pread(h.fd, buf[:min(Small, size-off)], off)
		if err != nil || n <= 0 || fs.server.InodeNotifyStoreCache(h.n.id, off, buf[:n]) != fuse.OK {
			return
		}
		off += int64(n)
	}
}
