// Package specview shows a machine as it would be with the travelling objects
// of a spec on it: found at their paths, known by their facts, never read.
package specview

import (
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/internal/elfx"
	"github.com/compspec/compat/pkg/internal/ldso"
	"github.com/compspec/compat/pkg/internal/rootfs"
)

// Bounds on what a spec may claim, far above what a whole distribution has.
const (
	maxPrograms = 1 << 16
	maxNames    = 1 << 17 // travelling objects, their aliases and links
	maxSteps    = 1 << 22 // of rootfs.Overlay.Steps to lay them
)

// Over gives a machine like m with the travelling objects of the spec laid
// over its files. Nothing is shared that m has read, only what is laid on it. A spec that claims what
// no file can hold, or too much of it, is an error that wraps
// artifact.ErrInvalid.
func Over(m *ldso.Machine, spec *artifact.Spec) (*ldso.Machine, error) {
	l := &layer{spec: spec, o: rootfs.NewOverlay(m.FS), ids: make([]rootfs.ID, len(spec.Objects)), lines: map[string]string{}}
	l.m = ldso.NewMachine(l.o, m.CPU, m.Kernel)
	l.m.Facts, l.m.NoProc = m.Facts, m.NoProc
	l.m.LayAll(m)
	l.m.Config = m.Config // the machine's own, whatever the spec lays in its place
	if len(spec.Programs) > maxPrograms {
		return nil, fmt.Errorf("%w: %d programs, the limit is %d", artifact.ErrInvalid, len(spec.Programs), maxPrograms)
	}
	names := 0
	for i := range spec.Objects {
		if obj := &spec.Objects[i]; obj.Travels {
			names += 1 + len(obj.Aliases) + len(obj.Links)
		}
	}
	if names > maxNames {
		return nil, fmt.Errorf("%w: %d paths of travelling objects, the limit is %d", artifact.ErrInvalid, names, maxNames)
	}
	for _, p := range spec.Programs {
		if p.Kind == "script" {
			l.lines[p.Path] = p.Script
		}
	}
	// Objects come before links, and links before aliases: a file is where its
	// own path says, and an alias is laid only where no link leads to it.
	for _, lay := range []func(int, *artifact.Object) error{l.object, l.links, l.aliases} {
		if err := l.each(lay); err != nil {
			return nil, err
		}
	}
	return l.m, nil
}

type layer struct {
	spec  *artifact.Spec
	o     *rootfs.Overlay
	m     *ldso.Machine
	ids   []rootfs.ID       // by the index of the object
	lines map[string]string // of scripts, by the program's path
}

// each calls f for the objects that travel.
func (l *layer) each(f func(int, *artifact.Object) error) error {
	for i := range l.spec.Objects {
		if obj := &l.spec.Objects[i]; obj.Travels {
			if err := f(i, obj); err != nil {
				return fmt.Errorf("%w: object %s: %w", artifact.ErrInvalid, obj.Path, err)
			}
		}
	}
	return nil
}

// laid is an error once laying has cost too much.
func (l *layer) laid() error {
	if l.o.Steps() > maxSteps {
		return fmt.Errorf("the paths are too long or lead through too many links")
	}
	return nil
}

func (l *layer) links(_ int, obj *artifact.Object) error {
	for _, link := range obj.Links {
		l.o.AddLink(rootfs.Link(link))
		if err := l.laid(); err != nil {
			return err
		}
	}
	return nil
}

func (l *layer) aliases(i int, obj *artifact.Object) error {
	for _, alias := range obj.Aliases {
		l.o.AddAlias(alias, l.ids[i])
		if err := l.laid(); err != nil {
			return err
		}
	}
	return nil
}

func (l *layer) object(i int, obj *artifact.Object) error {
	mode, err := strconv.ParseUint(obj.Mode, 8, 16)
	if err != nil {
		return fmt.Errorf("mode %.20q is not octal", obj.Mode)
	}
	if !strings.HasPrefix(obj.Path, "/") || path.Clean(obj.Path) != obj.Path || obj.Path == "/" {
		return fmt.Errorf("its path is not that of a file, absolute and without links")
	}
	if obj.Size < 0 {
		return fmt.Errorf("a size of %d bytes", obj.Size)
	}
	id := l.o.Add(obj.Path, uint32(mode), obj.Size)
	l.ids[i] = id
	if err := l.laid(); err != nil {
		return err
	}
	lo := &ldso.Object{Path: obj.Path, Info: rootfs.Info{ID: id, Size: obj.Size, Mode: rootfs.RegularMode(uint32(mode))}}
	r := &reader{}
	var symbols ldso.SymbolTable
	if obj.ELF != nil {
		lo.ELF = r.facts(obj.ELF, obj.Size)
		if obj.Symbols != nil {
			symbols = r.table(obj.Symbols, lo.ELF)
		}
	} else {
		lo.Err = fmt.Errorf("no ELF facts in the spec: %w", elfx.ErrNotELF)
		lo.Script = r.text("script", l.script(obj))
	}
	l.m.Lay(id, lo, symbols)
	if obj.Loader != nil {
		l.m.LayLoader(id, r.loader(obj.Path, obj.Loader))
	}
	return r.err
}

// script is the "#!" line of a script, which the program that was reached by
// one of its paths has.
func (l *layer) script(obj *artifact.Object) string {
	for _, p := range append([]string{obj.Path}, obj.Aliases...) {
		if line, ok := l.lines[p]; ok {
			return line
		}
	}
	return ""
}

func (r *reader) loader(path string, l *artifact.Loader) *ldso.Loader {
	out := &ldso.Loader{Path: path, Flavor: ldso.Flavor(l.Flavor), Features: ldso.ParseFeatures(l.Features)}
	for _, d := range l.SystemDirs {
		out.SystemDirs = append(out.SystemDirs, r.text("system directory", d))
	}
	major, minor, _ := strings.Cut(l.Version, ".")
	out.Major, _ = strconv.Atoi(major)
	minor, patch, _ := strings.Cut(minor, ".")
	out.Minor, _ = strconv.Atoi(minor)
	out.Patch, _ = strconv.Atoi(patch) // musl's
	return out
}
