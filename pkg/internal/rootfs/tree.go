package rootfs

import (
	"bytes"
	"io/fs"
	"path"
	"slices"
	"strings"
	"syscall"
)

// Tree is a file tree known from a list: the directories of it that were
// looked into, and what was in them. Where it was not looked into, the answer
// is an Outside error and never a guess.
type Tree struct {
	*treeData
	wd string
}

type treeData struct {
	dirs  map[string]*TreeDir
	steps int64
}

// TreeDir is a directory that was looked into.
type TreeDir struct {
	Path     string // canonical
	Complete bool   // a name that is not listed is not there
	Entries  []TreeEntry
	byName   map[string]*TreeEntry
}

// TreeEntry is a name in a directory.
type TreeEntry struct {
	Name   string
	Absent bool          // known not to be there
	Errno  syscall.Errno // of open(2), where it fails
	Target string        // of a symbolic link
	Info   Info          // Mode is 0 where only its being there is known
	Read   bool          // what is in the file is known by its ID, or is Data
	Data   []byte
}

// NewTree gives the view of the directories; relative names are relative to /.
func NewTree(dirs []TreeDir) *Tree {
	t := &treeData{dirs: make(map[string]*TreeDir, len(dirs))}
	for i := range dirs {
		t.dirs[dirs[i].Path] = &dirs[i]
	}
	return &Tree{t, "/"}
}

// Prepare makes all that a look-up would make: afterwards several goroutines may
// use views of the same directories.
func (t *Tree) Prepare() {
	for _, d := range t.dirs {
		d.names()
	}
}

// In is the same view with relative names relative to wd.
func (t *Tree) In(wd string) *Tree { return &Tree{t.treeData, wd} }

// Getwd implements FS.
func (t *Tree) Getwd() string { return t.wd }

// Steps is how many components of names were looked at so far, long paths
// counting for more.
func (t *Tree) Steps() int64 { return t.steps }

// names makes the entries ready to be found by name.
func (d *TreeDir) names() map[string]*TreeEntry {
	if d.byName == nil {
		d.byName = make(map[string]*TreeEntry, len(d.Entries))
		for i := range d.Entries {
			d.byName[d.Entries[i].Name] = &d.Entries[i]
		}
	}
	return d.byName
}

// at is the entry with a canonical path, nil for the root.
func (t *treeData) at(real string) (*TreeEntry, error) {
	if real == "/" {
		return nil, nil
	}
	i := strings.LastIndexByte(real, '/')
	d := t.dirs[real[:max(i, 1)]]
	if d == nil {
		// Nothing is below a directory that is known not to be there.
		if _, err := t.at(real[:max(i, 1)]); i > 0 && err == syscall.ENOENT {
			return nil, err
		}
		return nil, &Outside{real}
	}
	e := d.names()[real[i+1:]]
	switch {
	case e == nil && d.Complete || e != nil && e.Absent:
		return nil, syscall.ENOENT
	case e == nil:
		return nil, &Outside{real}
	}
	return e, nil
}

var rootInfo = Info{ID: ID{treeDev, 1}, Mode: syscall.S_IFDIR | 0o755}

// treeDev is the device number of what is known from a list; no device has it.
const treeDev = ^uint64(1)

// TreeID is the identity of the n'th file of a list that was read; ReadID is
// its inverse.
func TreeID(n int) ID { return ID{treeDev, uint64(n)<<1 | 1<<63} }

// ReadID is the number that TreeID made the ID of; ok is false for all others.
func ReadID(id ID) (n int, ok bool) {
	return int(id.Ino &^ (1 << 63) >> 1), id.Dev == treeDev && id.Ino>>63 == 1
}

// canonical looks at canonical names, in which no link is left.
type canonical struct{ *treeData }

func (c canonical) Lstat(name string) (Info, error) {
	c.steps += 1 + int64(len(name))/16
	e, err := c.at(name)
	if err != nil {
		return Info{}, err
	}
	if e == nil {
		return rootInfo, nil
	}
	return e.Info, nil
}

func (c canonical) Readlink(name string) (string, error) {
	e, err := c.at(name)
	switch {
	case err != nil:
		return "", err
	case e == nil || !e.Info.IsSymlink():
		return "", syscall.EINVAL
	}
	return e.Target, nil
}

// find resolves a name and gives its entry.
func (t *Tree) find(op, name string, follow bool) (string, *TreeEntry, error) {
	real, _, err := walk(canonical{t.treeData}, Abs(t, name), follow)
	if err != nil {
		return "", nil, err
	}
	e, err := t.at(real)
	if err != nil {
		return "", nil, &fs.PathError{Op: op, Path: name, Err: err}
	}
	return real, e, nil
}

func (t *Tree) stat(op, name string, follow bool) (Info, error) {
	_, e, err := t.find(op, name, follow)
	if err != nil {
		return Info{}, err
	}
	if e == nil {
		return rootInfo, nil
	}
	return e.Info, nil
}

// Stat implements FS.
func (t *Tree) Stat(name string) (Info, error) { return t.stat("stat", name, true) }

// Lstat implements FS.
func (t *Tree) Lstat(name string) (Info, error) { return t.stat("lstat", name, false) }

// Readlink implements FS.
func (t *Tree) Readlink(name string) (string, error) {
	_, e, err := t.find("readlink", name, false)
	switch {
	case err != nil:
		return "", err
	case e == nil || !e.Info.IsSymlink():
		return "", &fs.PathError{Op: "readlink", Path: name, Err: syscall.EINVAL}
	}
	return e.Target, nil
}

// Open implements FS. A file whose content was not looked at is Outside.
func (t *Tree) Open(name string) (File, error) {
	real, e, err := t.find("open", name, true)
	switch {
	case err != nil:
		return nil, err
	case e == nil:
		return treeFile{info: rootInfo}, nil
	case e.Errno != 0:
		return nil, &fs.PathError{Op: "open", Path: name, Err: e.Errno}
	case e.Info.Mode&syscall.S_IFMT == syscall.S_IFSOCK: // fs/inode.c, no_open
		return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.ENXIO}
	case e.Info.IsRegular() && !e.Read || e.Info.Mode == 0:
		return nil, &Outside{real}
	}
	return treeFile{e.Info, e.Data}, nil
}

// ReadDir implements FS. A directory that was not looked into, or not listed
// completely, is Outside.
func (t *Tree) ReadDir(name string) ([]string, error) {
	real, e, err := t.find("readdir", name, true)
	if err != nil {
		return nil, err
	}
	if e != nil && !e.Info.IsDir() {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: syscall.ENOTDIR}
	}
	d := t.dirs[path.Clean(real)]
	if d == nil || !d.Complete {
		return nil, &Outside{real}
	}
	names := make([]string, 0, len(d.Entries))
	for _, e := range d.Entries {
		if !e.Absent {
			names = append(names, e.Name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// treeFile is a file of which only some contents are kept.
type treeFile struct {
	info Info
	data []byte
}

func (f treeFile) Info() Info { return f.info }

func (f treeFile) Close() error { return nil }

func (f treeFile) ReadAt(b []byte, off int64) (int, error) {
	if f.data == nil && f.info.Size > 0 {
		return 0, &Outside{"the content of the file"}
	}
	return bytes.NewReader(f.data).ReadAt(b, off)
}
