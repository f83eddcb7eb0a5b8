package fusecore

import (
	"strings"
	"sync"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/compspec/compat/pkg/record/trace"
)

// backing registers files that the kernel reads and writes itself
// (FUSE_PASSTHROUGH, Linux 6.9 and later; needs CAP_SYS_ADMIN).
type backing struct {
	mu     sync.Mutex // held while the kernel is asked
	on     bool
	denied map[uint64]bool // devices whose files the kernel does not take: stacked too deep
}

func (b *backing) init(on bool) { b.on, b.denied = on, map[uint64]bool{} }

func (b *backing) may() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.on
}

// passthrough has the kernel take the file itself, where that saves requests,
// what is large, and what is written to; and where a process may share memory
// with others by the file: a mapping of a passed through file is one of the file
// below, and outlives the handle. All handles of an inode are passed through, or
// none (fs/fuse/iomode.c). Once is for good, since a mapping may be there, unseen
// (backing_file_mmap in fs/backing-file.c).
func (fs *FS) passthrough(h *handle, st *unix.Stat_t, out *fuse.OpenOut) bool {
	b, n := &fs.backing, h.n
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	wanted := b.on && !b.denied[st.Dev] && n.cached == 0 && (n.passed || fs.worthPassing(h, st))
	h.counted = true
	if wanted && n.backed == 0 {
		id, errno := fs.server.RegisterBackingFd(&fuse.BackingMap{Fd: int32(h.fd)})
		switch errno {
		case 0:
			n.backing = id
		case unix.ELOOP:
			b.denied[st.Dev], wanted = true, false
		default:
			b.on, wanted = false, false
		}
	}
	if !wanted {
		n.cached++
		return false
	}
	n.backed++
	n.passed, h.backed = true, true
	out.BackingID = n.backing
	out.OpenFlags |= fuse.FOPEN_PASSTHROUGH
	return true
}

func (fs *FS) worthPassing(h *handle, st *unix.Stat_t) bool {
	paths := fs.opts.Mode == trace.ModePaths
	if h.n.plan != nil { // nobody changes its content
		return st.Size >= Large && (paths || fs.opts.Observer == nil)
	}
	return fs.shared(h.n) || paths && (h.writable() || st.Size >= Large || fs.live(st))
}

// shared says whether a file is memory that processes share: SQLite's index of a
// write-ahead log (https://sqlite.org/walformat.html), the files of LMDB
// (mdb_env_open in its lmdb.h). They read there what others have stored, without
// a system call, and destroy the database where something else is there: pages
// of the view's own would differ from those that processes outside of it have.
func (fs *FS) shared(n *node) bool {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return strings.HasSuffix(n.name, "-shm") || n.name == "lock.mdb" || n.name == "data.mdb"
}

// live says whether a file was changed so shortly before the recording, or
// during it, that whoever did it may still have it mapped.
func (fs *FS) live(st *unix.Stat_t) bool {
	start := fs.start.Load()
	return start != nil && time.Unix(st.Ctim.Unix()).After(start.Add(-time.Minute))
}

// unback takes back what passthrough has counted.
func (fs *FS) unback(h *handle) {
	if !h.counted {
		return
	}
	b, n := &fs.backing, h.n
	b.mu.Lock()
	defer b.mu.Unlock()
	if !h.backed {
		n.cached--
		return
	}
	if n.backed--; n.backed == 0 {
		fs.server.UnregisterBackingFd(n.backing)
	}
}
