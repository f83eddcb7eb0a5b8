package elfx

import (
	"bytes"
	"debug/elf"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/compspec/compat/pkg/internal/loadertest"
)

func TestMain(m *testing.M) { os.Exit(loadertest.Main(m)) }

// FuzzRead: no file, however broken, panics or costs more than the bounds; an
// error means no facts; and what is listed as defined has a name.
func FuzzRead(f *testing.F) {
	if worker := flag.Lookup("test.fuzzworker"); worker != nil && worker.Value.String() == "true" {
		f.Fuzz(func(t *testing.T, b []byte) { readAll(t, b) }) // the coordinator has the seeds
		return
	}
	seeds := 0
	for _, c := range loadertest.Build(f).All() {
		for _, pattern := range []string{"app", "lib/*.so", "bad/*.so"} {
			names, _ := filepath.Glob(filepath.Join(c.Dir, pattern))
			for _, n := range names {
				if b, err := os.ReadFile(n); err == nil && len(b) < 64<<10 {
					f.Add(b)
					seeds++
				}
			}
		}
	}
	if seeds < 100 {
		f.Fatalf("only %d seeds", seeds)
	}
	f.Fuzz(func(t *testing.T, b []byte) { readAll(t, b) })
}

func readAll(t *testing.T, b []byte) {
	file, err := Read(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		if file != nil {
			t.Error("an error with facts")
		}
		return
	}
	if len(file.Interp) > maxInterpLen || len(file.Needs) > maxDynamic/8 || len(file.VersDef) > maxVersions {
		t.Error("a bound does not hold")
	}
	syms, err := ReadSymbols(bytes.NewReader(b), file)
	if err != nil {
		if !errors.As(err, new(Defect)) {
			t.Errorf("error %v is no Defect", err)
		}
		return
	}
	syms.Undefined(func(s Symbol) bool {
		if s.Name == "" {
			t.Error("an undefined symbol without a name")
		}
		return true
	})
	if len(syms.RelocTypes()) > maxTypes {
		t.Error("too many relocation types")
	}
	n := 0
	syms.References(func(s Symbol) bool {
		syms.LookupUnversioned(s.Name, GNUHash(s.Name), s.JumpSlot)
		n++
		return n < 1000
	})
	n = 0
	syms.Defined(func(s Symbol) bool {
		syms.LookupUnversioned(s.Name, GNUHash(s.Name), true)
		syms.Lookup(Query{Name: s.Name, Hash: GNUHash(s.Name), Version: s.Version, VerHash: Hash(s.Version)})
		n++
		return n < 1000
	})
}

// Truncation at every length, and every byte of the headers set to its
// extremes: the absurd files that fuzzing takes long to find.
func TestDamagedFiles(t *testing.T) {
	c := loadertest.Build(t).Get(t, "04_missing_version")
	b, err := os.ReadFile(filepath.Join(c.Dir, "lib/liba.so"))
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; n < len(b); n += 7 {
		readAll(t, b[:n])
	}
	for i := 0; i < min(len(b), 4096); i++ {
		for _, v := range []byte{0, 0x7f, 0xff} {
			m := bytes.Clone(b)
			m[i] = v
			readAll(t, m)
		}
	}
}

// A sparse file that claims tables of terabytes costs no memory.
type hugeFile struct{ head []byte }

func (h hugeFile) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	if off < int64(len(h.head)) {
		copy(p, h.head[off:])
	}
	return len(p), nil
}

func TestAbsurdSizes(t *testing.T) {
	c := loadertest.Build(t).Get(t, "01_ok")
	b, err := os.ReadFile(filepath.Join(c.Dir, "lib/liba.so"))
	if err != nil {
		t.Fatal(err)
	}
	const size = 1 << 50
	facts, err := Read(hugeFile{b}, size)
	if err != nil {
		t.Fatal(err)
	}
	for i := range facts.Loads {
		facts.Loads[i].FileSize = size - facts.Loads[i].Offset
	}
	for name, d := range map[string]dynAddrs{
		"strtab":    {strsz: size / 2},
		"rela":      {rela: facts.Loads[0].VAddr + 64, relasz: size / 2},
		"hash":      {hash: 1 << 20},
		"gnu hash":  {gnuhash: 1 << 20},
		"no end":    {gnuhash: facts.dyn.gnuhash, symtab: 1 << 40},
		"all of it": {strsz: size / 2, rela: 64, relasz: size / 2, jmprel: 64, pltrelsz: size / 2},
	} {
		f := *facts
		d.symtab, d.strtab, d.hasStrtab = facts.dyn.symtab, facts.dyn.strtab, true
		f.dyn = d
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := ReadSymbols(hugeFile{b}, &f)
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 2*MaxRead {
			t.Errorf("%s: %d bytes allocated (error %v)", name, n, err)
		}
	}
}

func TestNotELF(t *testing.T) {
	for name, b := range map[string][]byte{
		"empty": nil, "short": []byte("\x7fEL"), "text": bytes.Repeat([]byte("hello "), 100), "header cut": []byte(elf.ELFMAG + "\x02\x01\x01"),
	} {
		if _, err := Read(bytes.NewReader(b), int64(len(b))); !errors.Is(err, ErrNotELF) {
			t.Errorf("%s: %v, want ErrNotELF", name, err)
		}
	}
}
