package elfx

import (
	"debug/elf"
	"slices"
)

// What a loader asks that knows no symbol versions: musl's (musl 1.2.3,
// ldso/dynlink.c). It heeds DT_VERSYM for one thing: what has its top bit set
// is not the default version, and is not there.

// maxTypes is how many relocation types one object may have; a machine has
// some hundreds of them.
const maxTypes = 1 << 12

func (s *Symbols) noteType(typ uint32) {
	if i := slices.Index(s.types, typ); i >= 0 { // the last one stays last: relocations come sorted
		s.types[i], s.types[len(s.types)-1] = s.types[len(s.types)-1], typ
	} else if len(s.types) < maxTypes {
		s.types = append(s.types, typ)
	}
}

// RelocTypes are the types of the object's relocations, in no order; those that
// DT_RELACOUNT or DT_RELCOUNT declares relative may be left out.
func (s *Symbols) RelocTypes() []uint32 { return s.types }

// References calls yield for each symbol that a relocation of the object names
// and that is not local, whether the object defines it or not (do_relocs).
func (s *Symbols) References(yield func(Symbol) bool) {
	for i := 1; i < s.count; i++ {
		ref := s.refs[i]
		if ref.ref == RefNone {
			continue
		}
		raw := s.at(i)
		if raw.bind() == elf.STB_LOCAL {
			continue
		}
		if !yield(Symbol{
			Name: string(raw.name), Binding: raw.bind(), Type: raw.typ(), Size: raw.size, Ref: ref.ref,
			NotPLTAddress: ref.notPLT, JumpSlot: ref.slot, Defined: elf.SectionIndex(raw.shndx) != elf.SHN_UNDEF,
		}) {
			return
		}
	}
}

// LookupUnversioned finds the first symbol of that name, whose GNUHash is hash,
// in this object, and answers whether it may be bound to (find_sym2).
// needDef refuses an undefined symbol with a value, as a jump slot does.
func (s *Symbols) LookupUnversioned(name string, hash uint32, needDef bool) (Match, bool) {
	i, ok := s.find(name, hash)
	if !ok {
		return Match{}, false
	}
	raw := s.at(i)
	undefined := elf.SectionIndex(raw.shndx) == elf.SHN_UNDEF
	switch {
	case undefined && (needDef || raw.typ() == elf.STT_TLS),
		raw.value == 0 && raw.typ() != elf.STT_TLS,
		!okType(raw.typ()), !okBinding(raw.bind()):
		return Match{}, false
	}
	return Match{Size: raw.size, Type: raw.typ()}, true
}

// find is gnu_lookup_filtered, and sysv_lookup where there is no GNU hash.
func (s *Symbols) find(name string, hash uint32) (int, bool) {
	is := func(i int) bool {
		return (2*i+2 > len(s.versym) || s.order.Uint16(s.versym[2*i:])&0x8000 == 0) && string(s.at(i).name) == name
	}
	if s.byName != nil {
		for _, i := range s.byName[name] {
			if is(i) {
				return i, true
			}
		}
		return 0, false
	}
	if !s.inBloom(hash) {
		return 0, false
	}
	for i := s.order.Uint32(s.buckets[4*(hash%s.nbuckets):]); i >= s.symoffset && int(i-s.symoffset) < len(s.chain)/4 && i != 0; i++ {
		h := s.order.Uint32(s.chain[4*(i-s.symoffset):])
		if (h^hash)>>1 == 0 && is(int(i)) {
			return int(i), true
		}
		if h&1 != 0 {
			break
		}
	}
	return 0, false
}

// okType is OK_TYPES: STT_GNU_IFUNC is not among them.
func okType(t elf.SymType) bool {
	switch t {
	case elf.STT_NOTYPE, elf.STT_OBJECT, elf.STT_FUNC, elf.STT_COMMON, elf.STT_TLS:
		return true
	}
	return false
}

// okBinding is OK_BINDS; STB_LOOS is STB_GNU_UNIQUE.
func okBinding(b elf.SymBind) bool {
	return b == elf.STB_GLOBAL || b == elf.STB_WEAK || b == elf.STB_LOOS
}

// References is as for Symbols, without those that the object defines itself:
// a list does not have them, and they hardly ever miss.
func (l *Listed) References(yield func(Symbol) bool) {
	l.Undefined(func(s Symbol) bool {
		s.JumpSlot = s.Ref == RefPLT
		return yield(s)
	})
}

// LookupUnversioned is as for Symbols. The symbol that ld makes of a version,
// with its name, has no value; a list does not tell values.
func (l *Listed) LookupUnversioned(name string, _ uint32, needDef bool) (Match, bool) {
	return l.ChooseUnversioned(l.byName[name], needDef)
}

// ChooseUnversioned picks, of the definitions of a name, the one that a loader
// without versions binds to; needDef is as for Symbols.LookupUnversioned.
func (l Versions) ChooseUnversioned(defined []Symbol, needDef bool) (Match, bool) {
	for _, s := range defined {
		if !(s.Hidden && l.versioned) {
			if s.PLTAddress && (needDef || s.Type == elf.STT_TLS) {
				return Match{}, false
			}
			return Match{Size: s.Size, Type: s.Type}, s.Name != s.Version && okType(s.Type) && okBinding(s.Binding)
		}
	}
	return Match{}, false
}

// RelocTypes is none: a list has no relocations.
func (l *Listed) RelocTypes() []uint32 { return nil }
