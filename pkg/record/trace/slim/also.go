package slim

import (
	"context"
	"errors"
	"path"
	"strings"

	"github.com/compspec/compat/pkg/internal/rootfs"
)

// Pattern says whether a pattern of Options.Also is one: absolute, and as
// path.Match takes it.
func Pattern(glob string) bool {
	_, err := path.Match(glob, "")
	return err == nil && strings.HasPrefix(glob, "/")
}

// also selects what matches a pattern, with all that is below. It stays on the
// file system of each match.
func (t *Tree) also(ctx context.Context, glob string) error {
	matches := []string{"/"}
	for part := range strings.SplitSeq(strings.Trim(path.Clean(glob), "/"), "/") {
		if part == "" {
			continue
		}
		var next []string
		for _, dir := range matches {
			if err := ctx.Err(); err != nil {
				return err
			}
			if !strings.ContainsAny(part, `*?[\`) {
				next = append(next, join(dir, part)) // may not be listed, and yet be there
				continue
			}
			entries, err := t.root.List(dir)
			if err != nil {
				continue // no directory
			}
			for _, e := range entries {
				if ok, _ := path.Match(part, e.Name); ok {
					next = append(next, join(dir, e.Name))
				}
			}
		}
		matches = next
	}
	found := false
	for _, name := range matches {
		n, err := t.reach(name)
		if err == nil && n.info.IsDir() {
			err = t.below(ctx, n.path, n.info.Dev)
		}
		if errors.Is(err, errProvided) {
			t.provided[name] = true
		} else if err != nil {
			if e := ctx.Err(); e != nil {
				return e
			}
			continue
		}
		found = true
	}
	if !found {
		return ErrNoMatch
	}
	return nil
}

// below selects all in a directory. What cannot be listed is an error of the
// writer no more than of the runs: it is told as missing.
func (t *Tree) below(ctx context.Context, dir string, dev uint64) error {
	todo := []string{dir}
	for len(todo) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		dir, todo = todo[len(todo)-1], todo[:len(todo)-1]
		if ofKernel(dir) {
			continue
		}
		entries, err := t.root.List(dir)
		if err != nil {
			t.missing = append(t.missing, Missing{Path: dir, Use: "also", Reason: rootfs.Errno(err).Error()})
			continue
		}
		for _, e := range entries {
			name := join(dir, e.Name)
			n, err := t.step(name)
			switch {
			case err != nil: // a socket, or gone
			case n.info.IsSymlink():
				_, _ = t.reach(name) // and what it leads to; a link to nowhere stays one
			case n.info.IsDir() && n.info.Dev == dev:
				todo = append(todo, name)
			}
		}
	}
	return nil
}
