package spindle

import (
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/internal/ldso"
	"github.com/compspec/compat/pkg/internal/rootfs"
)

// Recorded is what a recorded run tells of the files of a start.
type Recorded struct {
	Dir     string             // working directory of the run
	Files   []artifact.RunFile // that were read
	Missing []string           // paths that were asked for and were not there
	Seen    []string           // paths that were asked for and were there, and not read
	Listed  []string           // directories whose names were read
}

// CarryOptions say what a launch artifact is to carry, beside the program and
// the libraries that the loader finds for it elsewhere than the system's.
type CarryOptions struct {
	Bundle   []string // directories whose libraries travel although the system has them found
	Recorded *Recorded
	Digests  *artifact.DigestCache
}

// maxCarried bounds the entries of a plan.
const maxCarried = 1 << 20

// Carry makes a plan with the files that a node needs of this machine to start
// the program. What the loader finds by its cache or in its own directories the
// node is to have, and so it has what lies in /etc, /proc and the like.
func Carry(req Request, o CarryOptions) (*Plan, error) {
	for _, dir := range o.Bundle {
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			return nil, fmt.Errorf("%w: the bundle %s is no directory here", artifact.ErrNotFound, dir)
		}
	}
	s, err := startOf(req)
	if s == nil {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", artifact.ErrUnsupported, req.Program, err)
	}
	p, err := s.described(o.Digests)
	if err != nil {
		return nil, err
	}
	host, err := rootfs.NewHost("")
	if err != nil {
		return nil, err
	}
	c := &carrier{fs: host, CarryOptions: o, files: map[string]File{}}
	for _, obj := range p.Objects {
		if systems(obj.Found) && !c.bundled(obj.Path) {
			continue
		}
		if err := c.add(obj.Path); err != nil {
			return nil, err
		}
	}
	if err := c.add(req.Program); err != nil {
		return nil, err
	}
	if o.Recorded != nil {
		if err := c.recorded(p); err != nil {
			return nil, err
		}
	}
	if err := c.searched(s); err != nil {
		return nil, err
	}
	c.names()
	if len(c.files) > maxCarried {
		return nil, fmt.Errorf("%w: %d files are too many for one launch", artifact.ErrUnsupported, len(c.files))
	}
	for _, f := range c.files {
		p.Files = append(p.Files, f)
	}
	slices.SortFunc(p.Files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	p.Absent = c.absent
	return p, nil
}

// systems are the rules by which the system's own libraries are found.
func systems(found string) bool {
	switch ldso.Source(found) {
	case ldso.FromCache, ldso.FromDefault, ldso.FromInterp, ldso.FromPreload:
		return true
	}
	return false
}

type carrier struct {
	fs rootfs.FS
	CarryOptions
	files  map[string]File
	absent []string
	whole  []string // directories of which the plan is to have all names
}

func (c *carrier) bundled(name string) bool {
	real, _, err := rootfs.Resolve(c.fs, name)
	return slices.ContainsFunc(c.Bundle, func(dir string) bool {
		dir = strings.TrimSuffix(absolute(dir), "/") + "/"
		return strings.HasPrefix(path.Clean(name), dir) || err == nil && strings.HasPrefix(real, dir)
	})
}

// add takes a file in, with the directories and links on the way to it.
func (c *carrier) add(name string) error {
	real, links, err := rootfs.Resolve(c.fs, name)
	if err != nil {
		return err
	}
	for _, l := range links {
		if err := c.entry(l.Path); err != nil {
			return err
		}
	}
	return c.entry(real)
}

// entry takes in what is at a path whose directories are no links, and them.
func (c *carrier) entry(name string) error {
	if _, ok := c.files[name]; ok || name == "/" {
		return nil
	}
	if err := c.entry(path.Dir(name)); err != nil {
		return err
	}
	var st syscall.Stat_t
	if err := syscall.Lstat(name, &st); err != nil {
		return &os.PathError{Op: "stat", Path: name, Err: err}
	}
	f := File{Path: name, Mode: st.Mode & 0o1777, MTime: st.Mtim.Nano()}
	var err error
	switch st.Mode & syscall.S_IFMT {
	case syscall.S_IFREG:
		if st.Mode&(syscall.S_ISUID|syscall.S_ISGID) != 0 {
			return fmt.Errorf("%w: %s is set-id, which no launch carries", artifact.ErrUnsupported, name)
		}
		f.Type, f.Size, f.Mode = TypeFile, st.Size, f.Mode&0o777
		f.Digest, err = c.Digests.Digest(name)
	case syscall.S_IFDIR:
		f.Type = TypeDir
	case syscall.S_IFLNK:
		f.Type = TypeLink
		f.Link, err = os.Readlink(name)
	default:
		return nil // a device or a socket is the node's own
	}
	if err == nil {
		c.files[name] = f
	}
	return err
}

// recorded takes in what a run has read, and what it has looked for in vain.
func (c *carrier) recorded(p *Plan) error {
	system := map[string]bool{}
	for _, o := range p.Objects {
		if systems(o.Found) {
			system[o.Path], system[o.Real] = true, true
		}
	}
	for i := range c.Recorded.Files {
		f := &c.Recorded.Files[i]
		if c.nodes(f.Path) && !c.bundled(f.Path) || system[f.Path] && !c.bundled(f.Path) || artifact.OfRun(f, false, c.Recorded.Dir) && !c.bundled(f.Path) {
			continue
		}
		if info, err := c.fs.Lstat(f.Path); err != nil || !info.IsRegular() {
			continue
		}
		if err := c.add(f.Path); err != nil {
			return err
		}
	}
	// What was only looked at, as Python looks at the source beside what it has
	// compiled, is carried where other files of its directory are.
	for _, name := range c.Recorded.Seen {
		dir := c.files[path.Dir(path.Clean(name))]
		if info, err := c.fs.Lstat(name); dir.Type == TypeDir && dir.Path != "/" && plain(name) && err == nil && (info.IsRegular() && !info.SetID() || info.IsSymlink()) {
			if err := c.entry(path.Clean(name)); err != nil {
				return err
			}
		}
	}
	for _, name := range c.Recorded.Missing {
		dir := path.Dir(path.Clean(name))
		if f, ok := c.files[dir]; !ok || f.Type != TypeDir || dir == "/" || !plain(name) {
			continue
		}
		if _, err := c.fs.Lstat(name); rootfs.Errno(err) == syscall.ENOENT {
			c.absent = append(c.absent, path.Clean(name))
		}
	}
	slices.Sort(c.absent)
	c.absent = slices.Compact(c.absent)
	for _, name := range c.Recorded.Listed {
		c.listed(path.Clean(name))
	}
	return nil
}

// searched takes in the directories that the loader looks into, but the
// system's, with their names: on the node nobody need be asked what is not there.
func (c *carrier) searched(s *start) error {
	var system []string
	for _, dir := range s.res.Loader.SystemDirs {
		system = append(system, path.Clean(dir))
	}
	for _, dir := range s.list.asked() {
		if !s.list.dirs[dir].sure || dir == "/" || below(dir, system...) || c.nodes(dir) {
			continue
		}
		if err := c.add(dir); err != nil {
			return err
		}
		real, _, err := rootfs.Resolve(c.fs, dir)
		if err != nil {
			return err
		}
		c.listed(real)
	}
	return nil
}

// nodes are the trees whose content is each node's own.
func (c *carrier) nodes(name string) bool {
	for _, tree := range []string{"/etc/", "/var/", "/boot/"} {
		if strings.HasPrefix(name, tree) {
			return true
		}
	}
	return false
}

// listed notes a directory, of which the names are taken in when all files are.
func (c *carrier) listed(dir string) { c.whole = append(c.whole, dir) }

// names takes in all names of the directories that were listed.
func (c *carrier) names() {
	for _, dir := range c.whole {
		f, ok := c.files[dir]
		if !ok || f.Type != TypeDir || f.Whole {
			continue
		}
		names, err := c.fs.ReadDir(dir)
		if err != nil || slices.ContainsFunc(names, func(n string) bool { return !plain(n) }) {
			continue // it is asked for on the node, then
		}
		f.Whole = true
		for _, n := range names {
			if _, ok := c.files[path.Join(dir, n)]; !ok {
				f.Names = append(f.Names, n)
			}
		}
		c.files[dir] = f
	}
}
