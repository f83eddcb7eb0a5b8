package elfx

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Ref tells how an object refers to an undefined symbol; it decides whether
// the loader looks it up at start or, bound lazily, at the first call.
type Ref uint8

// Kinds of references. The higher the value, the sooner it must be resolved.
const (
	RefNone Ref = iota // in the symbol table, but no relocation uses it
	RefPLT             // only jump slots: looked up at the first call unless BIND_NOW
	RefData            // any other relocation: looked up at start
	RefCopy            // a copy relocation: looked up at start in the other objects
)

func (r Ref) String() string { return [...]string{"none", "plt", "data", "copy"}[r] }

// Symbol is one dynamic symbol, undefined or defined.
type Symbol struct {
	Name    string
	Version string // "" is unversioned
	File    string // of an undefined symbol with a version: the file it is wanted from
	Hidden  bool   // for a definition: name@VER, not name@@VER
	Binding elf.SymBind
	Type    elf.SymType
	Size    uint64 // bytes
	Ref     Ref    // for an undefined symbol
	// NotPLTAddress is set where every reference is of a kind that must not
	// bind to the PLT address that a program exports (ELF_RTYPE_CLASS_PLT).
	NotPLTAddress bool
	// PLTAddress is set by Defined, of a symbol that is undefined and has a value:
	// where a program of fixed addresses has the PLT entry that stands for it.
	PLTAddress bool
	Index      uint16 // of a PLTAddress: what DT_VERSYM has for it
	// The next two are set by References alone.
	JumpSlot bool // a jump slot is among the references
	Defined  bool // the object itself defines it
}

// Symbols are the dynamic symbol table of an object, its hash table and its
// relocations, ready for look-ups. It keeps no file open.
type Symbols struct {
	decoder
	machine elf.Machine
	symtab  []byte
	entry   int // bytes of a symbol
	count   int
	strtab  []byte
	versym  []byte
	names   []versionName // by version index

	// DT_GNU_HASH, or nothing where the object has only DT_HASH.
	buckets, chain, bloom []byte
	symoffset, shift2     uint32
	nbuckets, bloomSize   uint32
	byName                map[string][]int // made from symtab where there is no GNU hash

	refs  []refBits // by symbol index
	types []uint32  // of relocations, but for the relative ones that DT_RELACOUNT counts
}

type versionName struct {
	name string
	hash uint32
	file string // of a needed version
}

type refBits struct {
	ref    Ref
	notPLT bool // no reference accepts the address of a PLT entry
	slot   bool // a jump slot is among them
	any    bool
}

// ReadSymbols reads the dynamic symbols and relocations of f from r, the same
// file. An object without a dynamic symbol table has none.
func ReadSymbols(r io.ReaderAt, f *File) (*Symbols, error) {
	s := &Symbols{decoder: decoder{order: binary.LittleEndian, is64: f.Is64()}, machine: f.Machine, entry: 16}
	if f.Data == elf.ELFDATA2MSB {
		s.order = binary.BigEndian
	}
	if s.is64 {
		s.entry = 24
	}
	d := &f.dyn
	if d.symtab == 0 || !d.hasStrtab {
		return s, nil
	}
	if d.syment != 0 && d.syment != uint64(s.entry) {
		return nil, Defect{PartSymbols, fmt.Sprintf("entries of %d bytes, not %d", d.syment, s.entry)}
	}
	t := tables{r: r, f: f}
	s.strtab = t.read(d.strtab, d.strsz)
	if d.gnuhash != 0 {
		s.readGNUHash(&t, d.gnuhash)
	} else if d.hash != 0 {
		if head := t.read(d.hash, 8); head != nil {
			s.count = int(s.order.Uint32(head[4:]))
		}
	} else if d.strtab > d.symtab {
		s.count = int((d.strtab - d.symtab) / uint64(s.entry))
	}
	// Relocations come first: they may name symbols above what the hash
	// table covers (an object that defines nothing has an empty one).
	if err := s.readRefs(&t, d); err != nil {
		return nil, err
	}
	s.count = max(s.count, len(s.refs))
	s.symtab = t.read(d.symtab, uint64(s.count)*uint64(s.entry))
	if f.Versym {
		s.versym = t.read(d.versym, 2*uint64(s.count))
	}
	if t.err != nil {
		return nil, Defect{PartSymbols, t.err.Error()}
	}
	for len(s.refs) < s.count {
		s.refs = append(s.refs, refBits{})
	}
	s.nameVersions(f)
	if d.gnuhash == 0 && d.hash != 0 { // with neither, look-ups find nothing (dl-lookup.c, do_lookup_x: l_nbuckets)
		s.byName = make(map[string][]int, s.count)
		for i := 1; i < s.count; i++ {
			if sym := s.at(i); sym.defined() {
				s.byName[string(sym.name)] = append(s.byName[string(sym.name)], i)
			}
		}
	}
	return s, nil
}

// tables reads address ranges of a file, up to MaxRead bytes in all.
type tables struct {
	r     io.ReaderAt
	f     *File
	total uint64
	err   error
}

func (t *tables) read(vaddr, n uint64) []byte {
	if t.err != nil || n == 0 {
		return nil
	}
	off, left, ok := t.f.FileOffset(vaddr)
	if !ok || n > left || off+n > uint64(t.f.Size) {
		t.err = fmt.Errorf("%d bytes at address %#x: %w", n, vaddr, errBounds)
		return nil
	}
	if t.total += n; t.total > MaxRead {
		t.err = errors.New("needs more memory than the limit")
		return nil
	}
	b := make([]byte, n)
	if _, err := t.r.ReadAt(b, int64(off)); err != nil {
		t.err = err
		return nil
	}
	return b
}

// readGNUHash reads DT_GNU_HASH and counts the symbols that it covers. The
// layout: nbuckets, symoffset, bloom_size, bloom_shift, bloom[], buckets[],
// chain[] (glibc, elf/dl-setup_hash.c).
func (s *Symbols) readGNUHash(t *tables, addr uint64) {
	head := t.read(addr, 16)
	if head == nil {
		return
	}
	word := uint64(s.wordSize())
	s.nbuckets, s.symoffset = s.order.Uint32(head), s.order.Uint32(head[4:])
	s.bloomSize, s.shift2 = s.order.Uint32(head[8:]), s.order.Uint32(head[12:])
	s.bloom = t.read(addr+16, uint64(s.bloomSize)*word)
	bucketsAt := addr + 16 + uint64(s.bloomSize)*word
	s.buckets = t.read(bucketsAt, 4*uint64(s.nbuckets))
	if t.err != nil {
		return
	}
	s.count = int(s.symoffset)
	last := uint32(0)
	for b := s.buckets; len(b) >= 4; b = b[4:] {
		last = max(last, s.order.Uint32(b))
	}
	if last < s.symoffset || last == 0 {
		return
	}
	// The chain of the highest bucket ends the table; its length is found by
	// reading on until an entry with the low bit set.
	chainAt := bucketsAt + 4*uint64(s.nbuckets)
	for n := uint64(last-s.symoffset) + 64; ; n += 1024 {
		off, left, ok := t.f.FileOffset(chainAt)
		if !ok || off > uint64(t.f.Size) {
			t.err = errBounds
			return
		}
		limit := min(left, uint64(t.f.Size)-off) / 4
		n = min(n, limit)
		chain := t.read(chainAt, 4*n)
		if t.err != nil {
			return
		}
		for i := uint64(last - s.symoffset); i < n; i++ {
			if s.order.Uint32(chain[4*i:])&1 != 0 {
				s.chain = chain[:4*(i+1)]
				s.count = int(s.symoffset) + int(i) + 1
				return
			}
		}
		if n == limit {
			t.err = errors.New("a hash chain does not end")
			return
		}
	}
}

// readRefs notes for each symbol what kind of relocations use it.
func (s *Symbols) readRefs(t *tables, d *dynAddrs) error {
	word := uint64(s.wordSize())
	relaEnt, relEnt := 3*word, 2*word
	skip := func(addr, size, count, ent uint64) (uint64, uint64) { // relative ones come first and name no symbol
		if n := count * ent; n <= size && count <= size {
			return addr + n, size - n
		}
		return addr, size
	}
	if d.rela != 0 {
		a, n := skip(d.rela, d.relasz, d.relacount, relaEnt)
		if err := s.scan(t, a, n, relaEnt, false); err != nil {
			return err
		}
	}
	if d.rel != 0 {
		a, n := skip(d.rel, d.relsz, d.relcount, relEnt)
		if err := s.scan(t, a, n, relEnt, false); err != nil {
			return err
		}
	}
	if d.jmprel != 0 {
		ent := relEnt
		if elf.DynTag(d.pltrel) == elf.DT_RELA {
			ent = relaEnt
		}
		return s.scan(t, d.jmprel, d.pltrelsz, ent, true)
	}
	return nil
}

// scan reads a relocation table in pieces of 64 KiB.
func (s *Symbols) scan(t *tables, addr, size, ent uint64, jmprel bool) error {
	if size == 0 {
		return nil
	}
	off, left, ok := t.f.FileOffset(addr)
	if !ok || size > left || off+size > uint64(t.f.Size) {
		return Defect{PartRelocations, errBounds.Error()}
	}
	if size > maxRelocs {
		return Defect{PartRelocations, "more than the limit of 256 MiB"}
	}
	rt := relocTypes(s.machine)
	word := s.wordSize()
	buf := make([]byte, min(size, 2730*24))
	buf = buf[:uint64(len(buf))/ent*ent]
	maxSyms := uint32(min(uint64(t.f.Size), MaxRead) / uint64(s.entry))
	for size >= ent {
		n := min(uint64(len(buf)), size/ent*ent)
		if _, err := t.r.ReadAt(buf[:n], int64(off)); err != nil {
			return Defect{PartRelocations, err.Error()}
		}
		for b := buf[:n]; len(b) > 0; b = b[ent:] {
			var sym, typ uint32
			if s.is64 {
				info := s.order.Uint64(b[word:])
				sym, typ = uint32(info>>32), uint32(info)
			} else {
				info := s.order.Uint32(b[word:])
				sym, typ = info>>8, info&0xff
			}
			if n := len(s.types); n == 0 || s.types[n-1] != typ {
				s.noteType(typ)
			}
			if sym == 0 {
				continue
			}
			if sym >= maxSyms {
				return Defect{PartRelocations, fmt.Sprintf("symbol %d is beyond the file", sym)}
			}
			for uint32(len(s.refs)) <= sym {
				s.refs = append(s.refs, refBits{})
			}
			r := &s.refs[sym]
			ref, notPLT := RefData, rt.notPLT(typ)
			switch {
			case typ == rt.copy && rt.copy != 0:
				ref = RefCopy
			case jmprel && typ == rt.jumpSlot:
				ref = RefPLT
			}
			r.ref = max(r.ref, ref)
			r.notPLT = notPLT && (r.notPLT || !r.any)
			r.slot = r.slot || typ == rt.jumpSlot && typ != 0
			r.any = true
		}
		off, size = off+n, size-n
	}
	return nil
}

// nameVersions maps version indexes to names, as _dl_check_map_versions
// (glibc, elf/dl-version.c) fills l_versions.
func (s *Symbols) nameVersions(f *File) {
	set := func(index uint16, v versionName) {
		index &= 0x7fff
		for len(s.names) <= int(index) {
			s.names = append(s.names, versionName{})
		}
		s.names[index] = v
	}
	for _, n := range f.VersNeeded {
		for _, v := range n.Versions {
			set(v.Index, versionName{v.Name, v.Hash, n.File})
		}
	}
	for _, d := range f.VersDef {
		if !d.Base {
			set(d.Index, versionName{d.Name, d.Hash, ""})
		}
	}
}

// rawSym is one symbol table entry.
type rawSym struct {
	name  []byte
	info  byte
	other byte
	shndx uint16
	value uint64
	size  uint64
}

func (r *rawSym) bind() elf.SymBind { return elf.SymBind(r.info >> 4) }
func (r *rawSym) typ() elf.SymType  { return elf.SymType(r.info & 0xf) }

// defined reports whether the entry can satisfy a reference (do_lookup_x and
// check_match, glibc elf/dl-lookup.c); an undefined one with a value, the
// address of a program's PLT entry, is treated by Lookup.
func (r *rawSym) defined() bool {
	return r.bind() != elf.STB_LOCAL && (r.value != 0 || elf.SectionIndex(r.shndx) == elf.SHN_ABS || r.typ() == elf.STT_TLS && r.shndx != 0)
}

func (s *Symbols) at(i int) rawSym {
	b := s.symtab[i*s.entry:]
	var r rawSym
	name := uint64(s.order.Uint32(b))
	if s.is64 {
		r.info, r.other, r.shndx = b[4], b[5], s.order.Uint16(b[6:])
		r.value, r.size = s.order.Uint64(b[8:]), s.order.Uint64(b[16:])
	} else {
		r.value, r.size = uint64(s.order.Uint32(b[4:])), uint64(s.order.Uint32(b[8:]))
		r.info, r.other, r.shndx = b[12], b[13], s.order.Uint16(b[14:])
	}
	if name < uint64(len(s.strtab)) {
		r.name = s.strtab[name:]
		if n := bytes.IndexByte(r.name, 0); n >= 0 {
			r.name = r.name[:n]
		}
	}
	return r
}

// version returns the name, hash and hidden bit of symbol i's version.
func (s *Symbols) version(i int) (v versionName, index uint16, hidden bool) {
	if 2*i+2 > len(s.versym) {
		return versionName{}, 0, false
	}
	x := s.order.Uint16(s.versym[2*i:])
	index, hidden = x&0x7fff, x&0x8000 != 0
	if int(index) < len(s.names) {
		v = s.names[index]
	}
	return v, index, hidden
}
