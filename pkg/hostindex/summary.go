package hostindex

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"

	"github.com/compspec/compat/pkg/internal/elfx"
	"github.com/compspec/compat/pkg/internal/ldso"
	"github.com/compspec/compat/pkg/internal/rootfs"
)

// ErrNotStored says that something is to be had of an index only, and not of a
// machine that is looked at itself.
var ErrNotStored = errors.New("not an index that was made before")

// Summary says what is in a host index.
type Summary struct {
	Host        Host               `json:"host"`
	PageSize    int                `json:"pageSize"` // bytes
	Proc        bool               `json:"proc"`     // /proc is mounted
	Symbols     bool               `json:"symbols"`
	Include     []string           `json:"include"` // asked for, beside what every index has
	CacheSize   int                `json:"cacheEntries"`
	Preload     []string           `json:"preload"` // of /etc/ld.so.preload
	Loaders     []LoaderSummary    `json:"loaders"`
	Directories []DirectorySummary `json:"directories"`
	Objects     int                `json:"objects"` // files whose facts are known
}

// LoaderSummary is one dynamic loader of a machine.
type LoaderSummary struct {
	Path       string   `json:"path"`
	Name       string   `json:"name"` // "glibc 2.36"
	SystemDirs []string `json:"systemDirs"`
	Features   []string `json:"features"`
}

// DirectorySummary is one directory that was looked into.
type DirectorySummary struct {
	Path     string `json:"path"`
	Complete bool   `json:"complete"` // what is not listed is not there
	Entries  int    `json:"entries"`
	Objects  int    `json:"objects"` // names of files whose facts are known
}

// maxLoaders is how many files are looked at that have the name of a loader.
const maxLoaders = 1 << 10

// Summarize says what is in an index. The error is ErrNotStored, or says that
// the index is damaged.
func (x *Index) Summarize() (*Summary, error) {
	if x.stored == nil {
		return nil, ErrNotStored
	}
	d := x.stored.doc
	s := &Summary{Host: x.Host(), PageSize: d.host.pageSize, Proc: d.host.proc, Symbols: d.symbols, Include: append([]string{}, d.include...),
		CacheSize: x.m.Cache().Len(), Preload: []string{}, Loaders: []LoaderSummary{}, Directories: []DirectorySummary{}, Objects: d.objects}
	if text, err := rootfs.ReadFile(x.m.Config, "/etc/ld.so.preload", 1<<20); err == nil {
		s.Preload = append(s.Preload, ldso.SplitPreload(string(text))...)
	}
	looked := 0
	for i := range d.dirs {
		dir := &d.dirs[i]
		sum := DirectorySummary{Path: dir.Path, Complete: dir.Complete, Entries: len(dir.Entries)}
		for j := range dir.Entries {
			e := &dir.Entries[j]
			if _, ok := rootfs.ReadID(e.Info.ID); !ok {
				continue
			}
			sum.Objects++
			if !isLoaderName(e.Name) || looked >= maxLoaders {
				continue
			}
			looked++
			o, errno := x.m.Open(path.Join(dir.Path, e.Name))
			if errno != 0 {
				continue
			}
			if l := x.m.Loader(o); l.Flavor != ldso.Unknown {
				s.Loaders = append(s.Loaders, LoaderSummary{path.Join(dir.Path, e.Name), loaderName(l), append([]string{}, l.SystemDirs...), append([]string{}, l.Features.Names()...)})
			}
		}
		s.Directories = append(s.Directories, sum)
	}
	return s, x.stored.damage
}

// Difference is one thing in which two machines differ.
type Difference struct {
	What string `json:"what"` // kernel, isa, os, loader, file, directory
	Path string `json:"path,omitempty"`
	A    string `json:"a"` // "" is not there
	B    string `json:"b"`
}

// Diff tells in what two indexes differ that a check may depend on: the host,
// the configuration of the loader, and libraries by path.
func Diff(ctx context.Context, a, b *Index) ([]Difference, error) {
	out := []Difference{}
	add := func(what, p, va, vb string) {
		if va != vb {
			out = append(out, Difference{what, p, va, vb})
		}
	}
	ha, hb := a.Host(), b.Host()
	add("architecture", "", ha.Architecture, hb.Architecture)
	add("isa", "", ha.ISA, hb.ISA)
	add("kernel", "", ha.Kernel, hb.Kernel)
	add("os", "", ha.OS, hb.OS)
	for _, p := range []string{"/etc/ld.so.preload", "/etc/ld.so.conf"} {
		text := func(x *Index) string {
			b, _ := rootfs.ReadFile(x.m.Config, p, 1<<20)
			return fmt.Sprintf("%.200q", b)
		}
		add("configuration", p, text(a), text(b))
	}
	if a.stored == nil || b.stored == nil {
		return nil, ErrNotStored
	}
	fa, err := a.stored.files(ctx)
	if err != nil {
		return nil, fmt.Errorf("the index of %s: %w", a.name, err)
	}
	fb, err := b.stored.files(ctx)
	if err != nil {
		return nil, fmt.Errorf("the index of %s: %w", b.name, err)
	}
	for _, dir := range union(fa, fb) {
		if da, db := fa[dir], fb[dir]; da != nil && db != nil {
			for _, name := range union(da, db) {
				add("file", path.Join(dir, name), da[name], db[name])
			}
			continue
		}
		count := func(m map[string]string) string {
			switch len(m) {
			case 0:
				return ""
			case 1:
				return "1 file"
			}
			return fmt.Sprintf("%d files", len(m))
		}
		add("directory", dir, count(fa[dir]), count(fb[dir]))
	}
	return out, nil
}

// union are the keys of both, sorted.
func union[T any](a, b map[string]T) []string {
	keys := slices.Collect(maps.Keys(a))
	for k := range b {
		if _, ok := a[k]; !ok {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return keys
}

// files describes every file of an index whose facts are known, by directory
// and name.
func (s *stored) files(ctx context.Context) (map[string]map[string]string, error) {
	out := map[string]map[string]string{}
	for i := range s.doc.dirs {
		dir := &s.doc.dirs[i]
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		names := map[string]string{}
		out[dir.Path] = names
		for j := range dir.Entries {
			e := &dir.Entries[j]
			if e.Info.IsSymlink() {
				names[e.Name] = "link to " + e.Target
				continue
			}
			if _, ok := rootfs.ReadID(e.Info.ID); !ok {
				continue
			}
			o, err := s.facts(e.Info.ID)
			if s.damage != nil {
				return nil, s.damage
			}
			if err != nil {
				names[e.Name] = "not known"
				continue
			}
			names[e.Name] = describeFacts(o)
		}
	}
	return out, nil
}

// describeFacts tells files of one name apart in few words.
func describeFacts(o *ldso.Object) string {
	f := o.ELF
	if f == nil {
		return fmt.Sprintf("%d bytes", o.Info.Size)
	}
	var last elfx.VersionDef
	for _, d := range f.VersDef {
		if !d.Base && newerVersion(d.Name, last.Name) {
			last = d
		}
	}
	build := fmt.Sprintf("%x", f.BuildID)
	return fmt.Sprintf("%d bytes, build %s, %s", f.Size, cmp.Or(build[:min(12, len(build))], "?"), cmp.Or(last.Name, "no versions"))
}

// newerVersion reports whether a names a later version than b, where both count
// alike.
func newerVersion(a, b string) bool {
	na, nb := number(a[len(prefixOf(a)):]), []int(nil)
	if b != "" {
		nb = number(b[len(prefixOf(b)):])
	}
	return na != nil && slices.Compare(na, nb) > 0
}
