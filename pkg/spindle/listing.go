package spindle

import (
	"io/fs"
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/compspec/compat/pkg/internal/rootfs"
)

// listing is a view of the machine that asks each directory once. The first
// name that is missing in it has its names read, or those of the nearest
// directory above that is there, and from then on what is not in the list is
// not there, without a question. Making a plan must not be the storm that it
// spares: 300 libraries in 300 directories are 48,150 names that are missing.
type listing struct {
	rootfs.FS
	dirs    map[string]*listed // by the path it was asked for by, cleaned
	opens   int                // names that were there, as a loader would ask
	missing int                // names that were not
}

// listed is a directory that was read. names is nil where it could not be, and
// each name must be asked for.
type listed struct {
	id    rootfs.ID
	mtime int64
	ctime int64
	names map[string]bool
	sure  bool // it was read
}

func newListing(fsys rootfs.FS) *listing {
	return &listing{FS: fsys, dirs: map[string]*listed{}}
}

// maxListed is more names than a directory of libraries has. Of a larger one
// each name is asked for: to read it would cost more.
const maxListed = 1 << 16

// Missing reports whether name is known not to be there, and counts it as asked
// for: see ldso.Machine.Open.
func (l *listing) Missing(name string) bool {
	if !l.absent(name) {
		return false
	}
	l.missing++
	return true
}

// absent reports whether name is known not to be there.
func (l *listing) absent(name string) bool {
	// As most names are: in a directory that was read, its path a clean one.
	if i := strings.LastIndexByte(name, '/'); i > 0 {
		if d := l.dirs[name[:i]]; d != nil {
			return d.sure && !d.names[name[i+1:]]
		}
	}
	// A path with ".." may lead through a link: only the kernel knows.
	if !strings.HasPrefix(name, "/") || strings.Contains(name, "/../") {
		return false
	}
	for p := path.Clean(name); p != "/"; {
		dir, base := path.Dir(p), path.Base(p)
		if d := l.dirs[dir]; d != nil {
			return d.sure && !d.names[base]
		}
		p = dir
	}
	return false
}

// learn reads the directory that name is missing in, or the nearest one above.
func (l *listing) learn(name string) {
	if !strings.HasPrefix(name, "/") || strings.Contains(name, "/../") {
		return
	}
	for dir := path.Dir(path.Clean(name)); ; dir = path.Dir(dir) {
		if l.dirs[dir] != nil {
			return
		}
		before, err := l.FS.Stat(dir)
		if errno := rootfs.Errno(err); errno == syscall.ENOENT && dir != "/" {
			continue
		}
		d := &listed{id: before.ID, mtime: before.MTime, ctime: before.CTime}
		l.dirs[dir] = d
		if err != nil || !before.IsDir() {
			return
		}
		names, err := l.FS.ReadDir(dir)
		after, err2 := l.FS.Stat(dir)
		if err != nil || err2 != nil || len(names) > maxListed || after.MTime != before.MTime || after.ID != before.ID {
			return
		}
		d.sure, d.names = true, make(map[string]bool, len(names))
		for _, n := range names {
			d.names[n] = true
		}
		return
	}
}

// Open implements rootfs.FS.
func (l *listing) Open(name string) (rootfs.File, error) {
	if l.absent(name) {
		l.missing++
		return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.ENOENT}
	}
	f, err := l.FS.Open(name)
	switch {
	case err == nil:
		l.opens++
	case rootfs.Errno(err) == syscall.ENOENT:
		l.missing++
		l.learn(name)
	default:
		l.missing++
	}
	return f, err
}

// Stat implements rootfs.FS.
func (l *listing) Stat(name string) (rootfs.Info, error) {
	if l.absent(name) {
		return rootfs.Info{}, &fs.PathError{Op: "stat", Path: name, Err: syscall.ENOENT}
	}
	return l.FS.Stat(name)
}

// asked are the directories that were read, sorted.
func (l *listing) asked() []string {
	out := make([]string, 0, len(l.dirs))
	for dir := range l.dirs {
		out = append(out, dir)
	}
	slices.Sort(out)
	return out
}
