package fusecore

import (
	"container/list"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// dirFD is an open directory, in use by some calls.
type dirFD struct {
	fd   int
	uses int
	elem *list.Element
	gone bool // close it with the last use
}

// dirList keeps the directories that were used last open. Guarded by FS.mu.
type dirList struct {
	l   *list.List // of *node, the last used first
	max int
}

// init: a quarter of the descriptors that the process may have is for directories.
func (d *dirList) init() {
	d.l, d.max = list.New(), 256
	var r unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &r) == nil {
		d.max = int(min(max(r.Cur/4, 8), 16384))
	}
}

func (d *dirList) remove(n *node) {
	if n.dir == nil {
		return
	}
	if n.dir.elem != nil {
		d.l.Remove(n.dir.elem)
	}
	if n.dir.uses == 0 {
		unix.Close(n.dir.fd)
	} else {
		n.dir.gone = true
	}
	n.dir = nil
}

// dir gives a descriptor (O_PATH) of a directory, to be given back by put.
func (fs *FS) dir(n *node) (*dirFD, syscall.Errno) {
	if !n.isDir() {
		return nil, syscall.ENOTDIR
	}
	fs.mu.Lock()
	if d := n.dir; d != nil {
		d.uses++
		fs.dirs.l.MoveToFront(d.elem)
		fs.mu.Unlock()
		return d, 0
	}
	fs.mu.Unlock()
	fd, errno := fs.openPath(n)
	if errno != 0 {
		return nil, errno
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if d := n.dir; d != nil {
		unix.Close(fd)
		d.uses++
		return d, 0
	}
	d := &dirFD{fd: fd, uses: 1}
	if fs.nodes[n.id] != n { // forgotten meanwhile
		d.gone = true
		return d, 0
	}
	d.elem = fs.dirs.l.PushFront(n)
	n.dir = d
	for e := fs.dirs.l.Back(); e != nil && fs.dirs.l.Len() > fs.dirs.max; {
		old := e.Value.(*node)
		e = e.Prev()
		if old.dir.uses == 0 {
			fs.dirs.remove(old)
		}
	}
	return d, 0
}

func (fs *FS) put(d *dirFD) {
	fs.mu.Lock()
	d.uses--
	if d.gone && d.uses == 0 {
		unix.Close(d.fd)
	}
	fs.mu.Unlock()
}

// Trim closes the directories that are held open without need. They keep file
// systems from being unmounted.
func (fs *FS) Trim() {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for e := fs.dirs.l.Front(); e != nil; {
		n := e.Value.(*node)
		e = e.Next()
		fs.dirs.remove(n)
	}
}

// openPath opens a node as O_PATH: for what needs no more, and for what goes on
// through /proc/self/fd.
func (fs *FS) openPath(n *node) (int, syscall.Errno) {
	return fs.open(n, unix.O_PATH)
}

// open opens the file of a node. ESTALE: its name is another file's now; the
// kernel then looks it up anew and tries again.
func (fs *FS) open(n *node, flags int) (int, syscall.Errno) {
	fs.mu.Lock()
	pin, parent, name := n.pin, n.parent, n.name
	if pin >= 0 && flags&unix.O_PATH != 0 {
		fd, err := unix.FcntlInt(uintptr(pin), unix.F_DUPFD_CLOEXEC, 0)
		fs.mu.Unlock()
		return fd, errnoOf(err)
	}
	if pin >= 0 { // it may be closed as soon as the lock is given up
		fd, err := unix.Openat(fs.proc, strconv.Itoa(pin), flags|unix.O_CLOEXEC, 0)
		fs.mu.Unlock()
		return fd, errnoOf(err)
	}
	fs.mu.Unlock()
	if parent == nil {
		return -1, syscall.ESTALE
	}
	d, errno := fs.dir(parent)
	if errno != 0 {
		return -1, errno
	}
	if n.plan != nil {
		defer fs.put(d)
		return fs.underPlan(n, d.fd, name, flags)
	}
	fd, err := unix.Openat(d.fd, name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	fs.put(d)
	switch err {
	case nil:
	case unix.ENOENT, unix.ELOOP, unix.ENOTDIR:
		return -1, syscall.ESTALE
	default:
		return -1, errnoOf(err)
	}
	return fd, 0
}

// same says whether fd is the file of the node.
func (n *node) same(st *unix.Stat_t) bool {
	return st.Dev == n.key.dev && st.Ino == n.key.ino
}

// opath is openPath, and sure of the file. The caller closes it.
func (fs *FS) opath(n *node) (int, syscall.Errno) {
	fd, errno := fs.openPath(n)
	if errno != 0 {
		return -1, errno
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || !n.same(&st) {
		unix.Close(fd)
		return -1, syscall.ESTALE
	}
	return fd, 0
}

// procPath names a descriptor for system calls that take no empty path.
func procPath(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

func errnoOf(err error) syscall.Errno {
	if err == nil {
		return 0
	}
	if e, ok := err.(syscall.Errno); ok {
		return e
	}
	return syscall.EIO
}
