package slim

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/compspec/compat/pkg/internal/rootfs"
)

// WriteDir writes the tree as a directory that is not there yet, or empty: into
// one beside it, which is renamed when all is in it. On an error nothing is
// left. What the user may not set is counted. Its error matches ErrExists where
// something is in the way.
func (t *Tree) WriteDir(ctx context.Context, name string) (left Unkept, err error) {
	name, err = free(name)
	if err != nil {
		return Unkept{}, err
	}
	temp := filepath.Join(filepath.Dir(name), fmt.Sprintf(".compat-slim-%016x", rand.Uint64()))
	if err := syscall.Mkdir(temp, 0o700); err != nil {
		return Unkept{}, &fs.PathError{Op: "making a directory in", Path: filepath.Dir(name), Err: err}
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, discard(temp))
		}
	}()
	d := dirWriter{tree: t}
	if d.root, err = os.OpenRoot(temp); err != nil {
		return Unkept{}, err
	}
	defer func() { err = errors.Join(err, d.root.Close()) }()
	if d.dir, err = d.root.Open("."); err != nil {
		return Unkept{}, err
	}
	defer d.dir.Close() // it was only looked at
	if err := d.write(ctx); err != nil {
		return Unkept{}, err
	}
	if err := syscall.Rename(temp, name); err != nil { // os.Rename takes no place, even of an empty directory
		if errors.Is(err, syscall.EBUSY) || errors.Is(err, syscall.EXDEV) {
			return Unkept{}, fmt.Errorf("%s %w, and is a mount point: name a directory in it", name, ErrExists)
		}
		return Unkept{}, &fs.PathError{Op: "rename", Path: name, Err: err}
	}
	return d.left, nil
}

// free is the real path of a directory that can be made, or is empty.
func free(name string) (string, error) {
	real, err := filepath.EvalSymlinks(name)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Lstat(name); err == nil {
			return "", fmt.Errorf("%s %w: a link that leads nowhere", name, ErrExists)
		}
		return filepath.Clean(name), nil
	} else if err != nil { // EvalSymlinks may say no path
		return "", fmt.Errorf("%s: %w", name, err)
	}
	if isWorkingDirectory(real) {
		return "", fmt.Errorf("%s %w, and is the working directory: another takes its place, so it would be lost", name, ErrExists)
	}
	entries, err := os.ReadDir(real)
	if errors.Is(err, syscall.ENOTDIR) {
		return "", fmt.Errorf("%s %w, and is no directory", name, ErrExists)
	} else if err != nil {
		return "", err
	}
	if len(entries) > 0 {
		return "", fmt.Errorf("%s %w, and is not empty", name, ErrExists)
	}
	return filepath.Abs(real)
}

func isWorkingDirectory(name string) bool {
	a, err := os.Stat(name)
	b, err2 := os.Stat(".")
	return err == nil && err2 == nil && os.SameFile(a, b)
}

// discard removes what was written, whatever modes it has by now.
func discard(temp string) error {
	_ = filepath.WalkDir(temp, func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			return os.Chmod(name, 0o700)
		}
		return nil
	})
	return os.RemoveAll(temp)
}

// dirWriter writes a tree below root. No element of a path that it writes is a
// link: all are canonical in the tree. os.Root holds it to that.
type dirWriter struct {
	tree *Tree
	root *os.Root
	dir  *os.File // the same directory
	left Unkept
}

func (d *dirWriter) write(ctx context.Context) error {
	first := map[rootfs.ID]string{}
	nodes := d.tree.sorted()
	for _, n := range nodes {
		if err := ctx.Err(); err != nil {
			return err
		}
		name := relative(n.path)
		var err error
		switch {
		case n.path == "/":
		case n.info.IsDir():
			err = d.root.Mkdir(name, 0o700)
		case n.info.IsSymlink():
			if err = d.root.Symlink(n.target, name); err == nil {
				d.owner(name, n)
				err = d.times(name, n)
			}
		case first[n.info.ID] != "":
			err = d.root.Link(first[n.info.ID], name)
		default:
			first[n.info.ID] = name
			err = d.file(ctx, name, n)
		}
		if err != nil {
			return fmt.Errorf("writing %s: %w", n.path, err)
		}
	}
	for _, n := range slices.Backward(nodes) { // what is put into a directory changes its time
		if n.info.IsDir() {
			if err := d.directory(n); err != nil {
				return fmt.Errorf("writing %s: %w", n.path, err)
			}
		}
	}
	return nil
}

func (d *dirWriter) file(ctx context.Context, name string, n *node) error {
	from, size, err := d.tree.open(n)
	if err != nil {
		return err
	}
	defer from.Close() // it was only read
	to, err := d.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = copySparse(ctx, to, from, size)
	if err == nil {
		err = d.dress(to, name, n, attributes(from))
	}
	return errors.Join(err, to.Close())
}

func (d *dirWriter) directory(n *node) error {
	to, err := d.root.Open(relative(n.path))
	if err != nil {
		return err
	}
	defer to.Close()
	var attrs []attribute
	if !n.absent {
		if from, err := d.tree.root.OpenFile(n.path); err == nil { // one that may be entered only has none to tell
			attrs = attributes(from)
			defer from.Close()
		}
	}
	return d.dress(to, relative(n.path), n, attrs)
}

// dress gives a file its owner, mode, attributes and times, in the order in
// which none undoes another: chown(2) takes set-id bits and capabilities.
func (d *dirWriter) dress(f *os.File, name string, n *node, attrs []attribute) error {
	mode := n.info.Mode & 0o7777
	if !d.owner(name, n) && n.info.IsRegular() {
		mode &^= syscall.S_ISUID | syscall.S_ISGID // they would be of somebody else
	}
	if err := syscall.Fchmod(int(f.Fd()), mode); err != nil {
		return err
	}
	for _, a := range attrs {
		if err := unix.Fsetxattr(int(f.Fd()), a.name, []byte(a.value), 0); errors.Is(err, unix.ENOSPC) {
			return err
		} else if err != nil {
			d.left.Attributes++
		}
	}
	return d.times(name, n)
}

// owner reports whether the file has its owner now.
func (d *dirWriter) owner(name string, n *node) bool {
	if n.absent {
		return true
	}
	if err := d.root.Lchown(name, int(n.info.UID), int(n.info.GID)); err != nil {
		d.left.Owners++
		return false
	}
	return true
}

func (d *dirWriter) times(name string, n *node) error {
	at := unix.NsecToTimespec(n.info.MTime)
	return unix.UtimesNanoAt(int(d.dir.Fd()), name, []unix.Timespec{at, at}, unix.AT_SYMLINK_NOFOLLOW)
}

// relative is a canonical path below the new root.
func relative(name string) string {
	if name == "/" {
		return "."
	}
	return strings.TrimPrefix(name, "/")
}
