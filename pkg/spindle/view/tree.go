package view

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/compspec/compat/pkg/spindle"
)

// Tree is what a view shows without asking anybody.
type Tree struct {
	// Files are shown as they are described. Their directories are shown too:
	// those that are not among them are the machine's, or 0755 where it has none.
	Files []spindle.File
	// Absent are paths that are not there. They win over the machine's files.
	Absent []string
	// Content gives the absolute path of the file that holds the content of a
	// digest, outside of what is planned; "": it is not at hand, which is an error.
	Content func(digest string) string
}

// The form in which a tree goes to the server: numbers of 32 or 64 bits, little
// endian, and texts after their length.
//
//	directories, entries
//	for each directory: path, 1 if whole, entries
//	  for each entry, by name: name, mode (0: absent, machines: the machine's), size, mtime, link, content
//
// 10,000 entries are encoded and decoded in some milliseconds.

// machines is the mode of a name that a whole directory has, and of which
// nothing else is planned.
const machines = ^uint32(0)

// planned is an entry on its way.
type planned struct {
	name string
	file *spindle.File // nil: absent, or a directory that must be there
	mode uint32
}

type plannedDir struct {
	shown   bool // by an entry of its parent
	whole   bool
	entries []planned
}

func (t *Tree) encode() ([]byte, error) {
	if t == nil {
		t = &Tree{}
	}
	dirs := make(map[string]*plannedDir, len(t.Files)/8+8)
	var last *plannedDir // files come by directory, as a rule
	var lastPath string
	in := func(dir string) *plannedDir {
		if last != nil && dir == lastPath {
			return last
		}
		d := dirs[dir]
		if d == nil {
			d = &plannedDir{}
			dirs[dir] = d
		}
		last, lastPath = d, dir
		return d
	}
	size := 8
	for i := range t.Files {
		f := &t.Files[i]
		if !clean(f.Path) {
			return nil, fmt.Errorf("the plan has %q, which is no clean absolute path", f.Path)
		}
		mode, err := modeOf(f)
		if err != nil {
			return nil, err
		}
		if mode&syscall.S_IFMT == syscall.S_IFDIR {
			d := in(f.Path)
			d.shown, d.whole = true, d.whole || f.Whole
			for _, name := range f.Names {
				d.entries = append(d.entries, planned{name: name, mode: machines})
				size += 40 + len(name)
			}
		}
		if f.Path == "/" {
			continue // what the machine has
		}
		dir, name := split(f.Path)
		d := in(dir)
		d.entries = append(d.entries, planned{name, f, mode})
		size += 160 + len(name)
	}
	missing(dirs)
	for _, p := range t.Absent {
		if !clean(p) || p == "/" {
			return nil, fmt.Errorf("the plan has %q, which is no clean absolute path", p)
		}
		dir, name := split(p)
		d := in(dir)
		d.entries = append(d.entries, planned{name: name})
		size += 40 + len(name)
	}
	return t.write(dirs, size)
}

// missing adds the directories of planned files that neither the plan nor the
// machine has.
func missing(dirs map[string]*plannedDir) {
	for _, dir := range slices.Sorted(maps.Keys(dirs)) {
		for p := dir; p != "/" && !dirs[p].shown; {
			if _, err := os.Stat(p); err == nil {
				break
			}
			dirs[p].shown = true
			up, name := split(p)
			if dirs[up] == nil {
				dirs[up] = &plannedDir{}
			}
			dirs[up].entries = append(dirs[up].entries, planned{name: name, mode: syscall.S_IFDIR | 0o755})
			p = up
		}
	}
}

func (t *Tree) write(dirs map[string]*plannedDir, size int) ([]byte, error) {
	le := binary.LittleEndian
	b := le.AppendUint32(make([]byte, 8, size), 0)[:8]
	count := 0
	for _, dir := range slices.Sorted(maps.Keys(dirs)) {
		d := dirs[dir]
		slices.SortStableFunc(d.entries, func(a, b planned) int { return cmp.Compare(a.name, b.name) })
		for i := 1; i < len(d.entries); i++ {
			if d.entries[i].name == d.entries[i-1].name {
				return nil, fmt.Errorf("the plan has %s twice", join(dir, d.entries[i].name))
			}
		}
		count += len(d.entries)
		b = appendText(b, dir)
		b = append(b, boolean(d.whole))
		b = le.AppendUint32(b, uint32(len(d.entries)))
		for _, e := range d.entries {
			b = le.AppendUint32(appendText(b, e.name), e.mode)
			f, content := e.file, ""
			if f == nil {
				f = &spindle.File{}
			}
			if e.mode != machines && e.mode&syscall.S_IFMT == syscall.S_IFREG {
				if t.Content != nil {
					content = t.Content(f.Digest)
				}
				if !path.IsAbs(content) {
					return nil, fmt.Errorf("the content of %s, %s, is not at hand", f.Path, f.Digest)
				}
			}
			b = le.AppendUint64(le.AppendUint64(b, uint64(f.Size)), uint64(f.MTime))
			b = appendText(appendText(b, f.Link), content)
		}
	}
	le.PutUint32(b, uint32(len(dirs)))
	le.PutUint32(b[4:], uint32(count))
	return b, nil
}

func modeOf(f *spindle.File) (uint32, error) {
	mode := f.Mode & 0o7777
	switch f.Type {
	case spindle.TypeFile:
		return mode | syscall.S_IFREG, nil
	case spindle.TypeDir:
		return mode | syscall.S_IFDIR, nil
	case spindle.TypeLink:
		return syscall.S_IFLNK | 0o777, nil
	}
	return 0, fmt.Errorf("the plan has %s, whose type is %q", f.Path, f.Type)
}

func clean(p string) bool { return path.IsAbs(p) && path.Clean(p) == p }

// split parts a clean absolute path.
func split(p string) (dir, name string) {
	i := strings.LastIndexByte(p, '/')
	return p[:max(i, 1)], p[i+1:]
}

func join(dir, name string) string {
	if dir == "/" {
		return dir + name
	}
	return dir + "/" + name
}

func below(p, dir string) bool {
	return p == dir || dir == "/" || strings.HasPrefix(p, dir) && p[len(dir)] == '/'
}

// watched says which trees go through the view; none: all do. What is planned
// must be below one of them, or be a directory that leads there.
func watched(trees []string, t *Tree) []string {
	for _, dir := range trees {
		var st syscall.Stat_t
		if !clean(dir) || dir == "/" || syscall.Stat(dir, &st) != nil || st.Mode&syscall.S_IFMT != syscall.S_IFDIR {
			return nil
		}
	}
	if t == nil {
		return trees
	}
	for i := range t.Files {
		f := &t.Files[i]
		if !slices.ContainsFunc(trees, func(dir string) bool {
			return below(f.Path, dir) || f.Type == spindle.TypeDir && below(dir, f.Path)
		}) {
			return nil
		}
	}
	return trees
}

func boolean(b bool) byte {
	if b {
		return 1
	}
	return 0
}

func appendText(b []byte, s string) []byte {
	return append(binary.LittleEndian.AppendUint32(b, uint32(len(s))), s...)
}

// TreeOf is what the view shows of a launch: the files of its plan, with the
// image in the place of the program's content. content gives the file that holds
// the content of a digest.
func TreeOf(c *spindle.Carried, content func(digest string) string) *Tree {
	t := &Tree{Files: c.Plan.Files, Absent: c.Plan.Absent, Content: content}
	if c.Image == "" {
		return t
	}
	t.Files = slices.Clone(t.Files)
	for i := range t.Files {
		if f := &t.Files[i]; f.Path == c.Target {
			f.Digest, f.Size = image, c.ImageSize
		}
	}
	t.Content = func(digest string) string {
		if digest == image {
			return c.Image
		}
		return content(digest)
	}
	return t
}

// image is in the place of the digest of an image.
const image = "image"
