package specview

import (
	"debug/elf"
	"strconv"

	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/internal/elfx"
)

var (
	bindings = map[string]elf.SymBind{"": elf.STB_GLOBAL, "weak": elf.STB_WEAK, "unique": elf.STB_LOOS}
	symTypes = map[string]elf.SymType{
		"notype": elf.STT_NOTYPE, "": elf.STT_FUNC, "object": elf.STT_OBJECT, "common": elf.STT_COMMON,
		"tls": elf.STT_TLS, "ifunc": elf.STT_GNU_IFUNC,
	}
	refs = map[string]elfx.Ref{"": elfx.RefPLT, "data": elfx.RefData, "copy": elfx.RefCopy}
)

func named[K ~uint8 | ~int](m map[string]K, s string) K {
	if k, ok := m[s]; ok {
		return k
	}
	n, _ := strconv.Atoi(s)
	return K(n)
}

// table answers look-ups from the symbols of a spec as the file itself would.
func table(s *artifact.Symbols, f *elfx.File) *elfx.Listed {
	list := func(in []artifact.Symbol, undefined bool) []elfx.Symbol {
		out := make([]elfx.Symbol, 0, len(in))
		for _, x := range in {
			y := elfx.Symbol{
				Name: x.Name, Version: x.Version, File: x.File, Hidden: x.Hidden, Size: x.Size,
				Binding: named(bindings, x.Binding), Type: named(symTypes, x.Type),
			}
			if undefined {
				y.Ref = named(refs, x.Ref)
				y.NotPLTAddress = x.NotPLT || y.Ref == elfx.RefPLT
			}
			out = append(out, y)
		}
		return out
	}
	return elfx.NewListed(f, list(s.Undefined, true), list(s.Defined, false))
}
