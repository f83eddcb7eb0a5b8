package fusecore

import (
	"bytes"
	"encoding/binary"
	"sync"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/compspec/compat/pkg/record/trace"
)

// dirBuffer is what getdents64(2) has given and the kernel has not taken yet.
type dirBuffer struct {
	mu    sync.Mutex
	buf   []byte
	todo  []byte
	off   uint64 // of the entry that comes next
	dev   uint64
	names []Listed
}

// OpenDir implements fuse.RawFileSystem.
func (fs *FS) OpenDir(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	ev := fs.begin(trace.OpOpendir, &in.InHeader)
	ev.Flags = in.Flags
	n, errno := fs.node(in.NodeId)
	if errno != 0 {
		return ev.end(errno)
	}
	ev.node(n)
	if n.entry != nil {
		names, _ := fs.opts.Redirector.List(fs.path(n))
		h := &handle{fd: -1, n: n, flags: in.Flags, path: ev.Path, dir: &dirBuffer{names: names}}
		fs.register(h)
		out.Fh = h.id
		return ev.end(0)
	}
	fd, errno := fs.openFile(n, unix.O_RDONLY|unix.O_DIRECTORY|int(in.Flags&unix.O_NOATIME))
	if errno != 0 {
		return ev.end(errno)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || !n.same(&st) {
		unix.Close(fd)
		return ev.end(unix.ESTALE)
	}
	h := &handle{fd: fd, n: n, flags: in.Flags, path: ev.Path, dir: &dirBuffer{dev: st.Dev}}
	if fs.watch != nil && fs.opts.Mode == trace.ModePaths && fs.watch.addFD(n, fd) {
		out.OpenFlags |= fuse.FOPEN_CACHE_DIR
		if _, same := fs.unchanged(n, stampOf(&st)); same {
			out.OpenFlags |= fuse.FOPEN_KEEP_CACHE
		}
	}
	fs.register(h)
	out.Fh, ev.Handle = h.id, h.id
	return ev.end(0)
}

// ReadDir implements fuse.RawFileSystem.
func (fs *FS) ReadDir(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	ev := fs.begin(trace.OpReaddir, &in.InHeader)
	h, errno := fs.about(ev, in.Fh)
	if errno != 0 {
		return ev.end(errno)
	}
	d := h.dir
	d.mu.Lock()
	defer d.mu.Unlock()
	if h.fd < 0 {
		for i := in.Offset; i < uint64(len(d.names)); i++ {
			e := d.names[i]
			if !out.AddDirEntry(fuse.DirEntry{Ino: plannedKey(join(h.path, e.Name)).ino, Off: i + 1, Mode: e.Mode & unix.S_IFMT, Name: e.Name}) {
				break
			}
		}
		return ev.end(0)
	}
	if in.Offset != d.off {
		if _, err := unix.Seek(h.fd, int64(in.Offset), unix.SEEK_SET); err != nil {
			return ev.end(errnoOf(err))
		}
		d.todo, d.off = nil, in.Offset
	}
	for {
		if len(d.todo) == 0 {
			if d.buf == nil {
				d.buf = make([]byte, 32<<10)
			}
			n, err := unix.Getdents(h.fd, d.buf)
			if err != nil {
				return ev.end(errnoOf(err))
			}
			if n == 0 {
				return ev.end(0)
			}
			d.todo = d.buf[:n]
		}
		e, rest := dirent(d.todo)
		e.Ino = fs.ino(d.dev, e.Ino)
		if !out.AddDirEntry(e) {
			return ev.end(0)
		}
		ev.Size += int64(len(d.todo) - len(rest))
		d.todo, d.off = rest, e.Off
	}
}

// dirent takes a struct linux_dirent64 (getdents(2)).
func dirent(b []byte) (fuse.DirEntry, []byte) {
	le := binary.NativeEndian
	size := int(le.Uint16(b[16:]))
	name, _, _ := bytes.Cut(b[19:size], []byte{0})
	return fuse.DirEntry{Ino: le.Uint64(b), Off: le.Uint64(b[8:]), Mode: uint32(b[18]) << 12, Name: string(name)}, b[size:]
}

// ReleaseDir implements fuse.RawFileSystem.
func (fs *FS) ReleaseDir(in *fuse.ReleaseIn) { fs.Release(nil, in) }
