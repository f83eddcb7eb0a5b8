package fusecore

import (
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// key tells a file from every other one, of now and of before: inode numbers
// are used again, with another birth time.
type key struct {
	dev, ino uint64
	birth    int64
}

func keyOf(st *unix.Statx_t) key {
	k := key{dev: unix.Mkdev(st.Dev_major, st.Dev_minor), ino: st.Ino}
	if st.Mask&unix.STATX_BTIME != 0 {
		k.birth = st.Btime.Sec*1e9 + int64(st.Btime.Nsec)
	}
	return k
}

type nameKey struct {
	dir  uint64 // node
	name string
}

// node is a file that the kernel knows.
type node struct {
	id      uint64
	key     key
	mode    uint32       // type
	plan    *Entry       // of a planned file, which the tree is not asked for; see redirect.go
	asked   atomic.Int32 // look-ups in a directory
	touched atomic.Bool
	opening sync.Mutex // while a handle is made

	// Guarded by FS.mu.
	parent  *node
	name    string
	nlookup uint64
	kids    int // nodes whose parent it is
	pin     int // descriptor of a file that has lost its name, and of the root; -1
	dir     *dirFD
	watched watchState

	// Guarded by FS.hmu.
	opens   []*handle
	stamp   stamp
	seen    bool // stamp is set
	cached  int  // handles that use the page cache
	backed  int  // handles that are passed through
	passed  bool // there was one
	backing int32
}

// stamp tells one content of a file from another.
type stamp struct{ size, mtime, ctime int64 }

func stampOf(st *unix.Stat_t) stamp {
	return stamp{st.Size, st.Mtim.Nano(), st.Ctim.Nano()}
}

func (n *node) isDir() bool { return n.mode == unix.S_IFDIR }

func (n *node) close() {
	if n.pin >= 0 {
		unix.Close(n.pin)
		n.pin = -1
	}
	if n.dir != nil {
		unix.Close(n.dir.fd)
		n.dir = nil
	}
}

// node gives what the kernel calls id.
func (fs *FS) node(id uint64) (*node, syscall.Errno) {
	fs.mu.Lock()
	n := fs.nodes[id]
	fs.mu.Unlock()
	if n == nil {
		return nil, syscall.ESTALE
	}
	n.touched.Store(true)
	return n, 0
}

// enter gives the node of a file that was found in a directory, and counts the look-up.
func (fs *FS) enter(p *node, name string, st *unix.Statx_t, plan *Entry) *node {
	k, mode := keyOf(st), uint32(st.Mode)&unix.S_IFMT
	fs.mu.Lock()
	n := fs.byKey[k]
	if n == nil || n.mode != mode || plan != nil && *n.plan != *plan {
		fs.lastID++
		n = &node{id: fs.lastID, key: k, mode: mode, plan: plan, pin: -1}
		fs.nodes[n.id], fs.byKey[k] = n, n
		fs.queue = append(fs.queue, n.id)
	}
	n.nlookup++
	n.touched.Store(true)
	if p != nil {
		fs.setName(n, p, name)
	}
	full := len(fs.nodes) > fs.opts.MaxNodes
	fs.mu.Unlock()
	if full {
		select {
		case fs.evict <- struct{}{}:
		default:
		}
	}
	return n
}

// setName says under which name a file was seen last. A file that had lost its
// name has one again. FS.mu is held.
func (fs *FS) setName(n, p *node, name string) {
	if n == fs.root || n.parent == p && n.name == name {
		return
	}
	// A directory cannot be below itself; what was seen in the midst of renames
	// by others may say so.
	for q := p; q != nil; q = q.parent {
		if q == n {
			return
		}
	}
	old := n.parent
	fs.dropName(n)
	n.parent, n.name = p, name
	p.kids++
	fs.byName[nameKey{p.id, name}] = n
	if n.pin >= 0 {
		unix.Close(n.pin)
		n.pin = -1
	}
	if old != nil {
		fs.drop(old)
	}
}

// dropName takes the name from n. Its parent stays, for what may be said of it. FS.mu is held.
func (fs *FS) dropName(n *node) {
	if n.parent == nil {
		return
	}
	if k := (nameKey{n.parent.id, n.name}); fs.byName[k] == n {
		delete(fs.byName, k)
	}
	n.parent.kids--
}

// drop forgets a node that neither the kernel nor another node needs. FS.mu is held.
func (fs *FS) drop(n *node) {
	for n != nil && n.nlookup == 0 && n.kids == 0 && n != fs.root {
		if fs.nodes[n.id] != n {
			return
		}
		delete(fs.nodes, n.id)
		if fs.byKey[n.key] == n {
			delete(fs.byKey, n.key)
		}
		fs.dropName(n)
		fs.dirs.remove(n)
		if fs.watch != nil {
			fs.watch.forget(n)
		}
		n.close()
		n = n.parent
	}
}

// Forget takes back look-ups that the kernel has counted.
func (fs *FS) Forget(id, nlookup uint64) {
	fs.requests[2].Add(1)
	fs.mu.Lock()
	defer fs.mu.Unlock()
	n := fs.nodes[id]
	if n == nil || n == fs.root {
		return
	}
	n.nlookup -= min(nlookup, n.nlookup)
	fs.drop(n)
}

// path of a node in the view.
func (fs *FS) path(n *node) string {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return fs.pathLocked(n)
}

func (fs *FS) pathLocked(n *node) string {
	if n.parent == nil {
		return "/"
	}
	size := 0
	for p := n; p.parent != nil; p = p.parent {
		size += len(p.name) + 1
	}
	b := make([]byte, size)
	for p := n; p.parent != nil; p = p.parent {
		size -= len(p.name)
		copy(b[size:], p.name)
		size--
		b[size] = '/'
	}
	return string(b)
}

func join(dir, name string) string {
	if strings.HasSuffix(dir, "/") {
		return dir + name
	}
	return dir + "/" + name
}

// fill answers a look-up.
func (fs *FS) fill(n *node, p *node, st *unix.Statx_t, out *fuse.EntryOut) {
	out.NodeId, out.Generation = n.id, 1
	fs.attr(st, &out.Attr)
	if n.plan != nil {
		if fs.keepsPlanned() {
			out.SetEntryTimeout(Long)
			out.SetAttrTimeout(Long)
		}
		return
	}
	if !fs.keeps() {
		return
	}
	entry, attr := short, short
	if fs.watch != nil {
		if p != nil && fs.watch.watches(p) {
			entry = Long
			if !n.isDir() && st.Nlink == 1 || n.isDir() && n.asked.Load() >= fs.opts.WatchAfter && fs.watch.add(n) {
				attr = Long
			}
		}
	}
	// The name of a file with several is the one that was looked up last: have
	// it looked up before each open.
	if st.Nlink > 1 && !n.isDir() {
		entry = 0
	}
	out.SetEntryTimeout(entry)
	out.SetAttrTimeout(attr)
}
