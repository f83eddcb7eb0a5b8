package hostindex

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/internal/loadertest"
	"github.com/compspec/compat/pkg/internal/specview"
)

// editor changes a spec as the bytes of a fuzz input say: mutations of JSON
// text rarely stay valid, and these mostly do.
type editor struct {
	b    []byte
	spec *artifact.Spec
}

func (e *editor) next() int {
	if len(e.b) == 0 {
		return 0
	}
	n := e.b[0]
	e.b = e.b[1:]
	return int(n)
}

var oddPaths = []string{
	"/", "//", "/.", "/..", "/usr", "/usr/lib", "/lib", "/lib64", "/etc", "/etc/ld.so.cache", "/etc/ld.so.preload", "/etc/passwd", "/etc/passwd/x", "/proc/self/exe",
	"/dev/null", "/tmp", nowhere, nowhere + "/app", nowhere + "/liba.so", nowhere + "/lib/liba.so", nowhere + "/l/../liba.so", nowhere + "/l", nowhere + "/l/", "/usr/lib/libc.so.6",
	"/lib64/ld-linux-x86-64.so.2", "/bin/sh", "/usr/bin/env", "/a\x00b", "/\xff", "/" + strings.Repeat("n", 255), "/" + strings.Repeat("n", 256), strings.Repeat("/d", 2047), strings.Repeat("/..", 1000),
}

var oddNames = []string{
	"", ".", "..", "/", "//", "liba.so", "libb.so", "libc.so.6", "ld-linux-x86-64.so.2", "x", "./x", "lib/liba.so", "$ORIGIN", "$ORIGIN/liba.so", "${ORIGIN}/../lib", "$LIB", "$PLATFORM", "$",
	":", "::", "/a:/b", "$ORIGIN:$ORIGIN/lib:", nowhere, "/usr/lib:/lib:.", ";", strings.Repeat("$ORIGIN/", 1000), strings.Repeat("/d:", 3000), strings.Repeat("n", 300), strings.Repeat("n", 5000),
	strings.Repeat("n", 1<<16+1), "a\x00b", "V1", "GLIBC_2.2.5", "GLIBC_2.38", "GLIBC_99.1", "GLIBC_PRIVATE", "GLIBC_ABI_DT_RELR", "GLIBC_", "_", "V_", "V_1.x", "V_99999999999999999999", "-1", "256", "weak", "object",
}

var oddNumbers = []uint64{
	0, 1, 2, 3, 4, 7, 8, 40, 56, 62, 64, 183, 255, 256, 4095, 4096, 4097, 0xffff, 0x10000, 0x1003e, 1 << 20, math.MaxInt32, math.MaxUint32, 1 << 32, 1<<47 - 4096, 1 << 47, 1 << 50,
	math.MaxInt64 &^ 0xfff, math.MaxInt64, 1 << 63, math.MaxUint64 - 4095, math.MaxUint64,
}

func pick[T any](e *editor, list []T) T { return list[e.next()%len(list)] }

func (e *editor) path() string  { return pick(e, oddPaths) }
func (e *editor) name() string  { return pick(e, oddNames) }
func (e *editor) bool() bool    { return e.next()&1 != 0 }
func (e *editor) uint() uint64  { return pick(e, oddNumbers) }
func (e *editor) int() int      { return int(e.uint() & math.MaxInt64) }
func (e *editor) text() *string { s := e.name(); return &s }

func (e *editor) object() *artifact.Object {
	if len(e.spec.Objects) == 0 {
		e.spec.Objects = []artifact.Object{{Path: nowhere + "/x", Role: "library", Mode: "0644", Digest: "sha256:" + strings.Repeat("0", 64)}}
	}
	return &e.spec.Objects[e.next()%len(e.spec.Objects)]
}

func (e *editor) elf() *artifact.ELF {
	o := e.object()
	if o.ELF == nil {
		o.ELF = &artifact.ELF{Class: 64, Data: "little", Type: "dyn", Machine: 62, Version: 1, IdentVer: 1, PhEntSize: 56, Stack: "rw", Loads: []artifact.Segment{}}
	}
	return o.ELF
}

func (e *editor) segment() *artifact.Segment {
	f := e.elf()
	if e.bool() || len(f.Loads) == 0 {
		f.Loads = append(f.Loads, artifact.Segment{FileSz: 1, MemSz: 1, Align: 4096, Flags: "r"})
	}
	return &f.Loads[e.next()%len(f.Loads)]
}

func (e *editor) symbols() *artifact.Symbols {
	o := e.object()
	if o.Symbols == nil {
		o.Symbols = &artifact.Symbols{}
	}
	return o.Symbols
}

func (e *editor) symbol() artifact.Symbol {
	s := artifact.Symbol{Name: e.name(), Version: e.name(), Size: e.uint(), Hidden: e.bool(), NotPLT: e.bool(), PLT: e.bool(), Index: e.uint()}
	s.Ref = pick(e, []string{"", "data", "copy"})
	s.Binding = pick(e, []string{"", "weak", "unique", "3"})
	s.Type = pick(e, []string{"", "notype", "object", "tls", "ifunc", "15"})
	return s
}

// edit does one change.
func (e *editor) edit() {
	switch e.next() % 36 {
	case 0:
		e.object().Path = e.path()
	case 1:
		o := e.object()
		o.Aliases = append(o.Aliases, e.path())
	case 2:
		o := e.object()
		o.Links = append(o.Links, artifact.Link{Path: e.path(), Target: e.path(), Dir: e.bool()})
	case 3:
		o := e.object()
		o.Links = append(o.Links, artifact.Link{Path: e.path(), Target: e.name(), Dir: e.bool()})
	case 4:
		o := e.object()
		o.Travels = !o.Travels
	case 5:
		e.object().Size = int64(e.int())
	case 6:
		e.object().Mode = pick(e, []string{"0755", "0644", "00", "04755", "07777"})
	case 7:
		f := e.elf()
		f.Needed = append(f.Needed, artifact.NeedName{Kind: pick(e, []string{"needed", "filter", "auxiliary"}), Name: e.name()})
	case 8:
		if f := e.elf(); len(f.Needed) > 0 {
			f.Needed[e.next()%len(f.Needed)].Name = e.name()
		}
	case 9:
		e.elf().RPath = e.text()
	case 10:
		e.elf().RunPath = e.text()
	case 11:
		e.elf().Soname = e.text()
	case 12:
		f := e.elf()
		f.Interp = e.text()
		if e.bool() {
			p := e.path()
			f.Interp = &p
		}
	case 13:
		e.segment().Offset = e.uint()
	case 14:
		e.segment().VAddr = e.uint()
	case 15:
		e.segment().FileSz = e.uint()
	case 16:
		e.segment().MemSz = e.uint()
	case 17:
		s := e.segment()
		s.Align, s.Flags = e.uint(), pick(e, []string{"", "r", "rw", "rx", "rwx"})
	case 18:
		f := e.elf()
		f.Dynamic = &artifact.Segment{VAddr: e.uint(), FileSz: e.uint(), Offset: e.uint()}
		if e.bool() {
			f.Dynamic = nil
		}
	case 19:
		e.elf().Machine = e.int()
	case 20:
		f := e.elf()
		f.Class, f.Data = pick(e, []int{32, 64}), pick(e, []string{"little", "big"})
	case 21:
		e.elf().Type = pick(e, []string{"dyn", "exec", "rel", "core", "0", "65535", "65536", "x"})
	case 22:
		e.elf().Flags1 = e.uint()
	case 23:
		f := e.elf()
		f.OSABI, f.ABIVersion, f.IdentVer, f.PhEntSize = e.int(), e.int(), e.int(), e.int()
	case 24:
		f := e.elf()
		f.ISANeeded, f.Relr, f.BindNow, f.Versym = uint32(e.uint()), e.bool(), e.bool(), e.bool()
	case 25:
		f := e.elf()
		v := artifact.Verneed{File: e.name(), Versions: []artifact.Version{}}
		for range e.next() % 4 {
			v.Versions = append(v.Versions, artifact.Version{Name: e.name(), Weak: e.bool()})
		}
		f.Verneed = append(f.Verneed, v)
	case 26:
		f := e.elf()
		f.Verdef = append(f.Verdef, artifact.Verdef{Name: e.name(), Index: e.int(), Base: e.bool()})
	case 27:
		s := e.symbols()
		s.Undefined = append(s.Undefined, e.symbol())
	case 28:
		s := e.symbols()
		s.Defined = append(s.Defined, e.symbol())
	case 29:
		o := e.object()
		o.ELF, o.Symbols = nil, nil
	case 30:
		o := e.object()
		o.Loader = &artifact.Loader{Flavor: pick(e, []string{"glibc", "musl", "unknown"}), Version: e.name(), SystemDirs: []string{e.name(), e.path() + "/"}, Features: []string{"legacy-hwcaps", "page-align", e.name()}}
	case 31:
		e.spec.Programs = append(e.spec.Programs, artifact.Program{Name: "p", Path: e.path(), Kind: pick(e, []string{"program", "script"}), Script: e.name()})
	case 32:
		p := &e.spec.Programs[e.next()%len(e.spec.Programs)]
		p.Path, p.Kind, p.Script = e.object().Path, "script", pick(e, []string{"/bin/sh", nowhere + "/app", "/usr/bin/env x", e.path(), e.name()})
	case 33:
		o := *e.object()
		o.Path = e.path()
		e.spec.Objects = append(e.spec.Objects, o)
	case 34:
		f := e.elf()
		f.ABITag = pick(e, []string{"Linux 99.0.0", "Linux 3.2.0", "OS9 1", "x", e.name()})
		f.Defects = append(f.Defects, pick(e, []string{"dynamic section: x", "symbol table: x", "x", ": ", "program headers: x"}))
	case 35: // often: an object named after what another needs
		if f := e.elf(); len(f.Needed) > 0 {
			e.object().Path = nowhere + "/" + f.Needed[0].Name
		}
	}
}

// bases are specs of no compiler, for workers of the fuzz engine.
func bases(t testing.TB) []*artifact.Spec {
	t.Helper()
	var m made
	m.program("app", artifact.ELF{Needed: needs("needed", 2, numbered("lib%d.so")), RunPath: ptr("$ORIGIN:$ORIGIN/lib")})
	m.object("lib0.so", artifact.ELF{Needed: needs("needed", 1, numbered("lib1.so")), RPath: ptr("$ORIGIN/../x")})
	m.object("lib/lib1.so", artifact.ELF{Verdef: []artifact.Verdef{{Name: "V1", Index: 2}}, Versym: true})
	m.MediaType, m.SchemaVersion, m.Platform = artifact.MediaTypeSpec, 1, artifact.Platform{OS: "linux", Architecture: "amd64"}
	m.Spec.Needs = []artifact.Need{}
	m.Requirements = artifact.Requirements{Interpreters: []string{}, Libraries: []artifact.LibraryNeed{}}
	for i := range m.Objects {
		m.Objects[i].Digest = "sha256:" + strings.Repeat("0", 64)
	}
	ls, err := artifact.Generate(context.Background(), artifact.GenerateOptions{Targets: []string{"/bin/ls"}})
	if err != nil {
		t.Fatal(err)
	}
	return []*artifact.Spec{&m.Spec, ls}
}

func clone(t testing.TB, s *artifact.Spec) *artifact.Spec {
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var out artifact.Spec
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	return &out
}

// FuzzCheck: whatever a spec claims, a check of it ends soon with a verdict
// that its findings give and a valid report, or with ErrInvalid. The bytes of
// edits change the spec, which is the document where that is one.
func FuzzCheck(f *testing.F) {
	if _, err := os.Stat(loadertest.Loader); err != nil {
		loadertest.Require(f, loadertest.Loader)
	}
	specs := bases(f)
	if worker := flag.Lookup("test.fuzzworker"); worker == nil || worker.Value.String() != "true" {
		cases := loadertest.Build(f)
		for _, name := range []string{"01_ok", "04_missing_version", "72_rpath_inherited", "92_bfs_first_wins", "94_origin_exe_symlink", "b0_auxiliary_missing"} {
			c := cases.Get(f, name)
			c.Program = c.Dir + "/" + c.Program
			spec := generate(f, c, c.Dir)
			b, err := artifact.Encode(spec)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b, []byte{})
		}
		for i := range 36 * 3 {
			f.Add([]byte{byte(i)}, []byte{byte(i % 36), byte(i), 3, byte(i + 5), 4, byte(i * 7), 0, 35, 0, 1, 2, byte(i / 36), 7, 0, 0, byte(i), 2, 1, 17, 16, 1})
		}
	}
	host := live(f)
	f.Fuzz(func(t *testing.T, doc, edits []byte) {
		spec, err := artifact.Decode(doc)
		if err != nil {
			spec = clone(t, specs[len(doc)%len(specs)])
		}
		for e := (&editor{b: edits[:min(len(edits), 4096)], spec: spec}); len(e.b) > 0; {
			e.edit()
		}
		doc, err = artifact.Encode(spec)
		if err != nil {
			return // no spec any more
		}
		if spec, err = artifact.Decode(doc); err != nil {
			return // numbers too large for their fields
		}
		checkHostile(t, spec, host)
	})
}

func checkHostile(t *testing.T, spec *artifact.Spec, host *Index) {
	start := time.Now()
	opts := CheckOptions{steps: 1 << 21, Env: map[string]string{"LD_LIBRARY_PATH": nowhere + "/lib:"}}
	r, err := Check(context.Background(), spec, host, opts)
	if d := time.Since(start); d > time.Minute {
		t.Errorf("took %v", d)
	}
	if err != nil {
		if r != nil || !errors.Is(err, artifact.ErrInvalid) || len(err.Error()) > 16<<10 {
			t.Errorf("%v, %v", r, err)
		}
		return
	}
	if _, err := r.JSON(); err != nil {
		t.Errorf("the report: %v", err)
	}
	verdict := map[string][]Finding{}
	for _, f := range r.Findings {
		verdict[f.Program] = append(verdict[f.Program], f)
	}
	for _, p := range r.Programs {
		if p.Verdict != decide(verdict[p.Path]) && len(r.Programs) == 1 {
			t.Errorf("%s: %s, of %+v", p.Path, p.Verdict, verdict[p.Path])
		}
	}
	if r.Verdict != worst(r.Programs) || len(r.Programs) != len(spec.Programs) {
		t.Errorf("%s of %+v", r.Verdict, r.Programs)
	}
	again, err := Check(context.Background(), spec, host, opts)
	if err != nil || again.Verdict != r.Verdict {
		t.Errorf("once %s, then %v, %v", r.Verdict, again, err)
	}
	// What the machine has as a directory stays one.
	over, err := specview.Over(host.m, spec)
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"/", "/usr", "/usr/lib", "/lib", "/lib64", "/etc", "/tmp"} {
		if info, err := over.FS.Stat(dir); err != nil || !info.IsDir() {
			t.Errorf("%s: %+v, %v", dir, info, err)
		}
	}
}

// Many edits at once, the same ones in each run: what a few seconds of
// fuzzing do not come to.
func TestCheckOfEditedSpecs(t *testing.T) {
	loadertest.Require(t, loadertest.Loader)
	host, specs := live(t), bases(t)
	r := rand.New(rand.NewPCG(1, 2))
	checked := 0
	for i := range 300 {
		edits := make([]byte, 4+r.IntN(60))
		for j := range edits {
			edits[j] = byte(r.Uint32())
		}
		spec := clone(t, specs[i%8/7])
		for e := (&editor{b: edits, spec: spec}); len(e.b) > 0; {
			e.edit()
		}
		if doc, err := artifact.Encode(spec); err == nil {
			if spec, err = artifact.Decode(doc); err == nil {
				checkHostile(t, spec, host)
				checked++
			}
		}
	}
	t.Logf("%d specs checked", checked)
	if checked < 100 {
		t.Errorf("only %d specs were valid", checked)
	}
}
