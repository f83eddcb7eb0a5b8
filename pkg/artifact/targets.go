package artifact

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"sort"
	"strings"
	"syscall"

	"github.com/compspec/compat/pkg/internal/ldso"
	"github.com/compspec/compat/pkg/internal/rootfs"
)

// FindTargets turns arguments into absolute paths on this machine: a path
// stands for itself, a name is looked for in the PATH of env, a directory
// stands for all ELF programs and libraries below it. Errors wrap ErrNotFound.
func FindTargets(ctx context.Context, args []string, env map[string]string) ([]string, error) {
	m, err := ldso.Live("")
	if err != nil {
		return nil, err
	}
	var out []string
	for _, arg := range args {
		paths, err := findTargets(ctx, m, arg, env)
		if err != nil {
			return nil, err
		}
		out = append(out, paths...)
	}
	return out, nil
}

func findTargets(ctx context.Context, m *ldso.Machine, arg string, env map[string]string) ([]string, error) {
	info, err := m.FS.Stat(arg)
	switch {
	case err == nil && info.IsDir() && (strings.Contains(arg, "/") || arg == "." || arg == ".."):
		return directory(ctx, m, arg)
	case err == nil && strings.Contains(arg, "/"):
		return []string{absolute(m.FS, arg)}, nil
	case strings.Contains(arg, "/"):
		if errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ENOTDIR) {
			return nil, fmt.Errorf("%w: %s", ErrNotFound, arg)
		}
		return nil, fmt.Errorf("%s: %w", arg, rootfs.Errno(err))
	}
	if p, ok := ldso.LookPath(m.FS, arg, env["PATH"]); ok {
		return []string{absolute(m.FS, p)}, nil
	}
	switch { // not a program's name; a file or directory here will do
	case err == nil && info.IsDir():
		return directory(ctx, m, arg)
	case err == nil:
		return []string{absolute(m.FS, arg)}, nil
	}
	return nil, fmt.Errorf("%w: %s is neither a file nor a program in PATH", ErrNotFound, arg)
}

func absolute(fsys rootfs.FS, name string) string { return path.Clean(rootfs.Abs(fsys, name)) }

// directory lists the ELF programs and libraries below a directory, sorted.
// Symbolic links are not followed.
func directory(ctx context.Context, m *ldso.Machine, dir string) ([]string, error) {
	var out []string
	root := absolute(m.FS, dir)
	err := fs.WalkDir(os.DirFS(root), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		p := path.Join(root, name)
		if err := ctx.Err(); err != nil {
			return err
		}
		o, errno := m.Open(p)
		if errno == 0 && o.ELF != nil && (o.ELF.Type == elf.ET_EXEC || o.ELF.Type == elf.ET_DYN) {
			out = append(out, p)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", dir, err)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%w: no ELF program or library below %s", ErrNotFound, dir)
	}
	sort.Strings(out)
	return out, nil
}
