package fusecore

import (
	"bytes"
	"encoding/binary"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// watcher hears of changes that others make, below the view, to directories that
// the kernel has been told about, so that it may keep what it was told: names,
// names that are not there, attributes, contents. fanotify with names
// (FAN_REPORT_DFID_NAME, Linux 5.9) may be used by anybody from 5.13 on, and
// says of events of our own that they are ours (fanotify_init(2)).
type watcher struct {
	fs    *FS
	file  *os.File
	fd    int
	pid   int32
	nodes map[string]*node  // by file system and file handle; guarded by FS.mu
	kinds map[uint64]fsKind // by device; guarded by FS.mu
}

// fsKind is what matters of a file system.
type fsKind struct {
	id    [8]byte
	local bool // nobody changes it from another machine
}

// watchState is the watch of a directory. Guarded by FS.mu.
type watchState struct {
	tried, on bool
	key       string
}

const watchMask = unix.FAN_CREATE | unix.FAN_DELETE | unix.FAN_MOVED_FROM | unix.FAN_MOVED_TO | unix.FAN_MODIFY | unix.FAN_ATTRIB | unix.FAN_EVENT_ON_CHILD | unix.FAN_ONDIR

// newWatcher gives nil where the kernel cannot: what it keeps must then be short-lived.
func newWatcher(fs *FS) *watcher {
	fd, err := unix.FanotifyInit(unix.FAN_CLASS_NOTIF|unix.FAN_CLOEXEC|unix.FAN_NONBLOCK|unix.FAN_REPORT_DFID_NAME, unix.O_RDONLY|unix.O_CLOEXEC)
	if err != nil {
		return nil
	}
	return &watcher{
		fs: fs, file: os.NewFile(uintptr(fd), "fanotify"), fd: fd, pid: int32(os.Getpid()),
		nodes: map[string]*node{}, kinds: map[uint64]fsKind{},
	}
}

func (w *watcher) close() { w.file.Close() }

func (w *watcher) watches(n *node) bool {
	w.fs.mu.Lock()
	defer w.fs.mu.Unlock()
	return n.watched.on
}

// add watches a directory, and says whether it is watched.
func (w *watcher) add(n *node) bool {
	w.fs.mu.Lock()
	s := n.watched
	w.fs.mu.Unlock()
	if s.tried {
		return s.on
	}
	d, errno := w.fs.dir(n)
	if errno != 0 {
		return false
	}
	defer w.fs.put(d)
	return w.addFD(n, d.fd)
}

// addFD is add by a descriptor.
func (w *watcher) addFD(n *node, fd int) bool {
	fs := w.fs
	fs.mu.Lock()
	s := n.watched
	kind, known := w.kinds[n.key.dev]
	fs.mu.Unlock()
	if s.tried {
		return s.on
	}
	if !known || n.plan != nil { // its device is none
		kind = kindOf(fd)
	}
	s.tried = true
	if kind.local {
		// In this order: what comes before the handle is known is lost, and
		// nothing has been told to the kernel yet.
		if h, _, err := unix.NameToHandleAt(fd, "", unix.AT_EMPTY_PATH); err == nil {
			s.key = string(kind.id[:]) + string(binary.NativeEndian.AppendUint32(nil, uint32(h.Type()))) + string(h.Bytes())
		}
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if n.plan == nil {
		w.kinds[n.key.dev] = kind
	}
	if n.watched.tried || fs.nodes[n.id] != n {
		return n.watched.on
	}
	if s.key != "" && unix.FanotifyMark(w.fd, unix.FAN_MARK_ADD|unix.FAN_MARK_ONLYDIR, watchMask, fd, ".") == nil {
		s.on = true
		w.nodes[s.key] = n
	}
	n.watched = s
	return s.on
}

// forget ends the watch of a node that is dropped. FS.mu is held.
func (w *watcher) forget(n *node) {
	if !n.watched.on {
		return
	}
	if w.nodes[n.watched.key] == n {
		delete(w.nodes, n.watched.key)
	}
	switch {
	case n.dir != nil:
		unix.FanotifyMark(w.fd, unix.FAN_MARK_REMOVE, watchMask, n.dir.fd, ".")
	case n.pin >= 0:
		unix.FanotifyMark(w.fd, unix.FAN_MARK_REMOVE, watchMask, n.pin, ".")
	}
	n.watched = watchState{}
}

// kindOf looks at the file system of a directory. Names are from
// include/uapi/linux/magic.h and the file systems' own headers.
func kindOf(fd int) (k fsKind) {
	var s unix.Statfs_t
	if unix.Fstatfs(fd, &s) != nil {
		return k
	}
	binary.NativeEndian.PutUint32(k.id[:], uint32(s.Fsid.Val[0]))
	binary.NativeEndian.PutUint32(k.id[4:], uint32(s.Fsid.Val[1]))
	switch s.Type {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.TMPFS_MAGIC, unix.RAMFS_MAGIC, unix.OVERLAYFS_SUPER_MAGIC,
		unix.F2FS_SUPER_MAGIC, unix.EROFS_SUPER_MAGIC_V1, unix.SQUASHFS_MAGIC, unix.ISOFS_SUPER_MAGIC, 0x2fc12fc1 /* ZFS */, 0xca451a4e /* bcachefs */ :
		k.local = true
	}
	return k
}

// run reads events until the watcher is closed.
func (w *watcher) run() {
	buf := make([]byte, 64<<10)
	for {
		n, err := w.file.Read(buf)
		if err != nil {
			return
		}
		for b := buf[:n]; len(b) >= 24; {
			size := binary.NativeEndian.Uint32(b)
			if size < 24 || int(size) > len(b) {
				break
			}
			w.event(b[:size])
			b = b[size:]
		}
	}
}

// event takes a struct fanotify_event_metadata and its information records
// (include/uapi/linux/fanotify.h).
func (w *watcher) event(b []byte) {
	ne := binary.NativeEndian
	mask, pid := ne.Uint64(b[8:]), int32(ne.Uint32(b[20:]))
	if mask&unix.FAN_Q_OVERFLOW != 0 {
		w.overflow()
		return
	}
	if pid == w.pid {
		return
	}
	for r := b[ne.Uint16(b[6:]):]; len(r) >= 20; {
		size := int(ne.Uint16(r[2:]))
		if size < 20 || size > len(r) {
			return
		}
		handle := int(ne.Uint32(r[12:]))
		if r[0] == unix.FAN_EVENT_INFO_TYPE_DFID_NAME && 20+handle <= size {
			key := string(r[4:12]) + string(r[16:20]) + string(r[20:20+handle])
			name, _, _ := bytes.Cut(r[20+handle:size], []byte{0})
			w.changed(mask, key, string(name))
		}
		r = r[size:]
	}
}

func (w *watcher) changed(mask uint64, key, name string) {
	fs := w.fs
	fs.mu.Lock()
	dir := w.nodes[key]
	var child *node
	if dir != nil {
		child = fs.byName[nameKey{dir.id, name}]
	}
	fs.mu.Unlock()
	if dir == nil {
		return
	}
	if mask&(unix.FAN_CREATE|unix.FAN_DELETE|unix.FAN_MOVED_FROM|unix.FAN_MOVED_TO) != 0 {
		fs.server.EntryNotify(dir.id, name)
		fs.server.InodeNotify(dir.id, 0, 0)
	}
	switch {
	case name == ".":
		fs.server.InodeNotify(dir.id, -1, 0)
	case child != nil && child.plan == nil && !fs.isBacked(child): // what is passed through is not cached
		fs.server.InodeNotify(child.id, 0, 0)
	}
}

func (fs *FS) isBacked(n *node) bool {
	fs.backing.mu.Lock()
	defer fs.backing.mu.Unlock()
	return n.backed > 0
}

// overflow: events were lost, so nothing that the kernel keeps is sure.
func (w *watcher) overflow() {
	fs := w.fs
	type name struct {
		n, p *node
		name string
	}
	var all []name
	fs.mu.Lock()
	for _, n := range fs.nodes {
		all = append(all, name{n, n.parent, n.name})
	}
	fs.mu.Unlock()
	for _, x := range all {
		if x.p != nil && !x.n.isDir() {
			fs.server.EntryNotify(x.p.id, x.name)
		}
		fs.server.InodeNotify(x.n.id, 0, 0)
	}
}

// attrTimeout says how long attributes hold, see fill.
func (fs *FS) attrTimeout(n *node, nlink uint32, set func(time.Duration)) {
	if n.plan != nil {
		if fs.keepsPlanned() {
			set(Long)
		}
		return
	}
	if !fs.keeps() {
		return
	}
	d := short
	if fs.watch != nil {
		fs.mu.Lock()
		if n.isDir() && n.watched.on || !n.isDir() && nlink == 1 && n.pin < 0 && n.parent != nil && n.parent.watched.on {
			d = Long
		}
		fs.mu.Unlock()
	}
	set(d)
}
