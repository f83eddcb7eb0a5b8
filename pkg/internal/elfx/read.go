package elfx

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io"
)

const (
	ehdrSize32, ehdrSize64 = 52, 64
	phdrSize32, phdrSize64 = 32, 56

	ptGNUProperty = 0x6474e553
	dtRelr        = 36
	dtFilter      = 0x7fffffff
	dtAuxiliary   = 0x7ffffffd
)

// dynAddrs are the values of dynamic tags that lead to tables.
type dynAddrs struct {
	strtab, strsz           uint64
	symtab, syment          uint64
	versym                  uint64
	verneed, verneednum     uint64
	verdef, verdefnum       uint64
	hash, gnuhash           uint64
	rela, relasz, relacount uint64
	rel, relsz, relcount    uint64
	jmprel, pltrelsz        uint64
	pltrel                  uint64
	relaent, relent         uint64
	hasStrtab               bool
}

type parser struct {
	decoder
	f *File
	w *windows
}

// Read reads the facts of the ELF file r of the given size in bytes. The
// error is ErrNotELF, or what reading returned; a file whose ELF header could
// be read gives a File, with a Defect for each part that could not.
func Read(r io.ReaderAt, size int64) (*File, error) { return read(r, size, nil) }

// ReadAs reads r as a loader does that asks the file neither whether it is an
// ELF object nor for which class, byte order and machine it was made, but takes
// those of like for granted (musl, ldso/dynlink.c, map_library). The File says
// that it is of them. The error is as of Read.
func ReadAs(r io.ReaderAt, size int64, like *File) (*File, error) { return read(r, size, like) }

func read(r io.ReaderAt, size int64, like *File) (*File, error) {
	w := newWindows(r, size)
	defer w.release()
	head, err := w.bytes(0, min(uint64(max(size, 0)), ehdrSize64))
	if err != nil {
		return nil, fmt.Errorf("reading the ELF header: %w", err)
	}
	if len(head) < ehdrSize32 || like == nil && string(head[:4]) != elf.ELFMAG {
		if len(head) >= 4 && string(head[:4]) == elf.ELFMAG {
			return nil, fmt.Errorf("%w: %d bytes hold no ELF header", ErrNotELF, len(head))
		}
		return nil, ErrNotELF
	}
	f := &File{
		Size:       size,
		Class:      elf.Class(head[elf.EI_CLASS]),
		Data:       elf.Data(head[elf.EI_DATA]),
		IdentVer:   head[elf.EI_VERSION],
		OSABI:      elf.OSABI(head[elf.EI_OSABI]),
		ABIVersion: head[elf.EI_ABIVERSION],
		PadNonzero: !bytes.Equal(head[elf.EI_PAD:elf.EI_NIDENT], make([]byte, elf.EI_NIDENT-elf.EI_PAD)),
	}
	if like != nil {
		f.Class, f.Data = like.Class, like.Data
	}
	p := &parser{f: f, w: w, decoder: decoder{order: binary.LittleEndian, is64: f.Class == elf.ELFCLASS64}}
	if f.Data == elf.ELFDATA2MSB {
		p.order = binary.BigEndian
	}
	if f.Class != elf.ELFCLASS32 && f.Class != elf.ELFCLASS64 {
		p.defect(PartProgramHeaders, fmt.Errorf("ELF class %d is unknown", head[elf.EI_CLASS]))
		return f, nil
	}
	if p.is64 && len(head) < ehdrSize64 {
		return nil, fmt.Errorf("%w: %d bytes hold no ELF header", ErrNotELF, len(head))
	}
	f.Type = elf.Type(p.order.Uint16(head[16:]))
	f.Machine = elf.Machine(p.order.Uint16(head[18:]))
	if like != nil {
		f.Machine = like.Machine
	}
	f.Version = p.order.Uint32(head[20:])
	var phoff uint64
	if p.is64 {
		f.Entry, phoff = p.order.Uint64(head[24:]), p.order.Uint64(head[32:])
		f.Flags, f.PhEntSize, f.PhNum = p.order.Uint32(head[48:]), p.order.Uint16(head[54:]), p.order.Uint16(head[56:])
	} else {
		f.Entry, phoff = uint64(p.order.Uint32(head[24:])), uint64(p.order.Uint32(head[28:]))
		f.Flags, f.PhEntSize, f.PhNum = p.order.Uint32(head[36:]), p.order.Uint16(head[42:]), p.order.Uint16(head[44:])
	}
	p.programHeaders(phoff)
	return f, nil
}

func (p *parser) defect(part Part, err error) {
	p.f.Defects = append(p.f.Defects, Defect{part, err.Error()})
}

func (p *parser) programHeaders(phoff uint64) {
	f := p.f
	entry := uint64(phdrSize32)
	if p.is64 {
		entry = phdrSize64
	}
	if f.PhNum == 0 {
		return
	}
	if uint64(f.PhEntSize) != entry {
		p.defect(PartProgramHeaders, fmt.Errorf("entries of %d bytes, not %d", f.PhEntSize, entry))
		return
	}
	if f.PhNum > maxPhNum {
		p.defect(PartProgramHeaders, fmt.Errorf("%d entries are too many", f.PhNum))
		return
	}
	b, err := p.w.bytes(phoff, entry*uint64(f.PhNum))
	if err != nil {
		p.defect(PartProgramHeaders, err)
		return
	}
	var interp, property *Segment
	var notes []Segment
	f.Loads = make([]Segment, 0, 4)
	for ; len(b) > 0; b = b[entry:] {
		typ, s := p.segment(b)
		switch typ {
		case elf.PT_LOAD:
			f.Loads = append(f.Loads, s)
		case elf.PT_DYNAMIC:
			f.Dynamic = &s
		case elf.PT_INTERP:
			if interp == nil { // the kernel takes the first (fs/binfmt_elf.c)
				interp = &s
			}
		case elf.PT_TLS:
			f.TLS = &s
		case elf.PT_GNU_STACK:
			flags := uint32(s.Flags)
			f.Stack = &flags
		case elf.PT_NOTE:
			notes = append(notes, s)
		case ptGNUProperty:
			property = &s
		}
	}
	if interp != nil {
		p.interp(interp)
	}
	p.notes(notes, property)
	if f.IsDynamic() {
		p.dynamic()
	}
}

func (p *parser) segment(b []byte) (elf.ProgType, Segment) {
	u32 := p.order.Uint32
	if !p.is64 {
		return elf.ProgType(u32(b)), Segment{
			Offset: uint64(u32(b[4:])), VAddr: uint64(u32(b[8:])), FileSize: uint64(u32(b[16:])),
			MemSize: uint64(u32(b[20:])), Flags: elf.ProgFlag(u32(b[24:])), Align: uint64(u32(b[28:])),
		}
	}
	u64 := p.order.Uint64
	return elf.ProgType(u32(b)), Segment{
		Flags: elf.ProgFlag(u32(b[4:])), Offset: u64(b[8:]), VAddr: u64(b[16:]), FileSize: u64(b[32:]),
		MemSize: u64(b[40:]), Align: u64(b[48:]),
	}
}

// interp reads PT_INTERP under the rules of fs/binfmt_elf.c: 2 to PATH_MAX
// bytes, the last of them NUL.
func (p *parser) interp(s *Segment) {
	p.f.HasInterp = true
	if s.FileSize < 2 || s.FileSize > maxInterpLen {
		p.defect(PartInterp, fmt.Errorf("%d bytes long", s.FileSize))
		return
	}
	b, err := p.w.bytes(s.Offset, s.FileSize)
	if err != nil {
		p.defect(PartInterp, err)
		return
	}
	if b[len(b)-1] != 0 {
		p.defect(PartInterp, fmt.Errorf("does not end in NUL"))
		return
	}
	p.f.Interp = string(b[:bytes.IndexByte(b, 0)])
}
