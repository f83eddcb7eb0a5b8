package hostindex

import (
	"bytes"
	"debug/elf"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/compspec/compat/pkg/internal/elfx"
	"github.com/compspec/compat/pkg/internal/ldso"
	"github.com/compspec/compat/pkg/internal/loadertest"
	"github.com/compspec/compat/pkg/internal/rootfs"
)

// machineObjects are the ELF files of this machine's library directories.
func machineObjects(t *testing.T) []string {
	var out []string
	seen := map[string]bool{}
	for _, pattern := range []string{"/lib64/*.so*", "/usr/lib64/*.so*", "/usr/lib/*.so*", "/usr/lib/x86_64-linux-gnu/*.so*", "/usr/lib/aarch64-linux-gnu/*.so*"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range names {
			if real, err := filepath.EvalSymlinks(n); err == nil && !seen[real] {
				seen[real] = true
				out = append(out, real)
			}
		}
	}
	programs, _ := filepath.Glob("/usr/bin/*")
	for i, p := range programs {
		if info, err := os.Lstat(p); i%9 == 0 && err == nil && info.Mode().IsRegular() {
			out = append(out, p)
		}
	}
	slices.Sort(out)
	return out
}

// asRead is what a loader looks at of a file: indexes of versions and the hashes
// of their names are the table's own business, and addresses are those of the
// file.
func asRead(f *elfx.File) elfx.File {
	g := elfx.File{}
	from, to := reflect.ValueOf(f).Elem(), reflect.ValueOf(&g).Elem()
	for i := range from.NumField() {
		if from.Type().Field(i).IsExported() {
			to.Field(i).Set(from.Field(i))
		}
	}
	g.VersNeeded = nil
	for _, n := range f.VersNeeded {
		n.Versions = slices.Clone(n.Versions)
		for i := range n.Versions {
			n.Versions[i].Index = 0
		}
		g.VersNeeded = append(g.VersNeeded, n)
	}
	// An empty list is as good as none.
	for i := range to.NumField() {
		if v := to.Field(i); v.CanSet() && v.Kind() == reflect.Slice && v.Len() == 0 {
			v.SetZero()
		}
	}
	return g
}

// What is written of a file and read back is what was in it, and its symbols
// answer every question alike.
func TestFactsAndSymbolsRoundTrip(t *testing.T) {
	host, err := rootfs.NewHost("/")
	if err != nil {
		t.Fatal(err)
	}
	paths := machineObjects(t)
	random := rand.New(rand.NewPCG(5, 6))
	files, tables, queries := 0, 0, 0
	var versions, names []string
	for _, p := range paths {
		h, err := host.Open(p)
		if err != nil {
			continue
		}
		line, table, e := describe(h, true)
		if e == nil {
			h.Close()
			continue
		}
		files++
		o, ok := parseObject(line)
		if !ok || o.ELF == nil {
			t.Errorf("%s: not read back: %.300s", p, line)
			h.Close()
			continue
		}
		if got, want := asRead(o.ELF), asRead(e); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: read back %+v\nwas %+v", p, got, want)
		}
		want, errWant := elfx.ReadSymbols(h, e)
		h.Close()
		if !e.IsDynamic() {
			continue
		}
		got, err := parseTable(table, o.ELF)
		if err != nil || errWant != nil {
			if err == nil || errWant == nil || err.Error() != errWant.Error() {
				if string(table) != string(noTable) {
					t.Errorf("%s: symbols %v, were %v", p, err, errWant)
				}
			}
			continue
		}
		tables++
		for _, d := range e.VersDef {
			versions = append(versions, d.Name)
		}
		queries += sameSymbols(t, p, got, want, random, &names, versions)
		if t.Failed() {
			return
		}
	}
	t.Logf("%d files, %d tables of symbols, %d look-ups", files, tables, queries)
	if files < 3 {
		t.Skip("hardly an ELF file here")
	}
}

// sameSymbols compares a table with the one that it was made of. names are of
// the tables before, which this one hardly has.
func sameSymbols(t *testing.T, path string, got ldso.SymbolTable, want *elfx.Symbols, random *rand.Rand, names *[]string, versions []string) (queries int) {
	list := func(each func(func(elfx.Symbol) bool)) (out []elfx.Symbol) {
		each(func(s elfx.Symbol) bool { out = append(out, s); return true })
		return out
	}
	undefined := list(want.Undefined)
	g := list(got.Undefined)
	if len(g) != len(undefined) {
		t.Errorf("%s: %d undefined symbols, were %d", path, len(g), len(undefined))
		return 0
	}
	for i, s := range undefined {
		if s.Type == elf.STT_FUNC || s.Type == elf.STT_GNU_IFUNC { // nobody asks how long a function is
			if s.Ref != elfx.RefCopy {
				s.Size = 0
			}
		}
		if g[i] != s {
			t.Errorf("%s: undefined %+v, was %+v", path, g[i], s)
			return 0
		}
	}
	if a, b := slices.Sorted(slices.Values(got.RelocTypes())), slices.Sorted(slices.Values(want.RelocTypes())); !slices.Equal(a, b) {
		t.Errorf("%s: relocation types %v, were %v", path, a, b)
	}
	defined := list(want.Defined)
	ask := func(name, version string) bool {
		for _, notPLT := range []bool{false, true} {
			q := elfx.Query{Name: name, Hash: elfx.GNUHash(name), Version: version, VerHash: elfx.Hash(version), NotPLTAddress: notPLT}
			a, okA := got.Lookup(q)
			b, okB := want.Lookup(q)
			queries++
			if b.Type == elf.STT_FUNC || b.Type == elf.STT_GNU_IFUNC {
				b.Size = 0
			}
			if okA != okB || okA && a != b {
				t.Errorf("%s: %s@%s (%t): %+v %t, was %+v %t", path, name, version, notPLT, a, okA, b, okB)
				return false
			}
		}
		for _, needDef := range []bool{false, true} {
			a, okA := got.LookupUnversioned(name, elfx.GNUHash(name), needDef)
			b, okB := want.LookupUnversioned(name, elfx.GNUHash(name), needDef)
			if okA != okB || okA && a.Type != b.Type {
				t.Errorf("%s: %s as musl asks: %+v %t, was %+v %t", path, name, a, okA, b, okB)
				return false
			}
		}
		return true
	}
	pick := func(list []string) string {
		if len(list) == 0 {
			return "V"
		}
		return list[random.IntN(len(list))]
	}
	step := 1 + len(defined)/400 // of a huge table a sample
	for i := 0; i < len(defined); i += step {
		s := defined[i]
		if !ask(s.Name, s.Version) || !ask(s.Name, "") || random.IntN(4) == 0 && !ask(s.Name, pick(versions)) {
			return queries
		}
	}
	for _, s := range undefined {
		if !ask(s.Name, s.Version) || !ask(s.Name, "") || !ask(s.Name, pick(versions)) {
			return queries
		}
	}
	for range 50 {
		if name := pick(*names); !ask(name, pick(versions)) || !ask(name, "") || !ask(name+"x", "") || !ask(strings.ToUpper(name), pick(versions)) {
			return queries
		}
	}
	for i := 0; i < len(defined); i += 1 + len(defined)/20 {
		*names = append(*names, defined[i].Name)
	}
	return queries
}

// memFile is an open file in memory.
type memFile struct {
	*bytes.Reader
	info rootfs.Info
}

func (f memFile) Close() error      { return nil }
func (f memFile) Info() rootfs.Info { return f.info }

// Files that are damaged: what is wrong with them is written and read back too.
func TestDamagedFactsRoundTrip(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	compared := 0
	for _, p := range []string{loadertest.Loader, "/usr/bin/env", "/lib/x86_64-linux-gnu/libm.so.6"} {
		b, err := os.ReadFile(p)
		if err != nil {
			continue
		}
		whole, err := elfx.Read(bytes.NewReader(b), int64(len(b)))
		if err != nil || whole.Dynamic == nil {
			t.Fatalf("%s: %v", p, err)
		}
		for range 200 {
			c := slices.Clone(b)
			for range 1 + random.IntN(4) {
				at := random.IntN(min(len(c), 64+56*int(whole.PhNum)))
				switch random.IntN(3) {
				case 0:
					at = random.IntN(min(len(c), 64<<10))
				case 1:
					at = int(whole.Dynamic.Offset) + random.IntN(int(whole.Dynamic.FileSize))
				}
				c[at] = byte(random.Uint32())
			}
			f := memFile{bytes.NewReader(c), rootfs.Info{Size: int64(len(c)), Mode: syscall.S_IFREG | 0o755}}
			line, table, e := describe(f, true)
			if e == nil {
				continue
			}
			compared++
			o, ok := parseObject(line)
			if !ok {
				t.Fatalf("%s: not read back: %.300s", p, line)
			}
			if got, want := asRead(o.ELF), asRead(e); !reflect.DeepEqual(got, want) {
				for i := range reflect.TypeOf(got).NumField() {
					if field := reflect.TypeOf(got).Field(i); field.IsExported() && !reflect.DeepEqual(reflect.ValueOf(got).Field(i).Interface(), reflect.ValueOf(want).Field(i).Interface()) {
						t.Errorf("%s: %s: read back %.400v\nwas %.400v", p, field.Name, reflect.ValueOf(got).Field(i), reflect.ValueOf(want).Field(i))
					}
				}
			}
			_, errWant := elfx.ReadSymbols(f, e)
			if _, err := parseTable(table, o.ELF); (err == nil) != (errWant == nil) && string(table) != string(noTable) {
				t.Errorf("%s: symbols %v, were %v", p, err, errWant)
			}
			if t.Failed() {
				return
			}
		}
	}
	t.Logf("%d damaged files", compared)
}
