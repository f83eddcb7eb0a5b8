package ldso

import (
	"bytes"
	"debug/elf"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
)

// Flavor is a family of loaders.
type Flavor string

// The loaders that can be told apart.
const (
	Glibc   Flavor = "glibc"
	Musl    Flavor = "musl"
	Unknown Flavor = "unknown"
)

// Loader is a dynamic loader's version as data.
type Loader struct {
	Path         string
	Flavor       Flavor
	Major, Minor int      // 0, 0 is unknown, and of glibc older than 2.33
	Patch        int      // of musl
	SystemDirs   []string // with trailing slash, in search order; of musl where it has no .path file
	Features     Features
}

// Version is the version as its makers write it, "" where it is unknown.
func (l *Loader) Version() string {
	switch {
	case l.Major == 0:
		return ""
	case l.Flavor == Musl:
		return fmt.Sprintf("%d.%d.%d", l.Major, l.Minor, l.Patch)
	}
	return fmt.Sprintf("%d.%d", l.Major, l.Minor)
}

// Features are the rules that differ between versions of glibc, and of musl.
type Features struct {
	HWCaps       bool // glibc-hwcaps subdirectories (2.33)
	LegacyHWCaps bool // tls, platform and hwcap subdirectories (until 2.36)
	ISALevel     bool // refuses objects above the CPU's ISA level (2.33)
	PageAlign    bool // refuses p_align below the page size (until 2.34)
	KernelTag    bool // skips objects tagged for a newer kernel (until 2.35)
	RelrNeeds    bool // DT_RELR demands GLIBC_ABI_DT_RELR (2.36)
	NotDirGoesOn bool // ENOTDIR goes on to the next directory (2.39)
	NoExecStack  bool // dlopen refuses objects that need an executable stack (2.41)
	VersymAssert bool // aborts where a provider lost its DT_VERSYM (until 2.40)
	RelrApplied  bool // applies DT_RELR (musl 1.2.4)
	LFS64        bool // open64 and its like are bound to open, if need be (musl 1.2.4)
}

// fields are the features by name, in the order they are written.
func (f *Features) fields() []feature {
	return []feature{
		{"hwcaps", &f.HWCaps}, {"legacy-hwcaps", &f.LegacyHWCaps}, {"isa-level", &f.ISALevel},
		{"page-align", &f.PageAlign}, {"kernel-tag", &f.KernelTag}, {"relr", &f.RelrNeeds},
		{"notdir-goes-on", &f.NotDirGoesOn}, {"versym-assert", &f.VersymAssert}, {"no-execstack", &f.NoExecStack},
		{"relr-applied", &f.RelrApplied}, {"lfs64", &f.LFS64},
	}
}

type feature struct {
	name string
	on   *bool
}

// Names lists the features that are on.
func (f Features) Names() []string {
	var out []string
	for _, x := range f.fields() {
		if *x.on {
			out = append(out, x.name)
		}
	}
	return out
}

// ParseFeatures is the inverse of Names; unknown names are ignored.
func ParseFeatures(names []string) Features {
	var f Features
	for _, x := range f.fields() {
		*x.on = slices.Contains(names, x.name)
	}
	return f
}

const maxLoaderSize = 16 << 20

// Loader reads the facts of the loader in the object o.
func (m *Machine) Loader(o *Object) *Loader {
	if l := m.loaders[o.Info.ID]; l != nil {
		return l
	}
	if o.loader != nil {
		known := *o.loader
		known.Path = o.Path
		m.loaders[o.Info.ID] = &known
		return &known
	}
	l := &Loader{Path: o.Path, Flavor: Unknown}
	m.loaders[o.Info.ID] = l
	if o.ELF == nil {
		return l
	}
	b, err := m.rodata(o)
	if err != nil {
		return l
	}
	switch {
	case strings.HasPrefix(path.Base(o.Path), "ld-musl-") || bytes.Contains(b, []byte("musl libc")):
		l.Flavor = Musl
		l.musl(b)
	case bytes.Contains(b, []byte("LD_LIBRARY_PATH")) && bytes.Contains(b, []byte("cannot open shared object file")):
		l.Flavor = Glibc
		l.glibc(b)
	}
	return l
}

// rodata reads where a loader keeps its strings: the read-only segment after
// its code, or the whole file where there is none such.
func (m *Machine) rodata(o *Object) ([]byte, error) {
	f, err := m.FS.Open(o.Path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	off, n := uint64(0), uint64(o.Info.Size)
	if last := len(o.ELF.Loads) - 1; last >= 2 {
		for _, s := range o.ELF.Loads[2:] {
			if s.Flags == elf.PF_R && s.Offset < n && s.FileSize <= n-s.Offset {
				off, n = s.Offset, s.FileSize
				break
			}
		}
	}
	if n > maxLoaderSize {
		return nil, fmt.Errorf("%s: %d bytes are too many for a loader", o.Path, n)
	}
	b := make([]byte, n)
	k, err := f.ReadAt(b, int64(off))
	if err == io.EOF {
		err = nil
	}
	return b[:k], err
}

// glibc probes for the messages and names that each feature brought, since a
// distribution may have it in an older version; where a change left no
// string, the version decides.
func (l *Loader) glibc(b []byte) {
	has := func(s string) bool { return bytes.Contains(b, []byte(s)) }
	if minor, ok := release(b, "ld.so ("); ok { // the line of --version
		l.Major, l.Minor = 2, minor
	}
	l.SystemDirs = systemDirs(b)
	l.Features = Features{
		HWCaps:       has("glibc-hwcaps"),
		LegacyHWCaps: l.Before(2, 37),
		ISALevel:     has("CPU ISA level"),
		PageAlign:    has("alignment not page-aligned"),
		KernelTag:    l.Before(2, 36),
		RelrNeeds:    has("DT_RELR without"),
		NotDirGoesOn: !l.Before(2, 39),
		VersymAssert: l.Before(2, 41),
		NoExecStack:  !l.Before(2, 41),
	}
}

// MaxSystemDirs is more than any loader has.
const MaxSystemDirs = 64

// systemDirs finds the longest run of absolute directories with a trailing
// slash, each ended by a NUL: the loader's system_dirs (dl-load.c).
func systemDirs(b []byte) []string {
	var best, run []string
	for len(b) > 0 {
		n := bytes.IndexByte(b, 0)
		if n < 0 {
			break
		}
		if s := b[:n]; len(run) < MaxSystemDirs && n > 2 && s[0] == '/' && s[n-1] == '/' {
			run = append(run, string(s))
		} else {
			run = nil
		}
		if len(run) > len(best) && len(run) >= 2 {
			best = run
		}
		b = b[n+1:]
	}
	return best
}

// Before reports whether the loader is older than the version. One that does
// not tell its version is older than 2.33, which brought --version.
func (l *Loader) Before(major, minor int) bool {
	return l.Major < major || l.Major == major && l.Minor < minor
}

// libToken is what $LIB stands for: the first system directory without its
// slashes (dl-load.c and Makeconfig's slibdir).
func (l *Loader) libToken() string {
	if len(l.SystemDirs) == 0 {
		return "lib"
	}
	return strings.Trim(l.SystemDirs[0], "/")
}

// subdirs are the subdirectories that the loader tries in each directory of a
// search list, best first, ending in "", the directory itself (dl-hwcaps.c).
func (l *Loader) subdirs(cpu CPU) []string {
	var subs []string
	if l.Features.HWCaps {
		for _, h := range cpu.HWCaps {
			subs = append(subs, "glibc-hwcaps/"+h+"/")
		}
	}
	if !l.Features.LegacyHWCaps {
		return append(subs, "")
	}
	names := []string{"tls"}
	if cpu.Platform != "" {
		names = append(names, cpu.Platform)
	}
	names = append(names, cpu.Legacy...)
	for set := 1<<len(names) - 1; set >= 0; set-- {
		sub := ""
		for i, n := range names {
			if set&(1<<(len(names)-1-i)) != 0 {
				sub += n + "/"
			}
		}
		subs = append(subs, sub)
	}
	return subs
}
