package elfx

import (
	"debug/elf"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"testing"
)

// systemDirs hold programs and libraries on any Linux machine.
var systemDirs = []string{"/usr/bin", "/usr/sbin", "/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib"}

func elfFiles(tb testing.TB) []string {
	tb.Helper()
	var out []string
	for _, d := range systemDirs {
		names, _ := filepath.Glob(d + "/*")
		for _, n := range names {
			info, err := os.Lstat(n)
			if err != nil || !info.Mode().IsRegular() || info.Size() < 64 {
				continue
			}
			f, err := os.Open(n)
			if err != nil {
				continue
			}
			var magic [4]byte
			_, err = f.ReadAt(magic[:], 0)
			f.Close()
			if err == nil && string(magic[:]) == elf.ELFMAG {
				out = append(out, n)
			}
		}
	}
	if len(out) == 0 {
		tb.Skip("no ELF files in the system directories")
	}
	return out
}

func readFile(tb testing.TB, name string) (*File, *os.File) {
	tb.Helper()
	f, err := os.Open(name)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { f.Close() })
	info, err := f.Stat()
	if err != nil {
		tb.Fatal(err)
	}
	facts, err := Read(f, info.Size())
	if err != nil {
		tb.Fatalf("%s: %v", name, err)
	}
	return facts, f
}

// debug/elf goes through the section headers, which system files have: what
// it reads there must be what we read through the program headers.
func TestAgainstDebugELF(t *testing.T) {
	compared := 0
	for _, name := range elfFiles(t) {
		want, err := elf.Open(name)
		if err != nil {
			t.Logf("%s: debug/elf: %v", name, err)
			continue
		}
		if want.Type != elf.ET_DYN && want.Type != elf.ET_EXEC {
			want.Close()
			continue
		}
		got, r := readFile(t, name)
		compared++
		if len(got.Defects) > 0 {
			t.Errorf("%s: defects %v", name, got.Defects)
		}
		needed, _ := want.ImportedLibraries()
		var have []string
		for _, n := range got.Needs {
			if n.Kind == NeedNeeded {
				have = append(have, n.Name)
			}
		}
		if !slices.Equal(needed, have) {
			t.Errorf("%s: needed %q, want %q", name, have, needed)
		}
		soname, _ := want.DynString(elf.DT_SONAME)
		if got.HasSoname != (len(soname) > 0) || len(soname) > 0 && soname[0] != got.Soname {
			t.Errorf("%s: soname %q, want %q", name, got.Soname, soname)
		}
		for _, x := range []struct {
			tag elf.DynTag
			got *string
		}{{elf.DT_RPATH, got.RPath}, {elf.DT_RUNPATH, got.RunPath}} {
			w, _ := want.DynString(x.tag)
			if (x.got != nil) != (len(w) > 0) || x.got != nil && *x.got != w[0] {
				t.Errorf("%s: %v %v, want %q", name, x.tag, x.got, w)
			}
		}
		compareVersions(t, name, want, got)
		compareSymbols(t, name, want, got, r)
		want.Close()
	}
	t.Logf("%d files compared with debug/elf", compared)
}

func compareVersions(t *testing.T, name string, want *elf.File, got *File) {
	needs, _ := want.DynamicVersionNeeds()
	var w, g []string
	for _, n := range needs {
		for _, d := range n.Needs {
			w = append(w, n.Name+" "+d.Dep)
		}
	}
	for _, n := range got.VersNeeded {
		for _, v := range n.Versions {
			g = append(g, n.File+" "+v.Name)
			if Hash(v.Name) != v.Hash {
				t.Errorf("%s: hash of %s is %#x in the file, %#x computed", name, v.Name, v.Hash, Hash(v.Name))
			}
		}
	}
	if !slices.Equal(w, g) {
		t.Errorf("%s: versions needed %q, want %q", name, g, w)
	}
	defs, _ := want.DynamicVersions()
	w, g = nil, nil
	for _, d := range defs {
		w = append(w, d.Name)
	}
	for _, d := range got.VersDef {
		g = append(g, d.Name)
	}
	if !slices.Equal(w, g) {
		t.Errorf("%s: versions defined %q, want %q", name, g, w)
	}
}

func compareSymbols(t *testing.T, name string, want *elf.File, got *File, r *os.File) {
	syms, err := ReadSymbols(r, got)
	if err != nil {
		t.Errorf("%s: symbols: %v", name, err)
		return
	}
	all, _ := want.DynamicSymbols()
	var w, g []string
	for _, s := range all {
		bind := elf.ST_BIND(s.Info)
		if bind != elf.STB_LOCAL && s.Name != "" &&
			(s.Value != 0 || s.Section == elf.SHN_ABS || elf.ST_TYPE(s.Info) == elf.STT_TLS && s.Section != elf.SHN_UNDEF) {
			w = append(w, s.Name)
		}
	}
	syms.Defined(func(s Symbol) bool {
		g = append(g, s.Name)
		// Whatever is defined is found, by its own version.
		q := Query{Name: s.Name, Hash: GNUHash(s.Name), Version: s.Version, VerHash: Hash(s.Version)}
		switch s.Type {
		case elf.STT_NOTYPE, elf.STT_OBJECT, elf.STT_FUNC, elf.STT_TLS, elf.STT_GNU_IFUNC:
			if _, ok := syms.Lookup(q); !ok && s.Version != "" {
				t.Errorf("%s: %s@%s is defined, but Lookup does not find it", name, s.Name, s.Version)
			}
		}
		return true
	})
	sort.Strings(w)
	sort.Strings(g)
	if !slices.Equal(w, g) {
		t.Errorf("%s: %d symbols defined, want %d", name, len(g), len(w))
	}
	undefined := map[string]bool{}
	for _, s := range all {
		if s.Section == elf.SHN_UNDEF {
			undefined[s.Name] = true
		}
	}
	syms.Undefined(func(s Symbol) bool {
		if !undefined[s.Name] && s.Ref != RefCopy {
			t.Errorf("%s: %s is given as undefined", name, s.Name)
		}
		return true
	})
}
