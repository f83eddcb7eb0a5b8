package elfpatch

import (
	"debug/elf"
	"encoding/binary"
)

const ptGNUProperty elf.ProgType = 0x6474e553

// codec reads and writes integers in the byte order and word size of a file.
type codec struct {
	order interface {
		binary.ByteOrder
		binary.AppendByteOrder
	}
	is64 bool
}

func (c codec) word() uint64 {
	if c.is64 {
		return 8
	}
	return 4
}

func (c codec) getWord(b []byte) uint64 {
	if c.is64 {
		return c.order.Uint64(b)
	}
	return uint64(c.order.Uint32(b))
}

func (c codec) appendWord(b []byte, v uint64) []byte {
	if c.is64 {
		return c.order.AppendUint64(b, v)
	}
	return c.order.AppendUint32(b, uint32(v))
}

// phdr is Elf32_Phdr or Elf64_Phdr (gABI, "Program Header").
type phdr struct {
	typ                                       elf.ProgType
	flags                                     uint32
	off, vaddr, paddr, filesz, memsz, alignTo uint64
}

func (c codec) phdrSize() uint64 {
	if c.is64 {
		return 56
	}
	return 32
}

func (c codec) phdr(b []byte) phdr {
	w := func(i int) uint64 { return c.getWord(b[i:]) }
	h := phdr{typ: elf.ProgType(c.order.Uint32(b))}
	if c.is64 {
		h.flags, h.off, h.vaddr, h.paddr, h.filesz, h.memsz, h.alignTo = c.order.Uint32(b[4:]), w(8), w(16), w(24), w(32), w(40), w(48)
	} else {
		h.off, h.vaddr, h.paddr, h.filesz, h.memsz, h.flags, h.alignTo = w(4), w(8), w(12), w(16), w(20), c.order.Uint32(b[24:]), w(28)
	}
	return h
}

func (c codec) appendPhdrs(b []byte, ph []phdr) []byte {
	for _, h := range ph {
		b = c.order.AppendUint32(b, uint32(h.typ))
		if c.is64 {
			b = c.order.AppendUint32(b, h.flags)
		}
		for _, v := range []uint64{h.off, h.vaddr, h.paddr, h.filesz, h.memsz} {
			b = c.appendWord(b, v)
		}
		if !c.is64 {
			b = c.order.AppendUint32(b, h.flags)
		}
		b = c.appendWord(b, h.alignTo)
	}
	return b
}

// pageSize is the largest page that kernels for a machine are built with; a
// larger one than needed would cost a program bits of its random address
// (fs/binfmt_elf.c, maximum_alignment).
func pageSize(m elf.Machine) uint64 {
	switch m {
	case elf.EM_X86_64, elf.EM_386, elf.EM_S390, elf.EM_RISCV, elf.EM_ARM:
		return 4 << 10
	}
	return 64 << 10
}

// readHeaders reads the program headers, and refuses what neither kernel nor
// loader would accept or what could not be told apart afterwards.
func (p *program) readHeaders() error {
	head, err := p.read("ELF header", 0, min(p.size, 64), 64)
	if err != nil {
		return err
	}
	if uint64(len(head)) < p.ehdrSize() {
		return unfit("its ELF header is cut off")
	}
	if p.is64 {
		p.phoff = p.order.Uint64(head[32:])
	} else {
		p.phoff = uint64(p.order.Uint32(head[28:]))
	}
	b, err := p.read("program headers", p.phoff, uint64(p.f.PhNum)*p.phdrSize(), maxPhdrs)
	if err != nil {
		return err
	}
	once := map[elf.ProgType]bool{}
	for ; len(b) > 0; b = b[p.phdrSize():] {
		h := p.phdr(b)
		switch h.typ {
		case elf.PT_DYNAMIC, elf.PT_PHDR, elf.PT_INTERP:
			if once[h.typ] {
				return unfit("it has two program headers of type %v", h.typ)
			}
			once[h.typ] = true
		case elf.PT_LOAD:
			end := h.vaddr + h.memsz
			if h.filesz > h.memsz || end < h.vaddr || end > p.limit() || h.off+h.filesz < h.off || h.off+h.filesz > p.size {
				return unfit("a segment lies outside the file or the address space")
			}
			if h.vaddr < p.end {
				return unfit("its segments are not sorted by address, or overlap")
			}
			p.end = end
		}
		p.ph = append(p.ph, h)
	}
	if p.end == 0 {
		return unfit("it has no segments")
	}
	p.end = alignUp(p.end, p.page)
	return nil
}

func (c codec) ehdrSize() uint64 {
	if c.is64 {
		return 64
	}
	return 52
}

// limit is where addresses must end, so that sums of them stay in a word.
func (c codec) limit() uint64 {
	if c.is64 {
		return 1 << 62
	}
	return 1<<32 - 1
}

func alignUp(n, to uint64) uint64 { return (n + to - 1) &^ (to - 1) }
