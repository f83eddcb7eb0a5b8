package ldso

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/compspec/compat/pkg/internal/elfx"
)

// elfSpec says what a small x86-64 ELF object holds. The zero value is a
// library that needs, defines and wants nothing.
type elfSpec struct {
	Interp         string // makes it a program; its code is exit(42)
	Exec           bool   // ET_EXEC at 0x400000, else ET_DYN at 0
	Soname         *string
	RPath, RunPath *string
	Needs          []elfx.Need
	Now            string // "": lazy; how else it is said: "tag", "flag" or "flag1"
	Flags          elf.DynFlag
	Flags1         elf.DynFlag1
	Hash           string // "" is DT_GNU_HASH; "sysv", "both", "none"
	NoVersym       bool   // no DT_VERSYM, whatever versions there are
	Defs           []symDef
	Refs           []symRef
	Verdef         []string // without the base
	Verneed        []verNeed
	ISA            uint32
	KernelTag      uint32 // major version of NT_GNU_ABI_TAG; 0 is none
	NoStack        bool   // no PT_GNU_STACK
	Flat           bool   // one segment of all permissions instead of three
	Gap            bool   // addresses of the last segment a page above its offsets
	NoBSS          bool   // the last segment ends with the file's content
	Exit           byte   // a constructor that exits with this status, first of all; 0 is none
}

type symDef struct {
	Name, Version string
	Hidden, Weak  bool
	Object        bool // STT_OBJECT, else STT_FUNC
	Size          uint64
}

type symRef struct {
	Name, Version, File string
	Weak                bool
	Kind                elf.R_X86_64 // JMP_SLOT, GLOB_DAT, 64, COPY
	PLTAddress          bool         // undefined with a value, as a program exports its PLT entry
	Size                uint64       // of a copy
}

func (d symDef) String() string {
	at, weak, kind := "@@", "", "func"
	if d.Hidden {
		at = "@"
	}
	if d.Version == "" && !d.Hidden {
		at = ""
	}
	if d.Weak {
		weak = "weak-"
	}
	if d.Object {
		kind = "object"
	}
	return fmt.Sprintf("%s%s%s:%s%s:%d", d.Name, at, d.Version, weak, kind, d.Size)
}

func (r symRef) String() string {
	s := r.Name
	if r.Version != "" {
		s += fmt.Sprintf("@%s(%s)", r.Version, r.File)
	}
	s += ":" + strings.TrimPrefix(r.Kind.String(), "R_X86_64_")
	if r.Weak {
		s += ":weak"
	}
	if r.PLTAddress {
		s += ":plt-address"
	}
	return s
}

type verNeed struct {
	File string
	Vers []verWant
}

type verWant struct {
	Name string
	Weak bool
}

// Addresses in the object. Tables come first; strings last of them, so that
// the length of a path moves nothing else.
const (
	elfText = 0x2000
	elfData = 0x3000
	elfEnd  = 0x4800 // of the file
	elfBSS  = 0x800  // bytes beyond
)

// elfBuilder lays out one object.
type elfBuilder struct {
	s      elfSpec
	out    []byte // the file
	at     int    // where the next table goes
	strs   bytes.Buffer
	base   uint64
	shift  uint64 // of the last segment
	dyn    [][2]uint64
	verIdx map[[2]string]uint16 // by file and version; file "" is defined here
}

// build writes the object.
func (s elfSpec) build() []byte {
	e := &elfBuilder{s: s, out: make([]byte, elfEnd), verIdx: map[[2]string]uint16{}}
	if s.Exec {
		e.base = 0x400000
	}
	if s.Gap && !s.Flat {
		e.shift = 0x1000
	}
	e.strs.WriteByte(0)
	e.at = 64 + 56*10
	interp := e.blob(append([]byte(s.Interp), 0), 1)
	notes := e.notes()
	for _, n := range s.Needs {
		e.dyn = append(e.dyn, [2]uint64{uint64(map[elfx.NeedKind]elf.DynTag{
			elfx.NeedNeeded: elf.DT_NEEDED, elfx.NeedFilter: 0x7fffffff, elfx.NeedAuxiliary: 0x7ffffffd}[n.Kind]), e.str(n.Name)})
	}
	for _, o := range []struct {
		tag elf.DynTag
		s   *string
	}{{elf.DT_SONAME, s.Soname}, {elf.DT_RPATH, s.RPath}, {elf.DT_RUNPATH, s.RunPath}} {
		if o.s != nil {
			e.tag(o.tag, e.str(*o.s))
		}
	}
	e.flags()
	e.versions()
	e.symbols()
	code := []byte{0xbf, 42, 0, 0, 0, 0xb8, 231, 0, 0, 0, 0x0f, 0x05} // mov $42,%edi; mov $231,%eax; syscall
	if s.Exit != 0 {
		code[1] = s.Exit
		e.tag(elf.DT_INIT, e.base+elfText)
	}
	copy(e.out[elfText:], code)
	strtab := e.blob(e.strs.Bytes(), 1)
	e.tag(elf.DT_STRTAB, e.base+strtab)
	e.tag(elf.DT_STRSZ, uint64(e.strs.Len()))
	if e.at > elfText {
		panic(fmt.Sprintf("tables of %d bytes are too many", e.at))
	}
	e.headers(interp, notes)
	return e.out
}

func (e *elfBuilder) tag(t elf.DynTag, v uint64) { e.dyn = append(e.dyn, [2]uint64{uint64(t), v}) }

func (e *elfBuilder) str(s string) uint64 {
	if s == "" {
		return 0
	}
	off := e.strs.Len()
	e.strs.WriteString(s + "\x00")
	return uint64(off)
}

// blob puts a table where the next one goes and gives its offset.
func (e *elfBuilder) blob(b []byte, align int) uint64 {
	e.at = (e.at + align - 1) / align * align
	off := e.at
	if e.at += len(b); e.at <= elfText {
		copy(e.out[off:], b)
	}
	return uint64(off)
}

// words writes integers of their own sizes.
func words(v ...any) []byte {
	var b []byte
	for _, x := range v {
		b, _ = binary.Append(b, binary.LittleEndian, x)
	}
	return b
}

func (e *elfBuilder) notes() (segs [][3]uint64) { // offset, size, align
	if t := e.s.KernelTag; t != 0 {
		b := words(uint32(4), uint32(16), uint32(1), []byte("GNU\x00"), []uint32{0, t, 0, 0})
		segs = append(segs, [3]uint64{e.blob(b, 4), uint64(len(b)), 4})
	}
	if e.s.ISA != 0 {
		b := words(uint32(4), uint32(16), uint32(5), []byte("GNU\x00"), []uint32{0xc0008002, 4, e.s.ISA, 0})
		segs = append(segs, [3]uint64{e.blob(b, 8), uint64(len(b)), 8})
	}
	return segs
}

func (e *elfBuilder) flags() {
	flags, flags1 := e.s.Flags, e.s.Flags1
	switch e.s.Now {
	case "tag":
		e.tag(elf.DT_BIND_NOW, 0)
	case "flag":
		flags |= elf.DF_BIND_NOW
	case "flag1":
		flags1 |= elf.DF_1_NOW
	}
	if e.s.Exit != 0 {
		flags1 |= elf.DF_1_INITFIRST
	}
	if flags != 0 {
		e.tag(elf.DT_FLAGS, uint64(flags))
	}
	if flags1 != 0 {
		e.tag(elf.DT_FLAGS_1, uint64(flags1))
	}
}

// versions writes DT_VERDEF and DT_VERNEED and numbers the versions.
func (e *elfBuilder) versions() {
	next := uint16(2)
	if len(e.s.Verdef) > 0 {
		base := "base"
		if e.s.Soname != nil {
			base = *e.s.Soname
		}
		var b []byte
		for i, v := range append([]string{base}, e.s.Verdef...) {
			index, flags, more := uint16(1), uint16(1), uint32(28)
			if i > 0 {
				index, flags, next = next, 0, next+1
				e.verIdx[[2]string{"", v}] = index
			}
			if i == len(e.s.Verdef) {
				more = 0
			}
			b = append(b, words([]uint16{1, flags, index, 1}, []uint32{elfx.Hash(v), 20, more, uint32(e.str(v)), 0})...)
		}
		e.tag(elf.DT_VERDEF, e.base+e.blob(b, 8))
		e.tag(elf.DT_VERDEFNUM, uint64(len(e.s.Verdef)+1))
	}
	if len(e.s.Verneed) > 0 {
		var b []byte
		for i, n := range e.s.Verneed {
			more := uint32(16 + 16*len(n.Vers))
			if i == len(e.s.Verneed)-1 {
				more = 0
			}
			b = append(b, words([]uint16{1, uint16(len(n.Vers))}, []uint32{uint32(e.str(n.File)), 16, more})...)
			for j, v := range n.Vers {
				flags, more := uint16(0), uint32(16)
				if v.Weak {
					flags = 2
				}
				if j == len(n.Vers)-1 {
					more = 0
				}
				e.verIdx[[2]string{n.File, v.Name}] = next
				b = append(b, words(elfx.Hash(v.Name), []uint16{flags, next}, []uint32{uint32(e.str(v.Name)), more})...)
				next++
			}
		}
		e.tag(elf.DT_VERNEED, e.base+e.blob(b, 8))
		e.tag(elf.DT_VERNEEDNUM, uint64(len(e.s.Verneed)))
	}
}

// elfSym is a symbol on its way into the table.
type elfSym struct {
	name    string
	info    byte
	shndx   uint16
	value   uint64
	size    uint64
	version uint16
	ref     *symRef
}

// symbols writes the symbol table, its hashes and versions, and relocations.
func (e *elfBuilder) symbols() {
	data := e.base + e.shift + elfData + 0x800 // what symbols name
	got := e.base + e.shift + elfData + 0x400
	var undefined, defined []elfSym
	for i := range e.s.Refs {
		r := &e.s.Refs[i]
		y := elfSym{name: r.Name, info: 1<<4 | byte(elf.STT_FUNC), ref: r, size: r.Size}
		if r.Weak {
			y.info += 1 << 4
		}
		y.version = 1
		if r.Version != "" {
			y.version = e.verIdx[[2]string{r.File, r.Version}]
		}
		switch {
		case r.Kind == elf.R_X86_64_COPY:
			y.info, y.shndx, y.value = 1<<4|byte(elf.STT_OBJECT), 1, data+0x700
			defined = append(defined, y)
			continue
		case r.PLTAddress:
			y.value = e.base + elfText
		}
		undefined = append(undefined, y)
	}
	for i, d := range e.s.Defs {
		y := elfSym{name: d.Name, info: 1<<4 | byte(elf.STT_FUNC), shndx: 1, value: data + 16*uint64(i), size: d.Size, version: 1}
		if d.Weak {
			y.info += 1 << 4
		}
		if d.Object {
			y.info = y.info&^15 | byte(elf.STT_OBJECT)
		}
		if d.Version != "" {
			y.version = e.verIdx[[2]string{"", d.Version}]
		}
		if d.Hidden {
			y.version |= 0x8000
		}
		defined = append(defined, y)
	}
	buckets := uint32(len(defined)/2 + 1)
	slices.SortStableFunc(defined, func(a, b elfSym) int {
		return int(elfx.GNUHash(a.name)%buckets) - int(elfx.GNUHash(b.name)%buckets)
	})
	all := slices.Concat([]elfSym{{}}, undefined, defined)
	var symtab, versym, rela, plt []byte
	slots := uint64(3)
	for i, y := range all {
		symtab = append(symtab, words(uint32(e.str(y.name)), y.info, byte(0), y.shndx, y.value, y.size)...)
		versym = append(versym, words(y.version)...)
		if y.ref == nil {
			continue
		}
		where := got + 8*slots
		if y.ref.Kind == elf.R_X86_64_COPY {
			where = y.value
		} else {
			slots++
		}
		r := words(where, uint64(i)<<32|uint64(y.ref.Kind), uint64(0))
		if y.ref.Kind == elf.R_X86_64_JMP_SLOT {
			plt = append(plt, r...)
		} else {
			rela = append(rela, r...)
		}
	}
	e.tag(elf.DT_SYMTAB, e.base+e.blob(symtab, 8))
	e.tag(elf.DT_SYMENT, 24)
	if e.s.Hash == "" || e.s.Hash == "both" {
		e.tag(elf.DT_GNU_HASH, e.base+e.blob(gnuHashTable(all, defined, buckets), 8))
	}
	if e.s.Hash == "sysv" || e.s.Hash == "both" {
		e.tag(elf.DT_HASH, e.base+e.blob(sysvHashTable(all), 8))
	}
	if !e.s.NoVersym && len(e.s.Verdef)+len(e.s.Verneed) > 0 {
		e.tag(elf.DT_VERSYM, e.base+e.blob(versym, 2))
	}
	if len(rela) > 0 {
		e.tag(elf.DT_RELA, e.base+e.blob(rela, 8))
		e.tag(elf.DT_RELASZ, uint64(len(rela)))
		e.tag(elf.DT_RELAENT, 24)
	}
	if len(plt) > 0 {
		e.tag(elf.DT_PLTGOT, got)
		e.tag(elf.DT_JMPREL, e.base+e.blob(plt, 8))
		e.tag(elf.DT_PLTRELSZ, uint64(len(plt)))
		e.tag(elf.DT_PLTREL, uint64(elf.DT_RELA))
	}
}

func gnuHashTable(all, defined []elfSym, n uint32) []byte {
	bloom, first := uint64(0), uint32(len(all)-len(defined))
	buckets, chain := make([]uint32, n), make([]uint32, len(defined))
	for i, y := range defined {
		h := elfx.GNUHash(y.name)
		bloom |= 1<<(h%64) | 1<<(h>>6%64)
		if buckets[h%n] == 0 {
			buckets[h%n] = first + uint32(i)
		}
		chain[i] = h &^ 1
		if i == len(defined)-1 || elfx.GNUHash(defined[i+1].name)%n != h%n {
			chain[i] |= 1
		}
	}
	return words([]uint32{n, first, 1, 6}, bloom, buckets, chain)
}

func sysvHashTable(all []elfSym) []byte {
	const n = 3
	buckets, chain := make([]uint32, n), make([]uint32, len(all))
	for i := len(all) - 1; i > 0; i-- {
		b := elfx.Hash(all[i].name) % n
		chain[i], buckets[b] = buckets[b], uint32(i)
	}
	return words([]uint32{n, uint32(len(all))}, buckets, chain)
}

// headers writes the dynamic section and what leads to it.
func (e *elfBuilder) headers(interp uint64, notes [][3]uint64) {
	var dyn []byte
	for _, d := range append(e.dyn, [2]uint64{}) {
		dyn = append(dyn, words(d)...)
	}
	if len(dyn) > 0x400 {
		panic("the dynamic section is too long")
	}
	copy(e.out[elfData:], dyn)
	bss := uint64(elfBSS)
	if e.s.NoBSS {
		bss = 0
	}
	var phdrs []byte
	n := uint16(0)
	ph := func(typ elf.ProgType, flags elf.ProgFlag, off, shift, size, more, align uint64) {
		n++
		phdrs = append(phdrs, words(uint32(typ), uint32(flags), []uint64{off, e.base + off + shift, e.base + off + shift, size, size + more, align})...)
	}
	if e.s.Interp != "" {
		// Without PT_PHDR the loader takes a PIE to be where it was linked
		// (rtld.c, rtld_setup_main_map).
		ph(elf.PT_PHDR, elf.PF_R, 64, 0, 56*10, 0, 8)
		ph(elf.PT_INTERP, elf.PF_R, interp, 0, uint64(len(e.s.Interp)+1), 0, 1)
	}
	if e.s.Flat {
		ph(elf.PT_LOAD, 7, 0, 0, elfEnd, bss, 4096)
	} else {
		ph(elf.PT_LOAD, elf.PF_R, 0, 0, uint64(e.at), 0, 4096)
		ph(elf.PT_LOAD, elf.PF_R|elf.PF_X, elfText, 0, 16, 0, 4096)
		ph(elf.PT_LOAD, elf.PF_R|elf.PF_W, elfData, e.shift, elfEnd-elfData, bss, 4096)
	}
	ph(elf.PT_DYNAMIC, elf.PF_R|elf.PF_W, elfData, e.shift, uint64(len(dyn)), 0, 8)
	for _, s := range notes {
		ph(elf.PT_NOTE, elf.PF_R, s[0], 0, s[1], 0, s[2])
	}
	if !e.s.NoStack {
		ph(elf.PT_GNU_STACK, elf.PF_R|elf.PF_W, 0, 0, 0, 0, 16)
	}
	typ, entry := elf.ET_DYN, uint64(0)
	if e.s.Exec {
		typ = elf.ET_EXEC
	}
	if e.s.Interp != "" {
		entry = e.base + elfText
	}
	head := words([]byte(elf.ELFMAG), []byte{2, 1, 1}, make([]byte, 9), uint16(typ), uint16(elf.EM_X86_64), uint32(1),
		entry, uint64(64), uint64(0), uint32(0), []uint16{64, 56, n, 0, 0, 0})
	copy(e.out, append(head, phdrs...))
}

// String says what differs from the zero value, for a dump.
func (s elfSpec) String() string {
	var b strings.Builder
	word := func(format string, a ...any) { fmt.Fprintf(&b, " "+format, a...) }
	if s.Interp != "" {
		word("program")
	}
	for _, o := range []struct {
		name string
		s    *string
	}{{"soname", s.Soname}, {"rpath", s.RPath}, {"runpath", s.RunPath}} {
		if o.s != nil {
			word("%s=%q", o.name, *o.s)
		}
	}
	for _, n := range s.Needs {
		word("%s=%q", n.Kind, n.Name)
	}
	if len(s.Verdef) > 0 {
		word("verdef=%q", s.Verdef)
	}
	for _, n := range s.Verneed {
		word("verneed=%q%+v", n.File, n.Vers)
	}
	for _, d := range s.Defs {
		word("def=%s", d)
	}
	for _, r := range s.Refs {
		word("ref=%s", r)
	}
	for _, o := range []struct {
		name string
		on   bool
	}{{"exec", s.Exec}, {"no-versym", s.NoVersym}, {"no-stack", s.NoStack}, {"flat", s.Flat}, {"gap", s.Gap}, {"no-bss", s.NoBSS}} {
		if o.on {
			word("%s", o.name)
		}
	}
	if s.Now != "" {
		word("now=%s", s.Now)
	}
	if s.Hash != "" {
		word("hash=%s", s.Hash)
	}
	if s.Flags != 0 || s.Flags1 != 0 {
		word("flags=%v flags1=%v", s.Flags, s.Flags1)
	}
	if s.ISA != 0 || s.KernelTag != 0 {
		word("isa=%#x kernel=%d", s.ISA, s.KernelTag)
	}
	return strings.TrimSpace(b.String())
}
