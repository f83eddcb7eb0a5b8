package rootfs

import (
	"io/fs"
	"path"
	"slices"
	"strings"
	"syscall"
)

// Overlay lays files that exist only as descriptions over another view: they
// can be found and have an identity, but no content to open. Whoever made the
// overlay knows what is in them by their ID.
//
// What is laid never hides a directory, and what was laid first stays: a
// description may claim any path.
type Overlay struct {
	lower FS
	tree  *Tree               // that lower is, or nil
	nodes map[string]node     // by canonical path; a directory of the view below has none
	names map[string][]string // what is laid in each directory
	files map[ID]Info
	ino   uint64
	steps int64
}

type node struct {
	info   Info
	target string // of a link
}

// overlayDev is the device number of overlaid files; no device has it.
const overlayDev = ^uint64(0)

// NewOverlay lays nothing yet over lower, to which nothing more may be added
// where it is an overlay itself.
func NewOverlay(lower FS) *Overlay {
	tree, _ := lower.(*Tree)
	var ino uint64
	if below, ok := lower.(*Overlay); ok {
		ino = below.ino // what is laid on both is told apart
	}
	return &Overlay{ino: ino, lower: lower, tree: tree, nodes: map[string]node{}, names: map[string][]string{}, files: map[ID]Info{}}
}

// Add lays a regular file of the given mode and size at an absolute path and
// returns the identity that it got. Links of directories on the way lead to
// it as they would if the file had been copied there. Where no file can be,
// in the place of a directory or below a file, none is laid.
func (o *Overlay) Add(name string, mode uint32, size int64) ID {
	info := Info{ID: o.newID(), Size: size, Mode: RegularMode(mode)}
	o.files[info.ID] = info
	o.put(name, node{info: info})
	return info.ID
}

// AddAlias lays a further name for the file that Add returned id for, unless
// the name leads to it already.
func (o *Overlay) AddAlias(name string, id ID) {
	info, ok := o.files[id]
	if real, err := o.resolve(name, true); !ok || err == nil && o.nodes[real].info.ID == id {
		return
	}
	o.put(name, node{info: info})
}

// AddLink lays a symbolic link at an absolute path. A link to a directory is
// left out where the view below has something of that name already.
func (o *Overlay) AddLink(l Link) {
	if impossible(l.Target) != 0 {
		return
	}
	if l.Dir {
		if p, _, ok := o.place(l.Path); !ok {
			return
		} else if _, err := o.lower.Lstat(p); err == nil {
			return
		}
	}
	o.put(l.Path, node{info: Info{ID: o.newID(), Mode: syscall.S_IFLNK | 0o777}, target: l.Target})
}

func (o *Overlay) newID() ID {
	o.ino++
	return ID{overlayDev, o.ino}
}

// put lays a node where its name leads to, and the directories on the way.
func (o *Overlay) put(name string, n node) {
	p, missing, ok := o.place(name)
	if !ok {
		return
	}
	old, there := o.nodes[p]
	if there && old.info.ID != n.info.ID {
		return
	}
	// Not in the place of a link to a directory either, as /lib is one.
	if info, err := o.lower.Stat(p); err == nil && info.IsDir() {
		return
	}
	for _, dir := range missing {
		if _, ok := o.nodes[dir]; !ok { // "x/../x"
			o.set(dir, node{info: Info{ID: o.newID(), Mode: syscall.S_IFDIR | 0o755}})
		}
	}
	if !there {
		o.set(p, n)
	}
}

func (o *Overlay) set(p string, n node) {
	o.nodes[p] = n
	dir, base := path.Split(p)
	dir = path.Clean(dir)
	o.names[dir] = append(o.names[dir], base)
}

// place is the canonical path of a file that may not be there yet: what is
// missing on the way are directories to be made. ok is false where no file can
// be of that name.
func (o *Overlay) place(name string) (p string, missing []string, ok bool) {
	dir, base := path.Split(name)
	if base == "" || base == "." || base == ".." || len(base) > nameMax || strings.IndexByte(name, 0) >= 0 {
		return "", nil, false
	}
	f := foreseen{merged{o}, &missing}
	dir, _, err := walk(f, dir, true)
	return path.Join(dir, base), missing, err == nil
}

// foreseen takes what is missing, or not to be seen, for a directory.
type foreseen struct {
	merged
	missing *[]string
}

func (f foreseen) Lstat(name string) (Info, error) {
	info, err := f.merged.Lstat(name)
	if err != nil && (errnoOf(err) == syscall.ENOENT || errnoOf(err) == syscall.EACCES) {
		*f.missing = append(*f.missing, name)
		return Info{Mode: syscall.S_IFDIR}, nil
	}
	return info, err
}

// Steps is how many components of names were looked at so far, long paths
// counted more than once: what the resolution of names has cost. A link may
// make a short name costly.
func (o *Overlay) Steps() int64 { return o.steps }

// Getwd implements FS.
func (o *Overlay) Getwd() string { return o.lower.Getwd() }

// Lstat implements FS.
func (o *Overlay) Lstat(name string) (Info, error) {
	real, err := o.resolve(name, false)
	if err != nil {
		return Info{}, err
	}
	return merged{o}.Lstat(real)
}

// Stat implements FS.
func (o *Overlay) Stat(name string) (Info, error) {
	real, err := o.resolve(name, true)
	if err != nil {
		return Info{}, err
	}
	return merged{o}.Lstat(real)
}

// Readlink implements FS.
func (o *Overlay) Readlink(name string) (string, error) {
	real, err := o.resolve(name, false)
	if err != nil {
		return "", err
	}
	return merged{o}.Readlink(real)
}

// Open implements FS. An overlaid file has an Info and no content.
func (o *Overlay) Open(name string) (File, error) {
	real, err := o.resolve(name, true)
	if err != nil {
		return nil, err
	}
	if n, ok := o.nodes[real]; ok {
		return described{n.info}, nil
	}
	return o.lower.Open(real)
}

// ReadDir implements FS.
func (o *Overlay) ReadDir(name string) ([]string, error) {
	real, err := o.resolve(name, true)
	if err != nil {
		return nil, err
	}
	n, ok := o.nodes[real]
	if ok && !n.info.IsDir() {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: syscall.ENOTDIR}
	}
	var names []string
	if !ok {
		if names, err = o.lower.ReadDir(real); err != nil {
			return nil, err
		}
	}
	names = append(names, o.names[real]...)
	slices.Sort(names)
	return slices.Compact(names), nil
}

// resolve gives the canonical path of name.
func (o *Overlay) resolve(name string, follow bool) (string, error) {
	real, _, err := walk(merged{o}, Abs(o, name), follow)
	return real, err
}

// merged answers for canonical names: the overlay first, then the lower view.
type merged struct{ *Overlay }

func (m merged) Lstat(name string) (Info, error) {
	m.steps += 1 + int64(len(name))/16
	if n, ok := m.nodes[name]; ok {
		return n.info, nil
	}
	if m.tree != nil { // it need not resolve the name again
		return canonical{m.tree.treeData}.Lstat(name)
	}
	return m.lower.Lstat(name)
}

func (m merged) Readlink(name string) (string, error) {
	n, ok := m.nodes[name]
	switch {
	case !ok:
		return m.lower.Readlink(name)
	case !n.info.IsSymlink():
		return "", &fs.PathError{Op: "readlink", Path: name, Err: syscall.EINVAL}
	}
	return n.target, nil
}

// described is an overlaid file, which has no content.
type described struct{ info Info }

func (d described) Info() Info { return d.info }

func (d described) Close() error { return nil }

func (d described) ReadAt([]byte, int64) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: "overlaid file", Err: syscall.ENODATA}
}
