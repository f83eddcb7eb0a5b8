package elfx

import "debug/elf"

// Undefined calls yield for each symbol that the object's relocations refer
// to and that the loader would look up in the scope: the undefined ones of
// default visibility, and those of copy relocations.
func (s *Symbols) Undefined(yield func(Symbol) bool) {
	for i := 1; i < s.count; i++ {
		ref := s.refs[i]
		if ref.ref == RefNone {
			continue
		}
		raw := s.at(i)
		if raw.bind() == elf.STB_LOCAL || len(raw.name) == 0 {
			continue
		}
		vis := elf.SymVis(raw.other & 3)
		if vis == elf.STV_HIDDEN || vis == elf.STV_INTERNAL {
			continue // dl_symbol_visibility_binds_local_p
		}
		if elf.SectionIndex(raw.shndx) != elf.SHN_UNDEF && ref.ref != RefCopy {
			continue
		}
		v, _, _ := s.version(i)
		if !yield(Symbol{
			Name: string(raw.name), Version: v.name, File: v.file, Binding: raw.bind(), Type: raw.typ(),
			Size: raw.size, Ref: ref.ref, NotPLTAddress: ref.notPLT,
		}) {
			return
		}
	}
}

// Defined calls yield for each symbol that the object offers to others, PLT
// entries that stand for those of others included.
func (s *Symbols) Defined(yield func(Symbol) bool) {
	for i := 1; i < s.count; i++ {
		raw := s.at(i)
		if !raw.defined() || len(raw.name) == 0 {
			continue
		}
		v, index, hidden := s.version(i)
		x := Symbol{Name: string(raw.name), Version: v.name, Hidden: hidden, Binding: raw.bind(), Type: raw.typ(), Size: raw.size}
		if x.PLTAddress = elf.SectionIndex(raw.shndx) == elf.SHN_UNDEF; x.PLTAddress {
			x.File, x.Index = v.file, index
		}
		if !yield(x) {
			return
		}
	}
}

// Query is a reference to be resolved.
type Query struct {
	Name    string
	Hash    uint32 // GNUHash(Name)
	Version string // "" is unversioned
	VerHash uint32 // Hash(Version)
	// NotPLTAddress refuses an undefined symbol with a value: the address of
	// a PLT entry in a program.
	NotPLTAddress bool
}

// Match is what an object answers to a Query.
type Match struct {
	Size uint64
	Type elf.SymType
	// Unversioned is set where a version was asked for and the object has no
	// version information at all, yet the symbol is accepted.
	Unversioned bool
}

// Lookup resolves q in this object alone, as do_lookup_x does for one map of
// a scope (glibc 2.36, elf/dl-lookup.c).
func (s *Symbols) Lookup(q Query) (Match, bool) {
	var versioned Match
	var numVersioned int
	try := func(i int) (Match, bool) {
		raw := s.at(i)
		if raw.value == 0 && elf.SectionIndex(raw.shndx) != elf.SHN_ABS && raw.typ() != elf.STT_TLS {
			return Match{}, false
		}
		if elf.SectionIndex(raw.shndx) == elf.SHN_UNDEF && (q.NotPLTAddress || raw.value == 0) {
			return Match{}, false
		}
		switch raw.typ() {
		case elf.STT_NOTYPE, elf.STT_OBJECT, elf.STT_FUNC, elf.STT_COMMON, elf.STT_TLS, elf.STT_GNU_IFUNC:
		default:
			return Match{}, false
		}
		if string(raw.name) != q.Name {
			return Match{}, false
		}
		m := Match{Size: raw.size, Type: raw.typ()}
		v, index, hidden := s.version(i)
		switch {
		case q.Version != "" && s.versym == nil:
			m.Unversioned = true
		case q.Version != "":
			if (v.hash != q.VerHash || v.name != q.Version) && (v.hash != 0 || hidden) {
				return Match{}, false
			}
		case s.versym != nil && index >= 3:
			if !hidden {
				if numVersioned == 0 {
					versioned = m
				}
				numVersioned++
			}
			return Match{}, false
		}
		return m, raw.bind() != elf.STB_LOCAL
	}
	if s.byName != nil {
		for _, i := range s.byName[q.Name] {
			if m, ok := try(i); ok {
				return m, true
			}
		}
		return versioned, numVersioned == 1
	}
	if !s.inBloom(q.Hash) {
		return Match{}, false
	}
	for i := s.order.Uint32(s.buckets[4*(q.Hash%s.nbuckets):]); i >= s.symoffset && int(i-s.symoffset) < len(s.chain)/4 && i != 0; i++ {
		h := s.order.Uint32(s.chain[4*(i-s.symoffset):])
		if (h^q.Hash)>>1 == 0 {
			if m, ok := try(int(i)); ok {
				return m, true
			}
		}
		if h&1 != 0 {
			break
		}
	}
	return versioned, numVersioned == 1
}

func (s *Symbols) inBloom(h uint32) bool {
	if s.nbuckets == 0 || s.bloomSize == 0 || len(s.buckets) == 0 {
		return false
	}
	bits := uint32(8 * s.wordSize())
	w := s.word(s.bloom[uint32(s.wordSize())*((h/bits)&(s.bloomSize-1)):])
	return w>>(h%bits)&(w>>((h>>s.shift2)%bits))&1 != 0
}

// relocKinds are the relocation types of one machine that matter to look-ups.
type relocKinds struct {
	copy, jumpSlot uint32
	tls            []uint32 // besides jumpSlot, of ELF_RTYPE_CLASS_PLT
}

func (k relocKinds) notPLT(typ uint32) bool {
	if typ == k.jumpSlot {
		return true
	}
	for _, t := range k.tls {
		if t == typ {
			return true
		}
	}
	return false
}

// relocTypes gives the types by machine (glibc, sysdeps/*/dl-machine.h,
// elf_machine_type_class).
func relocTypes(m elf.Machine) relocKinds {
	switch m {
	case elf.EM_X86_64:
		return relocKinds{copy: 5, jumpSlot: 7, tls: []uint32{16, 17, 18, 36}}
	case elf.EM_386:
		return relocKinds{copy: 5, jumpSlot: 7, tls: []uint32{14, 35, 36, 37, 41}}
	case elf.EM_AARCH64:
		return relocKinds{copy: 1024, jumpSlot: 1026, tls: []uint32{1028, 1029, 1030, 1031}}
	case elf.EM_ARM:
		return relocKinds{copy: 20, jumpSlot: 22, tls: []uint32{13, 17, 18, 19}}
	case elf.EM_PPC64:
		return relocKinds{copy: 19, jumpSlot: 21, tls: []uint32{68, 73, 78}}
	case elf.EM_S390:
		return relocKinds{copy: 9, jumpSlot: 11, tls: []uint32{54, 55, 56}}
	case elf.EM_RISCV:
		return relocKinds{copy: 4, jumpSlot: 5, tls: []uint32{6, 7, 8, 9, 10, 11}}
	case elf.EM_LOONGARCH:
		return relocKinds{copy: 4, jumpSlot: 5, tls: []uint32{6, 7, 8, 9, 10, 11}}
	}
	return relocKinds{}
}
