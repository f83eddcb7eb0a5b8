package spindle

import (
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/compspec/compat/pkg/internal/rootfs"
)

// planFS is the machine as it is with the files of a plan in their places. Of
// what the plan knows, the machine is not asked.
type planFS struct {
	rootfs.FS
	entries map[string]*planned
	dirs    map[string][]string // planned names by directory
	absent  map[string]bool
	content func(digest string) string
}

type planned struct {
	File
	info  rootfs.Info
	names map[string]bool // of a whole directory: those of which no more is known
}

// planDev is a device number that no file system has, nor what package rootfs
// lays over one.
const planDev = ^uint64(0) - 16

func newPlanFS(below rootfs.FS, p *Plan, content func(string) string) *planFS {
	v := &planFS{FS: below, entries: map[string]*planned{}, dirs: map[string][]string{}, absent: map[string]bool{}, content: content}
	for i, f := range p.Files {
		e := &planned{File: f, info: rootfs.Info{ID: rootfs.ID{Dev: planDev, Ino: uint64(i + 1)}, Size: f.Size, Mode: f.Mode, MTime: f.MTime}}
		switch f.Type {
		case TypeDir:
			e.info.Mode |= syscall.S_IFDIR
		case TypeLink:
			e.info.Mode |= syscall.S_IFLNK
		default:
			e.info.Mode |= syscall.S_IFREG
		}
		if f.Whole {
			e.names = map[string]bool{}
			for _, n := range f.Names {
				e.names[n] = true
			}
		}
		v.entries[f.Path] = e
		dir, base := path.Split(f.Path)
		dir = path.Clean(dir)
		v.dirs[dir] = append(v.dirs[dir], base)
	}
	for _, name := range p.Absent {
		v.absent[name] = true
	}
	return v
}

// known gives the entry of a canonical path; decided: the machine has no say.
func (v *planFS) known(name string) (e *planned, decided bool) {
	if e := v.entries[name]; e != nil {
		return e, true
	}
	dir := v.entries[path.Dir(name)]
	return nil, v.absent[name] || dir != nil && dir.names != nil && !dir.names[path.Base(name)]
}

// Lstat implements rootfs.FS for names without links in their directories.
func (c canonical) Lstat(name string) (rootfs.Info, error) {
	switch e, decided := c.known(name); {
	case e != nil:
		return e.info, nil
	case decided:
		return rootfs.Info{}, &fs.PathError{Op: "lstat", Path: name, Err: syscall.ENOENT}
	}
	return c.FS.Lstat(name)
}

// Readlink implements rootfs.FS for such names.
func (c canonical) Readlink(name string) (string, error) {
	if e, _ := c.known(name); e != nil {
		if e.Type != TypeLink {
			return "", &fs.PathError{Op: "readlink", Path: name, Err: syscall.EINVAL}
		}
		return e.Link, nil
	}
	return c.FS.Readlink(name)
}

// canonical is what the resolution of links asks.
type canonical struct{ *planFS }

func (v *planFS) resolve(name string) (string, error) {
	// Most names have no link in them, and are planned.
	if clean := path.Clean(name); clean == name {
		if e := v.entries[name]; e != nil && e.Type != TypeLink {
			return name, nil
		}
	}
	real, _, err := rootfs.Resolve(canonical{v}, name)
	return real, err
}

// Open implements rootfs.FS.
func (v *planFS) Open(name string) (rootfs.File, error) {
	real, err := v.resolve(name)
	if err != nil {
		return nil, err
	}
	e, decided := v.known(real)
	switch {
	case e == nil && decided:
		return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.ENOENT}
	case e == nil:
		return v.FS.Open(real)
	case e.Type == TypeDir:
		return planFile{nil, e.info}, nil
	}
	f, err := os.Open(v.content(e.Digest))
	if err != nil {
		return nil, err
	}
	return planFile{f, e.info}, nil
}

// Stat implements rootfs.FS.
func (v *planFS) Stat(name string) (rootfs.Info, error) {
	real, err := v.resolve(name)
	if err != nil {
		return rootfs.Info{}, err
	}
	return canonical{v}.Lstat(real)
}

// Lstat implements rootfs.FS.
func (v *planFS) Lstat(name string) (rootfs.Info, error) {
	dir, err := v.resolve(path.Dir(name))
	if err != nil {
		return rootfs.Info{}, err
	}
	return canonical{v}.Lstat(path.Join(dir, path.Base(name)))
}

// Readlink implements rootfs.FS.
func (v *planFS) Readlink(name string) (string, error) {
	dir, err := v.resolve(path.Dir(name))
	if err != nil {
		return "", err
	}
	return canonical{v}.Readlink(path.Join(dir, path.Base(name)))
}

// ReadDir implements rootfs.FS.
func (v *planFS) ReadDir(name string) ([]string, error) {
	real, err := v.resolve(name)
	if err != nil {
		return nil, err
	}
	e := v.entries[real]
	names := slices.Clone(v.dirs[real])
	switch {
	case e != nil && e.Type != TypeDir:
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: syscall.ENOTDIR}
	case e != nil && e.Whole:
		names = append(names, e.Names...)
	default:
		more, err := v.FS.ReadDir(real)
		if err != nil && e == nil {
			return nil, err
		}
		names = append(names, more...)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// planFile is a planned file: its content is in the cache.
type planFile struct {
	f    *os.File
	info rootfs.Info
}

func (p planFile) Info() rootfs.Info { return p.info }

func (p planFile) Close() error {
	if p.f == nil {
		return nil
	}
	return p.f.Close()
}

func (p planFile) ReadAt(b []byte, off int64) (int, error) {
	if p.f == nil {
		return 0, syscall.EISDIR
	}
	return p.f.ReadAt(b, off)
}

// below reports whether a path is in one of the trees.
func below(name string, trees ...string) bool {
	return slices.ContainsFunc(trees, func(t string) bool { return name == t || strings.HasPrefix(name, strings.TrimSuffix(t, "/")+"/") })
}
