package ldso

import (
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/compspec/compat/pkg/internal/loadertest"
)

// variant is the case 01_ok with its program or library changed, beside the
// others.
func variant(t *testing.T, name, file string, edit func(b []byte)) loadertest.Case {
	t.Helper()
	return variantOf(t, loadertest.Build(t).Get(t, "01_ok"), name, file, edit)
}

func variantOf(t *testing.T, ok loadertest.Case, name, file string, edit func(b []byte)) loadertest.Case {
	t.Helper()
	c := ok
	c.Name, c.Dir = name, filepath.Join(filepath.Dir(ok.Dir), "verify-"+file+"-"+strings.ReplaceAll(name, " ", "-"))
	c.Dir = strings.ReplaceAll(c.Dir, "-lib/", "-")
	if err := os.MkdirAll(c.Dir+"/lib", 0o755); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{"app", "lib/liba.so"} {
		b, err := os.ReadFile(filepath.Join(ok.Dir, f))
		if err != nil {
			t.Fatal(err)
		}
		if f == file {
			edit(b)
		}
		if err := os.WriteFile(filepath.Join(c.Dir, f), b, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// Fields of an Elf64_Phdr by offset.
const pFlags, pOffset, pVaddr, pFilesz, pMemsz, pAlign = 4, 8, 16, 32, 40, 48

// load finds the n'th PT_LOAD of a file, the last for -1.
func load(b []byte, n int) []byte {
	le := binary.LittleEndian
	var loads [][]byte
	for i := range uint64(le.Uint16(b[56:])) {
		if ph := b[le.Uint64(b[32:])+56*i:]; le.Uint32(ph) == 1 {
			loads = append(loads, ph)
		}
	}
	return loads[(n+len(loads))%len(loads)]
}

// absurd are program headers with absurd numbers. The low 12 bits of offsets
// and addresses are kept.
var absurd = []struct {
	name  string
	edits []absurdEdit
}{
	{"unchanged", nil},
	{"offset near 2^64", []absurdEdit{{1, pOffset, 0xfffffffffffff000}}},
	{"offset and size wrap", []absurdEdit{{-1, pOffset, 0xfffffffffffff000}, {-1, pFilesz, 0x2000}, {-1, pMemsz, 0x3000}}},
	{"offset 2^63", []absurdEdit{{1, pOffset, 1 << 63}}},
	{"offset of the last page", []absurdEdit{{1, pOffset, math.MaxInt64 &^ 0xfff}}},
	{"offset beyond the file", []absurdEdit{{1, pOffset, 1 << 40}}},
	{"offset of the last beyond the file", []absurdEdit{{-1, pOffset, 1 << 40}}},
	{"offset of the last beyond the file, and cleared", []absurdEdit{{-1, pOffset, 1 << 40}, {-1, pMemsz, 0x3000}}},
	{"cleared up to the page", []absurdEdit{{-1, pOffset, 1 << 40}, {-1, pFilesz, 0x2118}, {-1, pMemsz, 0x3000}}},
	{"code is cleared", []absurdEdit{{1, pMemsz, 0x900}}},
	{"code beyond the file is cleared", []absurdEdit{{1, pOffset, 1 << 40}, {1, pMemsz, 0x900}}},
	{"filesz of all memory", []absurdEdit{{-1, pFilesz, math.MaxUint64}, {-1, pMemsz, math.MaxUint64}}},
	{"filesz 2^50", []absurdEdit{{-1, pFilesz, 1 << 50}, {-1, pMemsz, 1 << 50}}},
	{"memsz of all memory", []absurdEdit{{-1, pMemsz, math.MaxUint64}}},
	{"memsz 2^48", []absurdEdit{{-1, pMemsz, 1 << 48}}},
	{"memsz none", []absurdEdit{{-1, pMemsz, 0}}},
	{"vaddr near 2^64", []absurdEdit{{-1, pVaddr, 0xfffffffffff00000}}},
	{"vaddr 2^46", []absurdEdit{{-1, pVaddr, 1 << 46}}},
	{"vaddr of the first 2^50", []absurdEdit{{0, pVaddr, 1 << 50}}},
	{"vaddr of all 2^50", []absurdEdit{{0, pVaddr, 1 << 50}, {1, pVaddr, 1<<50 + 0x1000}, {2, pVaddr, 1<<50 + 0x2000}, {-1, pVaddr, 1<<50 + 0x3000}}},
	{"align absurd", []absurdEdit{{1, pAlign, 3}}},
	{"align of all bits", []absurdEdit{{1, pAlign, math.MaxUint64}}},
	{"align none", []absurdEdit{{0, pAlign, 0}, {1, pAlign, 0}}},
	{"filesz above memsz", []absurdEdit{{1, pMemsz, 0}}},
	{"flags of the code none", []absurdEdit{{1, pFlags, 0}}},
}

type absurdEdit struct {
	segment int
	field   int
	value   uint64
}

// makeAbsurd is a variant of the case with the edits.
func makeAbsurd(t *testing.T, ok loadertest.Case, name, file string, edits []absurdEdit) loadertest.Case {
	return variantOf(t, ok, name, file, func(b []byte) {
		for _, e := range edits {
			ph := load(b, e.segment)
			switch e.field {
			case pFlags:
				binary.LittleEndian.PutUint32(ph[e.field:], uint32(e.value))
			case pOffset, pVaddr:
				low := binary.LittleEndian.Uint64(ph[e.field:]) & 0xfff
				binary.LittleEndian.PutUint64(ph[e.field:], e.value&^0xfff|low)
			default:
				binary.LittleEndian.PutUint64(ph[e.field:], e.value)
			}
		}
	})
}

// Absurd segments of a library and of a program: the loader and the kernel map
// what they say, and the prediction is what becomes of it.
func TestAbsurdSegmentsAgainstLoader(t *testing.T) {
	for _, c := range absurd {
		for _, file := range []string{"lib/liba.so", "app"} {
			t.Run(c.name+" "+file, func(t *testing.T) {
				v := makeAbsurd(t, loadertest.Build(t).Get(t, "01_ok"), c.name, file, c.edits)
				first := v.First(false)
				r := liveMachine(t, v.Dir).Start(Request{Program: v.Program, Symbols: true})
				t.Logf("the loader: status %d %v %s", first.Status, first.ExecErr, first.Stderr)
				if starts(r) != first.Loaded() {
					t.Errorf("predicted %t, the loader ended with status %d: %s\nproblems: %+v", starts(r), first.Status, first.Stderr, r.Problems)
				}
			})
		}
	}
}

// Names without a character: of a library, the loader takes it for the program
// itself, whose map has that name; of the loader, the kernel for the working
// directory.
func TestEmptyNamesAgainstLoader(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(b []byte)
	}{
		{"needed", func(b []byte) {
			le := binary.LittleEndian
			for i := range uint64(le.Uint16(b[56:])) {
				ph := b[le.Uint64(b[32:])+56*i:]
				if le.Uint32(ph) != 2 { // PT_DYNAMIC
					continue
				}
				for d := b[le.Uint64(ph[pOffset:]):]; le.Uint64(d) != 0; d = d[16:] {
					if le.Uint64(d) == 1 { // DT_NEEDED
						le.PutUint64(d[8:], 0)
					}
				}
			}
		}},
		{"interpreter", func(b []byte) { b[bytes.Index(b, []byte(loadertest.Loader))] = 0 }},
	} {
		v := variant(t, "empty "+c.name, "app", c.edit)
		for _, now := range []bool{false, true} {
			first := v.First(now)
			r := liveMachine(t, v.Dir).Start(Request{Program: v.Program, BindNow: now, Symbols: true})
			if starts(r) != first.Loaded() {
				t.Errorf("%s, now %t: predicted %t, the loader ended with status %d, %v: %s\nproblems: %+v", c.name, now, starts(r), first.Status, first.ExecErr, first.Stderr, r.Problems)
			}
			if first.ExecErr != nil && !strings.Contains(first.ExecErr.Error(), strings.ToLower(r.Problems[0].Message)) {
				t.Errorf("%s: message %q, the kernel: %v", c.name, r.Problems[0].Message, first.ExecErr)
			}
		}
	}
}
