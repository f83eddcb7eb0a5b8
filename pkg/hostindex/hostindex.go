// Package hostindex knows a machine, and checks specs and programs against
// it: the machine itself, a directory that is the root of one, or an index made
// before. It reads files of that machine only, runs nothing and uses no
// network.
package hostindex

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/internal/ldso"
	"github.com/compspec/compat/pkg/internal/rootfs"
	"github.com/compspec/compat/pkg/internal/targets"
)

// Index is everything that a check asks of a machine. It remembers what it
// has read, so that many checks cost little more than one; it may be used by
// one goroutine at a time, and files that change meanwhile go unnoticed.
type Index struct {
	m      *ldso.Machine
	name   string
	stored *stored // nil where the files themselves are looked at
}

// Live gives the machine that this process runs on, as the process sees it.
func Live() (*Index, error) {
	m, err := ldso.Live("")
	if err != nil {
		return nil, fmt.Errorf("looking at this machine: %w", err)
	}
	if _, err := m.FS.Lstat("/proc/self/exe"); err != nil {
		m.NoProc = true
	}
	return &Index{m: m, name: thisMachine}, nil
}

const thisMachine = "this machine"

// Root gives the machine whose root is a directory: an unpacked image, a
// mounted disk. Absolute links in it stay in it. Where it is of this machine's
// architecture, it is taken to run on this CPU and kernel.
func Root(dir string) (*Index, error) {
	fsys, err := rootfs.NewDir(dir)
	if err != nil {
		return nil, notFound("the root "+dir, err)
	}
	return &Index{m: ldso.InRoot(fsys), name: "the root " + dir}, nil
}

// Host describes the machine in short.
func (x *Index) Host() Host {
	return Host{
		Name: x.name, Architecture: architecture(x.m.CPU.Machine), Kernel: x.m.Kernel.Release, ISA: ldso.ISAName(x.m.CPU.ISA),
		OS: prettyName(x.m.Config),
	}
}

// prettyName is PRETTY_NAME of os-release (os-release(5)).
func prettyName(fsys rootfs.FS) string {
	text, err := rootfs.ReadFile(fsys, "/etc/os-release", 64<<10)
	if err != nil {
		text, _ = rootfs.ReadFile(fsys, "/usr/lib/os-release", 64<<10)
	}
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "PRETTY_NAME="); ok {
			return strings.ToValidUTF8(strings.Trim(v, `"'`), "?")
		}
	}
	return ""
}

// in is the machine with another working directory.
func (x *Index) in(wd string) (*ldso.Machine, error) {
	var fsys rootfs.FS
	switch f := x.m.FS.(type) {
	case *rootfs.Dir:
		fsys = f.In(wd)
	case *rootfs.Tree:
		fsys = f.In(wd)
	default:
		h, err := rootfs.NewHost(wd)
		if err != nil {
			return nil, err
		}
		fsys = h
	}
	m := ldso.NewMachine(fsys, x.m.CPU, x.m.Kernel)
	m.Config, m.NoProc, m.Facts = x.m.Config, x.m.NoProc, x.m.Facts
	return m, nil
}

// Find turns arguments into the absolute paths of programs of the machine, as
// artifact.FindTargets does for this one. Errors match artifact.ErrNotFound.
func (x *Index) Find(ctx context.Context, args []string, opts CheckOptions) ([]string, error) {
	m, _, err := x.machine(CheckOptions{Cwd: opts.Cwd})
	if err != nil {
		return nil, err
	}
	var out []string
	for _, arg := range args {
		paths, err := targets.Find(ctx, m, arg, opts.Env["PATH"])
		if errors.Is(err, targets.ErrNotFound) {
			where := "on " + x.name + ": "
			if x.name == thisMachine {
				where = ""
			}
			err = fmt.Errorf("%w: %s%s", artifact.ErrNotFound, where, strings.TrimPrefix(err.Error(), targets.ErrNotFound.Error()+": "))
		}
		if err != nil {
			return nil, err
		}
		out = append(out, paths...)
	}
	return out, nil
}
