package fusecore

import (
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// merged is the listing of a directory with planned names: these, then what the
// directory below has beside them. An entry's offset is its place in the list,
// since those of the directory below may be any numbers.
type merged struct {
	path string
	list []fuse.DirEntry
	end  bool // nothing follows
}

// openMerged opens a directory with planned names. That below is opened only
// where it may have others, and need not be there.
func (fs *FS) openMerged(ev *event, n *node, whole bool, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	fd := -1
	if n.plan != nil {
		if errno := fs.mayPlanned(n.plan, &in.InHeader, unix.R_OK); errno != 0 {
			return ev.end(errno)
		}
	}
	if !whole {
		var errno syscall.Errno
		fd, errno = fs.openReal(n)
		if errno == syscall.ENOENT && n.plan != nil {
			fd, errno = -1, 0
		}
		if errno != 0 {
			return ev.end(errno)
		}
	}
	h := &handle{fd: fd, n: n, flags: in.Flags, path: ev.Path, dir: &dirBuffer{merged: &merged{path: fs.path(n)}}}
	var st unix.Stat_t
	if fd >= 0 {
		if err := unix.Fstat(fd, &st); err != nil || n.plan == nil && !n.same(&st) {
			unix.Close(fd)
			return ev.end(unix.ESTALE)
		}
		h.dir.dev = st.Dev
	}
	fs.register(h)
	out.Fh, ev.Handle = h.id, h.id
	return ev.end(0)
}

// openReal opens what the tree has of a directory, to list it.
func (fs *FS) openReal(n *node) (int, syscall.Errno) {
	if n.plan == nil {
		return fs.openFile(n, unix.O_RDONLY|unix.O_DIRECTORY)
	}
	d, errno := fs.dir(n)
	if errno != 0 {
		return -1, errno
	}
	defer fs.put(d)
	fd, err := unix.Openat(d.fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	return fd, errnoOf(err)
}

// startList begins the list with what is planned now.
func (fs *FS) startList(h *handle) {
	m := h.dir.merged
	up := fs.root
	fs.mu.Lock()
	if h.n.parent != nil {
		up = h.n.parent
	}
	fs.mu.Unlock()
	m.list = append(m.list[:0],
		fuse.DirEntry{Name: ".", Mode: unix.S_IFDIR, Ino: fs.nodeIno(h.n)},
		fuse.DirEntry{Name: "..", Mode: unix.S_IFDIR, Ino: fs.nodeIno(up)})
	names, _ := fs.opts.Redirector.List(m.path)
	for _, l := range names {
		// Where the directory below is not read, its own names are as good as planned.
		if a, _ := fs.opts.Redirector.Lookup(m.path, l.Name); a == Planned || a == Pass && h.fd < 0 {
			ino := fs.ino(planKeyDev, fs.planIno(join(m.path, l.Name)))
			m.list = append(m.list, fuse.DirEntry{Name: l.Name, Mode: l.Mode & unix.S_IFMT, Ino: ino})
		}
	}
}

// planKeyDev is planDev as keys have it.
var planKeyDev = unix.Mkdev(planDev, planDev)

func (fs *FS) nodeIno(n *node) uint64 { return fs.ino(n.key.dev, n.key.ino) }

// readMerged gives entries from an offset on; h.dir.mu is held.
func (fs *FS) readMerged(ev *event, h *handle, off uint64, out *fuse.DirEntryList) syscall.Errno {
	m := h.dir.merged
	if off == 0 { // opened, or rewound: look again
		fs.startList(h)
		if m.end = h.fd < 0; !m.end {
			if _, err := unix.Seek(h.fd, 0, unix.SEEK_SET); err != nil {
				return errnoOf(err)
			}
		}
	}
	for ; ; off++ {
		for off >= uint64(len(m.list)) {
			if m.end {
				return 0
			}
			if errno := fs.more(h); errno != 0 {
				return errno
			}
		}
		e := m.list[off]
		e.Off = off + 1
		if !out.AddDirEntry(e) {
			return 0
		}
		ev.Size += int64(len(e.Name))
	}
}

// more appends what the directory below gives next, but for names that the plan
// answers for.
func (fs *FS) more(h *handle) syscall.Errno {
	d, m := h.dir, h.dir.merged
	if d.buf == nil {
		d.buf = make([]byte, 32<<10)
	}
	n, err := unix.Getdents(h.fd, d.buf)
	if err != nil {
		return errnoOf(err)
	}
	m.end = n == 0
	for b := d.buf[:n]; len(b) > 0; {
		var e fuse.DirEntry
		e, b = dirent(b)
		if e.Name == "." || e.Name == ".." {
			continue
		}
		if a, _ := fs.opts.Redirector.Lookup(m.path, e.Name); a != Pass {
			continue
		}
		e.Ino = fs.ino(d.dev, e.Ino)
		m.list = append(m.list, e)
	}
	return 0
}
