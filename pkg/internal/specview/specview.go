// Package specview shows a machine as it would be with the travelling objects
// of a spec on it: found at their paths, known by their facts, never read.
package specview

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/internal/ldso"
	"github.com/compspec/compat/pkg/internal/rootfs"
)

// Over gives a machine like m with the travelling objects of the spec laid
// over its files. Nothing that m has read is shared.
func Over(m *ldso.Machine, spec *artifact.Spec) (*ldso.Machine, error) {
	o := rootfs.NewOverlay(m.FS)
	out := ldso.NewMachine(o, m.CPU, m.Kernel)
	for i := range spec.Objects {
		obj := &spec.Objects[i]
		if !obj.Travels {
			continue
		}
		mode, err := strconv.ParseUint(obj.Mode, 8, 32)
		if err != nil {
			return nil, fmt.Errorf("%w: object %s: mode %q is not octal", artifact.ErrInvalid, obj.Path, obj.Mode)
		}
		id := o.Add(obj.Path, uint32(mode), obj.Size)
		for _, l := range obj.Links {
			o.AddLink(rootfs.Link(l))
		}
		for _, a := range obj.Aliases {
			o.AddAlias(a, id)
		}
		lo := &ldso.Object{Path: obj.Path, Info: rootfs.Info{ID: id, Size: obj.Size, Mode: rootfs.RegularMode(uint32(mode))}}
		var symbols ldso.SymbolTable
		if obj.ELF != nil {
			lo.ELF = facts(obj.ELF, obj.Size)
			if obj.Symbols != nil {
				symbols = table(obj.Symbols, lo.ELF)
			}
		} else {
			lo.Err = fmt.Errorf("no ELF facts in the spec")
			lo.Script = script(spec, obj.Path)
		}
		out.Lay(id, lo, symbols)
		if obj.Loader != nil {
			out.LayLoader(id, loader(obj.Path, obj.Loader))
		}
	}
	return out, nil
}

func script(spec *artifact.Spec, path string) string {
	for _, p := range spec.Programs {
		if p.Kind == "script" && p.Path == path {
			return p.Script
		}
	}
	return ""
}

func loader(path string, l *artifact.Loader) *ldso.Loader {
	out := &ldso.Loader{Path: path, Flavor: ldso.Flavor(l.Flavor), SystemDirs: l.SystemDirs, Features: ldso.ParseFeatures(l.Features)}
	major, minor, _ := strings.Cut(l.Version, ".")
	out.Major, _ = strconv.Atoi(major)
	out.Minor, _ = strconv.Atoi(minor)
	return out
}
