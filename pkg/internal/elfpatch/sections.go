package elfpatch

import (
	"bytes"
	"debug/elf"
)

const (
	maxSections = 1 << 16
	maxPadding  = 64 << 10 // zeroes after the last part of a file
)

// sectionTable is the section header table, as far as it could be read.
type sectionTable struct {
	off     uint64
	entries []byte
	size    uint64 // of one
}

// sections reads the section headers and looks that nothing but zeroes lies
// beyond what headers account for: self-extracting programs read what is appended
// to their file from its end.
func (p *program) sections() (*sectionTable, error) {
	head, err := p.read("ELF header", 0, p.ehdrSize(), 64)
	if err != nil {
		return nil, err
	}
	t := &sectionTable{size: 40}
	var size, n uint64
	if p.is64 {
		t.size = 64
		t.off, size, n = p.order.Uint64(head[40:]), uint64(p.order.Uint16(head[58:])), uint64(p.order.Uint16(head[60:]))
	} else {
		t.off, size, n = uint64(p.order.Uint32(head[32:])), uint64(p.order.Uint16(head[46:])), uint64(p.order.Uint16(head[48:]))
	}
	end := max(p.ehdrSize(), p.phoff+uint64(len(p.ph))*p.phdrSize())
	for _, h := range p.ph {
		if h.filesz <= p.size && h.off <= p.size-h.filesz {
			end = max(end, h.off+h.filesz)
		}
	}
	if t.off != 0 && n == 0 && size == t.size { // too many for e_shnum (gABI, "Sections")
		return nil, unfit("it has too many sections")
	}
	if t.off != 0 && size == t.size && n <= maxSections && t.off <= p.size && n*size <= p.size-t.off {
		if t.entries, err = p.read("section headers", t.off, n*size, maxSections*64); err != nil {
			return nil, err
		}
		end = max(end, t.off+n*size)
		for i := range n {
			s := p.shdr(t, i)
			if s.typ != elf.SHT_NOBITS && s.size <= p.size && s.off <= p.size-s.size {
				end = max(end, s.off+s.size)
			}
		}
	}
	if p.size-end > maxPadding {
		return nil, unfit("%d bytes are appended to it", p.size-end)
	}
	rest, err := p.read("end", end, p.size-end, maxPadding)
	if err == nil && len(bytes.Trim(rest, "\x00")) > 0 {
		err = unfit("%d bytes are appended to it", p.size-end)
	}
	return t, err
}

// shdr is what is of use of Elf32_Shdr or Elf64_Shdr.
type shdr struct {
	section
	typ  elf.SectionType
	link uint32
}

func (p *program) shdr(t *sectionTable, i uint64) shdr {
	b := t.entries[i*t.size:]
	w := p.word()
	return shdr{
		typ:     elf.SectionType(p.order.Uint32(b[4:])),
		section: section{addr: p.getWord(b[8+w:]), off: p.getWord(b[8+2*w:]), size: p.getWord(b[8+3*w:])},
		link:    p.order.Uint32(b[8+4*w:]),
	}
}

// moved leads the headers of .dynamic and .dynstr to their new places, for
// debuggers: the loader reads no section headers. What is not as linkers make
// it is left alone.
func (t *sectionTable) moved(p *program, strtab uint64, dyn, str section) []Edit {
	n := uint64(len(t.entries)) / t.size
	for i := range n {
		d := p.shdr(t, i)
		if d.typ != elf.SHT_DYNAMIC || d.addr != p.f.Dynamic.VAddr || uint64(d.link) >= n || uint64(d.link) == i {
			continue
		}
		if s := p.shdr(t, uint64(d.link)); s.typ != elf.SHT_STRTAB || s.addr != strtab {
			continue
		}
		at := func(i uint64, s section) Edit { // sh_addr, sh_offset and sh_size follow each other
			b := p.appendWord(p.appendWord(p.appendWord(nil, s.addr), s.off), s.size)
			return Edit{int64(t.off + i*t.size + 8 + p.word()), b}
		}
		return []Edit{at(i, dyn), at(uint64(d.link), str)}
	}
	return nil
}
