// Package elfx reads what a dynamic loader would learn from an ELF file, and
// nothing else: it goes from the ELF header to the program headers to the
// dynamic section, and never looks at section headers, which may be stripped
// or wrong without the loader noticing.
//
// Every read is bounded. A file that is truncated, hostile or absurd costs at
// most MaxRead bytes and a bounded number of steps, and what could be read is
// returned along with a Defect for each part that could not.
//
// Field names and meanings follow the System V ABI (gABI, chapter 5), the GNU
// extensions in glibc's elf/elf.h, and the x86-64 psABI for the GNU property.
package elfx

import (
	"debug/elf"
	"errors"
	"fmt"
)

// ErrNotELF is returned for a file that does not begin with the ELF magic or
// is shorter than an ELF header of its class.
var ErrNotELF = errors.New("not an ELF file")

// File holds the facts of one ELF object.
type File struct {
	Size int64 // bytes

	Class      elf.Class
	Data       elf.Data
	IdentVer   uint8 // e_ident[EI_VERSION]
	OSABI      elf.OSABI
	ABIVersion uint8
	PadNonzero bool // e_ident[EI_PAD:] holds something else than zeroes
	Type       elf.Type
	Machine    elf.Machine
	Version    uint32
	Entry      uint64
	Flags      uint32
	PhEntSize  uint16
	PhNum      uint16

	Interp    string // PT_INTERP up to its NUL
	HasInterp bool
	Loads     []Segment // PT_LOAD, in file order
	Dynamic   *Segment  // PT_DYNAMIC; a debug file has one of size 0
	TLS       *Segment  // PT_TLS
	Stack     *uint32   // p_flags of PT_GNU_STACK; nil where the header is absent

	ABITag     *ABITag  // NT_GNU_ABI_TAG
	ISANeeded  uint32   // GNU_PROPERTY_X86_ISA_1_NEEDED, one bit a level; 0 where absent
	Needed1    uint32   // GNU_PROPERTY_1_NEEDED
	Dlopen     []string // the JSON of each .note.dlopen note
	BuildID    []byte   // NT_GNU_BUILD_ID
	Needs      []Need   // DT_NEEDED, DT_FILTER and DT_AUXILIARY in dynamic order
	Soname     string
	HasSoname  bool
	RPath      *string // DT_RPATH; nil where absent
	RunPath    *string // DT_RUNPATH; nil where absent
	DTFlags    elf.DynFlag
	DTFlags1   elf.DynFlag1
	BindNow    bool // DT_BIND_NOW, DF_BIND_NOW or DF_1_NOW
	Relr       bool // DT_RELR
	TextRel    bool // DT_TEXTREL or DF_TEXTREL
	Versym     bool // DT_VERSYM
	Verneed    bool // DT_VERNEED, also where it could not be read
	Verdef     bool // DT_VERDEF
	VersNeeded []VersionNeed
	VersDef    []VersionDef

	Defects []Defect

	dyn dynAddrs
}

// Segment is one program header: offsets, addresses and sizes in bytes.
type Segment struct {
	Offset, VAddr, FileSize, MemSize, Align uint64
	Flags                                   elf.ProgFlag
}

// ABITag is NT_GNU_ABI_TAG: the least kernel that the object was built for.
type ABITag struct {
	OS                  uint32 // 0 is Linux
	Major, Minor, Patch uint32
}

// NeedKind tells which dynamic tag asks for an object.
type NeedKind uint8

// The tags that make the loader map another object.
const (
	NeedNeeded NeedKind = iota
	NeedFilter
	NeedAuxiliary
)

func (k NeedKind) String() string { return [...]string{"needed", "filter", "auxiliary"}[k] }

// Need is one name that an object asks the loader for.
type Need struct {
	Kind NeedKind
	Name string
}

// VersionNeed is one Verneed record: versions wanted from one file.
type VersionNeed struct {
	File     string
	Versions []NeededVersion
}

// NeededVersion is one Vernaux record.
type NeededVersion struct {
	Name  string
	Hash  uint32
	Index uint16 // vna_other: the index that DT_VERSYM entries use
	Weak  bool   // VER_FLG_WEAK: its absence is only a warning
}

// VersionDef is one Verdef record.
type VersionDef struct {
	Name  string
	Hash  uint32
	Index uint16
	Base  bool // VER_FLG_BASE: names the file itself
}

// Part names the part of a file that a Defect is about.
type Part string

// The parts of an ELF file that can be defective.
const (
	PartProgramHeaders Part = "program headers"
	PartInterp         Part = "interpreter"
	PartDynamic        Part = "dynamic section"
	PartStrings        Part = "string table"
	PartVersions       Part = "version tables"
	PartNotes          Part = "notes"
	PartSymbols        Part = "symbol table"
	PartRelocations    Part = "relocations"
)

// Defect says that a part of the file could not be read, and why.
type Defect struct {
	Part   Part
	Reason string
}

func (d Defect) Error() string { return fmt.Sprintf("%s: %s", d.Part, d.Reason) }

// Defective reports whether any of the parts has a defect, and the first one.
func (f *File) Defective(parts ...Part) (Defect, bool) {
	for _, d := range f.Defects {
		for _, p := range parts {
			if d.Part == p {
				return d, true
			}
		}
	}
	return Defect{}, false
}

// IsDynamic reports whether the object has a dynamic section that a loader
// would read.
func (f *File) IsDynamic() bool { return f.Dynamic != nil && f.Dynamic.FileSize > 0 }

// LacksHash reports whether the object has a dynamic section, and no symbol hash
// table in it by which a loader could look up anything.
func (f *File) LacksHash() bool { return f.dyn.hasStrtab && f.dyn.hash == 0 && f.dyn.gnuhash == 0 }

// IsLibrary reports whether the object is a shared library and not a program:
// ET_DYN without PT_INTERP, not marked DF_1_PIE. libc.so.6, which has both an
// interpreter and a SONAME, counts as a library too.
func (f *File) IsLibrary() bool {
	if f.Type != elf.ET_DYN || f.DTFlags1&elf.DF_1_PIE != 0 {
		return false
	}
	return !f.HasInterp && f.IsDynamic() && (f.HasSoname || f.Entry == 0) || f.HasInterp && f.HasSoname
}

// Is64 reports whether the file is of ELFCLASS64.
func (f *File) Is64() bool { return f.Class == elf.ELFCLASS64 }

// FileOffset turns a virtual address into a file offset through the PT_LOAD
// headers, as the loader's mapping does. n is how many bytes of the segment's
// file content follow.
func (f *File) FileOffset(vaddr uint64) (off, n uint64, ok bool) {
	for i := range f.Loads {
		s := &f.Loads[i]
		if d := vaddr - s.VAddr; vaddr >= s.VAddr && d < s.FileSize {
			if off = s.Offset + d; off < s.Offset {
				return 0, 0, false
			}
			return off, s.FileSize - d, true
		}
	}
	return 0, 0, false
}

// Hash is the System V hash of a version name (gABI, "Hash Table").
func Hash(name string) uint32 {
	var h uint32
	for i := 0; i < len(name); i++ {
		h = h<<4 + uint32(name[i])
		g := h & 0xf0000000
		h ^= g >> 24
		h &^= g
	}
	return h
}

// GNUHash is the hash of DT_GNU_HASH (glibc, elf/dl-lookup.c, dl_new_hash).
func GNUHash(name string) uint32 {
	h := uint32(5381)
	for i := 0; i < len(name); i++ {
		h = h*33 + uint32(name[i])
	}
	return h
}
