package artifact

import (
	"debug/elf"
	"strconv"

	"github.com/compspec/compat/pkg/internal/elfx"
)

var (
	bindings = map[elf.SymBind]string{elf.STB_GLOBAL: "", elf.STB_WEAK: "weak", elf.STB_LOOS: "unique"}
	symTypes = map[elf.SymType]string{
		elf.STT_NOTYPE: "notype", elf.STT_FUNC: "", elf.STT_OBJECT: "object", elf.STT_COMMON: "common",
		elf.STT_TLS: "tls", elf.STT_GNU_IFUNC: "ifunc",
	}
	refs = map[elfx.Ref]string{elfx.RefPLT: "", elfx.RefData: "data", elfx.RefCopy: "copy"}
)

func name[K ~uint8 | ~int](m map[K]string, k K) string {
	if s, ok := m[k]; ok {
		return s
	}
	return strconv.Itoa(int(k))
}

// symbolFacts lists the symbols of one object.
func symbolFacts(t *elfx.Symbols) *Symbols {
	s := &Symbols{}
	t.Undefined(func(x elfx.Symbol) bool {
		y := symbol(x)
		y.Ref = name(refs, x.Ref)
		// Jump slots never take a PLT address: only what differs is written.
		y.NotPLT = x.NotPLTAddress && x.Ref != elfx.RefPLT
		if x.Ref != elfx.RefCopy {
			y.Size = 0
		}
		s.Undefined = append(s.Undefined, y)
		return true
	})
	t.Defined(func(x elfx.Symbol) bool {
		y := symbol(x)
		y.Hidden, y.PLT, y.Index = x.Hidden, x.PLTAddress, uint64(x.Index)
		if x.Type != elf.STT_OBJECT {
			y.Size = 0 // only copy relocations compare sizes
		}
		s.Defined = append(s.Defined, y)
		return true
	})
	return s
}

func symbol(x elfx.Symbol) Symbol {
	return Symbol{
		Name: x.Name, Version: x.Version, File: x.File, Size: x.Size,
		Binding: name(bindings, x.Binding), Type: name(symTypes, x.Type),
	}
}
