package slim

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"slices"

	"github.com/compspec/compat/pkg/internal/elfx"
	"github.com/compspec/compat/pkg/internal/rootfs"
)

// interpreters selects what the kernel opens to start a program, the dynamic
// loader or what a "#!" line names: recordings of the first recorder, and those
// of a part of the machine, may lack it.
func (t *Tree) interpreters(ctx context.Context) error {
	seen := map[*node]bool{}
	todo := t.sorted()
	for len(todo) > 0 {
		n := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if seen[n] || !n.info.IsRegular() || !n.info.Executable() {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		seen[n] = true
		interp, err := t.interpreter(n.path)
		if err != nil {
			return err
		}
		if interp == "" {
			continue
		}
		if next, err := t.reach(interp); err == nil { // where it is not there the program did not run
			todo = append(todo, next) // it may be a script
		}
	}
	return nil
}

// interpreter is the absolute name of a program's loader or interpreter, or "".
func (t *Tree) interpreter(name string) (string, error) {
	f, err := t.root.Open(name)
	if err != nil {
		return "", unreadable(err)
	}
	defer f.Close()
	head := make([]byte, 256) // BINPRM_BUF_SIZE, include/uapi/linux/binfmts.h
	n, err := f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	if line, ok := bytes.CutPrefix(head[:n], []byte("#!")); ok {
		line, _, _ = bytes.Cut(line, []byte("\n"))
		if words := bytes.Fields(line); len(words) > 0 && words[0][0] == '/' {
			return string(words[0]), nil
		}
		return "", nil
	}
	elf, err := elfx.Read(f, f.Info().Size)
	if errors.Is(err, elfx.ErrNotELF) {
		return "", nil
	} else if err != nil {
		return "", err
	}
	if elf.HasInterp && len(elf.Interp) > 0 && elf.Interp[0] == '/' {
		return elf.Interp, nil
	}
	return "", nil
}

// aliases selects the links in selected directories that lead to selected files
// and directories. A recording has the links that were followed; the loader of
// another start may ask by a soname that was in a cache of the kernel's then, and
// logs of the first recorder have no links at all.
func (t *Tree) aliases(ctx context.Context) error {
	for _, dir := range slices.Sorted(maps.Keys(t.nodes)) {
		if n := t.nodes[dir]; !n.info.IsDir() || n.absent || isMount(dir) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		entries, err := t.root.List(dir)
		if err == nil {
			for _, e := range entries {
				t.alias(dir, e)
			}
		}
		// A directory that may be entered and not listed has no more to tell.
	}
	return nil
}

func (t *Tree) alias(dir string, e rootfs.Entry) {
	name := join(dir, e.Name)
	link := rootfs.Info{Mode: e.Type}
	if e.Type == 0 { // the file system does not tell
		link, _ = t.root.Lstat(name)
	}
	if !link.IsSymlink() || t.nodes[name] != nil {
		return
	}
	real, _, err := rootfs.Resolve(t.root, name)
	if err == nil && t.nodes[real] != nil {
		_, _ = t.reach(name)
	}
}

func isMount(dir string) bool {
	for _, m := range mounts {
		if m.path == dir {
			return true
		}
	}
	return false
}

func join(dir, name string) string {
	if dir == "/" {
		return dir + name
	}
	return dir + "/" + name
}
