package slim

import (
	"errors"
	"io/fs"
	"path"
	"strings"
	"syscall"

	"github.com/compspec/compat/pkg/internal/rootfs"
)

const (
	maxLinks = 40   // MAXSYMLINKS, include/linux/namei.h
	pathMax  = 4096 // PATH_MAX, include/uapi/linux/limits.h; it counts the NUL
)

// errProvided: what a name leads to is no file, or one of the kernel's.
var errProvided = errors.New("is for the container to provide")

// want selects what a name leads to, or notes why it cannot be had.
func (t *Tree) want(name string, how use) {
	_, err := t.reach(name)
	switch {
	case err == nil:
	case errors.Is(err, errProvided):
		if how&(opened|executed) != 0 {
			t.provided[name] = true
		}
	default:
		t.missing = append(t.missing, Missing{Path: name, Use: how.String(), Reason: rootfs.Errno(err).Error()})
	}
}

// reach follows a name as the kernel would after chroot(2), and selects all that
// is on the way: directories, also those that ".." leaves again, links, and the
// file. Where it ends before, what was met is selected all the same.
func (t *Tree) reach(name string) (*node, error) {
	if len(name) >= pathMax {
		return nil, syscall.ENAMETOOLONG
	}
	links := 0
	at, err := t.step("/")
	rest := strings.Split(name, "/")
	for ; err == nil && len(rest) > 0; rest = rest[1:] {
		c := rest[0]
		switch {
		case c == "" || c == ".":
			if last := len(rest) == 1; !at.info.IsDir() && (c == "." || last) {
				return nil, syscall.ENOTDIR // "file/"
			}
			continue
		case !at.info.IsDir():
			return nil, syscall.ENOTDIR
		case c == "..":
			at, err = t.step(path.Dir(at.path))
			continue
		case ofKernel(at.path):
			return nil, errProvided
		}
		var next *node
		if next, err = t.step(path.Join(at.path, c)); err != nil {
			break
		}
		if !next.info.IsSymlink() {
			at = next
			continue
		}
		if links++; links > maxLinks {
			return nil, syscall.ELOOP
		}
		target := strings.Split(next.target, "/")
		if target[0] == "" {
			if at, err = t.step("/"); err != nil {
				break
			}
		}
		rest = append([]string{""}, append(target, rest[1:]...)...)
	}
	return at, err
}

// step selects the file of a canonical name.
func (t *Tree) step(name string) (*node, error) {
	if n := t.nodes[name]; n != nil {
		return n, nil
	}
	info, err := t.root.Lstat(name)
	if err != nil {
		return nil, err
	}
	n := &node{path: name, info: info}
	switch {
	case info.IsDir(), info.IsRegular():
	case info.IsSymlink():
		if n.target, err = t.root.Readlink(name); err != nil {
			return nil, err
		}
	default:
		return nil, errProvided // devices, sockets, FIFOs
	}
	t.nodes[name] = n
	return n, nil
}

func ofKernel(dir string) bool {
	for _, m := range mounts {
		if m.kernel && m.path == dir {
			return true
		}
	}
	return false
}

// mountPoint selects a directory of the root's top, which need not be there.
func (t *Tree) mountPoint(name string, mode uint32) {
	_, err := t.reach(name)
	if errors.Is(err, fs.ErrNotExist) && t.nodes[name] == nil { // and no link that leads nowhere
		t.nodes[name] = &node{path: name, absent: true, info: rootfs.Info{Mode: syscall.S_IFDIR | mode}}
	}
}
