package fusecore

import (
	"hash/fnv"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// Redirector answers for names before the tree is asked. It is called by many
// goroutines.
type Redirector interface {
	// Lookup says what a name in a directory, an absolute path of the view, is.
	// The entry is with Planned only, and not changed any more.
	Lookup(dir, name string) (Answer, *Entry)
	// List gives the planned names of a directory; whole: it has no others.
	List(dir string) (names []Listed, whole bool)
	// Changed: a program in the view has changed what is at the path. From then on
	// Lookup is to pass there.
	Changed(path string)
}

// Answer of a Redirector.
type Answer int

// Answers.
const (
	Pass    Answer = iota // look into the tree
	Absent                // it is not there
	Planned               // it is what the entry says
)

// Entry is a planned file.
type Entry struct {
	Mode, UID, GID uint32 // type and permissions
	Size           int64
	MTime          int64  // nanoseconds since 1970
	Link           string // target of a symbolic link
	Content        string // absolute path of the file that has the content
}

// Listed is a planned name.
type Listed struct {
	Name string
	Mode uint32 // type
}

func (e *Entry) fill(a *fuse.Attr, ino uint64) {
	*a = fuse.Attr{Ino: ino, Size: uint64(e.Size), Blocks: uint64(e.Size+511) / 512, Mode: e.Mode, Nlink: 1, Blksize: 4096}
	a.Owner = fuse.Owner{Uid: e.UID, Gid: e.GID}
	at := time.Unix(0, e.MTime)
	a.SetTimes(&at, &at, &at)
	if e.Link != "" {
		a.Size = uint64(len(e.Link))
	}
}

func plannedKey(path string) key {
	h := fnv.New64a()
	h.Write([]byte(path))
	return key{dev: ^uint64(0), ino: h.Sum64()}
}

// planned enters a planned file and answers the look-up.
func (fs *FS) planned(p *node, name string, e *Entry, out *fuse.EntryOut) syscall.Errno {
	k := plannedKey(join(fs.path(p), name))
	st := unix.Statx_t{Ino: k.ino, Mode: uint16(e.Mode), Mask: unix.STATX_BTIME}
	n := fs.enterKey(p, name, k, uint32(st.Mode)&unix.S_IFMT, e.Content)
	n.entry = e
	out.NodeId, out.Generation = n.id, 1
	e.fill(&out.Attr, k.ino)
	if fs.keeps() {
		out.SetEntryTimeout(Long)
		out.SetAttrTimeout(Long)
	}
	return 0
}
