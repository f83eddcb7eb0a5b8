package specview

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/internal/elfx"
	"github.com/compspec/compat/pkg/internal/ldso"
	"github.com/compspec/compat/pkg/internal/loadertest"
)

func machine(t testing.TB) *ldso.Machine {
	t.Helper()
	m, err := ldso.Live("")
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func generate(t testing.TB, bundle string, targets ...string) *artifact.Spec {
	t.Helper()
	spec, err := artifact.Generate(context.Background(), artifact.GenerateOptions{Targets: targets, Bundle: []string{bundle}})
	if err != nil {
		t.Fatal(err)
	}
	b, err := artifact.Encode(spec)
	if err != nil {
		t.Fatal(err)
	}
	if spec, err = artifact.Decode(b); err != nil {
		t.Fatal(err)
	}
	return spec
}

// sample is some programs of this machine and all libraries that they load.
func sample(t testing.TB) *artifact.Spec {
	t.Helper()
	loadertest.Require(t, loadertest.Loader)
	programs := loadertest.DynamicPrograms("/usr/bin")
	if len(programs) < 20 {
		t.Fatalf("only %d dynamic programs in /usr/bin", len(programs))
	}
	var some []string
	for i := range 12 {
		some = append(some, programs[i*len(programs)/12])
	}
	return generate(t, "/", some...)
}

// Whatever a loader looks at of a file comes back from the spec.
func TestFactsComeBack(t *testing.T) {
	spec := sample(t)
	m := machine(t)
	over, err := Over(m, spec)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, obj := range spec.Objects {
		if !obj.Travels {
			continue
		}
		n++
		got, errno := over.Open(obj.Path)
		want, wantErrno := m.Open(obj.Path)
		if errno != 0 || wantErrno != 0 {
			t.Fatalf("%s: %v, %v", obj.Path, errno, wantErrno)
		}
		if got.Info.ID == want.Info.ID || got.Info.Size != want.Info.Size || got.Info.Mode != want.Info.Mode {
			t.Errorf("%s: %+v, want %+v", obj.Path, got.Info, want.Info)
		}
		if g, w := comparable(got.ELF), comparable(want.ELF); !reflect.DeepEqual(g, w) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", obj.Path, g, w)
		}
	}
	if n < 20 {
		t.Errorf("only %d objects travel", n)
	}
}

// comparable leaves out what a loader does not look at, and what a spec does
// not say: the number of program headers of other kinds.
func comparable(f *elfx.File) map[string]any {
	out := map[string]any{}
	v := reflect.ValueOf(f).Elem()
	for i := range v.NumField() {
		if field := v.Type().Field(i); field.IsExported() {
			out[field.Name] = v.Field(i).Interface()
		}
	}
	delete(out, "PhNum")
	var needed []elfx.VersionNeed
	for _, n := range f.VersNeeded {
		c := elfx.VersionNeed{File: n.File}
		for _, x := range n.Versions {
			x.Index = 0 // of DT_VERSYM
			c.Versions = append(c.Versions, x)
		}
		needed = append(needed, c)
	}
	out["VersNeeded"] = needed
	return out
}

// Look-ups get the same answer from a spec as from the file: for each symbol
// that any object of the sample wants, in every other.
func TestLookupsComeBack(t *testing.T) {
	spec := sample(t)
	m := machine(t)
	over, err := Over(m, spec)
	if err != nil {
		t.Fatal(err)
	}
	type pair struct {
		path           string
		listed, symtab ldso.SymbolTable
	}
	var objects []pair
	queries := map[elfx.Query]bool{}
	for _, obj := range spec.Objects {
		if !obj.Travels {
			continue
		}
		a, _ := over.Open(obj.Path)
		b, _ := m.Open(obj.Path)
		listed, err1 := over.Symbols(a)
		symtab, err2 := m.Symbols(b)
		if err := errors.Join(err1, err2); err != nil {
			t.Fatalf("%s: %v", obj.Path, err)
		}
		objects = append(objects, pair{obj.Path, listed, symtab})
		var got, want []elfx.Symbol
		listed.Undefined(func(s elfx.Symbol) bool { got = append(got, s); return true })
		symtab.Undefined(func(s elfx.Symbol) bool {
			if s.Ref != elfx.RefCopy {
				s.Size = 0 // nothing compares it
			}
			want = append(want, s)
			return true
		})
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: undefined symbols differ", obj.Path)
		}
		for _, s := range want {
			for _, version := range []string{s.Version, "", "NO_SUCH_VERSION"} {
				queries[elfx.Query{Name: s.Name, Hash: elfx.GNUHash(s.Name), Version: version, VerHash: elfx.Hash(version), NotPLTAddress: true}] = true
			}
		}
	}
	found := 0
	for q := range queries {
		for _, o := range objects {
			got, ok := o.listed.Lookup(q)
			want, wantOK := o.symtab.Lookup(q)
			if want.Type != elf.STT_OBJECT {
				got.Size, want.Size = 0, 0
			}
			if ok != wantOK || ok && got != want {
				t.Errorf("%s: %s@%s: %+v, %t; want %+v, %t", o.path, q.Name, q.Version, got, ok, want, wantOK)
			}
			if ok {
				found++
			}
		}
	}
	t.Logf("%d symbols in %d objects, %d found", len(queries), len(objects), found)
	if found < 500 {
		t.Errorf("only %d found", found)
	}
}

// valid is a spec that Over takes.
func valid() *artifact.Spec {
	interp, soname := "/lib64/ld-linux-x86-64.so.2", "x"
	return &artifact.Spec{
		Programs: []artifact.Program{{Name: "app", Path: "/opt/none/app", Kind: "program"}},
		Objects: []artifact.Object{{
			Path: "/opt/none/app", Role: "program", Travels: true, Size: 100, Mode: "0755",
			ELF: &artifact.ELF{
				Class: 64, Data: "little", Type: "dyn", Machine: 62, Version: 1, IdentVer: 1, PhEntSize: 56, Stack: "rw", Interp: &interp, Soname: &soname,
				Loads: []artifact.Segment{{Align: 4096, Flags: "rw"}}, Needed: []artifact.NeedName{{Kind: "needed", Name: "x"}},
				Verneed: []artifact.Verneed{{File: "x", Versions: []artifact.Version{{Name: "V"}}}}, Verdef: []artifact.Verdef{{Name: "V", Index: 2}},
			},
			Symbols: &artifact.Symbols{Undefined: []artifact.Symbol{{Name: "u"}}, Defined: []artifact.Symbol{{Name: "d"}}},
			Loader:  &artifact.Loader{Flavor: "glibc", Version: "2.36", SystemDirs: []string{"/lib/"}},
		}},
	}
}

// Claims that no file can make true are refused, and say what and where.
func TestOverRefuses(t *testing.T) {
	if _, err := Over(machine(t), valid()); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("n", maxText+1)
	for _, c := range []struct {
		claim string
		edit  func(*artifact.Object)
		want  string
	}{
		{"path", func(o *artifact.Object) { o.Path = "/" }, "path"},
		{"empty path", func(o *artifact.Object) { o.Path = "" }, "path"},
		{"relative path", func(o *artifact.Object) { o.Path = "app" }, "path"},
		{"unclean path", func(o *artifact.Object) { o.Path = "/opt/../app" }, "path"},
		{"double slash", func(o *artifact.Object) { o.Path = "//app" }, "path"},
		{"trailing slash", func(o *artifact.Object) { o.Path = "/app/" }, "path"},
		{"mode", func(o *artifact.Object) { o.Mode = "0888" }, "mode"},
		{"size", func(o *artifact.Object) { o.Size = -1 }, "size"},
		{"machine that wraps to x86-64", func(o *artifact.Object) { o.ELF.Machine = 1<<16 + 62 }, "machine"},
		{"negative machine", func(o *artifact.Object) { o.ELF.Machine = -1 }, "machine"},
		{"osabi", func(o *artifact.Object) { o.ELF.OSABI = 256 }, "osabi"},
		{"abiVersion", func(o *artifact.Object) { o.ELF.ABIVersion = 256 }, "abiVersion"},
		{"identVersion", func(o *artifact.Object) { o.ELF.IdentVer = 257 }, "identVersion"},
		{"phentsize", func(o *artifact.Object) { o.ELF.PhEntSize = 1<<16 + 56 }, "phentsize"},
		{"dtFlags1", func(o *artifact.Object) { o.ELF.Flags1 = 1 << 32 }, "dtFlags1"},
		{"type", func(o *artifact.Object) { o.ELF.Type = "other" }, "type"},
		{"type that wraps to dyn", func(o *artifact.Object) { o.ELF.Type = "65539" }, "type"},
		{"segments that wrap", func(o *artifact.Object) { o.ELF.Loads = make([]artifact.Segment, 1<<16+1) }, "segments"},
		{"version index", func(o *artifact.Object) { o.ELF.Verdef[0].Index = 1 << 16 }, "index"},
		{"binding that wraps to weak", func(o *artifact.Object) { o.Symbols.Undefined[0].Binding = "258" }, "binding"},
		{"binding", func(o *artifact.Object) { o.Symbols.Undefined[0].Binding = "x" }, "binding"},
		{"symbol type", func(o *artifact.Object) { o.Symbols.Defined[0].Type = "16" }, "type"},
		{"ref", func(o *artifact.Object) { o.Symbols.Undefined[0].Ref = "x" }, "ref"},
		{"interp", func(o *artifact.Object) { o.ELF.Interp = &long }, "interp"},
		{"soname", func(o *artifact.Object) { o.ELF.Soname = &long }, "soname"},
		{"rpath", func(o *artifact.Object) { o.ELF.RPath = &long }, "rpath"},
		{"runpath", func(o *artifact.Object) { o.ELF.RunPath = &long }, "runpath"},
		{"needed", func(o *artifact.Object) { o.ELF.Needed[0].Name = long }, "needed"},
		{"NUL", func(o *artifact.Object) { o.ELF.Needed[0].Name = "liba\x00.so" }, "needed"},
		{"verneed", func(o *artifact.Object) { o.ELF.Verneed[0].File = long }, "verneed"},
		{"version", func(o *artifact.Object) { o.ELF.Verneed[0].Versions[0].Name = long }, "version"},
		{"verdef", func(o *artifact.Object) { o.ELF.Verdef[0].Name = long }, "version"},
		{"symbol", func(o *artifact.Object) { o.Symbols.Defined[0].Name = long }, "symbol"},
		{"system directory", func(o *artifact.Object) { o.Loader.SystemDirs[0] = long }, "directory"},
		{"one symbol very often", func(o *artifact.Object) {
			for i := range maxSame {
				o.Symbols.Defined = append(o.Symbols.Defined, artifact.Symbol{Name: "d", Version: fmt.Sprint(i)})
			}
		}, "defined more than"},
	} {
		spec := valid()
		c.edit(&spec.Objects[0])
		_, err := Over(machine(t), spec)
		if !errors.Is(err, artifact.ErrInvalid) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), spec.Objects[0].Path) || len(err.Error()) > 400 {
			t.Errorf("%s: %v", c.claim, err)
		}
		spec.Objects[0].Travels = false // what stays at home claims nothing
		if _, err := Over(machine(t), spec); err != nil {
			t.Errorf("%s, of an object that stays: %v", c.claim, err)
		}
	}
}

// At the limits a spec is taken, beyond them not, and soon.
func TestOverLimits(t *testing.T) {
	programs := func(n int) *artifact.Spec {
		s := valid()
		s.Programs = make([]artifact.Program, n)
		return s
	}
	aliases := func(n int) *artifact.Spec {
		s := valid()
		for i := range n - 1 { // and the object itself
			s.Objects[0].Aliases = append(s.Objects[0].Aliases, fmt.Sprintf("/opt/none/%d", i))
		}
		return s
	}
	// Forty links of two thousand components, for each of some aliases.
	winding := func(n int) *artifact.Spec {
		s := valid()
		for i := range 40 {
			s.Objects[0].Links = append(s.Objects[0].Links, artifact.Link{Path: fmt.Sprintf("/opt/none/l%d", i), Target: strings.Repeat("a/../", 800) + fmt.Sprintf("l%d", i+1)})
		}
		for i := range n {
			s.Objects[0].Aliases = append(s.Objects[0].Aliases, fmt.Sprintf("/opt/none/l0/%d", i))
		}
		return s
	}
	deep := func(n int) *artifact.Spec {
		s := valid()
		for i := range n {
			s.Objects[0].Aliases = append(s.Objects[0].Aliases, fmt.Sprintf("/%d", i)+strings.Repeat("/d", 2000))
		}
		return s
	}
	for _, c := range []struct {
		name string
		spec *artifact.Spec
		ok   bool
	}{
		{"programs", programs(maxPrograms), true}, {"a program more", programs(maxPrograms + 1), false},
		{"names", aliases(maxNames / 64), true}, {"a name more", aliases(maxNames + 1), false},
		{"a winding link", winding(1), true}, {"many ways through it", winding(1 << 16), false},
		{"a deep path", deep(1), true}, {"deep paths", deep(1 << 12), false},
	} {
		start := time.Now()
		_, err := Over(machine(t), c.spec)
		if d := time.Since(start); d > time.Minute {
			t.Errorf("%s: took %v", c.name, d)
		}
		if (err == nil) != c.ok || err != nil && !errors.Is(err, artifact.ErrInvalid) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestABITag(t *testing.T) {
	for s, want := range map[string]*elfx.ABITag{
		"": nil, "Linux 3.2.0": {OS: 0, Major: 3, Minor: 2}, "OS1 1.2.3": {OS: 1, Major: 1, Minor: 2, Patch: 3}, "Linux": {}, "x": {OS: 1}, "Linux x": {},
		"Linux " + strings.Repeat("9", 1<<20): {Major: 999999},
	} {
		if got := abiTag(s); !reflect.DeepEqual(got, want) {
			t.Errorf("%.30q: %+v, want %+v", s, got, want)
		}
	}
}

func TestFlags(t *testing.T) {
	for s, want := range map[string]elf.ProgFlag{"": 0, "r": elf.PF_R, "rwx": elf.PF_R | elf.PF_W | elf.PF_X, "absent": 0, strings.Repeat("w", 1<<20): elf.PF_W} {
		if got := parseFlags(s); got != want {
			t.Errorf("%.10q: %v, want %v", s, got, want)
		}
	}
	if n := number[uint32](&reader{}, "x", math.MaxUint32, math.MaxUint32); n != math.MaxUint32 {
		t.Errorf("the highest number became %d", n)
	}
}
