// Package slim makes a minimal root of what recorded runs used of a root: the
// files, with every link and directory that leads to them, as a directory or as
// a tar.
//
// Recordings are not trusted: a name in one is looked up inside the root as a
// process would after chroot(2), so it leads nowhere else, and nothing is
// written but what was found there. The root is read only.
package slim

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"

	"github.com/compspec/compat/pkg/internal/rootfs"
)

// Errors of Select and of the writers match these.
var (
	// ErrNoMatch: a pattern of Options.Also matches nothing.
	ErrNoMatch = errors.New("nothing in the root matches")
	// ErrExists: what is to be written is there already.
	ErrExists = errors.New("is there already")
	// ErrChanged: the root was changed while it was read.
	ErrChanged = errors.New("was changed meanwhile")
)

// Options says what is selected beside what was used.
type Options struct {
	Root string   // directory; "/" for this machine
	Also []string // patterns of absolute paths (path.Match); a directory stands for all in it
}

// Tree is what is selected of a root. Close frees the root.
type Tree struct {
	root     *rootfs.Dir
	name     string
	nodes    map[string]*node // by canonical path
	missing  []Missing
	provided map[string]bool
	made     int
}

// node is a file, a directory or a link of the new root.
type node struct {
	path   string // canonical
	info   rootfs.Info
	target string // of a link
	absent bool   // a directory that the root does not have
	newest int64  // of a directory: the latest MTime of what is in it
}

// mounts are where a container mounts file systems of its own; nothing is
// copied from below those that are the kernel's.
var mounts = []struct {
	path   string
	mode   uint32 // where the root has none
	kernel bool
}{{"/dev", 0o755, true}, {"/proc", 0o555, true}, {"/sys", 0o555, true}, {"/tmp", 0o1777, false}}

// Select finds in the root what the recordings ask for. What it does not have is
// in Report.Missing, and no error.
func Select(ctx context.Context, w *Wanted, o Options) (*Tree, error) {
	root, err := rootfs.NewDir(o.Root)
	if err != nil {
		return nil, err
	}
	t := &Tree{root: root, name: o.Root, nodes: map[string]*node{}, provided: map[string]bool{}, made: w.leftOut()}
	if err := t.fill(ctx, w, o); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return t, nil
}

func (t *Tree) fill(ctx context.Context, w *Wanted, o Options) error {
	if _, err := t.reach("/"); err != nil {
		return err
	}
	for _, m := range mounts {
		t.mountPoint(m.path, m.mode)
	}
	for _, name := range w.names() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if how := w.asked[name]; how != 0 {
			t.want(name, how)
		} else {
			_, _ = t.reach(name) // of the command line, perhaps no file at all
		}
	}
	for _, name := range w.mounts() {
		_, _ = t.reach(name) // a directory, most of them; a socket may be gone
	}
	for _, glob := range o.Also {
		if err := t.also(ctx, glob); err != nil {
			return fmt.Errorf("%s: %w", glob, err)
		}
	}
	if err := t.interpreters(ctx); err != nil {
		return err
	}
	if err := t.aliases(ctx); err != nil {
		return err
	}
	t.settle()
	return nil
}

// settle gives each directory the time of the newest that is in it: its own is of
// names that were left out, and of the tar perhaps that is being written there.
func (t *Tree) settle() {
	for _, n := range slices.Backward(t.sorted()) {
		if n.info.IsDir() {
			n.info.MTime = n.newest
		}
		if up := t.nodes[path.Dir(n.path)]; up != n {
			up.newest = max(up.newest, n.info.MTime)
		}
	}
}

// Close frees the root: the tree cannot be written afterwards.
func (t *Tree) Close() error { return t.root.Close() }
