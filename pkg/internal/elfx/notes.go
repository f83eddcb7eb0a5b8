package elfx

import (
	"debug/elf"
	"errors"
)

const (
	ntGNUABITag   = 1
	ntGNUBuildID  = 3
	ntGNUProperty = 5
	ntFDODlopen   = 0x407c0c0a // systemd's ELF_NOTE_DLOPEN specification

	gnuProperty1Needed      = 0xb0008000
	gnuPropertyX86ISA1Needs = 0xc0008002
)

// notes reads the PT_NOTE segments. Where PT_GNU_PROPERTY is there, the
// loader takes properties from it alone (glibc 2.36, elf/dl-load.c).
func (p *parser) notes(segs []Segment, property *Segment) {
	left := uint64(maxNotes)
	if property != nil {
		p.note(property, &left, true)
	}
	for i := range segs {
		p.note(&segs[i], &left, property == nil)
	}
}

func (p *parser) note(s *Segment, left *uint64, properties bool) {
	if s.FileSize > *left {
		p.defect(PartNotes, errors.New("more than the limit of 64 KiB"))
		return
	}
	*left -= s.FileSize
	b, err := p.w.bytes(s.Offset, s.FileSize)
	if err != nil {
		p.defect(PartNotes, err)
		return
	}
	align := 4
	if s.Align == 8 {
		align = 8
	}
	for len(b) >= 12 {
		namesz, descsz, typ := p.order.Uint32(b), p.order.Uint32(b[4:]), p.order.Uint32(b[8:])
		rest := uint64(len(b) - 12)
		nameEnd := pad(uint64(namesz), 4)
		if align == 8 { // the descriptor begins at an 8-byte boundary of the note
			nameEnd = pad(12+uint64(namesz), 8) - 12
		}
		if nameEnd > rest || uint64(descsz) > rest-nameEnd {
			p.defect(PartNotes, errors.New("a note runs past its segment"))
			return
		}
		name, desc := b[12:12+namesz], b[12+nameEnd:12+nameEnd+uint64(descsz)]
		p.oneNote(string(name), typ, desc, properties, align)
		next := 12 + nameEnd + pad(uint64(descsz), uint64(align))
		if next >= uint64(len(b)) {
			return
		}
		b = b[next:]
	}
}

func (p *parser) oneNote(name string, typ uint32, desc []byte, properties bool, align int) {
	f := p.f
	switch {
	case name == "GNU\x00" && typ == ntGNUABITag && len(desc) >= 16 && f.ABITag == nil:
		u := p.order.Uint32
		f.ABITag = &ABITag{OS: u(desc), Major: u(desc[4:]), Minor: u(desc[8:]), Patch: u(desc[12:])}
	case name == "GNU\x00" && typ == ntGNUBuildID && len(desc) <= 64 && f.BuildID == nil:
		f.BuildID = append([]byte(nil), desc...)
	case name == "GNU\x00" && typ == ntGNUProperty && properties && align == p.wordSize():
		p.properties(desc)
	case name == "FDO\x00" && typ == ntFDODlopen:
		for len(desc) > 0 && desc[len(desc)-1] == 0 {
			desc = desc[:len(desc)-1]
		}
		f.Dlopen = append(f.Dlopen, string(desc))
	}
}

// properties reads the descriptor of NT_GNU_PROPERTY_TYPE_0 (Linux gABI
// extensions; sysdeps/x86/dl-prop.h).
func (p *parser) properties(b []byte) {
	for len(b) >= 8 {
		typ, size := p.order.Uint32(b), uint64(p.order.Uint32(b[4:]))
		if size > uint64(len(b)-8) {
			p.defect(PartNotes, errors.New("a GNU property runs past its note"))
			return
		}
		if size == 4 {
			switch v := p.order.Uint32(b[8:]); {
			case typ == gnuPropertyX86ISA1Needs && (p.f.Machine == elf.EM_X86_64 || p.f.Machine == elf.EM_386):
				p.f.ISANeeded |= v
			case typ == gnuProperty1Needed:
				p.f.Needed1 |= v
			}
		}
		next := 8 + pad(size, uint64(p.wordSize()))
		if next >= uint64(len(b)) {
			return
		}
		b = b[next:]
	}
}

func (d decoder) wordSize() int {
	if d.is64 {
		return 8
	}
	return 4
}

func pad(n, align uint64) uint64 { return (n + align - 1) &^ (align - 1) }
