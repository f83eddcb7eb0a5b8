// Package targets finds the programs that a user names, on any machine.
package targets

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"path"
	"sort"
	"strings"
	"syscall"

	"github.com/compspec/compat/pkg/internal/ldso"
	"github.com/compspec/compat/pkg/internal/rootfs"
)

// ErrNotFound says that an argument names nothing.
var ErrNotFound = errors.New("not found")

// Find turns an argument into absolute paths on a machine: a path stands for
// itself, a name is looked for in pathVar, a directory stands for all ELF
// programs and libraries below it. What is not there is ErrNotFound.
func Find(ctx context.Context, m *ldso.Machine, arg, pathVar string) ([]string, error) {
	info, err := m.FS.Stat(arg)
	switch {
	case err == nil && info.IsDir() && (strings.Contains(arg, "/") || arg == "." || arg == ".."):
		return directory(ctx, m, arg)
	case err == nil && strings.Contains(arg, "/"):
		return []string{Absolute(m.FS, arg)}, nil
	case strings.Contains(arg, "/"):
		if errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ENOTDIR) {
			return nil, fmt.Errorf("%w: %s", ErrNotFound, arg)
		}
		return nil, fmt.Errorf("%s: %w", arg, rootfs.Errno(err))
	}
	if p, ok := ldso.LookPath(m.FS, arg, pathVar); ok {
		return []string{Absolute(m.FS, p)}, nil
	}
	switch { // not a program's name; a file or directory here will do
	case err == nil && info.IsDir():
		return directory(ctx, m, arg)
	case err == nil:
		return []string{Absolute(m.FS, arg)}, nil
	}
	return nil, fmt.Errorf("%w: %s is neither a file nor a program in PATH", ErrNotFound, arg)
}

// Absolute is the cleaned absolute form of a name.
func Absolute(fsys rootfs.FS, name string) string { return path.Clean(rootfs.Abs(fsys, name)) }

// maxBelow bounds how many files are looked at below a directory.
const maxBelow = 1 << 22

// directory lists the ELF programs and libraries below a directory, sorted.
// Symbolic links are not followed.
func directory(ctx context.Context, m *ldso.Machine, dir string) ([]string, error) {
	var out []string
	queue, seen := []string{Absolute(m.FS, dir)}, 0
	for len(queue) > 0 {
		d := queue[0]
		queue = queue[1:]
		names, err := m.FS.ReadDir(d)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", dir, err)
		}
		for _, name := range names {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if seen++; seen > maxBelow {
				return nil, fmt.Errorf("reading %s: more than %d files below it", dir, maxBelow)
			}
			p := path.Join(d, name)
			info, err := m.FS.Lstat(p)
			switch {
			case err != nil:
				return nil, fmt.Errorf("reading %s: %w", dir, err)
			case info.IsDir():
				queue = append(queue, p)
			case info.IsRegular():
				o, errno := m.Open(p)
				if errno == 0 && o.ELF != nil && (o.ELF.Type == elf.ET_EXEC || o.ELF.Type == elf.ET_DYN) {
					out = append(out, p)
				}
			}
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%w: no ELF program or library below %s", ErrNotFound, dir)
	}
	sort.Strings(out)
	return out, nil
}
