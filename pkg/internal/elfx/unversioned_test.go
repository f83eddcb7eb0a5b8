package elfx

import (
	"bytes"
	"debug/elf"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// A table read from a file and one made of its lists answer the same, over
// whatever libraries are here: what is defined, and what is not.
func TestUnversionedListedAsRead(t *testing.T) {
	var files []string
	for _, pattern := range []string{"/lib/*-linux-*/lib[cdmprs]*.so*", "/usr/lib64/lib[cm].so*"} {
		more, _ := filepath.Glob(pattern)
		files = append(files, more...)
	}
	tables, names, hidden := 0, 0, 0
	for _, name := range files {
		r, err := os.Open(name)
		if err != nil {
			continue
		}
		info, err := r.Stat()
		if err != nil {
			t.Fatal(err)
		}
		f, err := Read(r, info.Size())
		if err != nil || !f.IsDynamic() {
			r.Close()
			continue
		}
		s, err := ReadSymbols(r, f)
		r.Close()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var defined []Symbol
		s.Defined(func(x Symbol) bool { defined = append(defined, x); return true })
		l := NewListed(f, nil, defined)
		tables++
		offered := map[string]bool{}
		for _, x := range defined {
			offered[x.Name] = offered[x.Name] || !x.Hidden && !x.PLTAddress && x.Name != x.Version && x.Type != elf.STT_GNU_IFUNC
		}
		for _, x := range defined {
			names++
			want := offered[x.Name]
			if !want {
				hidden++
			}
			_, got := s.LookupUnversioned(x.Name, GNUHash(x.Name), true)
			_, listed := l.LookupUnversioned(x.Name, GNUHash(x.Name), true)
			if got != want || listed != want {
				t.Errorf("%s: %s: read %t, listed %t, want %t", name, x.Name, got, listed, want)
			}
			if _, ok := s.LookupUnversioned(x.Name+"?", GNUHash(x.Name+"?"), false); ok {
				t.Errorf("%s has %s?", name, x.Name)
			}
		}
		if tables == 12 {
			break
		}
	}
	t.Logf("%d symbols of %d libraries, %d of them of no use to musl", names, tables, hidden)
	if tables == 0 {
		t.Error("no library was read")
	}
}

// What the header says of class, byte order and machine is passed over, and the
// magic too; that it is as long as a header is not.
func TestReadAs(t *testing.T) {
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	want, err := Read(bytes.NewReader(self), int64(len(self)))
	if err != nil {
		t.Fatal(err)
	}
	other := slices.Clone(self)
	copy(other, "#!sh")
	other[elf.EI_CLASS], other[elf.EI_DATA], other[18] = 7, 9, 183
	got, err := ReadAs(bytes.NewReader(other), int64(len(other)), want)
	if err != nil || got.Class != want.Class || got.Data != want.Data || got.Machine != want.Machine || !slices.Equal(got.Loads, want.Loads) {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err := ReadAs(bytes.NewReader(other[:63]), 63, want); err == nil {
		t.Errorf("of 63 bytes: %+v", got)
	}
}
