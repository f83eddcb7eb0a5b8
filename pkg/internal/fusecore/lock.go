package fusecore

import (
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/compspec/compat/pkg/record/trace"
)

// lockTable holds the record locks (fcntl(2)) that the program has, as locks on
// the files below, so that processes outside of the view heed them. A process
// does not conflict with itself, whichever descriptor it uses: so each owner has
// an open file description of its own for each file, and its locks are that
// one's (F_OFD_SETLK). Locks of flock(2) belong to a description, and are taken
// on the handle's.
type lockTable struct {
	fs *FS
	mu sync.Mutex
	m  map[lockKey]*ownerLocks
	// freed is closed, and made anew, when a lock was given up.
	freed chan struct{}
}

type lockKey struct {
	n     *node
	owner uint64
}

type ownerLocks struct {
	fd  int
	pid uint32
}

func (t *lockTable) init(fs *FS) {
	t.fs, t.m, t.freed = fs, map[lockKey]*ownerLocks{}, make(chan struct{})
}

// of gives the owner's description of the file; mk: open one.
func (t *lockTable) of(h *handle, owner uint64, mk bool) (int, syscall.Errno) {
	k := lockKey{h.n, owner}
	t.mu.Lock()
	defer t.mu.Unlock()
	if o := t.m[k]; o != nil {
		return o.fd, 0
	}
	if !mk {
		return h.fd, 0
	}
	// For reading and writing, since either lock may come; as the program has it
	// open where that is not allowed.
	fd, err := -1, error(unix.EACCES)
	if h.n.plan == nil {
		fd, err = unix.Open(procPath(h.fd), unix.O_RDWR|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		fd, err = unix.Open(procPath(h.fd), int(h.flags&unix.O_ACCMODE)|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		return -1, errnoOf(err)
	}
	t.m[k] = &ownerLocks{fd: fd}
	return fd, 0
}

// drop ends all locks that the owner has on the file.
func (t *lockTable) drop(n *node, owner uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if o := t.m[lockKey{n, owner}]; o != nil {
		unix.Close(o.fd)
		delete(t.m, lockKey{n, owner})
		t.free()
	}
}

func (t *lockTable) free() {
	close(t.freed)
	t.freed = make(chan struct{})
}

func (t *lockTable) flushed(h *handle, owner uint64) { t.drop(h.n, owner) }

func (t *lockTable) released(h *handle) {
	t.fs.hmu.Lock()
	owners := h.owners
	t.fs.hmu.Unlock()
	for _, o := range owners {
		t.drop(h.n, o)
	}
	t.mu.Lock()
	t.free() // a lock of flock(2) ends too
	t.mu.Unlock()
}

func flockT(l *fuse.FileLock) *unix.Flock_t {
	f := &unix.Flock_t{Type: int16(l.Typ), Start: int64(l.Start)}
	if l.End < 1<<63-1 { // OFFSET_MAX: up to the end
		f.Len = int64(l.End-l.Start) + 1
	}
	return f
}

// GetLk implements fuse.RawFileSystem.
func (fs *FS) GetLk(_ <-chan struct{}, in *fuse.LkIn, out *fuse.LkOut) fuse.Status {
	h, errno := fs.handle(in.Fh)
	if errno != 0 {
		return fuse.Status(errno)
	}
	t := &fs.locks
	fd, errno := t.of(h, in.Owner, false)
	if errno != 0 {
		return fuse.Status(errno)
	}
	f := flockT(&in.Lk)
	if err := unix.FcntlFlock(uintptr(fd), unix.F_OFD_GETLK, f); err != nil {
		return fuse.Status(errnoOf(err))
	}
	out.Lk = fuse.FileLock{Typ: uint32(f.Type), Start: uint64(f.Start), End: 1<<63 - 1, Pid: uint32(max(f.Pid, 0))}
	if f.Len > 0 {
		out.Lk.End = uint64(f.Start + f.Len - 1)
	}
	if f.Type != unix.F_UNLCK && f.Pid < 0 { // a description's: one of ours, perhaps
		t.mu.Lock()
		for k, o := range t.m {
			if k.n == h.n && k.owner != in.Owner {
				out.Lk.Pid = o.pid
			}
		}
		t.mu.Unlock()
	}
	return fuse.OK
}

// SetLk implements fuse.RawFileSystem.
func (fs *FS) SetLk(_ <-chan struct{}, in *fuse.LkIn) fuse.Status {
	ev := fs.begin(trace.OpLock, &in.InHeader)
	h, errno := fs.about(ev, in.Fh)
	if errno == 0 {
		errno = fs.lock(h, in)
	}
	return ev.end(errno)
}

// SetLkw implements fuse.RawFileSystem. It waits without being stuck in a system
// call: a process that got a signal must not wait for a lock any more.
func (fs *FS) SetLkw(cancel <-chan struct{}, in *fuse.LkIn) fuse.Status {
	ev := fs.begin(trace.OpLock, &in.InHeader)
	h, errno := fs.about(ev, in.Fh)
	if errno != 0 {
		return ev.end(errno)
	}
	for wait := time.Millisecond; ; wait = min(2*wait, 20*time.Millisecond) {
		fs.locks.mu.Lock()
		freed := fs.locks.freed
		fs.locks.mu.Unlock()
		if errno = fs.lock(h, in); errno != syscall.EAGAIN {
			return ev.end(errno)
		}
		select {
		case <-cancel:
			return ev.end(syscall.EINTR)
		case <-freed:
		case <-time.After(wait): // others are not ours to hear of
		}
	}
}

// lock takes or gives up a lock; EAGAIN: somebody else has it.
func (fs *FS) lock(h *handle, in *fuse.LkIn) syscall.Errno {
	t := &fs.locks
	if in.LkFlags&fuse.LK_FLOCK != 0 {
		op := map[uint32]int{unix.F_RDLCK: unix.LOCK_SH, unix.F_WRLCK: unix.LOCK_EX, unix.F_UNLCK: unix.LOCK_UN}[in.Lk.Typ]
		err := unix.Flock(h.fd, op|unix.LOCK_NB)
		if err == nil && op != unix.LOCK_EX {
			t.mu.Lock()
			t.free()
			t.mu.Unlock()
		}
		return errnoOf(err)
	}
	unlock := in.Lk.Typ == unix.F_UNLCK
	fd, errno := t.of(h, in.Owner, !unlock)
	if errno != 0 {
		return errno
	}
	if unlock && fd == h.fd {
		return 0 // it has none
	}
	err := unix.FcntlFlock(uintptr(fd), unix.F_OFD_SETLK, flockT(&in.Lk))
	if err == unix.EACCES {
		err = unix.EAGAIN
	}
	if err == nil {
		t.mu.Lock()
		if o := t.m[lockKey{h.n, in.Owner}]; o != nil {
			o.pid = in.Lk.Pid
		}
		if in.Lk.Typ != unix.F_WRLCK {
			t.free()
		}
		t.mu.Unlock()
		fs.hmu.Lock()
		if !slices.Contains(h.owners, in.Owner) {
			h.owners = append(h.owners, in.Owner)
		}
		fs.hmu.Unlock()
	}
	return errnoOf(err)
}
