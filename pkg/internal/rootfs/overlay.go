package rootfs

import (
	"io/fs"
	"path"
	"sort"
	"syscall"
)

// Overlay lays files that exist only as descriptions over another view: they
// can be found and have an identity, but no content to open. Whoever made the
// overlay knows what is in them by their ID.
type Overlay struct {
	lower FS
	nodes map[string]node // by canonical path
	ino   uint64
}

type node struct {
	info   Info
	target string // of a link
}

// overlayDev is the device number of overlaid files; no device has it.
const overlayDev = ^uint64(0)

// NewOverlay lays nothing yet over lower.
func NewOverlay(lower FS) *Overlay { return &Overlay{lower: lower, nodes: map[string]node{}} }

// Add lays a regular file of the given mode and size at an absolute path and
// returns the identity that it got. Directory links of the view below lead to
// it as they would if the file had been copied there.
func (o *Overlay) Add(name string, mode uint32, size int64) ID {
	dir := o.canonical(path.Dir(path.Clean(name)))
	o.addDirs(dir)
	o.ino++
	id := ID{overlayDev, o.ino}
	o.nodes[path.Join(dir, path.Base(name))] = node{info: Info{ID: id, Size: size, Mode: syscall.S_IFREG | mode&0o7777}}
	return id
}

// AddAlias lays a further name for the file that Add returned id for, unless
// the name leads to it already.
func (o *Overlay) AddAlias(name string, id ID) {
	if real, err := o.resolve(name, true); err == nil && o.nodes[real].info.ID == id {
		return
	}
	for _, n := range o.nodes {
		if n.info.ID == id {
			dir := o.canonical(path.Dir(path.Clean(name)))
			o.addDirs(dir)
			o.nodes[path.Join(dir, path.Base(name))] = n
			return
		}
	}
}

// AddLink lays a symbolic link at an absolute path. A link to a directory is
// left out where the view below has something of that name already: it must
// not hide a directory of the machine.
func (o *Overlay) AddLink(l Link) {
	dir := o.canonical(path.Dir(path.Clean(l.Path)))
	name := path.Join(dir, path.Base(l.Path))
	if _, ok := o.nodes[name]; ok {
		return
	}
	if _, err := o.lower.Lstat(name); err == nil && l.Dir {
		return
	}
	o.addDirs(dir)
	o.ino++
	o.nodes[name] = node{info: Info{ID: ID{overlayDev, o.ino}, Mode: syscall.S_IFLNK | 0o777}, target: l.Target}
}

func (o *Overlay) addDirs(dir string) {
	for ; dir != "/" && dir != "."; dir = path.Dir(dir) {
		if _, ok := o.nodes[dir]; ok {
			return
		}
		o.ino++
		o.nodes[dir] = node{info: Info{ID: ID{overlayDev, o.ino}, Mode: syscall.S_IFDIR | 0o755}}
	}
}

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
		if n.info.IsDir() {
			if f, err := o.lower.Open(real); err == nil {
				return f, nil
			}
		}
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
	names, err := o.lower.ReadDir(real)
	if n, ok := o.nodes[real]; err != nil && (!ok || !n.info.IsDir()) {
		return nil, err
	}
	seen := map[string]bool{}
	for _, n := range names {
		seen[n] = true
	}
	for p := range o.nodes {
		if path.Dir(p) == real && !seen[path.Base(p)] {
			names = append(names, path.Base(p))
		}
	}
	sort.Strings(names)
	return names, nil
}

// resolve gives the canonical path of name.
func (o *Overlay) resolve(name string, follow bool) (string, error) {
	real, _, err := walk(merged{o}, Abs(o, name), follow)
	return real, err
}

// canonical is the place of a file that may not be there yet: links on the
// way are followed as far as the path exists.
func (o *Overlay) canonical(name string) string {
	if name == "/" || name == "." {
		return "/"
	}
	if real, err := o.resolve(name, true); err == nil {
		return real
	}
	return path.Join(o.canonical(path.Dir(name)), path.Base(name))
}

// merged answers for canonical names: the overlay first, then the lower view.
// A directory that both have is the lower one with more in it.
type merged struct{ *Overlay }

func (m merged) Lstat(name string) (Info, error) {
	n, ok := m.nodes[name]
	if ok && !n.info.IsDir() {
		return n.info, nil
	}
	info, err := m.lower.Lstat(name)
	if ok && (err != nil || !info.IsDir() && !info.IsSymlink()) {
		return n.info, nil
	}
	return info, err
}

func (m merged) Readlink(name string) (string, error) {
	if n, ok := m.nodes[name]; ok && !n.info.IsDir() {
		if !n.info.IsSymlink() {
			return "", &fs.PathError{Op: "readlink", Path: name, Err: syscall.EINVAL}
		}
		return n.target, nil
	}
	return m.lower.Readlink(name)
}

// described is an overlaid file, which has no content.
type described struct{ info Info }

func (d described) Info() Info { return d.info }

func (d described) Close() error { return nil }

func (d described) ReadAt([]byte, int64) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: "overlaid file", Err: syscall.ENODATA}
}
