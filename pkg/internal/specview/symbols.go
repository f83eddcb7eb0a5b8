package specview

import (
	"debug/elf"
	"math"
	"strconv"

	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/internal/elfx"
)

func (r *reader) binding(s string) elf.SymBind {
	switch s {
	case "":
		return elf.STB_GLOBAL
	case "weak":
		return elf.STB_WEAK
	case "unique":
		return elf.STB_LOOS
	}
	return elf.SymBind(r.nibble("binding", s))
}

func (r *reader) symType(s string) elf.SymType {
	switch s {
	case "":
		return elf.STT_FUNC
	case "notype":
		return elf.STT_NOTYPE
	case "object":
		return elf.STT_OBJECT
	case "common":
		return elf.STT_COMMON
	case "tls":
		return elf.STT_TLS
	case "ifunc":
		return elf.STT_GNU_IFUNC
	}
	return elf.SymType(r.nibble("symbol type", s))
}

// nibble is a value that has no name: half of st_info.
func (r *reader) nibble(what, s string) uint8 {
	n, err := strconv.ParseUint(s, 10, 4)
	if err != nil {
		r.fail("%s %.20q is unknown", what, s)
	}
	return uint8(n)
}

func (r *reader) ref(s string) elfx.Ref {
	switch s {
	case "":
		return elfx.RefPLT
	case "data":
		return elfx.RefData
	case "copy":
		return elfx.RefCopy
	}
	r.fail("ref %.20q is unknown", s)
	return elfx.RefNone
}

// maxSame is how many versions of one symbol an object may define. A look-up
// goes through them all; glibc has 6 of one at most.
const maxSame = 64

// table answers look-ups from the symbols of a spec as the file itself would.
func (r *reader) table(s *artifact.Symbols, f *elfx.File) *elfx.Listed {
	list := func(in []artifact.Symbol, undefined bool) []elfx.Symbol {
		out := make([]elfx.Symbol, 0, len(in))
		for _, x := range in {
			y := elfx.Symbol{
				Name: r.text("symbol", x.Name), Version: r.text("version", x.Version), File: r.text("file", x.File), Hidden: x.Hidden, Size: x.Size,
				Binding: r.binding(x.Binding), Type: r.symType(x.Type),
			}
			if undefined {
				y.Ref = r.ref(x.Ref)
				y.NotPLTAddress = x.NotPLT || y.Ref == elfx.RefPLT
			} else if y.PLTAddress = x.PLT; x.PLT {
				y.Index = number[uint16](r, "version index", x.Index, math.MaxUint16)
			}
			out = append(out, y)
		}
		return out
	}
	defined := list(s.Defined, false)
	same := make(map[string]int, len(defined))
	for _, x := range defined {
		if same[x.Name]++; same[x.Name] > maxSame {
			r.fail("symbol %.100q is defined more than %d times", x.Name, maxSame)
		}
	}
	return elfx.NewListed(f, list(s.Undefined, true), defined)
}
