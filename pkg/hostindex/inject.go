package hostindex

import (
	"debug/elf"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/internal/ldso"
	"github.com/compspec/compat/pkg/internal/rootfs"
)

// Injection binds libraries of this machine into a directory of the one that
// is checked, as hooks of container runtimes do with drivers and MPI.
type Injection struct {
	Dir string // where they appear, absolute
	// Libraries are paths on this machine, whose last component may be a pattern,
	// or names that are looked for in its ld.so.cache and its loader's directories.
	Libraries []string
}

// injected are the paths on this machine of what is bound in, by identity.
type injected map[rootfs.ID]string

// maxInjected is far above what any hook binds.
const maxInjected = 4096

// inject gives a machine like m with libraries of this one laid over it. What
// m has of that name is hidden, as a bind mount would.
func inject(m *ldso.Machine, list []Injection) (*ldso.Machine, injected, error) {
	live, err := ldso.Live("")
	if err != nil {
		return nil, nil, err
	}
	o := rootfs.NewOverlay(m.FS)
	out := ldso.NewMachine(o, m.CPU, m.Kernel)
	out.Config, out.NoProc, out.Facts = m.Config, m.NoProc, m.Facts
	bound := injected{}
	for _, in := range list {
		if !path.IsAbs(in.Dir) {
			return nil, nil, fmt.Errorf("%w: the directory to inject into, %q, is not absolute", artifact.ErrInvalid, in.Dir)
		}
		for _, lib := range in.Libraries {
			sources, err := injectSources(live, lib, m.CPU.Machine)
			if err != nil {
				return nil, nil, err
			}
			for _, src := range sources {
				obj, errno := live.Open(src)
				if errno != 0 {
					return nil, nil, fmt.Errorf("%w: %s, to be injected: %w", artifact.ErrNotFound, src, errno)
				}
				id := o.Add(path.Join(in.Dir, path.Base(src)), obj.Info.Mode&0o7777, obj.Info.Size)
				laid := &ldso.Object{Path: path.Join(in.Dir, path.Base(src)), ELF: obj.ELF, Err: obj.Err, Info: obj.Info}
				laid.Info.ID = id
				var symbols ldso.SymbolTable
				if obj.ELF != nil {
					if symbols, err = live.Symbols(obj); err != nil {
						symbols = nil
					}
				}
				out.Lay(id, laid, symbols)
				if bound[id] = src; len(bound) > maxInjected {
					return nil, nil, fmt.Errorf("%w: more than %d libraries to inject", artifact.ErrInvalid, maxInjected)
				}
			}
		}
	}
	return out, bound, nil
}

// injectSources are the files of this machine that a list names.
func injectSources(live *ldso.Machine, lib string, machine elf.Machine) ([]string, error) {
	if !strings.Contains(lib, "/") {
		if p := findLibrary(live, lib, machine); p != "" {
			return []string{p}, nil
		}
		return nil, fmt.Errorf("%w: no %s, to be injected, in the ld.so.cache or the loader's directories of this machine", artifact.ErrNotFound, lib)
	}
	if !strings.ContainsAny(path.Base(lib), "*?[") {
		return []string{lib}, nil
	}
	dir, pattern := path.Split(lib)
	names, err := live.FS.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("%w: %s, to be injected: %w", artifact.ErrNotFound, lib, rootfs.Errno(err))
	}
	var out []string
	for _, n := range names {
		ok, err := path.Match(pattern, n)
		if err != nil {
			return nil, fmt.Errorf("%w: the pattern %q: %w", artifact.ErrInvalid, lib, err)
		}
		if ok {
			out = append(out, dir+n)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%w: nothing matches %s, to be injected", artifact.ErrNotFound, lib)
	}
	return out, nil
}

// findLibrary looks for a library of a machine's own by name.
func findLibrary(live *ldso.Machine, name string, machine elf.Machine) string {
	fits := func(p string) bool {
		o, errno := live.Open(p)
		return errno == 0 && o.ELF != nil && o.ELF.Machine == machine
	}
	cache := live.Cache()
	for i := range cache.Len() {
		if e := cache.Entry(i); e.Name == name && e.Subdir == "" && fits(e.Path) {
			return e.Path
		}
	}
	if o, errno := live.Open(ldso.DefaultInterp(machine)); errno == 0 && o.ELF != nil {
		for _, dir := range live.Loader(o).SystemDirs {
			if fits(dir + name) {
				return dir + name
			}
		}
	}
	return ""
}

// from is where the object with that path in a start is bound in from, or "".
func (in injected) from(res *ldso.Result, p string) string {
	if in == nil || p == "" {
		return ""
	}
	i := slices.IndexFunc(res.Maps, func(m *ldso.Map) bool { return m.Path == p })
	if i < 0 {
		return ""
	}
	return in[res.Maps[i].Object.Info.ID]
}

// unused warns where nothing of what is bound in was ever found: most likely no
// search leads into its directory.
func (in injected) unused(program string, res *ldso.Result) []Finding {
	if len(in) == 0 || slices.ContainsFunc(res.Maps, func(m *ldso.Map) bool { return in[m.Object.Info.ID] != "" }) {
		return nil
	}
	return []Finding{{
		Kind: "inject-unused", Severity: SeverityWarning, Program: program,
		Explanation: "nothing of what is injected is used: the program asks for none of it at its start, or finds others first",
		Remedy:      "name its directory with --env LD_LIBRARY_PATH=DIR, or what the program opens later with --dlopen NAME",
	}}
}
